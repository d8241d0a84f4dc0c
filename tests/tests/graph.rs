//! `flowgate graph`, through the command line.

use flowgate_tests::{Folder, run};

const FLOW: &str = "inputs:\n  text: {type: string}\nnodes:\n- name: split\n  type: python\n  source: {type: code, path: split.py}\n  inputs: {text: '${inputs.text}', more: '${gone.output}'}\noutputs:\n  words: {type: list, reference: '${split.output}'}\n";
const TOOL: &str =
    "from promptflow.core import tool\n\n\n@tool\ndef split(text: str, more: str):\n    return text.split()\n";

#[test]
fn printed_as_mermaid_and_written_as_svg() {
    let folder = Folder::with("graph", &[("words/flow.dag.yaml", FLOW), ("words/split.py", TOOL)]);
    let printed = run(folder.path(), &["graph", "words"]);
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    assert!(printed.stdout.starts_with("flowchart TD\n"), "{}", printed.stdout);
    assert!(printed.stdout.contains("class b1 error"), "{}", printed.stdout);
    let written = run(folder.path(), &["graph", "words/flow.dag.yaml", "--output", "words.svg"]);
    assert_eq!((written.code, written.stdout.as_str()), (Some(0), ""), "{}", written.stderr);
    let picture = std::fs::read_to_string(folder.path().join("words.svg")).expect("the picture");
    assert!(picture.starts_with("<svg ") && picture.contains("there is no node `gone`"), "{picture}");
}

#[test]
fn the_name_of_a_file_says_what_is_drawn() {
    let folder = Folder::with("kinds", &[("words/flow.dag.yaml", FLOW), ("words/split.py", TOOL)]);
    for (name, starts) in [("a.svg", "<svg "), ("a.MMD", "flowchart"), ("a.mermaid", "flowchart"), ("a", "flowchart")] {
        let done = run(folder.path(), &["graph", "words", "--output", name]);
        assert_eq!(done.code, Some(0), "{name}: {}", done.stderr);
        let text = std::fs::read_to_string(folder.path().join(name)).expect("a picture");
        assert!(text.starts_with(starts), "{name}: {text}");
    }
    let refused = run(folder.path(), &["graph", "words", "--output", "words.png"]);
    assert_eq!(refused.code, Some(2), "{}", refused.stdout);
    for part in ["words.png", "`.svg`", "`.mmd`", "--format"] {
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
    }
    assert!(!folder.path().join("words.png").exists());
    let asked = run(folder.path(), &["graph", "words", "--output", "words.txt", "--format", "mermaid"]);
    assert_eq!(asked.code, Some(0), "{}", asked.stderr);
}

#[test]
fn what_has_no_graph_is_said() {
    let flow = ("flow.dag.yaml", FLOW);
    let folder =
        Folder::with("no-graph", &[("a/flow.flex.yaml", "entry: a:b\n"), ("b/flow.dag.yaml", flow.1), ("c/x.py", "")]);
    for (path, says) in
        [("a", "flex flow"), ("c", "no flow.dag.yaml"), (".", "there are 2 flows"), ("d", "no such file")]
    {
        let done = run(folder.path(), &["graph", path]);
        assert_eq!(done.code, Some(2), "{path}: {}", done.stdout);
        assert!(done.stderr.contains(says), "{path}: {}", done.stderr);
    }
}

#[test]
fn a_folder_stands_for_the_flow_that_it_holds_itself() {
    let files = [
        ("a/flow.dag.yaml", FLOW),
        ("a/split.py", TOOL),
        ("a/run.yml", "flow: .\ndata: d.jsonl\n"),
        ("a/tests/flow.dag.yaml", "nodes: []\n"),
    ];
    let folder = Folder::with("own", &files);
    let done = run(folder.path(), &["graph", "a"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stdout.contains("split"), "{}", done.stdout);
    let done = run(folder.path(), &["graph", "a/run.yml"]);
    assert_eq!(done.code, Some(2), "{}", done.stdout);
    assert!(done.stderr.contains("a/run.yml: not a flow"), "{}", done.stderr);
}
