//! Files that are made to be slow, or to lead elsewhere: each command on them ends, and says what is wrong.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use flowgate_tests::flows::ANY_TOOL;
use flowgate_tests::{Finished, Folder, cache, flowgate, run};

const FLOW: &str = "\
inputs:
  text: {type: string}
outputs:
  text: {type: string, reference: '${hello.output}'}
nodes:
- name: say
  type: python
  source: {type: code, path: say.py}
  inputs: {text: '${inputs.text}'}
- name: hello
  type: prompt
  source: {type: code, path: hello.jinja2}
  inputs: {text: '${say.output}'}
environment:
  python_requirements_txt: requirements.txt
";

/// Ten times what flowgate reads of a file.
const LONG: usize = 50 << 20;
/// Just below what it reads.
const READ: usize = (4 << 20) - 4096;

/// The rules that are found at error level where one file of a flow has that text.
fn errors(name: &str, text: &str) -> BTreeSet<String> {
    let folder = Folder::with(
        "hostile",
        &[
            ("flow.dag.yaml", FLOW),
            ("say.py", ANY_TOOL),
            ("hello.jinja2", "{{ text }}\n"),
            ("requirements.txt", "promptflow\n"),
            (name, text),
        ],
    );
    let done = run(folder.path(), &["check", "--format", "json", "--fail-on", "never"]);
    assert_eq!(done.code, Some(0), "{name}: {}", done.stderr);
    let report: serde_json::Value = serde_json::from_str(&done.stdout).expect("a report");
    let findings = report["findings"].as_array().expect("findings").iter();
    let errors = findings.filter(|finding| finding["level"] == "error" && finding["path"] == name);
    errors.map(|finding| finding["rule"].as_str().expect("a rule").to_owned()).collect()
}

fn long(length: usize, part: &str) -> String {
    part.repeat(length / part.len())
}

fn only(rule: &str) -> BTreeSet<String> {
    BTreeSet::from([rule.to_owned()])
}

#[test]
fn files_that_are_too_long_are_refused_unread() {
    for (name, part) in [
        ("flow.dag.yaml", "- name: node\n  inputs: {a: ${b.output}}\n"),
        ("flow.dag.yaml", "a"),
        ("requirements.txt", "package==1.0 --hash=sha256:00\n"),
        ("requirements.txt", "a "),
        ("say.py", "f(lambda: [x for x in (1, 2)])\n"),
        ("say.py", "x"),
        ("hello.jinja2", "{% if a %}{{ b | c }}{% endif %}\n"),
        ("hello.jinja2", "x"),
    ] {
        assert_eq!(errors(name, &long(LONG, part)), only("unreadable-file"), "{name}: {part}");
    }
}

#[test]
fn nesting_without_measure() {
    for part in ["[", "{", "- ", "? "] {
        assert_eq!(errors("flow.dag.yaml", &long(READ, part)), only("yaml-syntax"), "{part}");
    }
    // What is nested too deeply to be understood is not said to be wrong.
    for (name, part) in [("say.py", "("), ("say.py", "not "), ("hello.jinja2", "{{ ("), ("hello.jinja2", "{% if a %}")]
    {
        let found = errors(name, &long(READ, part));
        assert!(found.iter().all(|rule| rule == "python-syntax" || rule == "jinja-syntax"), "{part}: {found:?}");
    }
}

#[test]
fn aliases_of_aliases() {
    let mut text = FLOW.to_owned() + "a0: &a0 [x]\n";
    for number in 1..40_000 {
        text += &format!("a{number}: &a{number} [{}]\n", format!("*a{}, ", number - 1).repeat(9));
    }
    assert!(errors("flow.dag.yaml", &text).is_empty());
}

/// A flow without faults in the folder `flow` of a repository.
fn repository(name: &str) -> Folder {
    let folder = Folder::with(
        name,
        &[
            ("repo/.git/HEAD", ""),
            ("repo/flow/flow.dag.yaml", FLOW),
            ("repo/flow/say.py", ANY_TOOL),
            ("repo/flow/hello.jinja2", "{{ text }}\n"),
            ("repo/flow/requirements.txt", "promptflow\n"),
            ("outside/secret", "SECRET\n"),
        ],
    );
    folder.write("outside/requirements.txt", "promptflow==1.10.0\n");
    folder
}

/// Runs `flowgate`, and ends it where it waits.
fn ends(folder: &Path, arguments: &[&str]) -> Finished {
    let mut command = Command::new("timeout");
    command.arg("60").arg(flowgate()).args(arguments).current_dir(folder);
    command.env("NO_COLOR", "1").env("FLOWGATE_CACHE_DIR", cache());
    Finished::of(command.output().expect("flowgate starts"))
}

const CHECK: &[&str] = &["check", "flow"];
const RUN: &[&str] = &["run", "--backend", "process", "flow"];
const PLAN: &[&str] = &["environment", "plan", "flow"];
const GRAPH: &[&str] = &["graph", "flow"];

#[test]
fn a_pipe_is_never_opened_and_is_told() {
    let named = "is a named pipe, not a file";
    for (file, doors, words) in [
        ("flow/flow.dag.yaml", [(CHECK, 3), (RUN, 4), (PLAN, 4), (GRAPH, 2)], named),
        ("flow/say.py", [(CHECK, 3), (RUN, 4), (PLAN, 4), (GRAPH, 0)], named),
        ("flow/hello.jinja2", [(CHECK, 3), (RUN, 4), (PLAN, 4), (GRAPH, 0)], named),
        ("flow/requirements.txt", [(CHECK, 3), (RUN, 4), (PLAN, 4), (GRAPH, 0)], named),
        ("flow/data.jsonl", [(CHECK, 0), (RUN, 2), (PLAN, 0), (GRAPH, 0)], "a named pipe"),
        ("flow/sub/any", [(CHECK, 0), (CHECK, 0), (PLAN, 0), (GRAPH, 0)], "`sub/any`, which is a named pipe"),
        ("flowgate.yaml", [(CHECK, 2), (RUN, 2), (PLAN, 2), (GRAPH, 2)], "flowgate.yaml: it is a named pipe"),
        ("flow/.gitignore", [(CHECK, 2), (RUN, 8), (CHECK, 2), (CHECK, 2)], ".gitignore: not a file"),
        (".gitignore", [(CHECK, 2), (RUN, 8), (CHECK, 2), (CHECK, 2)], ".gitignore: not a file"),
    ] {
        let folder = repository("pipe");
        let pipe = folder.path().join("repo").join(file);
        let _ = std::fs::remove_file(&pipe);
        std::fs::create_dir_all(pipe.parent().expect("a folder")).expect("folders");
        assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
        for (door, code) in doors {
            let done = ends(&folder.path().join("repo"), door);
            assert_eq!(done.code, Some(code), "{file}: {door:?}: {}{}", done.stdout, done.stderr);
            let told = format!("{}{}", done.stdout, done.stderr);
            // A plan and a graph need none of what is merely there.
            assert!((code == 0 && door != CHECK) || told.contains(words), "{file}: {door:?}: {told}");
        }
    }
    let folder = repository("socket");
    let path = folder.path().join("repo/flow/say.py");
    std::fs::remove_file(&path).expect("it goes");
    let _socket = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    let done = ends(&folder.path().join("repo"), CHECK);
    assert!(done.code == Some(3) && done.stdout.contains("`say.py` is a socket, not a file"), "{}", done.stdout);
}

/// A way out of the repository: where a link is, to what; or a file of the flow, with which text.
enum Way {
    Link(&'static str, &'static str),
    Text(&'static str, &'static str),
}

#[test]
fn what_leads_out_of_the_repository_is_refused_by_name() {
    use Way::{Link, Text};
    let include = |path: &str| format!("additional_includes: ['{path}']\n{FLOW}");
    let (relative, absolute, git) = (include("../../outside/secret"), include("/etc/shadow"), include("../.git"));
    let source = FLOW.replace("path: say.py", "path: ../../outside/secret");
    let requirements = FLOW.replace("python_requirements_txt: ", "python_requirements_txt: ../../outside/");
    for (way, name, named) in [
        (Link("flow/secret", "../../outside/secret"), "secret", false),
        (Link("flow/sub/secret", "/etc/shadow"), "sub/secret", false),
        (Link("flow/x", "/"), "x", false),
        (Link("flow/gone", "/nothing/there"), "gone", false),
        (Link("flow/say.py", "../../outside/secret"), "say.py", true),
        (Link("flow/requirements.txt", "../../outside/requirements.txt"), "requirements.txt", true),
        (Text("flow/flow.dag.yaml", relative.leak()), "../../outside/secret", true),
        (Text("flow/flow.dag.yaml", absolute.leak()), "/etc/shadow", true),
        (Text("flow/flow.dag.yaml", git.leak()), "../.git", true),
        (Text("flow/flow.dag.yaml", source.leak()), "../../outside/secret", true),
        (Text("flow/flow.dag.yaml", requirements.leak()), "../../outside/requirements.txt", true),
        (Text("flow/requirements.txt", "-r /etc/passwd\n"), "/etc/passwd", true),
        (Text("flow/requirements.txt", "-c ../../outside/secret\n"), "../../outside/secret", true),
    ] {
        let folder = repository("outside");
        let repo = folder.path().join("repo");
        match way {
            Link(at, to) => {
                let at = repo.join(at);
                let _ = std::fs::remove_file(&at);
                std::fs::create_dir_all(at.parent().expect("a folder")).expect("folders");
                symlink(to, &at).expect("a link");
            }
            Text(file, text) => folder.write(&format!("repo/{file}"), text),
        }
        let done = ends(&repo, &["check", "--format", "json", "flow"]);
        assert_eq!(done.code, Some(3), "{name}: {}{}", done.stdout, done.stderr);
        let report: serde_json::Value = serde_json::from_str(&done.stdout).expect("a report");
        let findings = report["findings"].as_array().expect("findings");
        let found = findings.iter().find(|finding| finding["rule"] == "outside-repository").expect("the finding");
        assert!(found["message"].as_str().expect("a text").contains(&format!("`{name}`")), "{found}");
        assert_eq!(found["start"] != found["end"], named, "{found}");
        for door in [RUN, PLAN] {
            let done = ends(&repo, door);
            let told = format!("{}{}", done.stdout, done.stderr);
            assert_eq!(done.code, Some(4), "{name}: {door:?}: {told}");
            assert!(told.contains(&format!("`{name}`")) && !told.contains("SECRET"), "{name}: {door:?}: {told}");
        }
    }
}

#[test]
fn a_flow_that_is_a_link_out_of_the_repository_is_not_read_unless_it_is_named() {
    let folder = repository("linked-flow");
    folder.write("outside/flow.dag.yaml", "inputs: {SECRET: {type: strin}}\n");
    let flow = folder.path().join("repo/flow/flow.dag.yaml");
    std::fs::remove_file(&flow).expect("it goes");
    symlink("../../outside/flow.dag.yaml", &flow).expect("a link");
    for (door, code) in [(CHECK, 3), (RUN, 4), (PLAN, 4), (GRAPH, 2)] {
        let done = ends(&folder.path().join("repo"), door);
        let told = format!("{}{}", done.stdout, done.stderr);
        assert_eq!(done.code, Some(code), "{door:?}: {told}");
        assert!(told.contains("it is outside the repository") && !told.contains("SECRET"), "{door:?}: {told}");
    }
    let done = ends(&folder.path().join("repo"), &["check", "flow/flow.dag.yaml"]);
    assert!(done.stdout.contains("`strin` is not a type"), "{}", done.stdout);
}

/// Flows share files with their neighbours: in a repository, a worktree of one, or a folder that is named.
#[test]
fn what_is_inside_may_be_anywhere() {
    for (git, named, code) in [
        ("repo/.git/HEAD", "flows/a", 0),
        ("repo/.git", "flows/a/flow.dag.yaml", 0),
        ("none", "flows", 0),
        ("none", ".", 0),
        ("none", "flows/a", 3),
        ("none", "flows/a/flow.dag.yaml", 3),
        ("repo/flows/a/.git", "flows/a", 3),
    ] {
        let folder = Folder::with(
            "inside",
            &[
                (
                    "repo/flows/a/flow.dag.yaml",
                    &FLOW.replace("inputs:\n  text", "additional_includes: [../shared/say.py]\ninputs:\n  text"),
                ),
                ("repo/flows/a/hello.jinja2", "{{ text }}\n"),
                ("repo/flows/a/requirements.txt", "promptflow\n"),
                ("repo/flows/shared/say.py", ANY_TOOL),
                (git, "gitdir: elsewhere\n"),
            ],
        );
        let repo = folder.path().join("repo");
        let done = run(&repo, &["check", named]);
        assert_eq!(done.code, Some(code), "{git} {named}: {}{}", done.stdout, done.stderr);
        let done_planning = run(&repo, &["environment", "plan", named]);
        assert_eq!(done_planning.code, Some(if code == 0 { 0 } else { 4 }), "{git} {named}: {}", done_planning.stderr);
        if code != 0 {
            assert!(done.stdout.contains("name a folder that holds both on the command line"), "{}", done.stdout);
        }
    }
}

#[test]
fn no_fix_is_written_outside_the_repository() {
    let folder = repository("fix");
    let repo = folder.path().join("repo");
    std::fs::remove_file(repo.join("flow/requirements.txt")).expect("it goes");
    symlink("../../outside/requirements.txt", repo.join("flow/requirements.txt")).expect("a link");
    let kept = || std::fs::read_to_string(folder.path().join("outside/requirements.txt")).expect("it is there");
    let done = run(&repo, &["check", "--fix", "--unsafe-fixes", "flow"]);
    assert_eq!((done.code, kept().as_str()), (Some(3), "promptflow==1.10.0\n"), "{}", done.stdout);
    // A link that is named is followed.
    let done = run(&repo, &["check", "--fix", "flow/requirements.txt"]);
    assert_eq!((done.code, kept().as_str()), (Some(0), "promptflow\n"), "{}{}", done.stdout, done.stderr);
    assert!(repo.join("flow/requirements.txt").is_symlink());
}
