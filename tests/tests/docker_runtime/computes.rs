//! `flowgate compute`, and runtimes on engines behind ssh and TLS.

use std::io::Read;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use flowgate_tests::engine::wait_for;
use flowgate_tests::own_engine::OwnEngine;
use flowgate_tests::ways::{Sshd, certificates, free_port};
use flowgate_tests::{Finished, Folder, flows};
use serde_json::Value;

use super::place::Place;

/// A place whose engine listens on TLS, too, with an sshd in front of it. What does not name a compute finds no engine.
struct Computes {
    place: Place,
    sshd: Sshd,
    tcp: String,
}

impl Computes {
    fn command(&self, arguments: &[&str]) -> Command {
        self.command_as("ssh", arguments)
    }

    fn command_as(&self, ssh: &str, arguments: &[&str]) -> Command {
        let mut command = self.place.command(arguments);
        command.env("DOCKER_HOST", "unix:///nowhere/docker.sock").env("PATH", self.sshd.path(ssh));
        command
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> Finished {
        let done = Finished::of(self.command(arguments).output().expect("flowgate starts"));
        assert_eq!(done.code, Some(0), "flowgate {arguments:?}: {done:?}");
        done
    }

    #[track_caller]
    fn fails(&self, arguments: &[&str], code: i32, parts: &[&str]) {
        let done = Finished::of(self.command(arguments).output().expect("flowgate starts"));
        flowgate_tests::place::assert_fails(&done, code, parts);
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[arguments, &["--format", "json"]].concat()).stdout).expect("JSON")
    }

    fn socket(&self) -> String {
        self.sshd.address(self.place.engine.host().trim_start_matches("unix://"))
    }

    fn file(&self) -> String {
        std::fs::read_to_string(self.place.folder.path().join("config/flowgate/computes.yaml")).unwrap_or_default()
    }
}

#[test]
fn engines_behind_ssh_and_tls_are_computes_like_any_other() {
    let Some(sshd) = Sshd::start() else { return };
    let certs = Folder::new("certificates");
    let folder = certificates(certs.path());
    let tcp = format!("tcp://127.0.0.1:{}", free_port());
    let file = |name: &str| folder.join(name).display().to_string();
    let tls = [
        "--tlsverify".to_owned(),
        format!("--tlscacert={}", file("ca.pem")),
        format!("--tlscert={}", file("server.pem")),
        format!("--tlskey={}", file("server-key.pem")),
        format!("--host={tcp}"),
    ];
    let Some(place) = Place::on("computes", || OwnEngine::start_with(tls.into())) else { return };
    let computes = Computes { place, sshd, tcp };
    what_cannot_be_a_compute_is_said(&computes, &folder.display().to_string());
    behind_ssh(&computes);
    behind_tls(&computes, &folder.display().to_string());
    dockers_own_contexts(&computes);
    one_that_vanishes(computes);
}

fn what_cannot_be_a_compute_is_said(computes: &Computes, certs: &str) {
    let address = computes.socket();
    for (host, code, parts) in [
        ("lab", 2, &["is not unix:///PATH, ssh://[USER@]HOST or tcp://HOST:PORT"][..]),
        ("ssh://-oProxyCommand=touch", 2, &["is not ssh://"]),
        ("tcp://192.0.2.1:2375", 2, &["has no TLS"]),
        (&format!("ssh://127.0.0.1:{}", free_port()), 8, &["Connection refused", "it was not added"]),
        (&address.replace("/sock", "/no-sock"), 8, &["no-sock", "it was not added"]),
        (&computes.tcp, 8, &["it was not added"]),
    ] {
        computes.fails(&["compute", "add", "lab", "--", host], code, parts);
    }
    let add = ["compute", "add", "lab", &address];
    for (ssh, said) in [("denied", "Permission denied"), ("new", "Host key verification failed")] {
        let done = Finished::of(computes.command_as(ssh, &add).output().expect("flowgate starts"));
        flowgate_tests::place::assert_fails(&done, 8, &[said, "it was not added"]);
    }
    // One that takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let silent = format!("tcp://{}", silent.local_addr().expect("its address"));
    computes.fails(&["compute", "add", "lab", &silent], 8, &["does not answer within", "it was not added"]);
    computes.fails(&["compute", "add", "lab", &address, "--tls", certs], 2, &["`--tls` is for `tcp://` alone"]);
    computes.fails(
        &["compute", "add", "default", &address],
        2,
        &["is reserved for Docker's default engine", "another name"],
    );
    computes.fails(&["compute", "add", "lab", &computes.tcp, "--tls", "nowhere"], 2, &["cannot read", "ca.pem"]);
    assert_eq!(computes.file(), "");
}

fn behind_ssh(computes: &Computes) {
    let address = computes.socket();
    let added = computes.ok(&["compute", "add", "lab", &address]);
    assert!(added.stdout.contains("engine    Docker "), "{added:?}");
    assert!(computes.file().ends_with(&format!("computes:\n  lab:\n    host: {address}\n")), "{}", computes.file());
    computes.fails(&["compute", "add", "lab", &address], 2, &["is the name of a compute already"]);
    computes.fails(&["runtime", "list", "--compute", "lap"], 2, &["there is no compute `lap`", "did you mean `lab`?"]);

    computes.ok(&["runtime", "create", "team", "flow", "--compute", "lab"]);
    let listed = computes.json(&["runtime", "list", "--compute", "lab"]);
    assert_eq!(listed["runtimes"][0]["state"], "Running");
    // The next step is on the same compute.
    computes.fails(
        &["runtime", "create", "team", "flow", "--compute", "lab", "--idle", "5m"],
        2,
        &["`flowgate runtime --compute lab edit team --idle 5m`"],
    );
    let ran = computes.ok(&["run", "flow", "--compute", "lab"]);
    assert!(ran.stdout.contains("out: hello!") && ran.stderr.contains("The warm runtime `team` is used."), "{ran:?}");
    // A run of its own, whose stream is its lease across two machines, too.
    computes.ok(&["runtime", "stop", "team", "--compute", "lab"]);
    flows::python(&computes.place.folder, "slow", "", "import time\ntime.sleep(600)");
    let mut slow = computes.command(&["run", "slow", "--compute", "lab"]);
    let mut slow = slow.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("flowgate starts");
    wait_for("the slow flow", || (!computes.place.engine.docker(&["ps", "--quiet"]).is_empty()).then_some(()));
    slow.kill().expect("it runs");
    slow.wait().expect("it ends");
    computes.place.is_empty();
    // An environment is built there, through the gate here.
    computes.place.folder.write("needs/requirements.txt", "six==1.16.0\n");
    flows::python(&computes.place.folder, "needs", "", "import six\nreturn six.__version__");
    let ran = computes.ok(&["run", "needs", "--compute", "lab"]);
    assert!(ran.stdout.contains("out: 1.16.0"), "{ran:?}");
    computes.place.is_empty();
}

fn behind_tls(computes: &Computes, certs: &str) {
    computes.ok(&["compute", "add", "gpu", &computes.tcp, "--tls", certs]);
    let started = computes.ok(&["runtime", "start", "flow", "--compute", "gpu"]);
    assert!(started.stdout.contains("state     Running"), "{started:?}");
    let ran = computes.ok(&["run", "flow", "--compute", "gpu"]);
    assert!(ran.stderr.contains("is used."), "{ran:?}");
    // What is on a compute stays when that is forgotten, and is asked about.
    computes.fails(&["compute", "remove", "gpu"], 2, &["gpu has 1 runtime", "`--yes`"]);
    computes.ok(&["compute", "remove", "gpu", "--yes"]);
    assert!(!computes.file().contains("gpu") && computes.file().contains("lab"), "{}", computes.file());
    computes.ok(&["runtime", "stop", "flow", "--compute", "lab"]);
    computes.place.is_empty();
}

fn dockers_own_contexts(computes: &Computes) {
    let docker = |arguments: &[&str]| {
        let mut docker = Command::new("docker");
        docker
            .args(arguments)
            .env("DOCKER_CONFIG", computes.place.folder.path().join("docker"))
            .env_remove("DOCKER_HOST");
        let done = Finished::of(docker.output().expect("docker starts"));
        assert_eq!(done.code, Some(0), "{done:?}");
    };
    docker(&["context", "create", "own", "--docker", &format!("host={}", computes.place.engine.host())]);
    let all = computes.json(&["compute", "list"]);
    let names = |all: &Value| {
        let names: Vec<_> =
            all["computes"].as_array().expect("computes").iter().map(|one| one["name"].clone()).collect();
        names
    };
    assert_eq!(names(&all), ["default", "own", "lab"]);
    assert_eq!((&all["computes"][0]["engine"], &all["computes"][1]["engine"]["runtimes"]), (&Value::Null, &0.into()));
    let shown = computes.ok(&["compute", "show", "own"]).stdout;
    assert!(shown.contains("from      a Docker context"), "{shown}");
    computes.ok(&["runtime", "list", "--compute", "own"]);
    computes.fails(&["compute", "remove", "own"], 2, &["`own` is a Docker context", "docker context rm own"]);
    computes.fails(&["compute", "add", "own", &computes.socket()], 2, &["is a Docker context, and a compute already"]);
    // The file may be broken; who names no compute does not mind.
    let file = computes.place.folder.path().join("config/flowgate/computes.yaml");
    std::fs::write(&file, "computes:\n  lab: 3\n").expect("the file");
    computes.fails(&["compute", "list"], 2, &["computes.yaml:2:8: computes.lab: invalid type"]);
    computes.fails(&["runtime", "list"], 8, &["unix:///nowhere/docker.sock"]);
    std::fs::write(&file, format!("computes:\n  lab: {{host: \"{}\"}}\n", computes.socket())).expect("the file");
}

/// What was on an engine that goes away is there again when that comes back, and until then it is said what happened.
fn one_that_vanishes(mut computes: Computes) {
    computes.ok(&["runtime", "create", "team", "flow", "--compute", "lab"]);
    let mut watch = computes.command(&["runtime", "show", "team", "--compute", "lab", "--watch", "--format", "json"]);
    let mut watch = watch.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("flowgate starts");
    let mut first = vec![0; 40];
    watch.stdout.as_mut().expect("its output").read_exact(&mut first).expect("its first line");
    computes.place.engine.stop();
    let ended = watch.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.code() == Some(8) && said.contains("the Docker engine at ssh://"), "{said}");
    computes.fails(&["runtime", "list", "--compute", "lab"], 8, &["no Docker engine answers at ssh://"]);
    let shown = Finished::of(computes.command(&["compute", "show", "lab"]).output().expect("flowgate starts"));
    assert!(shown.code == Some(8) && shown.stdout.contains("no answer: "), "{shown:?}");
    computes.place.engine.restart();
    let listed = computes.json(&["runtime", "list", "--compute", "lab"]);
    assert_eq!(listed["runtimes"][0]["state"], "Not available");
    computes.ok(&["runtime", "start", "team", "--compute", "lab"]);
    computes.ok(&["runtime", "stop", "team", "--compute", "lab"]);
    computes.ok(&["compute", "remove", "lab"]);
    computes.place.is_empty();
}
