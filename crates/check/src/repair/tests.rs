use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flowgate_flow::FileKind;
use flowgate_flow::classify::classify;
use flowgate_flow::load::Memory;

use super::{Repair, Wanted, repair};
use crate::workspace::{Options, Target, Unit, check_all};
use crate::{Level, Selection, fixture, rules};

const ALL: Wanted<'_> = Wanted { r#unsafe: true, only: None };
const SAFE: Wanted<'_> = Wanted { r#unsafe: false, only: None };

fn options() -> Options {
    Options { threads: 1, selection: Selection::default() }
}

fn memory(files: &[(&str, &str)]) -> Memory {
    Memory { files: files.iter().map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec())).collect() }
}

/// Every flow of a file system, else the requirements files of one that has none.
fn targets(memory: &Memory) -> Vec<Target> {
    let mut paths: Vec<&PathBuf> = memory.files.keys().collect();
    paths.sort();
    let flows = paths.iter().filter(|path| classify(path) == FileKind::Flow);
    let flows: Vec<Unit> = flows.map(|path| Unit::Flow(path.to_path_buf())).collect();
    let units = if flows.is_empty() { paths.into_iter().cloned().map(Unit::Requirements).collect() } else { flows };
    units.into_iter().map(|unit| Target { unit, config: Default::default() }).collect()
}

fn run(memory: &Memory, wanted: Wanted<'_>) -> (Repair, Memory) {
    let repair = repair(memory, &targets(memory), &options(), wanted);
    let mut after = memory.clone();
    for (path, change) in &repair.files {
        assert_eq!(memory.files[path], change.before.as_bytes());
        after.files.insert(path.clone(), change.after.clone().into_bytes());
    }
    (repair, after)
}

fn text<'m>(memory: &'m Memory, path: &str) -> &'m str {
    std::str::from_utf8(&memory.files[Path::new(path)]).unwrap()
}

#[test]
fn safe_fixes_only_unless_asked_and_the_rest_of_the_text_stays() {
    let flow = "\u{feff}# first\r\ninputs:\r\n  a: {type: Int} # why\r\n  b: {type: strin}\r\n";
    let memory = memory(&[("/f/flow.dag.yaml", flow)]);
    let (safe, after) = run(&memory, SAFE);
    assert_eq!(text(&after, "/f/flow.dag.yaml"), flow.replace("Int", "int"));
    assert_eq!(safe.applied.iter().map(|fix| (fix.line, fix.rule)).collect::<Vec<_>>(), [(2, "invalid-type-name")]);
    let (_, after) = run(&memory, ALL);
    assert_eq!(text(&after, "/f/flow.dag.yaml"), flow.replace("Int", "int").replace("strin}", "string}"));
}

#[test]
fn a_file_that_flows_share_is_fixed_once() {
    let flow = "environment: {python_requirements_txt: all.txt}\nadditional_includes: [../all.txt]\n";
    let memory =
        memory(&[("/a/flow.dag.yaml", flow), ("/b/flow.dag.yaml", flow), ("/all.txt", "promptflow==1.10.0\n")]);
    let (repair, after) = run(&memory, SAFE);
    assert_eq!(text(&after, "/all.txt"), "promptflow\n");
    assert_eq!(repair.applied.len(), 1);
}

#[test]
fn a_fix_that_makes_an_error_is_taken_back_and_the_others_stay() {
    // The nearest name closes a cycle.
    let flow = "inputs: {t: {type: Int}}\nnodes:\n- {name: first, type: python, source: {type: code, path: a.py}, inputs: {x: '${secnd.output}'}}\n- {name: second, type: python, source: {type: code, path: a.py}, inputs: {x: '${first.output}'}}\n";
    let memory = memory(&[
        ("/flow.dag.yaml", flow),
        ("/a.py", "from promptflow.core import tool\n@tool\ndef f(x):\n    return x\n"),
    ]);
    let (repair, after) = run(&memory, ALL);
    assert_eq!(text(&after, "/flow.dag.yaml"), flow.replace("Int", "int"));
    assert_eq!(repair.undone.iter().map(|fix| fix.rule).collect::<Vec<_>>(), ["unknown-node-reference"]);
    assert_eq!(repair.applied.iter().map(|fix| fix.rule).collect::<Vec<_>>(), ["invalid-type-name"]);
}

#[test]
fn one_file_only() {
    let memory =
        memory(&[("/flow.dag.yaml", "inputs: {t: {type: Int}}\n"), ("/requirements.txt", "promptflow==1.10.0\n")]);
    let (_, after) = run(&memory, Wanted { only: Some(Path::new("/requirements.txt")), ..ALL });
    assert_eq!(text(&after, "/requirements.txt"), "promptflow\n");
    assert_eq!(text(&after, "/flow.dag.yaml"), "inputs: {t: {type: Int}}\n");
}

/// How often each error is found.
fn errors(memory: &Memory) -> (BTreeMap<(&'static str, String), usize>, bool) {
    let (mut errors, mut broken) = (BTreeMap::new(), false);
    let both = |_, project: flowgate_flow::Project, findings: Vec<_>| (project, findings);
    check_all(memory, &targets(memory), &options(), both, |(project, findings)| {
        broken |= project.flow.is_some_and(|flow| !flow.document.errors.is_empty());
        for finding in findings.into_iter().filter(|finding| finding.level == Level::Error) {
            *errors.entry((finding.rule, finding.message)).or_default() += 1;
        }
    });
    (errors, broken)
}

fn converges(files: &[(String, String)]) {
    let paths: Vec<String> = files.iter().map(|(name, _)| format!("/flow/{name}")).collect();
    let files: Vec<(&str, &str)> =
        paths.iter().zip(files).map(|(path, (_, text))| (path.as_str(), text.as_str())).collect();
    let memory = memory(&files);
    for wanted in [SAFE, ALL] {
        let (_, after) = run(&memory, wanted);
        let (again, _) = run(&after, wanted);
        assert!(again.files.is_empty(), "not at an end after {after:?}: {again:?}");
        let ((before, broken), (after, _)) = (errors(&memory), errors(&after));
        for (error, count) in after.iter().filter(|_| !broken) {
            assert!(before.get(error).is_some_and(|had| had >= count), "new: {error:?}");
        }
    }
}

#[test]
fn every_bad_example_converges() {
    for rule in rules::ALL {
        converges(&fixture::files(rule.bad));
    }
}

/// A fix that makes an error at first is right once another one is in.
#[test]
fn an_undone_fix_is_tried_again() {
    let chosen = ["invalid-entry", "requirements-syntax", "requirements-path-not-found"];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [2, 1, 0]] {
        let mut files: BTreeMap<String, String> = BTreeMap::new();
        for index in order {
            let rule = rules::find(chosen[index]).unwrap();
            for (name, text) in fixture::files(rule.bad) {
                files.entry(name).or_default().push_str(&text);
            }
        }
        converges(&files.into_iter().collect::<Vec<_>>());
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 64, ..Default::default() })]
    /// Bad examples in one folder, their files of one name put together.
    #[test]
    fn combinations_of_bad_examples_converge(chosen in proptest::collection::vec(0..rules::ALL.len(), 2..6)) {
        let mut files: BTreeMap<String, String> = BTreeMap::new();
        for (name, text) in chosen.iter().flat_map(|index| fixture::files(rules::ALL[*index].bad)) {
            files.entry(name).or_default().push_str(&text);
        }
        converges(&files.into_iter().collect::<Vec<_>>());
    }
}
