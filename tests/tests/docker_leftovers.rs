//! However a run ends, no container is left.
#![cfg(unix)]

use std::process::Command;

use flowgate_tests::Folder;
use flowgate_tests::engine::{Engine, docker_or_skip, wait_for};
use flowgate_tests::flows::{self, Running};

const DOCKER: [&str; 3] = ["--backend", "docker", "flow"];

fn sleeper() -> Folder {
    let folder = Folder::new("leftovers");
    flows::python(&folder, "flow", "import time", "print('asleep', flush=True)\ntime.sleep(600)\nreturn text");
    folder
}

/// Starts a run and waits until its container exists.
fn in_container<'f>(engine: &Engine, folder: &'f Folder) -> (Running<'f>, String) {
    let running = flows::start(folder, &DOCKER, &[]);
    let process = running.child.id();
    let container = wait_for("a container", || engine.containers_of(process).pop());
    (running, container)
}

/// Waits until the flow's line runs in the container.
fn in_line(running: &Running<'_>) {
    wait_for("a line that runs", || running.has_said("running 1 row").then_some(()));
}

fn send(signal: &str, process: u32) {
    // The shell's own: the program of that name is in a package that a machine may lack.
    let status = Command::new("sh").args(["-c", &format!("kill {signal} {process}")]).status().unwrap();
    assert!(status.success());
}

#[test]
fn an_interrupted_run_removes_its_container() {
    let Some(engine) = docker_or_skip() else { return };
    let folder = sleeper();
    let (running, container) = in_container(&engine, &folder);
    in_line(&running);
    send("-INT", running.child.id());
    wait_for("the container is gone", || (!engine.has(&container)).then_some(()));
    let ran = running.finish();
    ran.assert_code(130);
    assert_eq!(ran.flow("flow")["results"][0]["outcome"], "skipped");
}

#[test]
fn a_run_that_is_interrupted_while_it_starts_removes_its_container_too() {
    let Some(engine) = docker_or_skip() else { return };
    let folder = sleeper();
    let (running, container) = in_container(&engine, &folder);
    send("-INT", running.child.id());
    wait_for("the container is gone", || (!engine.has(&container)).then_some(()));
    let ran = running.finish();
    ran.assert_code(130);
    assert!(engine.containers_of(ran.process).is_empty());
}

#[test]
fn the_container_of_a_killed_run_ends_by_itself() {
    let Some(engine) = docker_or_skip() else { return };
    let folder = sleeper();
    let (mut running, container) = in_container(&engine, &folder);
    in_line(&running);
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    wait_for("the end of the lease removes the container", || (!engine.has(&container)).then_some(()));
}

#[test]
fn the_next_run_removes_what_a_killed_run_left_and_nothing_else() {
    let Some(engine) = docker_or_skip() else { return };
    let folder = sleeper();
    let (mut orphaned, orphan) = in_container(&engine, &folder);
    in_line(&orphaned);
    // A container that stands still does not notice that its lease is over.
    assert_eq!(engine.ask("POST", &format!("/containers/{orphan}/pause")).0, 204);
    orphaned.child.kill().unwrap();
    orphaned.child.wait().unwrap();
    let (alive, other) = in_container(&engine, &folder);
    in_line(&alive);
    assert!(!engine.has(&orphan), "the sweep at the start of a run removes the orphan");
    let quick = Folder::new("quick");
    flows::python(&quick, "flow", "", "return text");
    flows::run(&quick, &DOCKER).assert_code(0);
    assert!(engine.has(&other), "a sweep leaves alone what is in use");
    send("-TERM", alive.child.id());
    alive.finish();
    wait_for("a terminated run removes its container", || (!engine.has(&other)).then_some(()));
}
