//! `flowgate action`: what a workflow gives it, and what it leaves for the workflow.
#![cfg(unix)]

use std::process::Command;

use flowgate_tests::engine::docker_or_skip;
use flowgate_tests::event::{pull_request, push};
use flowgate_tests::{Finished, Folder, command, flowgate, repository};
use serde_json::{Value, json};

const TOOL: &str = "from promptflow.core import tool\n@tool\ndef run(x: int) -> int:\n";

/// A repository with a flow that passes, and one with a warning whose line prints a workflow
/// command and raises.
fn workspace() -> Folder {
    let flow = "inputs:\n  x: {type: int, default: 2}\noutputs:\n  y: {type: int, reference: '${n.output}'}\nnodes:\n- {name: n, type: python, source: {type: code, path: n.py}, inputs: {x: '${inputs.x}'}}\n";
    let raising = format!(
        "{TOOL}    import os\n    os.write(1, b'::set-output name=verdict::passed\\n')\n    raise ValueError('no | <b>@team</b>\\n::error::x')\n"
    );
    Folder::with(
        "action",
        &[
            ("repo/good/flow.dag.yaml", flow),
            ("repo/good/n.py", &format!("{TOOL}    return x * x\n")),
            ("repo/bad/flow.dag.yaml", &flow.replace("'${n.output}'", "'x ${n.output}'")),
            ("repo/bad/n.py", &raising),
            ("temp/keep", ""),
        ],
    )
}

fn act(folder: &Folder, event: (&str, Value), inputs: &[(&str, &str)]) -> Finished {
    folder.write("event.json", event.1.to_string());
    let mut command = command(folder.path(), &["action"]);
    environment(folder, event.0, &mut command);
    command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock").envs(inputs.iter().copied());
    Finished::of(command.output().expect("flowgate starts"))
}

/// The variables of a workflow.
fn environment(folder: &Folder, event: &str, command: &mut Command) {
    let path = |name: &str| folder.path().join(name);
    command
        .env("GITHUB_WORKSPACE", path("repo"))
        .env("GITHUB_EVENT_NAME", event)
        .env("GITHUB_EVENT_PATH", path("event.json"))
        .env("GITHUB_STEP_SUMMARY", path("summary.md"))
        .env("GITHUB_OUTPUT", path("output"))
        .env("RUNNER_TEMP", path("temp"));
}

fn read(folder: &Folder, name: &str) -> String {
    std::fs::read_to_string(folder.path().join(name)).unwrap_or_default()
}

/// The outputs as a runner reads them: `NAME<<DELIMITER`, the value, `DELIMITER`.
fn outputs(folder: &Folder) -> Vec<(String, String)> {
    let text = read(folder, "output");
    let mut lines = text.lines();
    let mut outputs = Vec::new();
    while let Some(line) = lines.next() {
        let (name, delimiter) = line.split_once("<<").unwrap_or_else(|| panic!("not a heredoc: {text}"));
        let value: Vec<&str> = lines.by_ref().take_while(|line| *line != delimiter).collect();
        outputs.push((name.to_owned(), value.join("\n")));
    }
    outputs
}

fn verdict(folder: &Folder) -> String {
    outputs(folder).into_iter().find(|(name, _)| name == "verdict").map(|(_, value)| value).unwrap_or_default()
}

#[test]
fn findings_runs_summary_outputs_and_exit_code() {
    let folder = workspace();
    let done = act(
        &folder,
        push(),
        &[("INPUT_BACKEND", "process"), ("INPUT_FLOWS", "good\nbad\n"), ("INPUT_FAIL_ON", "warning")],
    );
    // A failed line outranks a finding.
    assert_eq!(done.code, Some(1), "{}{}", done.stdout, done.stderr);
    assert!(done.stdout.contains("::warning file=bad/flow.dag.yaml,line=4,col=29,"), "{}", done.stdout);
    assert!(
        done.stdout.contains("::error file=bad/flow.dag.yaml,title=flow did not pass::1 failed%0Arow 1: ValueError"),
        "{}",
        done.stdout
    );
    // What the flow wrote stays text: every command of the log is flowgate's own.
    for line in done.stdout.lines().filter(|line| line.trim_start().starts_with("::")) {
        assert!(
            line.starts_with("::warning file=bad")
                || line.starts_with("::error file=bad")
                || line.starts_with("::notice title=flowgate"),
            "{line}"
        );
    }
    assert!(done.stdout.contains("    \\u{3a}:set-output name=verdict::passed"), "{}", done.stdout);

    let report = folder.path().join("temp/flowgate-report.json");
    let sarif = folder.path().join("temp/flowgate.sarif");
    let (report, sarif) = (report.display().to_string(), sarif.display().to_string());
    assert_eq!(
        outputs(&folder),
        [("verdict", "failed"), ("report-json", &report), ("sarif-file", &sarif)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    let sarif: Value = serde_json::from_str(&read(&folder, "temp/flowgate.sarif")).expect("SARIF is JSON");
    let result = &sarif["runs"][0]["results"][0];
    assert_eq!(result["ruleId"], "malformed-reference");
    assert_eq!(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "bad/flow.dag.yaml");
    let report: Value = serde_json::from_str(&read(&folder, "temp/flowgate-report.json")).expect("the report is JSON");
    assert_eq!((&report["verdict"], &report["exit_code"]), (&json!("failed"), &json!(1)));
    assert_eq!(report["flows"][1]["results"][0]["output"], json!({"y": 4}));
    let summary = read(&folder, "summary.md");
    assert!(
        summary.contains("**failed**: 1 of 2 flows passed")
            && summary.contains("| bad/flow.dag.yaml | failed | 1 failed |"),
        "{summary}"
    );
    assert!(summary.contains("malformed-reference") && !summary.contains("<b>@team</b>\n\n"), "{summary}");
}

#[test]
fn the_level_of_findings_decides_where_every_line_passes() {
    let folder = workspace();
    folder.write("repo/good/requirements.txt", "promptflow>=1\n");
    for (level, code, verdict) in [("hint", 3, "failed"), ("error", 0, "passed")] {
        folder.write("output", "");
        let done =
            act(&folder, push(), &[("INPUT_BACKEND", "process"), ("INPUT_FLOWS", "good"), ("INPUT_FAIL_ON", level)]);
        assert_eq!(done.code, Some(code), "{}{}", done.stdout, done.stderr);
        assert_eq!(self::verdict(&folder), verdict);
    }
}

#[test]
fn a_flow_that_needs_a_model_is_skipped() {
    let folder = workspace();
    folder.write(
        "repo/chat/flow.dag.yaml",
        "outputs:\n  a: {type: string, reference: '${ask.output}'}\nnodes:\n- {name: ask, type: llm, source: {type: code, path: ask.jinja2}, connection: my_openai, api: chat, inputs: {deployment_name: gpt}}\n",
    );
    folder.write("repo/chat/ask.jinja2", "# user:\nhello\n");
    folder.write("repo/chat/requirements.txt", "promptflow-tools\n");
    let done = act(&folder, push(), &[("INPUT_BACKEND", "process"), ("INPUT_FLOWS", "good\nchat\n")]);
    assert_eq!(done.code, Some(4), "{}{}", done.stdout, done.stderr);
    let annotation = "::warning file=chat/flow.dag.yaml,title=flow was skipped::node `ask` needs the connection \
                      `my_openai`; flowgate passes no connection into a runtime\n";
    assert!(done.stdout.contains(annotation) && !done.stdout.contains("::error"), "{}", done.stdout);
    assert_eq!(verdict(&folder), "skipped");
    let summary = read(&folder, "summary.md");
    assert!(
        summary.contains("**skipped**: 1 of 2 flows passed, 1 skipped")
            && summary.contains("| chat/flow.dag.yaml | skipped | 1 skipped |"),
        "{summary}"
    );
}

#[test]
fn no_engine_is_infrastructure_and_never_the_process_backend() {
    let folder = workspace();
    let done = act(&folder, pull_request(7, 1, "0"), &[]);
    assert_eq!(done.code, Some(8), "{}{}", done.stdout, done.stderr);
    assert!(done.stdout.contains("::error file=good/flow.dag.yaml,title=flow did not pass::no Docker engine answers at unix:///nonexistent/docker.sock"), "{}", done.stdout);
    assert_eq!(verdict(&folder), "errored");
    let report: Value = serde_json::from_str(&read(&folder, "temp/flowgate-report.json")).expect("the report is JSON");
    assert_eq!(
        report["flows"][0]["lines"],
        json!({"total": 1, "passed": 0, "failed": 0, "errored": 0, "timed_out": 0, "skipped": 1})
    );
}

#[test]
fn untrusted_code_never_runs_without_a_sandbox() {
    let folder = workspace();
    let of_a_fork = || pull_request(7, 2, "0").1;
    for event in [
        pull_request(7, 2, "0"),
        ("pull_request_target", json!({"pull_request": "?"})),
        ("", of_a_fork()),
        ("bogus", of_a_fork()),
        ("check_suite", of_a_fork()),
        ("push", of_a_fork()),
    ] {
        let name = event.0;
        let done = act(&folder, event, &[("INPUT_BACKEND", "process"), ("INPUT_FLOWS", "good")]);
        assert_eq!(done.code, Some(2), "{name}: {}", done.stdout);
        assert!(
            done.stdout.contains("the process backend has no sandbox") && !done.stdout.contains("good/flow.dag.yaml"),
            "{name}: {}",
            done.stdout
        );
    }
    // A field that flowgate does not read may be missing.
    let (name, mut own) = pull_request(7, 1, "0");
    own["pull_request"].as_object_mut().expect("a pull request").remove("url");
    let done = act(&folder, (name, own), &[("INPUT_BACKEND", "process"), ("INPUT_FLOWS", "good")]);
    assert_eq!(done.code, Some(0), "{}", done.stdout);
}

#[test]
fn inputs_that_cannot_be_used_are_named() {
    let folder = workspace();
    for (input, value, message) in [
        ("INPUT_BACKEND", "auto", "input `backend`: `auto`"),
        ("INPUT_FAIL_ON", "no", "input `fail-on`: `no`"),
        ("INPUT_FEEDS", "nonsense", "input `feeds`: `nonsense` is not a URL"),
        ("RUNNER_TEMP", "/tmp\nverdict=passed", "RUNNER_TEMP: `/tmp\\nverdict=passed` holds a control character"),
        ("INPUT_FLOWS", "nowhere", "input `flows`: nowhere: there is no such file or folder"),
    ] {
        let done = act(&folder, push(), &[(input, value)]);
        assert_eq!(done.code, Some(2), "{}", done.stdout);
        assert!(
            done.stdout.starts_with("::error title=flowgate::") && done.stdout.contains(message),
            "{}",
            done.stdout
        );
    }
}

#[test]
fn a_repository_without_flows_does_not_pass_unless_they_are_excluded() {
    let folder = Folder::with("action-empty", &[("repo/README.md", ""), ("temp/keep", "")]);
    let done = act(&folder, push(), &[]);
    assert_eq!(done.code, Some(2), "{}", done.stdout);
    assert!(done.stdout.contains("::error title=flowgate::input `flows`: .: no flow.dag.yaml"), "{}", done.stdout);
    folder.write("repo/old/flow.dag.yaml", "inputs: {}\n");
    folder.write("repo/flowgate.yaml", "check: {exclude: [old]}\n");
    let done = act(&folder, push(), &[]);
    assert_eq!(done.code, Some(0), "{}", done.stdout);
    assert!(done.stdout.contains("::notice title=flowgate::there is no flow to run"), "{}", done.stdout);
    let sarif = folder.path().join("temp/flowgate.sarif").display().to_string();
    let expected = [("verdict", "passed"), ("report-json", ""), ("sarif-file", &sarif)];
    assert_eq!(outputs(&folder), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn one_malformed_data_file_ends_neither_the_run_nor_its_files() {
    let folder = workspace();
    let flow = read(&folder, "repo/good/flow.dag.yaml").replace(", default: 2", "");
    folder.write("repo/malformed/flow.dag.yaml", &flow);
    folder.write("repo/malformed/n.py", read(&folder, "repo/good/n.py"));
    folder.write("repo/malformed/data.jsonl", "{\"x\": 1}\n[2]\n");
    let done = act(&folder, push(), &[("INPUT_BACKEND", "process"), ("INPUT_FLOWS", "good\nmalformed\n")]);
    assert_eq!(done.code, Some(2), "{done:?}");
    let error = "::error file=malformed/flow.dag.yaml,title=flow did not pass::";
    assert!(done.stdout.contains(error) && done.stdout.contains("line 2: not a JSON object"), "{done:?}");
    let report: Value = serde_json::from_str(&read(&folder, "temp/flowgate-report.json")).expect("the report is JSON");
    assert_eq!((&report["flows"][0]["verdict"], &report["flows"][1]["verdict"]), (&json!("passed"), &json!("errored")));
    assert!(read(&folder, "temp/flowgate.sarif").contains("\"2.1.0\""));
    assert!(read(&folder, "summary.md").contains("**errored**: 1 of 2 flows passed"));
    assert_eq!(verdict(&folder), "errored");

    // A file that cannot be written keeps none of the others away, and is found out before the run where it is ours.
    std::fs::remove_file(folder.path().join("summary.md")).expect("it was written");
    std::fs::create_dir(folder.path().join("summary.md")).expect("a folder");
    folder.write("output", "");
    let done = act(&folder, push(), &[("INPUT_BACKEND", "process"), ("INPUT_FLOWS", "malformed")]);
    assert!(done.code == Some(8) && done.stdout.contains("summary.md: "), "{done:?}");
    assert_eq!(verdict(&folder), "errored");
    std::fs::remove_file(folder.path().join("temp/flowgate-report.json")).expect("it was written");
    std::fs::create_dir(folder.path().join("temp/flowgate-report.json")).expect("a folder");
    let done = act(&folder, push(), &[("INPUT_BACKEND", "process"), ("INPUT_FLOWS", "good")]);
    assert!(done.code == Some(8) && done.stdout.contains("flowgate-report.json: it is a folder"), "{done:?}");
    assert!(!done.stdout.contains("good/flow.dag.yaml"), "{done:?}");
}

/// Findings, excerpts, runs and reports are public; the runner's own files are not.
#[test]
fn nothing_outside_the_repository_is_read() {
    let secret = "SECRET=token\n-i https://user:SECRET@pkgs.dev.azure.com/o/_packaging/f/pypi/simple/\n";
    let folder = workspace();
    folder.write("home/config", secret);
    folder.write("repo/.git/config", secret);
    let outside = folder.path().join("home");
    let flow = read(&folder, "repo/good/flow.dag.yaml");
    let shown = |requirements: &str| {
        folder.write(
            "repo/good/flow.dag.yaml",
            format!("{flow}environment: {{python_requirements_txt: '{requirements}'}}\n"),
        );
        let done = act(&folder, push(), &[("INPUT_BACKEND", "process"), ("INPUT_FLOWS", "good")]);
        let left = ["output", "summary.md", "temp/flowgate-report.json", "temp/flowgate.sarif"].map(|at| {
            let text = read(&folder, at);
            std::fs::remove_file(folder.path().join(at)).expect("it was left");
            text
        });
        let all = format!("{}{}{}", done.stdout, done.stderr, left.concat());
        assert!(!all.contains("SECRET"), "{requirements}: {all}");
        done.stdout
    };
    let links = [("link", outside.join("config")), ("git", "../.git/config".into()), ("gone", outside.join("gone"))];
    for (link, target) in links {
        std::os::unix::fs::symlink(target, folder.path().join("repo/good").join(link)).expect("a link");
    }
    folder.write("repo/good/nested.txt", "-r ../../home/config\n");
    for requirements in ["../../home/config", "link", "git", "../.git/config", "nested.txt"] {
        let stdout = shown(requirements);
        let told = ["is outside the repository", "belongs to git"].iter().any(|told| stdout.contains(told));
        assert!(told, "{requirements}: {stdout}");
    }
    // Whether a file is there shows as little as what it says.
    // Each link is named where it is found, so both names become one.
    let nameless = |text: String| {
        ["config", "absent", "`link", "`gone"].iter().fold(text, |text, name| {
            let quote = if name.starts_with('`') { "`" } else { "" };
            text.replace(&format!("{name}`"), &format!("{quote}?`"))
        })
    };
    for (there, gone) in [("../../home/config", "../../home/absent"), ("link", "gone")] {
        assert_eq!(nameless(shown(there)), nameless(shown(gone)));
    }
    for link in ["link", "git", "gone"] {
        std::fs::remove_file(folder.path().join("repo/good").join(link)).expect("the link goes");
    }
    // Nor does it become the rows of a run.
    folder.write("home/rows.jsonl", "{\"x\": \"SECRET\"}\n");
    std::os::unix::fs::symlink(outside.join("rows.jsonl"), folder.path().join("repo/bad/data.jsonl")).expect("a link");
    folder.write("repo/bad/flow.dag.yaml", flow.replace(", default: 2", ""));
    let done = act(&folder, push(), &[("INPUT_BACKEND", "process"), ("INPUT_FLOWS", "bad")]);
    assert_eq!(done.code, Some(2), "{}", done.stdout);
    assert!(done.stdout.contains("and nothing outside is read") && !done.stdout.contains("SECRET"), "{}", done.stdout);
}

/// The one step of `action.yml`, as a runner executes it: its shell, its variables with the
/// defaults of the inputs, and a `flowgate` on the `PATH`.
#[test]
fn the_action_runs_on_the_engine_by_default() {
    let Some(engine) = docker_or_skip() else { return };
    let text = std::fs::read_to_string(repository().join("action.yml")).expect("action.yml");
    let action: serde_yaml::Value = serde_yaml::from_str(&text).expect("action.yml is YAML");
    let step = &action["runs"]["steps"][0];
    assert_eq!((action["runs"]["using"].as_str(), step["shell"].as_str()), (Some("composite"), Some("bash")));

    let folder = workspace();
    folder.write("event.json", pull_request(7, 2, "0").1.to_string());
    let mut command = Command::new("bash");
    command
        .args(["-e", "-o", "pipefail", "-c", step["run"].as_str().expect("a script")])
        .current_dir(folder.path().join("repo"));
    environment(&folder, "pull_request", &mut command);
    for (name, value) in step["env"].as_mapping().expect("variables") {
        let value = value.as_str().expect("text");
        let input = value.strip_prefix("${{ inputs.").and_then(|rest| rest.strip_suffix(" }}"));
        let value = input.map_or("", |input| action["inputs"][input]["default"].as_str().expect("a default"));
        command.env(name.as_str().expect("a name"), value);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        std::iter::once(flowgate().parent().expect("its folder").to_owned()).chain(std::env::split_paths(&path));
    command.env("PATH", std::env::join_paths(folders).expect("a search path"));
    command.env("DOCKER_HOST", format!("unix://{}", engine.socket().display()));
    let done = Finished::of(command.output().expect("bash starts"));

    // One flow raises; the other ran in a container, for a pull request from a fork.
    assert_eq!(done.code, Some(1), "{}{}", done.stdout, done.stderr);
    let report: Value = serde_json::from_str(&read(&folder, "temp/flowgate-report.json")).expect("the report is JSON");
    assert_eq!((&report["flows"][1]["backend"], &report["flows"][1]["verdict"]), (&json!("docker"), &json!("passed")));
    assert_eq!(verdict(&folder), "failed");
}
