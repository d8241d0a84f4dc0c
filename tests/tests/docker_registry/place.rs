//! A flow in a folder of its own, with a cache and a configuration of Docker of its own.

use std::collections::BTreeSet;
use std::fs::File;
use std::process::{Command, Stdio};

use flowgate_tests::engine::{Engine, docker_or_skip, wait_for};
use flowgate_tests::place::settle;
use flowgate_tests::registry::{ENCODED, PASSWORD};
use flowgate_tests::{Finished, Folder, event, flows};
use serde_json::Value;

pub(crate) struct Place {
    pub(crate) folder: Folder,
    pub(crate) engine: Engine,
}

/// What a command left, and its process number.
pub(crate) struct Done {
    pub(crate) finished: Finished,
    pub(crate) process: u32,
}

impl Place {
    pub(crate) fn new(name: &str) -> Option<Self> {
        let engine = docker_or_skip()?;
        let place = Self { folder: Folder::new(name), engine };
        flows::python(&place.folder, "repo/flow", "", "return text");
        place.log_in("{}");
        Some(place)
    }

    /// Writes Docker's configuration.
    pub(crate) fn log_in(&self, config: &str) {
        self.folder.write("docker/config.json", config);
    }

    pub(crate) fn requires(&self, requirements: &str) {
        self.folder.write("repo/flow/requirements.txt", requirements);
    }

    /// Lets the flow name a base image.
    pub(crate) fn names(&self, image: &str) {
        flows::python(&self.folder, "repo/flow", "", "return text");
        let path = self.folder.path().join("repo/flow/flow.dag.yaml");
        let flow = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, format!("{flow}environment: {{image: \"{image}\"}}\n")).unwrap();
    }

    pub(crate) fn start(&self, arguments: &[&str], variables: &[(&str, String)]) -> Done {
        let mut command = command(&self.folder, arguments);
        command.envs(variables.iter().map(|(name, value)| (*name, value.as_str())));
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let process = child.id();
        let finished = Finished::of(child.wait_with_output().unwrap());
        for secret in [PASSWORD, ENCODED] {
            assert!(!finished.stdout.contains(secret) && !finished.stderr.contains(secret), "{finished:?}");
        }
        Done { finished, process }
    }

    /// Starts `flowgate`, interrupts it once it has said something, and gives its exit code.
    pub(crate) fn interrupted(&self, arguments: &[&str], said: &str) -> Option<i32> {
        let log = self.folder.path().join("interrupted.log");
        let mut command = command(&self.folder, arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        let mut child = command.spawn().unwrap();
        wait_for(said, || std::fs::read_to_string(&log).is_ok_and(|log| log.contains(said)).then_some(()));
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        child.wait().unwrap().code()
    }

    /// `flowgate environment build flow` with further arguments.
    pub(crate) fn build(&self, arguments: &[&str]) -> Done {
        self.start(&[&["environment", "build", "repo/flow"], arguments].concat(), &[])
    }

    /// `flowgate action` for a pull request of that number, from that repository to repository 1.
    pub(crate) fn pull_request(&self, number: u64, head: u64, cache: &str) -> Done {
        let (_, event) = event::pull_request(number, head, "0");
        self.folder.write("event.json", event.to_string());
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        self.folder.write("temp/keep", "");
        let variables = [
            ("GITHUB_WORKSPACE", path("repo")),
            ("GITHUB_EVENT_NAME", "pull_request".to_owned()),
            ("GITHUB_EVENT_PATH", path("event.json")),
            ("RUNNER_TEMP", path("temp")),
            ("INPUT_CACHE_FROM", cache.to_owned()),
            ("INPUT_CACHE_TO", cache.to_owned()),
            ("INPUT_REGISTRIES", cache.split('/').next().unwrap_or_default().to_owned()),
        ];
        self.start(&["action"], &variables)
    }

    pub(crate) fn plan(&self) -> Value {
        let done = self.start(&["environment", "plan", "repo/flow", "--format", "json"], &[]).finished;
        serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done:?}"))
    }

    pub(crate) fn key(&self) -> String {
        self.plan()["key"].as_str().expect("a key").to_owned()
    }

    /// The engine's name of the trusted environment.
    pub(crate) fn image(&self) -> String {
        format!("flowgate-env:trusted-{}", &self.key()[..16])
    }

    /// Images by name and id, and containers that build.
    pub(crate) fn holds(&self) -> BTreeSet<String> {
        settle(&self.engine);
        let (_, images) = self.engine.ask("GET", "/images/json");
        let (_, containers) = self.engine.ask("GET", "/containers/json?all=true");
        let images =
            images.as_array().expect("images").iter().map(|image| format!("{} {}", image["RepoTags"], image["Id"]));
        let containers = containers.as_array().expect("containers").iter().map(|one| one["Names"].to_string());
        images.chain(containers.filter(|names| names.contains("flowgate-build"))).collect()
    }

    pub(crate) fn remove(&self, image: &str) {
        self.engine.ask("DELETE", &format!("/images/{image}"));
    }

    /// Runs the docker command with this place's configuration.
    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
        let config = self.folder.path().join("docker");
        let mut command = Command::new("docker");
        let done = command.args(arguments).env("DOCKER_CONFIG", config).current_dir(self.folder.path()).output();
        let done = Finished::of(done.expect("docker starts"));
        assert_eq!(done.code, Some(0), "docker {arguments:?}: {done:?}");
        done.stdout
    }

    /// Pushes an image of the engine under a name.
    pub(crate) fn push(&self, image: &str, name: &str) {
        self.docker(&["tag", image, name]);
        self.docker(&["push", "--quiet", name]);
        self.docker(&["rmi", name]);
    }
}

fn command(folder: &Folder, arguments: &[&str]) -> Command {
    let mut command = flowgate_tests::command(folder.path(), arguments);
    let path = std::env::var("PATH").expect("PATH");
    command
        .env("FLOWGATE_CACHE_DIR", folder.path().join("cache"))
        .env("DOCKER_CONFIG", folder.path().join("docker"))
        .env("PATH", format!("{}:{path}", folder.path().join("bin").display()));
    command
}

impl Done {
    #[track_caller]
    pub(crate) fn assert(&self, code: i32, parts: &[&str]) -> &Self {
        assert_eq!(self.finished.code, Some(code), "{:?}", self.finished);
        for part in parts {
            assert!(self.said(part), "{part:?} is not in {:?}", self.finished);
        }
        self
    }

    pub(crate) fn said(&self, text: &str) -> bool {
        self.finished.stderr.contains(text) || self.finished.stdout.contains(text)
    }

    /// How many containers it built in, by what the engine remembers.
    pub(crate) fn builds(&self, place: &Place) -> usize {
        let events = place.docker(&[
            "events",
            "--since",
            "1h",
            "--until",
            "0s",
            "--filter",
            "type=container",
            "--filter",
            "event=create",
            "--format",
            "{{.Actor.Attributes.name}}",
        ]);
        let of_this =
            |name: &&str| name.starts_with("flowgate-build_") && name.contains(&format!(".{}.", self.process));
        events.lines().filter(of_this).count()
    }
}
