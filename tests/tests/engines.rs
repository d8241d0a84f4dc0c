//! Which engine a command finds, and what it says where there is none, or a broken one.
#![cfg(unix)]

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;

use flowgate_tests::engine::{docker_or_skip, wait_for};
use flowgate_tests::relay::Relay;
use flowgate_tests::{Finished, Folder, command, flowgate, flows, skip};

fn flow(name: &str) -> Folder {
    let folder = Folder::new(name);
    flows::python(&folder, "flow", "", "return text");
    folder
}

fn run(folder: &Folder, arguments: &[&str], variables: &[(&str, &str)]) -> Finished {
    let mut command = command(folder.path(), arguments);
    // Docker's own configuration is not the developer's.
    command.env("DOCKER_CONFIG", folder.path().join("docker")).envs(variables.iter().copied());
    Finished::of(command.output().expect("flowgate starts"))
}

/// A sandbox is not given up because it is broken.
#[test]
fn auto_does_not_pass_over_a_broken_engine() {
    let folder = flow("auto");
    let address = |name: &str| format!("unix://{}", folder.path().join(name).display());
    drop(UnixListener::bind(folder.path().join("dead.sock")).expect("a socket"));
    let (none, dead) = (address("none.sock"), address("dead.sock"));
    let context = |host: &str| {
        // As `docker context create dead` and `docker context use dead` leave it; the folder's name is a hash of `dead`.
        folder.write("docker/config.json", r#"{"currentContext": "dead"}"#);
        folder.write(
            "docker/contexts/meta/28a3a5e81d1e89f0efc70b63bf717b921373fc7fac70bc1b7e4d466799c0c6b0/meta.json",
            format!(r#"{{"Name": "dead", "Endpoints": {{"docker": {{"Host": "{host}"}}}}}}"#),
        );
    };
    let fails = |variables: &[(&str, &str)], message: &str| {
        let done = run(&folder, &["run", "flow"], variables);
        assert_eq!(done.code, Some(8), "{variables:?}: {done:?}");
        let said = format!("{}{}", done.stdout, done.stderr);
        assert!(said.contains(message) && said.contains("with `--backend process`"), "{message}: {said}");
        assert!(!said.contains("Backend process"), "{said}");
    };
    fails(
        &[("DOCKER_HOST", &none)],
        &format!("no Docker engine answers at {none} (DOCKER_HOST): there is no such socket"),
    );
    fails(&[("DOCKER_HOST", &dead)], &format!("no Docker engine answers at {dead} (DOCKER_HOST): "));
    fails(&[("DOCKER_HOST", "tcp://127.0.0.1:1")], "no Docker engine answers at tcp://127.0.0.1:1 (DOCKER_HOST): ");
    fails(
        &[("DOCKER_HOST", "tcp://192.0.2.1:1")],
        "DOCKER_HOST does not say where the Docker engine is: `tcp://192.0.2.1:1` has no TLS",
    );
    context(&dead);
    fails(&[], &format!("no Docker engine answers at {dead} (the Docker context `dead`): "));
    fails(&[("DOCKER_CONTEXT", "gone")], "the Docker context `gone` does not say where the Docker engine is: ");
}

/// Runs `flowgate` where a script has changed what is mounted, for itself alone; `None`, and said, where this machine
/// cannot.
fn among_other_mounts(folder: &Folder, script: &str, arguments: &[&str]) -> Option<Finished> {
    let unshare = || Command::new("unshare").args(["--mount", "true"]).output();
    if !unshare().is_ok_and(|done| done.status.success()) {
        skip("only root can mount, with `unshare` in PATH");
        return None;
    }
    let plain = command(folder.path(), &[]);
    let mut sandbox = Command::new("unshare");
    sandbox.args(["--mount", "sh", "-e", "-c", &format!("{script}\nexec \"$@\"")]).arg("sh").arg(flowgate());
    sandbox.args(arguments).current_dir(folder.path());
    sandbox.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    sandbox.env_remove("DOCKER_HOST").env("DOCKER_CONFIG", folder.path().join("docker"));
    Some(Finished::of(sandbox.output().expect("unshare starts")))
}

#[test]
fn auto_is_process_only_where_no_engine_is_installed() {
    let folder = flow("auto-process");
    let run = |script: &str| among_other_mounts(&folder, script, &["run", "flow"]);
    let Some(done) = run("mount -t tmpfs tmpfs /run") else { return };
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(
        done.stderr.contains("Backend process: no Docker engine answers at unix:///var/run/docker.sock"),
        "{done:?}"
    );
    // Installed, and not started: its socket is left, or a link to where it would be.
    for left in ["touch /run/docker.sock", "ln -s /nowhere/docker.sock /run/docker.sock"] {
        let done = run(&format!("mount -t tmpfs tmpfs /run\n{left}")).expect("root, as before");
        assert_eq!(done.code, Some(8), "{left}: {done:?}");
        assert!(done.stdout.contains("with `--backend process`"), "{left}: {done:?}");
    }
}

/// A fake of an engine that takes every connection and does not answer, or breaks off within its answer.
fn fake_engine(socket: &Path, answer: &'static [u8]) {
    let listener = UnixListener::bind(socket).expect("a socket");
    std::thread::spawn(move || {
        let mut open: Vec<UnixStream> = Vec::new();
        for mut client in listener.incoming().map_while(Result::ok) {
            if !answer.is_empty() {
                let _ = client.read(&mut [0; 4096]);
                let _ = client.write_all(answer);
            }
            open.push(client);
        }
    });
}

#[test]
fn every_command_waits_for_a_first_answer_equally_long() {
    let folder = flow("silent");
    folder.write("flow/requirements.txt", "six==1.16.0\n");
    fake_engine(&folder.path().join("silent.sock"), b"");
    fake_engine(
        &folder.path().join("half.sock"),
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
    );
    let mut commands = Vec::new();
    for socket in ["silent.sock", "half.sock"] {
        let host = format!("unix://{}", folder.path().join(socket).display());
        for words in ["environment plan", "environment show", "environment packages", "environment build", "run"] {
            let arguments: Vec<&str> = words.split(' ').chain(["flow"]).collect();
            let mut command = command(folder.path(), &arguments);
            command.env("DOCKER_HOST", &host).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
            commands.push((words, command.spawn().expect("flowgate starts")));
        }
    }
    for (words, child) in commands {
        let done = Finished::of(child.wait_with_output().expect("flowgate ends"));
        // A plan is known without an engine.
        assert_eq!(done.code, Some(if words == "environment plan" { 0 } else { 8 }), "{words}: {done:?}");
        let said = format!("{}{}", done.stdout, done.stderr);
        assert!(said.contains("it accepts connections, but does not answer within 10 s"), "{words}: {said}");
    }
}

#[test]
fn an_engine_that_dies_at_the_start_is_not_the_images_fault() {
    let Some(engine) = docker_or_skip() else { return };
    let folder = flow("dies");
    let relay = Relay::start(&folder, &engine);
    let running = flows::start(&folder, &["--backend", "docker", "flow"], &[("DOCKER_HOST", &relay.host)]);
    wait_for("a zygote that imports the engine", || {
        let id = engine.containers_of(running.child.id()).pop()?;
        let (_, container) = engine.ask("GET", &format!("/containers/{id}/json"));
        let broker = &container["State"]["Pid"];
        let zygote = std::fs::read_to_string(format!("/proc/{broker}/task/{broker}/children")).ok()?;
        let status = std::fs::read_to_string(format!("/proc/{}/status", zygote.split_whitespace().next()?)).ok()?;
        let resident: u64 = status.split_once("VmRSS:")?.1.split_whitespace().next()?.parse().ok()?;
        (resident > 20_000).then_some(())
    });
    relay.die();
    let ran = running.finish();
    ran.assert_code(8);
    assert!(ran.done.stdout.contains("the Docker engine at ") && ran.done.stdout.contains(" went away: "), "{ran:?}");
}

#[test]
fn a_cache_that_cannot_be_written_stops_only_what_needs_it() {
    let folder = flow("cache");
    folder.write("file", "");
    let cache = folder.path().join("file/cache");
    let cache = [("FLOWGATE_CACHE_DIR", cache.to_str().expect("a path"))];
    let process = run(&folder, &["run", "--backend", "process", "flow"], &cache);
    assert_eq!(process.code, Some(8), "{process:?}");
    assert!(
        process.stdout.contains("cannot make ") && process.stdout.contains("set FLOWGATE_CACHE_DIR"),
        "{process:?}"
    );
    if docker_or_skip().is_none() {
        return;
    }
    // Nothing is built, and what is only remembered there is done without.
    let docker = run(&folder, &["run", "--backend", "docker", "flow"], &cache);
    assert_eq!(docker.code, Some(0), "{docker:?}");
    assert!(
        docker.stderr.contains("`environment prune` will not know that this environment is used: cannot write ")
            && docker.stderr.contains("set FLOWGATE_CACHE_DIR"),
        "{docker:?}"
    );
}

#[test]
fn a_full_disk_is_infrastructure() {
    let folder = flow("full");
    folder.write("small/keep", "");
    let small = folder.path().join("small");
    // An installer that says it, and Python's own `venv`, which does not.
    let python = folder.path().join("python");
    folder.write(
        "python",
        "#!/bin/sh\ncase \"$*\" in\n*venv*) echo 'OSError: [Errno 28] No space left on device' >&2; exit 1;;\n*) echo 3 11 3.11.2 cpython x86_64 linux /usr;;\nesac\n",
    );
    std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    for interpreter in [python.as_path(), Path::new("/usr/bin/python3")] {
        let script = format!(
            "mount -t tmpfs -o size=4m tmpfs {small}\nexport FLOWGATE_CACHE_DIR={small} FLOWGATE_PYTHON={} PATH=/usr/bin:/bin",
            interpreter.display(),
            small = small.display(),
        );
        let Some(done) = among_other_mounts(&folder, &script, &["run", "--backend", "process", "flow"]) else { return };
        assert_eq!(done.code, Some(8), "{done:?}");
        assert!(
            done.stdout.contains("no space is left on the disk of ") && done.stdout.contains("free some space"),
            "{done:?}"
        );
    }
}
