//! What reaches a workflow's log: no text of a file, a folder or a flow becomes a command there.
#![cfg(unix)]

use std::path::Path;
use std::process::{Command, Stdio};

use flowgate_tests::{Finished, Folder, command, flowgate, flows, index, skip};
use serde_json::Value;

/// Names of folders, and lines that a flow raises, which the runner would take for commands.
const HOSTILE: [&str; 6] = [
    "##[error]pwn",
    "::error::pwn",
    "x ##[add-matcher]pwn",
    "\u{2003}\u{a0}::warning::pwn",
    "a\r::error::pwn",
    "b\r\n  ::set-output name=pwn::c",
];

/// Flows in folders of those names, with a finding each, whose nodes raise those lines.
fn hostile() -> Folder {
    let folder = Folder::new("workflow");
    let raised: Vec<String> = HOSTILE.iter().map(|line| format!("{line:?}")).collect();
    let raised = raised.join(", ").replace("\\u{2003}\\u{a0}", "\\u2003\\u00a0");
    for name in HOSTILE {
        flows::python(&folder, name, "", &format!("raise ValueError('\\n'.join([{raised}]))"));
        // Not pinned, and in a line that would be a command.
        folder.write(&format!("{name}/requirements.txt"), "promptflow>=1\n##[error]pwn\n");
    }
    // What a finding repeats.
    let reference = "outputs:\n  out: {type: string, reference: \"${inputs.##[error]pwn}\"}\n";
    folder.write("wrong/flow.dag.yaml", reference);
    folder
}

/// What GitHub's runner does with a line of a log, by its own rules.
fn is_command(line: &str) -> bool {
    let new = line.trim_start().strip_prefix("::").is_some_and(|rest| rest.contains("::"));
    new || line.find("##[").is_some_and(|at| line[at..].contains(']'))
}

fn commands(log: &str) -> Vec<&str> {
    log.split(['\n', '\r']).filter(|line| is_command(line)).collect()
}

fn run(folder: &Folder, arguments: &[&str], variables: &[(&str, &str)]) -> Finished {
    let mut command = command(folder.path(), arguments);
    command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock").envs(variables.iter().copied());
    Finished::of(command.stdin(Stdio::null()).output().expect("flowgate starts"))
}

#[test]
fn no_command_lets_a_text_become_a_workflow_command() {
    let folder = hostile();
    let one = HOSTILE[0];
    let mut would = 0;
    for arguments in [
        &["check"][..],
        &["check", "--explain-why"],
        &["check", "--diff", "--unsafe-fixes"],
        &["check", "--select", "::error::pwn ##[error]pwn"],
        &["run", "--backend", "process", one, HOSTILE[1]],
        &["run", "--backend", "docker"],
        &["run", "::error::\n::error::pwn"],
        &["run", "--backend", "process", one, "--report", "no ##[error]pwn/report.json"],
        &["graph", one],
        &["environment", "plan", one],
        &["environment", "build", "."],
        &["doctor", "feed", one],
        &["rule", "\n::error::pwn"],
    ] {
        let plain = run(&folder, arguments, &[]);
        would += commands(&plain.stdout).len() + commands(&plain.stderr).len();
        let done = run(&folder, arguments, &[("GITHUB_ACTIONS", "true")]);
        assert_eq!(done.code, plain.code, "{arguments:?}: {done:?}");
        for log in [&done.stdout, &done.stderr] {
            assert_eq!(commands(log), [""; 0], "{arguments:?}: {log}");
        }
    }
    assert!(would > 20, "the texts are harmless as they are: {would}");
}

/// A program that reads a report finds the same data, in a workflow, too.
#[test]
fn reports_on_standard_output_hold_the_same_data_and_no_command() {
    let folder = hostile();
    type Read = fn(&str) -> Value;
    let json: Read = |text| serde_json::from_str(text).expect("JSON");
    let xml: Read = |text| {
        let document = roxmltree::Document::parse(text).expect("XML");
        let texts = document.descendants().map(|node| {
            let attributes = node.attributes().map(|one| one.value().to_owned()).collect::<Vec<_>>();
            serde_json::json!([node.tag_name().name(), attributes, node.text()])
        });
        texts.collect()
    };
    for (arguments, read) in [
        (&["check", "--format", "json"][..], json),
        (&["check", "--format", "sarif"], json),
        (&["check", "--format", "junit"], xml),
        (&["environment", "plan", HOSTILE[0], "--format", "json"], json),
        (&["graph", HOSTILE[0], "--format", "svg"], xml),
        (&["run", "--backend", "docker", "--report", "-"], json),
    ] {
        let plain = run(&folder, arguments, &[]);
        assert!(!commands(&plain.stdout).is_empty() || arguments.contains(&"graph"), "{arguments:?}: {plain:?}");
        let done = run(&folder, arguments, &[("GITHUB_ACTIONS", "true")]);
        assert_eq!(commands(&done.stdout), [""; 0], "{arguments:?}");
        assert_eq!(read(&done.stdout), read(&plain.stdout), "{arguments:?}");
    }
    // A text that may not be changed goes to a file, or nowhere.
    let fix = |variables: &[(&str, &str)], out: Stdio| {
        let mut command = command(folder.path(), &["check", "--fix", "--stdin-filename", "requirements.txt"]);
        command.envs(variables.iter().copied()).stdout(out);
        command.stdin(std::fs::File::open(folder.path().join("::error::pwn/requirements.txt")).expect("a file"));
        Finished::of(command.output().expect("flowgate starts"))
    };
    let workflow = [("GITHUB_ACTIONS", "true")];
    let refused = fix(&workflow, Stdio::piped());
    assert!(refused.code == Some(2) && refused.stderr.contains("send it to a file"), "{refused:?}");
    let file = folder.path().join("fixed.txt");
    fix(&workflow, std::fs::File::create(&file).expect("a file").into());
    assert_eq!(std::fs::read_to_string(file).expect("it was written"), fix(&[], Stdio::piped()).stdout);
}

/// A reader of commands that is not ours: act, which knows those that begin a line.
#[test]
fn act_sees_the_commands_of_flowgate_and_no_other() {
    let Some(act) = index::find("act") else { return skip("act is not installed") };
    let folder = hostile();
    // Each with its exit code: a command that does not start must not pass for one that says nothing.
    let steps = [
        ("flowgate check --explain-why", 0),
        ("flowgate check", 3),
        ("flowgate run --backend process '##[error]pwn' ::error::pwn", 1),
        ("GITHUB_WORKSPACE=$PWD flowgate action", 1),
        ("flowgate check --format github", 3),
        ("cat hostile.txt", 0),
    ];
    folder.write("hostile.txt", HOSTILE.map(|line| format!("{line}\n")).concat());
    let folder_of_flows = folder.path().display();
    let step =
        |(step, code)| format!("    - run: cd '{folder_of_flows}'; code=0; {step} || code=$?; test $code -eq {code}\n");
    let steps: String = steps.map(step).concat();
    folder.write(
        "w/.github/workflows/w.yml",
        format!("on: push\njobs:\n  j:\n    runs-on: ubuntu-latest\n    steps:\n{steps}"),
    );
    let path = std::env::join_paths(
        [flowgate().parent().map(Path::to_owned)]
            .into_iter()
            .flatten()
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    let mut command = Command::new(act);
    command.args(["push", "--json", "-W", ".github/workflows/w.yml", "-P", "ubuntu-latest=-self-hosted"]);
    command.args(["--artifact-server-addr", "127.0.0.1", "--cache-server-addr", "127.0.0.1"]);
    command.args(["--env", "INPUT_BACKEND=process", "--env", "INPUT_FLOWS=##[error]pwn"]);
    command.current_dir(folder.path().join("w")).env("PATH", path.expect("a search path"));
    command.env("HOME", folder.path()).env("FLOWGATE_CACHE_DIR", flowgate_tests::cache());
    command.env_remove("XDG_CACHE_HOME").env_remove("XDG_CONFIG_HOME");
    let done = Finished::of(command.output().expect("act starts"));
    assert_eq!(done.code, Some(0), "{done:?}");
    let said: Vec<Value> = done.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |step: usize| said.iter().filter(move |line| line["stepID"][0].as_str() == Some(&step.to_string()));
    let heard = |step| of(step).map(|line| format!("{} {}\n", line["command"], line["msg"])).collect::<String>();
    // What GITHUB_OUTPUT and GITHUB_STEP_SUMMARY got is told in the same way.
    let outputs = [Value::from("verdict"), "report-json".into(), "sarif-file".into()];
    let of_files = |line: &Value| line["command"] == "summary" || outputs.contains(&line["name"]);
    let is_command = |line: &&Value| !line["command"].is_null() && !of_files(line);
    let parsed = |step| of(step).filter(is_command).collect::<Vec<_>>();
    for step in 0..3 {
        assert!(of(step).any(|line| line["raw_output"] == true), "{}", heard(step));
        assert_eq!(parsed(step), [&Value::Null; 0], "{}", heard(step));
    }
    for step in 3..5 {
        // Its own commands name a title, and a hostile text is a property or the message of one.
        assert!(parsed(step).iter().any(|line| line["command"] == "error"), "{}", heard(step));
        for line in parsed(step) {
            assert!(line["kvPairs"]["title"].is_string(), "{line}");
        }
    }
    // act would have obeyed them.
    assert_eq!(parsed(5).len(), 2, "{}", heard(5));
}
