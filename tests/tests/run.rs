//! `flowgate run` on the process backend, through the command line; the docker backend has files
//! of its own.
#![cfg(unix)]

use std::path::Path;

use expect_test::expect;
use flowgate_tests::engine::wait_for;
use flowgate_tests::{Finished, Folder, command, flows, repository};
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
    assert!(done.stderr.contains("note: The process backend is not a sandbox"), "{}", done.stderr);
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
        done.stdout.contains("error: add/flow.dag.yaml row 2 failed\n  node `add`: ValueError: "),
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

/// The text without what differs from run to run.
fn timeless(text: &str) -> String {
    let word = |word: &str| {
        let number = word.trim_start_matches('(');
        let time = number.contains('.') && number.parse::<f64>().is_ok();
        if time { word.replace(number, "N") } else { word.to_owned() }
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn data_that_does_not_fit_the_flow() {
    let folder = adding("columns");
    folder.write("many/flow.dag.yaml", FLOW.replace("default: 1", "default: null"));
    folder.write("beside/flow.dag.yaml", FLOW);
    folder.write("beside/data.jsonl", "{\"z\": 1}\n");
    for (flow, file, text, message) in [
        (
            "add",
            "typo.csv",
            "xx,label\n1,2\n",
            "no column is an input of the flow: `xx` (did you mean `x`?), `label`; name the columns after the inputs: `x`, `y`",
        ),
        (
            "add",
            "other.csv",
            "x;y\n1;2\n",
            "no column is an input of the flow: `x;y` (`;` separates the columns here: save the file with `,`); \
             name the columns after the inputs: `x`, `y`",
        ),
        (
            "many",
            "space.csv",
            "x, y\n1,2\n",
            "there is no column for `y`, and the flow has no default for it; not an input: ` y` (a space too many; did \
             you mean `y`?)",
        ),
        ("many", "lacks.jsonl", "{\"x\": 1}\n", "there is no column for `y`, and the flow has no default for it"),
        (
            "add",
            "row.jsonl",
            "{\"x\": 1}\n{\"xx\": 2}\n",
            "row 2: no column is an input of the flow: `xx` (did you mean `x`?)",
        ),
        ("add", "twice.csv", "x,y,x\n1,2,3\n", "line 1: duplicate column `x`"),
        ("add", "twice.jsonl", "{\"x\": 1}\n{\"x\": 1, \"x\": 2}\n", "line 2, column 12: duplicate key `x`"),
        ("add", "twice.json", "[{\"x\": 1},\n{\"x\": {\"a\": 1, \"a\": 2}}]", "line 2, column 18: duplicate key `a`"),
    ] {
        folder.write(file, text);
        let done = run(folder.path(), &[flow, "--data", file]);
        assert_eq!((done.code, done.stderr), (Some(2), format!("error: {file}: {message}\n")));
    }
    let done = run(folder.path(), &["beside"]);
    assert_eq!(done.code, Some(2));
    assert!(done.stdout.contains("beside/flow.dag.yaml: data.jsonl: no column is an input"), "{}", done.stdout);

    // A column that is known, and what the others are taken for.
    folder.write("some.csv", "x, y,yy,ticket\n1,2,3,4\n");
    let done = run(folder.path(), &["--backend", "process", "add", "--data", "some.csv"]);
    assert_eq!(done.code, Some(0), "{}{}", done.stdout, done.stderr);
    let said: String = done.stderr.lines().filter(|line| line.contains("some.csv")).collect::<Vec<_>>().join("\n");
    expect![[r#"
        warning: add/flow.dag.yaml: Columns of some.csv that are not inputs of the flow are ignored: ` y` (a space too many; did you mean `y`?), `yy` (did you mean `y`?), `ticket`.
        note: add/flow.dag.yaml: some.csv has no column for `y`, so the default is used."#]]
    .assert_eq(&said);
}

#[test]
fn numbers_keep_their_digits_from_data_to_report() {
    let folder = adding("digits");
    let more = "\n- {name: log, type: python, aggregation: true, source: {type: code, path: log.py}, inputs: {sums: '${add.output}'}}\n";
    folder.write("add/flow.dag.yaml", FLOW.trim_end().to_owned() + more);
    folder.write("add/add.py", "from promptflow.core import tool\n@tool\ndef add(x: int, y: int):\n    return x + y\n");
    folder.write(
        "add/log.py",
        "from promptflow.core import tool, log_metric\n@tool\ndef log(sums: list):\n    log_metric('all', sum(sums))\n",
    );
    let (long, longer) = (format!("1{}", "0".repeat(309)), format!("1{}1", "0".repeat(308)));
    folder.write(
        "rows.jsonl",
        format!(
            "{{\"x\": 18446744073709551615, \"y\": 1}}\n{{\"x\": {long}, \"y\": 1, \"z\": 0.10000000000000000555}}\n{{\"x\": -9223372036854775810, \"y\": 1}}\n"
        ),
    );
    let done = run(folder.path(), &["--backend", "process", "add", "--data", "rows.jsonl", "--report", "out.json"]);
    assert_eq!(done.code, Some(0), "{}{}", done.stdout, done.stderr);
    let report = std::fs::read_to_string(folder.path().join("out.json")).expect("a report");
    for digits in [
        "\"x\": 18446744073709551615,",
        "\"z\": 0.10000000000000000555\n",
        "\"sum\": 18446744073709551616\n",
        &format!("\"x\": {long},"),
        &format!("\"sum\": {longer}\n"),
        "\"sum\": -9223372036854775809\n",
        &format!("\"all\": {}9223372036854775808\n", &longer[..longer.len() - 19]),
    ] {
        assert!(report.contains(digits), "{digits}: {report}");
    }
    assert!(done.stdout.contains("sum: 18446744073709551616\n"), "{}", done.stdout);

    // More digits than Python makes of a text by itself: the engine says so, and the job lives on.
    folder.write("rows.jsonl", format!("{{\"x\": 1{}}}\n{{\"x\": 1}}\n", "0".repeat(5000)));
    let done = run(folder.path(), &["--backend", "process", "add", "--data", "rows.jsonl"]);
    assert_eq!(done.code, Some(1), "{}{}", done.stdout, done.stderr);
    assert!(done.stdout.contains("Exceeds the limit (4300 digits)"), "{}", done.stdout);
    assert!(done.stdout.contains("1 passed, 1 failed"), "{}", done.stdout);
}

#[test]
fn a_flow_that_needs_a_model_is_skipped() {
    let folder = adding("model");
    folder.write(
        "chat/flow.dag.yaml",
        "inputs:\n  q: {type: string, default: hi}\noutputs:\n  a: {type: string, reference: '${ask.output}'}\nnodes:\n- {name: ask, type: llm, source: {type: code, path: ask.jinja2}, connection: my_openai, api: chat, inputs: {deployment_name: gpt, q: '${inputs.q}'}}\n",
    );
    folder.write("chat/ask.jinja2", "# user:\n{{q}}\n");
    // What else is wrong with it is not hidden.
    folder.write("chat/requirements.txt", "promptflow==1.11.0\n");
    folder.write("add/data.jsonl", "{\"x\": 1}\n");
    let done = run(folder.path(), &["--backend", "process", ".", "--report", "out.json"]);
    // Nothing failed, but what was not run did not pass.
    assert_eq!(done.code, Some(4), "{}{}", done.stdout, done.stderr);
    expect![[r#"
        skipped: chat/flow.dag.yaml: node `ask` needs the connection `my_openai`; flowgate passes no connection into a runtime
          help: `flowgate check chat` finds 1 error in it

        add/flow.dag.yaml
          sum: 2

        passed   add/flow.dag.yaml   1 passed  N s  process
        skipped  chat/flow.dag.yaml  1 skipped  N s  process
        1 of 2 flows passed, 1 skipped (N s)
        exit code 4: skipped flows do not count as passed; to leave them out, name the other flows
    "#]].assert_eq(&timeless(&done.stdout));
    let report: Value =
        serde_json::from_str(&std::fs::read_to_string(folder.path().join("out.json")).expect("a report"))
            .expect("JSON");
    let chat = &report["flows"][1];
    assert_eq!(
        (&report["verdict"], &chat["verdict"], &chat["lines"]["skipped"]),
        (&json!("skipped"), &json!("skipped"), &json!(1))
    );

    // A row that failed counts for more than a flow that was skipped.
    folder.write("add/data.jsonl", "{\"x\": 500}\n");
    let done = run(folder.path(), &["--backend", "process", "."]);
    assert_eq!(done.code, Some(1), "{}{}", done.stdout, done.stderr);
}

#[test]
fn what_several_rows_and_flows_gave_is_shown_in_short() {
    let folder = adding("short");
    folder.write("add/add.py", "from promptflow.core import tool\n@tool\ndef add(x: int, y: int):\n    if x == 3:\n        raise ValueError('\\n'.join(str(n) for n in range(20)))\n    return f'{x}\\n' * x\n");
    let rows: String = (1..=9).map(|x| format!("{{\"x\": {x}}}\n")).collect();
    folder.write("add/data.jsonl", rows.replace('9', "90"));
    flows::python(&folder, "plain", "", "return text");
    folder.write("plain/data.jsonl", "{}\n");
    let done = run(folder.path(), &["--backend", "process", "."]);
    assert_eq!(done.code, Some(1), "{}{}", done.stdout, done.stderr);
    expect![[r#"
        error: add/flow.dag.yaml row 3 failed
          node `add`: ValueError: Execution failure in 'add': (ValueError) 0
          1
          2
          3
          4
          5
          6
          7
          8
          9
          10
          11
          ... 8 more lines; `--report FILE` writes all
            File "add.py", line 5, in add
              raise ValueError('\n'.join(str(n) for n in range(20)))

        add/flow.dag.yaml
          row 1  sum: 1
          row 2  sum: 2 2
          row 4  sum: 4 4 4 4
          row 5  sum: 5 5 5 5 5
          row 6  sum: 6 6 6 6 6 6
          ... 3 more rows
        plain/flow.dag.yaml
          out: hello
        outputs are shortened; `--report FILE` writes all

        failed   add/flow.dag.yaml    8 passed, 1 failed  N s (N s in rows)  process
        passed   plain/flow.dag.yaml  1 passed  N s  process
        1 of 2 flows passed (N s)
    "#]]
    .assert_eq(&timeless(&done.stdout));
    let notes: Vec<&str> = done.stderr.lines().filter(|line| line.contains("data.jsonl")).collect();
    expect![[r#"
        note: add/flow.dag.yaml: Input `x` has no default, so the rows of data.jsonl beside the flow are used.
        note: add/flow.dag.yaml: data.jsonl has no column for `y`, so the default is used.
        note: plain/flow.dag.yaml: data.jsonl beside the flow is not used, as no input needs it; name it with `--data` to run its rows."#]].assert_eq(&notes.join("\n"));

    let done = run(folder.path(), &["--backend", "process", "add", "--report", "run.json"]);
    assert!(done.stdout.contains("more lines; run.json holds all\n"), "{}", done.stdout);
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
    let shown = timeless(&done.stdout.replace(&folder.path().display().to_string(), "HERE"));
    expect![[r#"
        error: data/flow.dag.yaml: data.jsonl: line 2: not a JSON object: invalid type: sequence, expected a map

        error: settings/flow.dag.yaml: HERE/./settings/flowgate.yaml:1:14: environment: invalid type: integer `3`, expected struct EnvironmentConfig

        add/flow.dag.yaml
          sum: 2

        passed   add/flow.dag.yaml       1 passed  N s  process
        errored  data/flow.dag.yaml      no line  N s  process
        errored  settings/flow.dag.yaml  no line  N s  process
        1 of 3 flows passed (N s)
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
