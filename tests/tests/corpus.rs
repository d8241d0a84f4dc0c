//! The corpus: one small flow per fault, and sound flows that look as if they had one. Beside each
//! flow, `errors.txt` lists what must be found in it at error level, one `RULE CLASS` per line: the
//! exception class with which the engine refuses the flow, or `-` where it loads it and the fault
//! shows later. Without that file the flow is sound.
//!
//! `FLOWGATE_ORACLE_TREE=tests/corpus cargo xtask oracle` proves the classes against the engine.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use expect_test::expect;
use flowgate_tests::run;
use serde_json::Value;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn errors(folder: &Path) -> Vec<Value> {
    let done = run(folder, &["check", "--format", "json", "--fail-on", "never", "flow.dag.yaml"]);
    let report: Value = serde_json::from_str(&done.stdout).expect("a report");
    let findings = report["findings"].as_array().expect("findings").iter();
    findings.filter(|finding| finding["level"] == "error").cloned().collect()
}

#[test]
fn each_flow_has_exactly_its_own_faults() {
    let mut wrong = String::new();
    let mut folders: Vec<PathBuf> =
        corpus().read_dir().expect("the corpus").map(|entry| entry.expect("an entry").path()).collect();
    folders.sort();
    for folder in &folders {
        let found: BTreeSet<String> = errors(folder)
            .iter()
            .map(|finding| {
                let class = finding["engine"].as_str().unwrap_or("-");
                format!("{} {class}\n", finding["rule"].as_str().expect("a rule"))
            })
            .collect();
        let found: String = found.into_iter().collect();
        let list = folder.join("errors.txt");
        let expected = std::fs::read_to_string(&list).unwrap_or_default();
        if found == expected {
            continue;
        }
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&list, &found).expect("the list");
        }
        wrong += &format!("{}\n  expected: {expected:?}\n  found:    {found:?}\n", folder.display());
    }
    assert!(wrong.is_empty(), "rewrite the lists with UPDATE_EXPECT=1, and read the diff\n{wrong}");
    assert!(folders.len() > 60, "the corpus is not whole");
}

/// The engine stops at the first of them.
#[test]
fn twelve_faults_are_twelve_findings_each_at_its_own_place() {
    let found = errors(&corpus().join("twelve-faults"));
    let at = |finding: &Value| {
        let position = |end: &str| format!("{}:{}", finding[end]["line"], finding[end]["column"]);
        format!("{} {}-{}", finding["path"].as_str().expect("a path"), position("start"), position("end"))
    };
    let lines = found.iter().map(|finding| {
        format!("{} {}: {}\n", at(finding), finding["rule"].as_str().unwrap(), finding["message"].as_str().unwrap())
    });
    expect![[r#"
        flow.dag.yaml 3:11-3:14 invalid-type-name: `str` is not a type
        flow.dag.yaml 4:3-4:8 missing-type: input `limit` has no `type`
        flow.dag.yaml 9:18-9:24 unknown-node-reference: there is no node `anwser`
        flow.dag.yaml 10:3-10:8 empty-output-reference: output `words` has no `reference`
        flow.dag.yaml 17:11-17:20 missing-source-file: source file `serach.py` is not there
        flow.dag.yaml 19:20-19:25 unknown-flow-input: there is no flow input `query`
        flow.dag.yaml 21:9-21:15 invalid-node-type: `Python` is not a node type
        flow.dag.yaml 33:14-33:20 circular-dependency: nodes wait for each other: `first` waits for `second` waits for `first`
        flow.dag.yaml 41:9-41:14 duplicate-node-name: node name `first` is used twice
        flow.dag.yaml 51:11-51:30 invalid-source: a python node cannot have a source of type `package_with_prompt`
        flow.dag.yaml 55:3-55:11 incomplete-activate: `activate` has no `is`
        flow.dag.yaml 58:28-58:36 requirements-path-not-found: requirements file `reqs.txt` is not there
    "#]].assert_eq(&lines.collect::<String>());
    assert_eq!(found.iter().map(at).collect::<BTreeSet<_>>().len(), 12);
    assert_eq!(found.iter().map(|finding| finding["rule"].to_string()).collect::<BTreeSet<_>>().len(), 12);
}
