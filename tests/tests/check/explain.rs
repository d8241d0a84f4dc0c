//! `flowgate check --explain-why`.

use expect_test::expect;
use flowgate_tests::{Folder, run};

#[test]
fn every_file_has_its_reason() {
    let flow = "environment: {python_requirements_txt: deps/all-requirements.txt}\n";
    let folder = Folder::new("explain");
    for place in ["ignored", ".hidden", ".runs/d", "env/lib", "old", "own"] {
        folder.write(&format!("{place}/flow.dag.yaml"), "inputs: {}\n");
    }
    for (name, text) in [
        ("f/flow.dag.yaml", flow),
        ("f/deps/all-requirements.txt", "requests\n"),
        ("other/requirements.txt", "requests\n"),
        ("run.yml", "flow: f\ndata: d.jsonl\n"),
        ("workflow.yml", "on: push\n"),
        ("env/pyvenv.cfg", ""),
        (".gitignore", "ignored/\n"),
        ("flowgate.yaml", "check: {exclude: [old/]}\n"),
        ("own/flowgate.yaml", ""),
    ] {
        folder.write(name, text);
    }
    let done = run(folder.path(), &["check", "--explain-why"]);
    expect![[r#"
        .hidden/flow.dag.yaml: not checked: hidden; name it to check it
        .runs: not searched: tools keep copies there
        env: not searched: a virtual environment
        f/flow.dag.yaml: checked as a flow, by its name
          with f/deps/all-requirements.txt
          configured by flowgate.yaml
        ignored/flow.dag.yaml: not checked: git ignores it; name it to check it
        old/flow.dag.yaml: not checked: `old/` in check.exclude of flowgate.yaml
        other/requirements.txt: not checked: no flow reads it; name it to check it alone
        own/flow.dag.yaml: checked as a flow, by its name
          configured by own/flowgate.yaml
        run.yml: checked as a run specification, by its text
          with f/flow.dag.yaml
          configured by flowgate.yaml
        3 files checked, 6 not
    "#]]
    .assert_eq(&done.stdout);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    let named =
        run(folder.path(), &["check", "--explain-why", "f/deps/all-requirements.txt", "workflow.yml", "ignored"]);
    expect![[r#"
        f/deps/all-requirements.txt: checked as the requirements file of f/flow.dag.yaml
          with f/flow.dag.yaml
          configured by flowgate.yaml
        ignored/flow.dag.yaml: checked as a flow, by its name
          configured by flowgate.yaml
        workflow.yml: checked as a flow, because it was named
          configured by flowgate.yaml
        3 files checked, 0 not
    "#]]
    .assert_eq(&named.stdout);
    assert_eq!(run(folder.path(), &["check", "--explain-why", "--format", "json"]).code, Some(2));
}
