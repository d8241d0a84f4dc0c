//! What flowgate writes, and what becomes of it where that cannot be written.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use flowgate_tests::engine::wait_for;
use flowgate_tests::{Finished, Folder, command, flowgate, flows, skip};
use serde_json::Value;

/// A run that ends at once, and leaves a whole report: there is no engine.
const RUN: [&str; 5] = ["run", "--backend", "docker", "flow", "--report"];
const NO_ENGINE: &str = "unix:///nonexistent/docker.sock";

fn flow(name: &str) -> Folder {
    let folder = Folder::new(name);
    flows::python(&folder, "flow", "", "return text");
    folder
}

fn to_report(folder: &Folder, report: &str) -> Command {
    let mut command = command(folder.path(), &RUN);
    command.arg(report).env("DOCKER_HOST", NO_ENGINE).env("TMPDIR", folder.path());
    command
}

fn run(folder: &Folder, report: &str) -> Finished {
    Finished::of(to_report(folder, report).output().expect("flowgate starts"))
}

#[track_caller]
fn assert_report(text: &str) {
    let report: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(report["flows"][0]["results"][0]["outcome"], "skipped", "{report:#}");
}

/// The files of a folder, without its subfolders and what they hold.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_report_is_written_where_the_user_wants_it() {
    let folder = flow("report");
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("real")).expect("a folder");
    folder.write("real/report.json", "old");
    fs::set_permissions(at("real/report.json"), fs::Permissions::from_mode(0o600)).expect("a mode");
    symlink("real/report.json", at("link")).expect("a link");
    symlink("real/new.json", at("dangling")).expect("a link");
    for (name, target) in [("link", "real/report.json"), ("dangling", "real/new.json"), ("plain.json", "plain.json")] {
        let done = run(&folder, name);
        assert_eq!(done.code, Some(8), "{done:?}");
        assert_report(&fs::read_to_string(at(target)).expect("a report"));
    }
    assert!(at("link").is_symlink() && at("dangling").is_symlink());
    assert_eq!(fs::metadata(at("real/report.json")).expect("its data").permissions().mode() & 0o777, 0o600);
    assert_eq!(names(folder.path()), ["dangling", "flow", "link", "plain.json", "real"]);
    assert_eq!(names(&at("real")), ["new.json", "report.json"]);

    // A pipe stays one, and its reader gets all.
    assert!(Command::new("mkfifo").arg(at("pipe")).status().expect("mkfifo").success());
    let reader = Command::new("cat").arg(at("pipe")).stdout(Stdio::piped()).spawn().expect("cat starts");
    let done = run(&folder, "pipe");
    assert!(fs::symlink_metadata(at("pipe")).expect("its data").file_type().is_fifo(), "{done:?}");
    assert_report(&Finished::of(reader.wait_with_output().expect("cat ends")).stdout);

    // Standard output by any of its names holds the report and nothing else.
    symlink("/dev/stdout", at("out")).expect("a link");
    for name in ["-", "/dev/stdout", "/proc/self/fd/1", "out"] {
        let done = run(&folder, name);
        assert_eq!(done.code, Some(8), "{done:?}");
        assert_report(&done.stdout);
        assert!(done.stderr.contains("0 of 1 flow passed"), "{done:?}");
        let file = fs::File::create(at("stdout")).expect("a file");
        to_report(&folder, name).stdout(file).stderr(Stdio::null()).status().expect("flowgate starts");
        assert_report(&fs::read_to_string(at("stdout")).expect("its text"));
    }
    assert!(!at("-").exists() && fs::symlink_metadata("/dev/stdout").expect("its data").is_symlink());
}

#[test]
fn a_report_that_cannot_be_written_is_found_out_before_the_run() {
    let folder = flow("no-report");
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("folder")).expect("a folder");
    folder.write("protected.json", "old");
    fs::set_permissions(at("protected.json"), fs::Permissions::from_mode(0o444)).expect("a mode");
    let _listener = UnixListener::bind(at("socket")).expect("a socket");
    for (name, cause) in [
        ("folder", "it is a folder"),
        ("no/report.json", "there is no folder no"),
        ("protected.json", "the file is read-only"),
        ("socket", "No such device or address"),
    ] {
        let done = run(&folder, name);
        assert_eq!(done.code, Some(2), "{name}: {done:?}");
        assert!(done.stderr.starts_with(&format!("error: --report: cannot write {name}: ")), "{done:?}");
        assert!(done.stderr.contains(cause) && done.stdout.is_empty(), "{name}: {done:?}");
    }
    assert_eq!(fs::read_to_string(at("protected.json")).expect("its text"), "old");
    assert_eq!(names(folder.path()), ["flow", "folder", "protected.json", "socket"]);

    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4k", "none"]).arg(at("folder")).status();
    if !mounted.is_ok_and(|status| status.success()) {
        return skip("only root can mount a small disk");
    }
    fs::write(at("folder/full"), [0; 4096]).expect("the disk is filled");
    let done = run(&folder, "folder/report.json");
    let left = names(&at("folder"));
    assert!(Command::new("umount").arg(at("folder")).status().expect("umount").success());
    assert_eq!((done.code, left), (Some(8), vec!["full".to_owned()]), "{}", done.stderr);
    assert!(done.stderr.contains("the disk is full") && done.stdout.is_empty(), "{done:?}");
}

#[test]
fn a_report_that_cannot_be_written_after_the_run_is_kept() {
    let folder = flow("kept");
    // Through a link: the device itself is the machine's.
    symlink("/dev/full", folder.path().join("full")).expect("a link");
    let kept = |done: &Finished, cause: &str| {
        assert_eq!(done.code, Some(8), "{done:?}");
        let (_, rest) = done.stderr.split_once("the report is kept in ").unwrap_or_else(|| panic!("{done:?}"));
        assert!(done.stderr.contains(cause), "{done:?}");
        let path = rest.lines().next().expect("a path");
        assert!(path.starts_with(&format!("{}/flowgate-report-", folder.path().display())), "{path}");
        assert_report(&fs::read_to_string(path).expect("the report"));
        fs::remove_file(path).expect("it goes");
    };
    let done = run(&folder, "full");
    kept(&done, "cannot write full: the disk is full");
    assert!(done.stdout.contains("0 of 1 flow passed"), "{done:?}");
    let mut to_full = to_report(&folder, "-");
    to_full.stdout(fs::File::create("/dev/full").expect("a device"));
    kept(&Finished::of(to_full.output().expect("flowgate starts")), "cannot write to standard output");
    assert_eq!(names(folder.path()), ["flow", "full"]);
}

#[test]
fn a_stream_that_is_full_or_closed_ends_nothing_by_a_panic() {
    let folder = flow("streams");
    folder.write("wrong/flow.dag.yaml", "outputs:\n  out: {type: string, reference: \"${gone.output}\"}\n");
    let code = |arguments: &[&str], redirection: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("\"$0\" \"$@\" {redirection}")]).arg(flowgate()).args(arguments);
        command.current_dir(folder.path()).env("FLOWGATE_CACHE_DIR", flowgate_tests::cache());
        command.env("DOCKER_HOST", NO_ENGINE).stdin(Stdio::null());
        command.output().expect("sh starts").status.code()
    };
    for arguments in [
        &["check", "wrong"][..],
        &["check", "wrong", "--diff"],
        &["check", "nowhere"],
        &["check", "--stdin-filename", "flow.dag.yaml", "--fix"],
        &["run", "--backend", "docker", "flow"],
        &["run", "nowhere"],
        &["environment", "build", "flow"],
        &["environment", "check-version", "flow"],
        &["doctor", "feed", "flow"],
        &["graph", "flow"],
        &["rule"],
        &["--help"],
        &["no such command"],
        &["action"],
    ] {
        let expected = code(arguments, "");
        assert!(expected.is_some_and(|code| code != 101), "{arguments:?}: {expected:?}");
        for redirection in ["2>/dev/full", "2>&-"] {
            assert_eq!(code(arguments, redirection), expected, "{arguments:?} {redirection}");
        }
        for redirection in [">/dev/full 2>&1", ">&- 2>&-"] {
            let told = code(arguments, redirection);
            assert!(told.is_some_and(|code| code != 101), "{arguments:?} {redirection}: {told:?}");
        }
    }
    // A run that passes says so by its exit code alone.
    assert_eq!(code(&["run", "--backend", "process", "flow"], ">/dev/null 2>/dev/full"), Some(0));
    // Nobody reads any more.
    let mut gone = command(folder.path(), &["run", "--backend", "docker", "flow"]);
    gone.env("DOCKER_HOST", NO_ENGINE).stderr(Stdio::piped()).stdout(Stdio::piped());
    let mut child = gone.spawn().expect("flowgate starts");
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(child.wait().expect("it ends").code(), Some(8));
}

/// An engine that takes a connection and says nothing: the run has not begun.
#[test]
fn each_signal_cancels_with_a_report_from_the_start_on() {
    for (signal, ignored) in [("INT", false), ("TERM", false), ("HUP", false), ("INT", true)] {
        let folder = flow("signals");
        let socket = folder.path().join("engine.sock");
        let silent = UnixListener::bind(&socket).expect("a socket");
        let mut command = Command::new("sh");
        let trap = if ignored { "trap '' HUP; " } else { "" };
        command.args(["-c", &format!("{trap}exec \"$0\" run --backend docker flow --report report.json")]);
        command.arg(flowgate()).current_dir(folder.path());
        command
            .env("FLOWGATE_CACHE_DIR", flowgate_tests::cache())
            .env("DOCKER_HOST", format!("unix://{}", socket.display()));
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("sh starts");
        let connection = silent.accept().expect("it connects");
        let process = child.id().to_string();
        if ignored {
            // As under `nohup`: who was told to outlive its terminal does.
            let status = fs::read_to_string(format!("/proc/{process}/status")).expect("its status");
            let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("a mask").trim();
            assert_eq!(u64::from_str_radix(mask, 16).expect("a number") & 1, 1, "{status}");
        }
        assert!(Command::new("kill").args([&format!("-{signal}"), &process]).status().expect("kill").success());
        let done = Finished::of(child.wait_with_output().expect("it ends"));
        drop(connection);
        assert_eq!(done.code, Some(130), "{signal}: {done:?}");
        let report = fs::read_to_string(folder.path().join("report.json")).expect("a report");
        let report: Value = serde_json::from_str(&report).expect("JSON");
        assert_eq!(
            (report["exit_code"].as_u64(), report["flows"][0]["lines"]["skipped"].as_u64()),
            (Some(130), Some(1))
        );
        assert!(done.stdout.contains("cancelled"), "{done:?}");
    }
}

/// Nothing writes into the pipe: who cancels does not wait for ever, and has the report.
#[test]
fn a_pipe_of_data_that_never_ends_does_not_hold_the_process() {
    let folder = flow("endless");
    assert!(Command::new("mkfifo").arg(folder.path().join("data.jsonl")).status().expect("mkfifo").success());
    let mut command = to_report(&folder, "report.json");
    command.args(["--data", "data.jsonl"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("flowgate starts");
    let tasks = format!("/proc/{}/task", child.id());
    wait_for("the thread that reads", || {
        let mut tasks = fs::read_dir(&tasks).expect("its threads").flatten();
        tasks.any(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name == "data\n")).then_some(())
    });
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill").success());
    let done = Finished::of(child.wait_with_output().expect("it ends"));
    assert_eq!(done.code, Some(130), "{done:?}");
    let report = fs::read_to_string(folder.path().join("report.json")).expect("a report");
    assert!(report.contains("\"exit_code\": 130"), "{report}");
}

/// Nothing reads the pipe: who cancels does not wait for ever, and has the report.
#[test]
fn a_pipe_that_nothing_reads_does_not_hold_the_process() {
    let folder = flow("unread");
    assert!(Command::new("mkfifo").arg(folder.path().join("pipe")).status().expect("mkfifo").success());
    let child = to_report(&folder, "pipe").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.expect("flowgate starts");
    let tasks = format!("/proc/{}/task", child.id());
    wait_for("the thread that writes", || {
        let mut tasks = fs::read_dir(&tasks).expect("its threads").flatten();
        tasks
            .any(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name == "report\n"))
            .then_some(())
    });
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill").success());
    let done = Finished::of(child.wait_with_output().expect("it ends"));
    assert!(done.code == Some(8) && done.stderr.contains("the report is kept in "), "{done:?}");
}
