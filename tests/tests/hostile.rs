//! Files that are made to be slow: a check of each ends, and says what is wrong with it.

use std::collections::BTreeSet;

use flowgate_tests::flows::ANY_TOOL;
use flowgate_tests::{Folder, run};

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
