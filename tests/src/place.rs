//! A flow whose environment is built, and what the engine holds.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use serde_json::Value;

use crate::engine::{Engine, docker_or_skip, wait_for};
use crate::{Finished, Folder, command, flows};

/// A flow in a folder of its own, with a cache of its own.
#[derive(Debug)]
pub struct Place {
    /// Holds the flow `flow`.
    pub folder: Folder,
    /// The engine.
    pub engine: Engine,
    /// The images that tests made before.
    before: BTreeSet<String>,
}

impl Place {
    /// One with a flow of those requirements; `None`, and said, where there is no engine.
    ///
    /// # Panics
    /// Where files cannot be written.
    pub fn new(name: &str, requirements: &str) -> Option<Self> {
        let engine = docker_or_skip()?;
        let folder = Folder::new(name);
        flows::python(&folder, "flow", "", "return text");
        if !requirements.is_empty() {
            folder.write("flow/requirements.txt", requirements);
        }
        let before = test_images(&engine);
        Some(Self { folder, engine, before })
    }

    /// A command in its folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(self.folder.path(), arguments);
        command.env("FLOWGATE_CACHE_DIR", self.folder.path().join("cache"));
        command
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Finished {
        Finished::of(self.command(arguments).envs(variables.iter().copied()).output().expect("flowgate starts"))
    }

    /// `flowgate environment build flow`.
    pub fn build(&self, variables: &[(&str, &str)]) -> Finished {
        self.run(&["environment", "build", "flow"], variables)
    }

    /// `flowgate environment plan flow`.
    ///
    /// # Panics
    /// Where it gives no JSON.
    pub fn plan(&self) -> Value {
        let done = self.run(&["environment", "plan", "flow", "--format", "json"], &[]);
        serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done:?}"))
    }

    /// Images by name or id, steps of builders included, and containers that build: what a build must leave as it was.
    ///
    /// # Panics
    /// Where the engine does not list them.
    pub fn holds(&self) -> BTreeSet<String> {
        settle(&self.engine);
        let (_, images) = self.engine.ask("GET", "/images/json?all=true");
        let (_, containers) = self.engine.ask("GET", "/containers/json?all=true");
        let images =
            images.as_array().expect("images").iter().map(|image| format!("{} {}", image["RepoTags"], image["Id"]));
        let containers = containers.as_array().expect("containers").iter().map(|one| one["Names"].to_string());
        // Those of a classic builder have names that the engine makes up.
        let containers = containers.filter(|names| names.contains("flowgate-build") || !names.contains("/flowgate"));
        images.chain(containers).collect()
    }

    /// Removes the image of its flow.
    ///
    /// # Panics
    /// Where it has none.
    pub fn remove_image(&self) {
        let image = self.plan()["image"].as_str().expect("an image").to_owned();
        self.engine.ask("DELETE", &format!("/images/{image}"));
    }
}

/// Waits until the engine has removed the containers of builds that are over: flowgate does not wait for that where a
/// build went well.
///
/// # Panics
/// Where the engine does not, or lists no containers.
pub fn settle(engine: &Engine) {
    wait_for("the engine's own removals", || {
        let (_, containers) = engine.ask("GET", "/containers/json?all=true");
        let being_removed = |one: &Value| {
            let names = one["Names"].to_string();
            let is_over = !matches!(one["State"].as_str(), Some("created" | "running" | "paused"));
            // The engine lists one as running until it has cleared up after it.
            names.contains("flowgate-build") && (is_over || !is_there(owner_of(&names)))
        };
        (!containers.as_array().expect("containers").iter().any(being_removed)).then_some(())
    });
}

/// The process that a container builds for: `flowgate-build_BOOT.NAMESPACE.PROCESS.START_...`.
fn owner_of(names: &str) -> Option<&str> {
    names.split('_').nth(1)?.split('.').nth(2)
}

fn is_there(process: Option<&str>) -> bool {
    process.is_none_or(|process| Path::new("/proc").join(process).exists())
}

impl Drop for Place {
    fn drop(&mut self) {
        // What the test built is nobody else's.
        let done = self.run(&["environment", "plan", "flow", "--format", "json"], &[]);
        if let Ok(plan) = serde_json::from_str::<Value>(&done.stdout)
            && let Some(image) = plan["image"].as_str().filter(|image| image.starts_with("flowgate-env:"))
        {
            self.engine.ask("DELETE", &format!("/images/{image}"));
        }
        for image in test_images(&self.engine).difference(&self.before) {
            self.engine.ask("DELETE", &format!("/images/{image}"));
        }
    }
}

/// The names of the images that tests make.
fn test_images(engine: &Engine) -> BTreeSet<String> {
    let (_, images) = engine.ask("GET", "/images/json");
    let names =
        images.as_array().into_iter().flatten().flat_map(|image| image["RepoTags"].as_array().into_iter().flatten());
    let of_tests =
        |name: &&str| ["flowgate-image:", "flowgate-env:pr", "flowgate-test-"].iter().any(|own| name.starts_with(own));
    names.filter_map(Value::as_str).filter(of_tests).map(str::to_owned).collect()
}

/// Asserts that it ended with that code, and said those parts.
///
/// # Panics
/// Where it did not.
#[track_caller]
pub fn assert_fails(done: &Finished, code: i32, parts: &[&str]) {
    assert_eq!(done.code, Some(code), "{done:?}");
    for part in parts {
        assert!(done.stderr.contains(part), "{part:?} is not in {}", done.stderr);
    }
}

/// One test at a time: they compare what the engine holds before and after.
pub fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A build that goes on.
///
/// # Panics
/// Where it does not start.
pub fn start(place: &Place, arguments: &[&str], variables: &[(&str, &str)]) -> (Child, PathBuf) {
    let log = place.folder.path().join(format!("build-{}.log", variables.len()));
    let mut command = place.command(arguments);
    command.envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(std::fs::File::create(&log).unwrap());
    (command.spawn().unwrap(), log)
}

/// Whether its log says that.
pub fn said(log: &Path, text: &str) -> Option<()> {
    std::fs::read_to_string(log).is_ok_and(|log| log.contains(text)).then_some(())
}
