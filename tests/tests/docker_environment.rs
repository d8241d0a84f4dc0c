//! What a docker run refuses before a line runs: engines, images and requirements.
#![cfg(unix)]

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;

use flowgate_tests::Folder;
use flowgate_tests::engine::{base_image, docker_or_skip};
use flowgate_tests::flows::{self, Ran};
use serde_json::json;

/// Asserts that nothing ran, that it ends with that code, and that the message has those parts.
fn assert_refused(ran: &Ran, code: i32, parts: &[&str]) {
    ran.assert_code(code);
    let flow = &ran.report["flows"][0];
    assert_eq!((&ran.report["verdict"], &flow["verdict"]), (&json!("errored"), &json!("errored")));
    assert_eq!((&flow["lines"]["total"], &flow["lines"]["passed"]), (&json!(1), &json!(0)), "{flow:#}");
    let message = flow["error"]["message"].as_str().expect("a message");
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in the report's message: {message}");
        assert!(
            ran.done.stderr.contains(part) || ran.done.stdout.contains(part),
            "{part:?} is not in what it prints: {:?}",
            ran.done
        );
    }
}

fn flow_with(name: &str, environment: &str, requirements: &str) -> Folder {
    let folder = Folder::new(name);
    flows::python(&folder, "flow", "", "return text");
    let path = folder.path().join("flow/flow.dag.yaml");
    let flow = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, format!("{flow}{environment}")).unwrap();
    if !requirements.is_empty() {
        folder.write("flow/requirements.txt", requirements);
    }
    folder
}

const DOCKER: [&str; 3] = ["--backend", "docker", "flow"];

#[test]
fn no_engine_where_docker_was_asked_for() {
    let folder = flow_with("no-engine", "", "");
    let socket = folder.path().join("none.sock");
    let host = format!("unix://{}", socket.display());
    assert_refused(
        &flows::start(&folder, &DOCKER, &[("DOCKER_HOST", &host)]).finish(),
        8,
        &["no Docker engine answers", &host, "--backend process"],
    );
    // A socket that nobody listens at any more.
    drop(UnixListener::bind(&socket).unwrap());
    assert_refused(
        &flows::start(&folder, &DOCKER, &[("DOCKER_HOST", &host)]).finish(),
        8,
        &["no Docker engine answers", &host],
    );
    assert_refused(
        &flows::start(&folder, &DOCKER, &[("DOCKER_HOST", "tcp://192.0.2.1:2375")]).finish(),
        8,
        &["tcp://192.0.2.1:2375", "DOCKER_HOST"],
    );
}

#[test]
fn an_image_that_is_not_there() {
    if docker_or_skip().is_none() {
        return;
    }
    let folder = flow_with("no-image", "environment: {image: \"flowgate-none:of-this-name\"}\n", "");
    assert_refused(
        &flows::run(&folder, &DOCKER),
        4,
        &["flowgate-none:of-this-name", "docker pull flowgate-none:of-this-name"],
    );
    let folder = flow_with("odd-image", "environment: {image: \"../containers/json?all=1\"}\n", "");
    assert_refused(&flows::run(&folder, &DOCKER), 4, &["../containers/json?all=1", "no image name"]);
}

#[test]
fn the_base_image_that_is_not_there() {
    let Some(engine) = docker_or_skip() else { return };
    let folder = flow_with("no-base", "", "");
    let socket = folder.path().join("engine.sock");
    without_base_image(&socket, engine.socket());
    let host = format!("unix://{}", socket.display());
    let ran = flows::start(&folder, &DOCKER, &[("DOCKER_HOST", &host)]).finish();
    assert_refused(&ran, 4, &[&base_image(), "flowgate environment base --from"]);
}

/// The real engine behind another socket, where it gets every question about the base image as
/// one about an image that it does not have.
fn without_base_image(socket: &Path, engine: &Path) {
    let (listener, engine) = (UnixListener::bind(socket).unwrap(), engine.to_owned());
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, mut server) = (client.unwrap(), UnixStream::connect(&engine).unwrap());
            let (mut back, mut answers) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut answers, &mut back));
            std::thread::spawn(move || {
                let mut part = [0; 65536];
                while let Ok(count @ 1..) = client.read(&mut part) {
                    let request = String::from_utf8_lossy(&part[..count]).replace("flowgate-base", "flowgate-none");
                    if server.write_all(request.as_bytes()).is_err() {
                        break;
                    }
                }
                let _ = server.shutdown(std::net::Shutdown::Write);
            });
        }
    });
}

#[test]
fn requirements_that_nobody_can_meet() {
    let Some(engine) = docker_or_skip() else { return };
    let lines = "promptflow\n# a comment\nno-such-package-of-flowgate==1.0\npywin32; sys_platform == 'win32'\njinja2\n";
    let ran = flows::run(&flow_with("requirements", "", lines), &DOCKER);
    assert_refused(&ran, 4, &["requirements.txt:3", "no-such-package-of-flowgate==1.0"]);
    assert_eq!(engine.containers_of(ran.process), Vec::<String>::new());
}

/// The checker and the run judge alike: what is an error of the one fails in the other, and the run names the rule and
/// what would mend it.
#[test]
fn what_fails_here_is_found_before() {
    let Some(engine) = docker_or_skip() else { return };
    let zero = format!("--hash=sha256:{}", "0".repeat(64));
    for (name, requirements, import, rule, help, cause) in [
        (
            "pin",
            "promptflow==1.11.0\n",
            "",
            "pinned-promptflow",
            "`flowgate check --fix flow` fixes this",
            "cannot be met",
        ),
        ("base", "tabulate==0.8.10\n", "", "conflicting-base-pin", "--unsafe-fixes flow", "cannot be met"),
        (
            "import",
            "",
            "import bs4",
            "undeclared-import",
            "write `beautifulsoup4` into a `requirements.txt`",
            "No module named 'bs4'",
        ),
        ("extra", "promptflow-sdk[builtins]\n", "", "dropped-by-pip", "--unsafe-fixes flow", "builtins"),
        ("git", "git+https://example.com/r\n", "", "unsupported-requirement", "publish it to a feed", "was refused"),
        ("hash", &format!("humanize {zero}\n"), "", "incomplete-hashes", "pin it, and add its hash", "not pinned"),
        ("unnamed", &format!("six==1.16.0 {zero}\nhumanize\n"), "", "incomplete-hashes", "humanize", "not pinned"),
    ] {
        let folder = flow_with(name, "", requirements);
        if !import.is_empty() {
            flows::python(&folder, "flow", import, "return text");
        }
        let checked = flowgate_tests::run(folder.path(), &["check", "flow"]);
        assert_eq!(checked.code, Some(3), "{name}: {checked:?}");
        assert!(checked.stdout.contains(&format!("error[{rule}]")), "{name}: {checked:?}");
        let ran = flows::run(&folder, &DOCKER);
        ran.assert_code(4);
        for part in [rule, help, cause] {
            assert!(ran.done.stdout.contains(part), "{name}: {part}: {:?}", ran.done);
        }
        assert_eq!(engine.containers_of(ran.process), Vec::<String>::new());
    }
}

#[test]
fn a_hash_is_checked_and_asks_for_all() {
    let Some(engine) = docker_or_skip() else { return };
    let zero = "0".repeat(64);
    // An older release than the base image's dateutil, and what it needs in another version than there.
    let good =
        "python-dateutil==2.8.2 --hash=sha256:961d03dc3453ebbc59dbdea9e4e11c5651520a876d0f4db161e8674aae935da9\n";
    let other = format!("humanize==4.9.0 --hash=sha256:{zero}\n");
    assert_refused(
        &flows::run(&flow_with("other-hash", "", &other), &DOCKER),
        4,
        &["requirements.txt:1: `humanize==4.9.0", "the file on the index has another hash"],
    );
    let along = "html5lib==1.1 --hash=sha256:0d78f8fde1c230e99fe37986a60526d7049ed4bf8a9fadbad5f00e22e58e041d\n";
    assert_refused(
        &flows::run(&flow_with("along", "", along), &DOCKER),
        4,
        &["bring `webencodings==", "without one: pip refuses that"],
    );
    let folder = flow_with("hashed", "", good);
    let ran = flows::run(&folder, &DOCKER);
    ran.assert_code(0);
    // A log has the steps of a build, and what the installer says only where it fails.
    let log = &ran.done.stderr;
    assert!(log.contains("installing the flow's requirements") && !log.contains("python-dateutil"), "{log}");
    let text = |command: &str| flowgate_tests::run(folder.path(), &["environment", command, "flow"]).stdout;
    let (plan, show) = (text("plan"), text("show"));
    assert!(plan.contains("requirements python-dateutil==2.8.2 --hash") && !plan.contains("packages"), "{plan}");
    assert!(show.contains("required     python-dateutil 2.8.2") && !show.contains("--hash"), "{show}");
    let image = ran.flow("flow")["environment"]["image"].as_str().expect("an image").to_owned();
    assert_eq!(engine.ask("DELETE", &format!("/images/{image}")).0, 200);
}

#[test]
fn requirements_that_the_image_satisfies() {
    let Some(engine) = docker_or_skip() else { return };
    let lines =
        "promptflow>=1.18\nPromptflow_Tools\nrequests>=2; python_version >= '3.9'\ntomli; python_version < '3.0'\n";
    let ran = flows::run(&flow_with("satisfied", "", lines), &DOCKER);
    ran.assert_code(0);
    // What the test built is nobody else's.
    let image = ran.flow("flow")["environment"]["image"].as_str().expect("an image").to_owned();
    assert!(image.starts_with("flowgate-env:"), "{image}");
    assert_eq!(engine.ask("DELETE", &format!("/images/{image}")).0, 200);
}

#[test]
fn requirements_that_are_not_there_or_not_allowed() {
    if docker_or_skip().is_none() {
        return;
    }
    let ran = flows::run(&flow_with("paths", "", "./wheel.whl\n"), &DOCKER);
    assert_refused(&ran, 4, &["the requirement `wheel.whl` is not in the flow's folder"]);
    let ran = flows::run(&flow_with("urls", "", "name @ https://example.com/name.whl\n"), &DOCKER);
    assert_refused(&ran, 4, &["https://example.com/name.whl", "not an allowed feed"]);
}

#[test]
fn a_private_feed() {
    if docker_or_skip().is_none() {
        return;
    }
    let lines = "-i https://{private}@pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/\nprivate-package\n";
    assert_refused(&flows::run(&flow_with("private", "", lines), &DOCKER), 4, &["{private}", "requirements.txt:1"]);
}

#[test]
fn an_image_in_which_no_worker_can_start() {
    let Some(engine) = docker_or_skip() else { return };
    let name = format!("flowgate-test-empty:{}", std::process::id());
    // An archive that ends at once: an image without a single file.
    let archive = Folder::new("empty-image");
    archive.write("empty.tar", [0; 1024]);
    let imported =
        Command::new("docker").args(["import", "empty.tar", &name]).current_dir(archive.path()).output().unwrap();
    assert!(imported.status.success(), "{imported:?}");
    let ran = flows::run(&flow_with("empty", &format!("environment: {{image: \"{name}\"}}\n"), ""), &DOCKER);
    assert_eq!(engine.ask("DELETE", &format!("/images/{name}")).0, 200);
    assert_refused(&ran, 4, &[&name, "gave no runtime", "it has no `sh`"]);
    assert_eq!(engine.containers_of(ran.process), Vec::<String>::new());
}
