//! A Docker engine of a test's own, which holds nothing yet: what a fresh runner is.

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use crate::engine::wait_for;
use crate::{Finished, Folder, index, skip};

/// Debian's engine with folders of its own, until it is dropped.
#[derive(Debug)]
pub struct OwnEngine {
    process: Child,
    folder: Folder,
    /// What its command line has beside what every one has.
    arguments: Vec<String>,
}

impl OwnEngine {
    /// Starts one. `None`, and said, where this machine cannot.
    ///
    /// # Panics
    /// Where it does not start, and under continuous integration where there is none.
    pub fn start() -> Option<Self> {
        Self::start_with(Vec::new())
    }

    /// Starts one with more arguments.
    ///
    /// # Panics
    /// As [`OwnEngine::start`].
    pub fn start_with(arguments: Vec<String>) -> Option<Self> {
        let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
        if !root || index::find("dockerd").is_none() {
            skip("only root can start an engine, with a dockerd in PATH");
            return None;
        }
        let folder = Folder::new("engine");
        let process = Self::spawn(&folder, &arguments);
        Some(Self { process, folder, arguments })
    }

    /// Starts it, and waits until it answers.
    fn spawn(folder: &Folder, arguments: &[String]) -> Child {
        let path = |name: &str| folder.path().join(name);
        let log = File::options().create(true).append(true).open(path("log")).expect("a log");
        let mut dockerd = Command::new("dockerd");
        dockerd
            .arg("--data-root")
            .arg(path("data"))
            .arg("--exec-root")
            .arg(path("exec"))
            .arg("--pidfile")
            .arg(path("pid"));
        // It leaves this machine's network alone. With `--bridge none` it would remove the bridge that another engine has.
        dockerd.args(["--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false", "--host"]);
        dockerd.arg(format!("unix://{}", path("sock").display())).args(arguments);
        let twin = log.try_clone().expect("its log");
        let process = dockerd.stdin(Stdio::null()).stdout(log).stderr(twin).spawn().expect("dockerd starts");
        wait_for("an engine of its own", || UnixStream::connect(path("sock")).ok().map(drop));
        process
    }

    /// Ends it, and starts it on what it held.
    ///
    /// # Panics
    /// Where it does not end or start.
    pub fn restart(&mut self) {
        self.stop();
        self.process = Self::spawn(&self.folder, &self.arguments);
    }

    /// Ends it. Asked to end, it takes its containerd along.
    pub fn stop(&mut self) {
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }

    /// Its address, for `DOCKER_HOST`.
    pub fn host(&self) -> String {
        format!("unix://{}", self.folder.path().join("sock").display())
    }

    /// Runs the docker command on it.
    ///
    /// # Panics
    /// Where that fails.
    pub fn docker(&self, arguments: &[&str]) -> String {
        let done = Command::new("docker").args(["--host", &self.host()]).args(arguments).output();
        let done = Finished::of(done.expect("docker starts"));
        assert_eq!(done.code, Some(0), "docker {arguments:?}: {done:?}");
        done.stdout
    }

    /// Takes an image of the machine's own engine.
    ///
    /// # Panics
    /// Where that does not have it.
    pub fn take(&self, image: &str) {
        let mut save =
            Command::new("docker").args(["save", image]).stdout(Stdio::piped()).spawn().expect("docker starts");
        let mut load = Command::new("docker");
        load.args(["--host", &self.host(), "load"]).stdin(save.stdout.take().expect("an archive"));
        let loaded = load.output().expect("docker starts");
        assert!(loaded.status.success() && save.wait().is_ok_and(|status| status.success()), "{loaded:?}");
    }

    /// Removes every image.
    ///
    /// # Panics
    /// Where that fails.
    pub fn forget(&self) {
        self.docker(&["image", "prune", "--all", "--force"]);
        assert_eq!(self.docker(&["images", "--all", "--quiet"]), "");
    }
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        self.stop();
    }
}
