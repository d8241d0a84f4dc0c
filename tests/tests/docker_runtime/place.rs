//! An engine of its own with flowgate's base image, and a folder with flows.

use std::process::{Child, Command, Stdio};

use flowgate_tests::engine::{base_image, docker_or_skip, wait_for};
use flowgate_tests::own_engine::OwnEngine;
use flowgate_tests::{Finished, Folder, command, flows};
use serde_json::Value;

/// What the name of a runtime's container begins with.
pub(crate) const PREFIX: &str = "flowgate-rt-";

pub(crate) struct Place {
    pub(crate) engine: OwnEngine,
    pub(crate) folder: Folder,
}

impl Place {
    /// One with the flow `flow`; `None`, and said, where this machine cannot.
    pub(crate) fn new(name: &str) -> Option<Self> {
        Self::on(name, OwnEngine::start)
    }

    /// The same on an engine that is started otherwise.
    pub(crate) fn on(name: &str, engine: impl FnOnce() -> Option<OwnEngine>) -> Option<Self> {
        docker_or_skip()?;
        let engine = engine()?;
        engine.take(&base_image());
        let folder = Folder::new(name);
        flows::python(&folder, "flow", "", "return text + '!'");
        Some(Self { engine, folder })
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(self.folder.path(), arguments);
        command.env("DOCKER_HOST", self.engine.host()).env("FLOWGATE_CACHE_DIR", self.folder.path().join("cache"));
        command.env("XDG_CONFIG_HOME", self.folder.path().join("config"));
        command.env("DOCKER_CONFIG", self.folder.path().join("docker"));
        command.env_remove("FLOWGATE_FEED_TOKEN").stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Finished {
        Finished::of(self.command(arguments).output().expect("flowgate starts"))
    }

    /// Runs a command that must succeed.
    #[track_caller]
    pub(crate) fn ok(&self, arguments: &[&str]) -> Finished {
        let done = self.run(arguments);
        assert_eq!(done.code, Some(0), "flowgate {arguments:?}: {done:?}");
        done
    }

    /// Runs a command that must end with that code and say those parts.
    #[track_caller]
    pub(crate) fn fails(&self, arguments: &[&str], code: i32, parts: &[&str]) {
        flowgate_tests::place::assert_fails(&self.run(arguments), code, parts);
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("flowgate starts")
    }

    /// The one runtime that a command prints as JSON.
    #[track_caller]
    pub(crate) fn runtime(&self, arguments: &[&str]) -> Value {
        let done = self.ok(&[&["runtime"], arguments, &["--format", "json"]].concat());
        let mut all: Value = serde_json::from_str(&done.stdout).expect("JSON");
        assert_eq!((all["version"].as_u64(), all["runtimes"].as_array().map(Vec::len)), (Some(1), Some(1)), "{all:#}");
        all["runtimes"][0].take()
    }

    /// The names and states of all runtimes.
    pub(crate) fn states(&self) -> Vec<(String, String)> {
        let done = self.ok(&["runtime", "list", "--format", "json"]);
        let all: Value = serde_json::from_str(&done.stdout).expect("JSON");
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        all["runtimes"]
            .as_array()
            .expect("runtimes")
            .iter()
            .map(|one| (text(&one["name"]), text(&one["state"])))
            .collect()
    }

    /// The names of the engine's containers, in whatever state.
    pub(crate) fn containers(&self) -> Vec<String> {
        let names = self.engine.docker(&["ps", "--all", "--format", "{{.Names}}"]);
        let mut names: Vec<String> = names.lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// Waits until the engine has no container.
    pub(crate) fn is_empty(&self) {
        wait_for("no container", || self.containers().is_empty().then_some(()));
    }
}
