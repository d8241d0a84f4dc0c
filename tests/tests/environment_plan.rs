//! `flowgate environment plan`, with no engine anywhere: what an environment's address covers.

use flowgate_tests::{Folder, command};
use serde_json::Value;

const FLOW: &str = "inputs: {}\noutputs: {}\nnodes: []\n";

fn flow(files: &[(&str, &str)]) -> Folder {
    let folder = Folder::with("plan", &[("flow.dag.yaml", FLOW)]);
    files.iter().for_each(|(name, text)| folder.write(name, text));
    folder
}

fn plan_with(folder: &Folder, variables: &[(&str, &str)]) -> Value {
    let mut command = command(folder.path(), &["environment", "plan", "--format", "json"]);
    let socket = format!("unix://{}", folder.path().join("no.sock").display());
    let done = command.env("DOCKER_HOST", socket).envs(variables.iter().copied()).output().expect("flowgate starts");
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).expect("JSON")
}

fn plan(files: &[(&str, &str)]) -> Value {
    plan_with(&flow(files), &[])
}

fn key(files: &[(&str, &str)]) -> String {
    plan(files)["key"].as_str().expect("a key").to_owned()
}

#[test]
fn a_plan_says_what_is_needed_and_asks_nobody() {
    let found = plan(&[
        (
            "requirements.txt",
            "# comment\nNumPy>=2\n-r more.txt\n--extra-index-url https://{private}@feed.example/simple\n",
        ),
        ("more.txt", "requests==2.0 # why\n"),
    ]);
    assert_eq!(found["version"], 1);
    assert_eq!(found["base"], "flowgate-base:1.18.5");
    let lines: Vec<_> = found["requirements"].as_array().unwrap().iter().map(|r| (&r["line"], &r["place"])).collect();
    assert_eq!(
        serde_json::to_value(lines).unwrap(),
        serde_json::json!([["NumPy>=2", "requirements.txt:2"], ["requests==2.0", "more.txt:1"]])
    );
    assert_eq!(found["index_hosts"], serde_json::json!(["pypi.org", "feed.example"]));
    assert_eq!(found["python"], "3.11");
    assert!(found["platform"].as_str().unwrap().starts_with("linux/"));
    assert_eq!(found["cached"], Value::Null);
    let key = found["key"].as_str().unwrap();
    assert_eq!(key.len(), 64);
    assert_eq!(found["image"], format!("flowgate-env:trusted-{}", &key[..16]));
}

#[test]
fn comments_order_and_spelling_do_not_change_the_key() {
    let one = key(&[("requirements.txt", "numpy>=2,<3\nRequests_Toolbelt==1.0\n")]);
    for same in [
        "# new comment\nnumpy>=2,<3\nRequests_Toolbelt==1.0\n",
        "Requests_Toolbelt==1.0\nnumpy>=2,<3\n",
        "requests-toolbelt == 1.0  # why\n\nNumPy <3 , >=2\n",
        "numpy>=2,\\\n  <3\nrequests.toolbelt==1.0\nnumpy>=2,<3\n",
    ] {
        assert_eq!(key(&[("requirements.txt", same)]), one, "{same}");
    }
    // A nested file is inlined: where a line stands does not count.
    assert_eq!(key(&[("requirements.txt", "-r a.txt\nnumpy>=2,<3\n"), ("a.txt", "requests-toolbelt==1.0\n")]), one);
}

#[test]
fn each_of_these_changes_the_key() {
    let files: &[(&str, &str)] = &[
        ("requirements.txt", "numpy>=2\n-r more.txt\n-c limits.txt\n./pkg\n"),
        ("more.txt", "requests\n"),
        ("limits.txt", "idna<4\n"),
        ("pkg/setup.py", "one\n"),
    ];
    fn with<'t>(files: &[(&'t str, &'t str)], name: &'t str, text: &'t str) -> Vec<(&'t str, &'t str)> {
        let mut changed: Vec<(&str, &str)> = files.iter().copied().filter(|(file, _)| *file != name).collect();
        changed.push((name, text));
        changed
    }
    let mut keys = vec![key(files)];
    let all = "numpy>=2\n-r more.txt\n-c limits.txt\n./pkg\n";
    keys.push(key(&with(files, "requirements.txt", &all.replace("numpy>=2", "numpy>=2.1"))));
    keys.push(key(&with(files, "more.txt", "requests>=2\n")));
    keys.push(key(&with(files, "limits.txt", "idna<5\n")));
    keys.push(key(&with(files, "pkg/setup.py", "two\n")));
    keys.push(key(&with(files, "pkg/new.py", "")));
    keys.push(key(&with(files, "requirements.txt", &format!("-i https://feed.example/simple\n{all}"))));
    keys.push(key(&with(files, "requirements.txt", &format!("-i https://other.example/simple\n{all}"))));
    keys.push(key(&with(files, "requirements.txt", &format!("--pre\n{all}"))));
    keys.push(key(&with(files, "flowgate.yaml", "environment: {python: \"3.12\"}\n")));
    let folder = flow(files);
    for platform in ["linux/amd64", "linux/arm64"] {
        let found = plan_with(&folder, &[("DOCKER_DEFAULT_PLATFORM", platform)]);
        assert_eq!(found["platform"], platform);
        keys.push(found["key"].as_str().unwrap().to_owned());
    }
    let here = keys.iter().filter(|key| **key == keys[0]).count();
    assert_eq!(here, 2, "only this machine's own platform gives the same key");
    let mut distinct = keys.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), keys.len() - 1);
}

#[test]
fn what_cannot_be_planned_says_why() {
    let refused = |files: &[(&str, &str)], code: i32, words: &[&str]| {
        let folder = flow(files);
        let socket = format!("unix://{}", folder.path().join("no.sock").display());
        let mut command = command(folder.path(), &["environment", "plan"]);
        let done = flowgate_tests::Finished::of(command.env("DOCKER_HOST", socket).output().expect("flowgate starts"));
        assert_eq!(done.code, Some(code), "{done:?}");
        words.iter().for_each(|word| assert!(done.stderr.contains(word), "{word}: {}", done.stderr));
    };
    refused(
        &[("requirements.txt", "../outside\n")],
        4,
        &["`../outside` is outside the flow's folder", "additional_includes"],
    );
    refused(&[("requirements.txt", "./none\n")], 4, &["the requirement `none` is not in the flow's folder"]);
    refused(&[("requirements.txt", "a --hash\n")], 4, &["requirements.txt:1: pip refuses"]);
    refused(&[("flowgate.yaml", "environment: {python: \"2.7\"}\n")], 4, &["environment.python is `2.7`", "3.10"]);
    refused(&[("flowgate.yaml", "environment: {pyton: \"3.11\"}\n")], 2, &["unknown field `pyton`"]);
    // Only an engine knows what an image holds.
    refused(
        &[("flow.dag.yaml", "environment: {image: \"host.example/some:1\"}\nnodes: []\n")],
        8,
        &["no Docker engine answers"],
    );
}

#[test]
fn one_flow_at_a_time_and_a_run_specification_is_none() {
    let folder = flow(&[(
        "run.yml",
        "$schema: https://azuremlschemas.azureedge.net/promptflow/latest/Run.schema.json\nflow: .\n",
    )]);
    assert_eq!(plan_with(&folder, &[])["base"], "flowgate-base:1.18.5");
    folder.write("below/a/flow.dag.yaml", FLOW);
    folder.write("below/b/flow.dag.yaml", FLOW);
    let done = flowgate_tests::run(folder.path(), &["environment", "plan", "below"]);
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(done.stderr.contains("name one of them: below/a/flow.dag.yaml, below/b/flow.dag.yaml"), "{done:?}");
    let done = flowgate_tests::run(folder.path(), &["environment", "plan", "run.yml"]);
    assert!(done.code == Some(2) && done.stderr.contains("run.yml: not a flow"), "{done:?}");
}
