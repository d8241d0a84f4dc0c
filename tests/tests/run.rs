//! `flowgate run` on the process backend, through the command line; the docker backend has files
//! of its own.
#![cfg(unix)]

use std::path::Path;

use expect_test::expect;
use flowgate_tests::engine::wait_for;
use flowgate_tests::{Finished, Folder, command, repository};
use serde_json::{Value, json};

fn run(folder: &Path, arguments: &[&str]) -> Finished {
    let mut command = command(folder, &["run"]);
    command.args(arguments);
    Finished::of(command.output().expect("flowgate starts"))
}

const FLOW: &str = "inputs:\n  x: {type: int}\n  y: {type: int, default: 1}\noutputs:\n  sum: {type: int, reference: '${add.output}'}\nnodes:\n- {name: add, type: python, source: {type: code, path: add.py}, inputs: {x: '${inputs.x}', y: '${inputs.y}'}}\n";
const ADD: &str = "from promptflow.core import tool\n@tool\ndef add(x: int, y: int) -> int:\n    if x > 100:\n        raise ValueError(f'{x} is too large')\n    return x + y\n";

fn adding(name: &str) -> Folder {
    Folder::with(name, &[("add/flow.dag.yaml", FLOW), ("add/add.py", ADD)])
}

#[test]
fn the_first_command_of_the_readme() {
    let done = run(repository(), &["--backend", "process", "examples/ticket-triage"]);
    let shown = done.stdout.replace(|c: char| c.is_ascii_digit() || c == '.', "N");
    expect![[r#"
        examples/ticket-triage/flowNdagNyaml
          topic: export
          reply: Hello Ada, thank you for your ticket about exportN
          page: paged whoever is on call for export

        passed   examples/ticket-triage/flowNdagNyaml  N passed  NNNN s  process
        N of N flow passed
    "#]]
    .assert_eq(&shown);
    assert_eq!(done.code, Some(0));
    assert!(done.stderr.starts_with("note: The process backend is no sandbox"), "{}", done.stderr);
}

#[test]
fn includes_metrics_and_data_beside_the_flow() {
    let folder = Folder::new("report");
    let report = folder.path().join("run.json");
    let report_text = report.display().to_string();
    let data = "examples/ticket-triage-eval/data.jsonl";
    let done = run(
        repository(),
        &["--backend", "process", "examples/ticket-triage-eval", "--data", data, "--report", &report_text],
    );
    assert_eq!(done.code, Some(0), "{}{}", done.stdout, done.stderr);
    let report: Value = serde_json::from_str(&std::fs::read_to_string(&report).expect("a report")).expect("JSON");
    assert_eq!(report["flows"][0]["metrics"], json!({"accuracy": 0.75}));
    let grades: Vec<_> = report["flows"][0]["results"]
        .as_array()
        .expect("lines")
        .iter()
        .map(|line| line["output"]["grade"].clone())
        .collect();
    assert_eq!(grades, ["correct", "correct", "wrong", "correct"]);
}

#[test]
fn inputs_rows_and_failures() {
    let folder = adding("rows");
    for inputs in [["--inputs", "x=4", "--inputs", "y=3", "add"].as_slice(), &["add", "--inputs", "x=4", "y=3"]] {
        let done = run(folder.path(), &[&["--backend", "process"], inputs].concat());
        assert!(done.code == Some(0) && done.stdout.contains("  sum: 7\n"), "{}{}", done.stdout, done.stderr);
    }

    folder.write("rows.csv", "x,y\n1,2\n500,2\n");
    let done = run(folder.path(), &["--backend", "process", "add", "--data", "rows.csv", "--report", "out.json"]);
    assert_eq!(done.code, Some(1), "{}{}", done.stdout, done.stderr);
    assert!(
        done.stdout.contains("error: add/flow.dag.yaml line 1 failed\n  node `add`: ValueError: "),
        "{}",
        done.stdout
    );
    let report: Value =
        serde_json::from_str(&std::fs::read_to_string(folder.path().join("out.json")).expect("a report"))
            .expect("JSON");
    assert_eq!(report["flows"][0]["results"][0]["output"], json!({"sum": 3}));
    let error = &report["flows"][0]["results"][1]["error"];
    assert_eq!((&error["type"], &error["node"]), (&json!("ValueError"), &json!("add")));

    // No row, no default: the engine says which input, and the note says what to do.
    let done = run(folder.path(), &["--backend", "process", "add"]);
    assert_eq!(done.code, Some(1), "{}{}", done.stdout, done.stderr);
    assert!(
        done.stderr.contains("Input `x` has no default") && done.stdout.contains("InputNotFound"),
        "{}{}",
        done.stdout,
        done.stderr
    );
}

#[test]
fn wrong_usage_ends_before_anything_is_made() {
    let folder = adding("usage");
    folder.write("other/flow.dag.yaml", "");
    folder.write("empty.jsonl", "");
    folder.write("broken.jsonl", "{\"x\": 1}\n[2]\n");
    folder.write("nothing/readme", "");
    for (arguments, message) in [
        (vec!["nowhere"], "nowhere: there is no such file or folder"),
        (vec!["nothing"], "nothing: no flow.dag.yaml or flow.flex.yaml was found"),
        (vec![".", "--data", "broken.jsonl"], "--data belongs to one flow, and there are 2"),
        (vec!["add", "--data", "broken.jsonl"], "broken.jsonl: line 2: not a JSON object"),
        (vec!["add", "--data", "empty.jsonl"], "empty.jsonl: there is no row to run"),
        (vec!["add", "--data", "add/add.py"], "unknown data format"),
        (vec!["add", "--inputs", "z=1"], "--inputs z: add/flow.dag.yaml has no input of that name"),
        (vec!["add", "--inputs", "z"], "write NAME=VALUE"),
        (vec!["add", "--inputs", "x=1", "--report", "no/folder.json"], "there is no folder no"),
    ] {
        let done = run(folder.path(), &arguments);
        assert_eq!(done.code, Some(2), "{arguments:?}: {}{}", done.stdout, done.stderr);
        assert!(done.stderr.contains(message), "{arguments:?}: {}", done.stderr);
    }
}

#[test]
fn data_and_configuration_that_cannot_be_used_error_their_own_flow() {
    let folder = adding("malformed");
    folder.write("add/data.jsonl", "{\"x\": 1}\n");
    for name in ["data", "settings"] {
        folder.write(&format!("{name}/flow.dag.yaml"), FLOW);
        folder.write(&format!("{name}/add.py"), ADD);
        folder.write(&format!("{name}/data.jsonl"), "{\"x\": 1}\n[2]\n");
    }
    folder.write("settings/data.jsonl", "{\"x\": 1}\n");
    folder.write("settings/flowgate.yaml", "environment: 3\n");
    let done = run(folder.path(), &["--backend", "process", ".", "--report", "out.json"]);
    let shown = done.stdout.replace(&folder.path().display().to_string(), "HERE");
    // Without the seconds.
    let short = |line: &str| {
        line.strip_suffix(" s  process").and_then(|line| line.rsplit_once("  ")).map(|(line, _)| line.to_owned())
    };
    let shown: String = shown.lines().map(|line| short(line).unwrap_or_else(|| line.to_owned()) + "\n").collect();
    expect![[r#"
        error: data/flow.dag.yaml: HERE/./data/data.jsonl: line 2: not a JSON object: invalid type: sequence, expected a map at line 1 column 0

        error: settings/flow.dag.yaml: HERE/./settings/flowgate.yaml:1:14: environment: invalid type: integer `3`, expected struct EnvironmentConfig

        passed   add/flow.dag.yaml       1 passed
        errored  data/flow.dag.yaml      no line
        errored  settings/flow.dag.yaml  no line
        1 of 3 flows passed
    "#]].assert_eq(&shown);
    assert_eq!(done.code, Some(2), "{done:?}");
    let report = std::fs::read_to_string(folder.path().join("out.json")).expect("a report");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!((&report["exit_code"], &report["flows"][0]["results"][0]["output"]), (&json!(2), &json!({"sum": 2})));
    assert_eq!(report["flows"][1]["error"]["type"], "UsageError");
}

/// A Python that never makes its virtual environment, and what it started.
#[test]
fn an_environment_that_takes_for_ever() {
    use std::os::unix::fs::PermissionsExt;
    let folder = adding("for-ever");
    let started = folder.path().join("started");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n*venv*) sleep 100000 & echo $! > {}; wait;;\n*) echo 3 11 3.11.2 cpython x86_64 linux /usr;;\nesac\n",
        started.display()
    );
    folder.write("python", script);
    let python = folder.path().join("python");
    std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let mut command =
        command(folder.path(), &["run", "add", "--inputs", "x=1", "--backend", "process", "--build-timeout", "2"]);
    command.env("FLOWGATE_PYTHON", &python).env("PATH", "/usr/bin:/bin");
    command.env("FLOWGATE_CACHE_DIR", folder.path().join("cache"));
    let done = Finished::of(command.output().expect("flowgate starts"));
    assert_eq!(done.code, Some(4), "{done:?}");
    assert!(done.stdout.contains("was not built within 2 s") && done.stdout.contains("--build-timeout"), "{done:?}");
    let process = std::fs::read_to_string(started).expect("it began");
    // The kernel ends a killed process when it gets a turn; nobody may be there to collect it.
    wait_for("the end of what it started", || {
        let state = std::fs::read_to_string(format!("/proc/{}/stat", process.trim())).unwrap_or_default();
        (state.is_empty() || state.contains(") Z ")).then_some(())
    });
}
