//! What is published of a text.

use flowgate_tests::{Folder, run};
use serde_json::{Value, json};

use crate::client::Client;
use crate::{ANY_TOOL, GOOD_FLOW, THREE_FAULTS};

#[tokio::test]
async fn a_flow_gets_the_findings_that_the_command_line_prints() {
    let folder = Folder::with(
        "lsp-same",
        &[
            ("flow.dag.yaml", &THREE_FAULTS.replace("text: ${inputs.text}", "\"😀\": ${inputs.txet}")),
            ("requirements.txt", "# é\n-r more.txt\n"),
            ("more.txt", "promptflow[azure]==1.10.0\n"),
        ],
    );
    let printed = run(folder.path(), &["check", "--format", "json", "--fail-on", "never", "flow.dag.yaml"]);
    let printed: Value = serde_json::from_str(&printed.stdout).expect("the report");
    let mut client = Client::start_with(folder.path(), json!({"general": {"positionEncodings": ["utf-32"]}})).await;
    client
        .open(
            &folder.path().join("flow.dag.yaml"),
            &std::fs::read_to_string(folder.path().join("flow.dag.yaml")).unwrap(),
        )
        .await;
    let mut compared = 0;
    for file in ["flow.dag.yaml", "more.txt", "requirements.txt"] {
        let published = client.published(&folder.path().join(file)).await;
        let expected: Vec<Value> =
            printed["findings"].as_array().unwrap().iter().filter(|finding| finding["path"] == file).cloned().collect();
        assert_eq!(published.diagnostics.len(), expected.len(), "{file}");
        for (shown, expected) in published.diagnostics.iter().zip(&expected) {
            compared += 1;
            assert_eq!(shown["code"], expected["rule"]);
            assert_eq!(shown["source"], "flowgate");
            let message = [expected["message"].as_str(), expected["help"].as_str()]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join("\nhelp: ");
            assert_eq!(shown["message"], message);
            let level = ["", "error", "warning", "information", "hint"]
                [usize::try_from(shown["severity"].as_u64().unwrap()).unwrap()];
            assert_eq!(level, expected["level"]);
            for side in ["start", "end"] {
                let place = (
                    shown["range"][side]["line"].as_u64().unwrap() + 1,
                    shown["range"][side]["character"].as_u64().unwrap() + 1,
                );
                assert_eq!(
                    place,
                    (expected[side]["line"].as_u64().unwrap(), expected[side]["column"].as_u64().unwrap())
                );
            }
        }
    }
    assert!(compared >= 4, "only {compared} findings: {printed}");
    client.finish().await;
}

#[tokio::test]
async fn a_finding_leads_to_its_rule_and_to_the_places_that_explain_it() {
    let text = "inputs: {}\noutputs: {}\nnodes:\n- name: a\n  type: python\n  source: {type: code, path: a.py}\n- name: a\n  type: python\n  source: {type: code, path: a.py}\n";
    let folder = Folder::with("lsp-related", &[("flow.dag.yaml", text), ("a.py", ANY_TOOL)]);
    let flow = folder.path().join("flow.dag.yaml");
    for related in [true, false] {
        let mut client = Client::start_with(
            folder.path(),
            json!({"textDocument": {"publishDiagnostics": {"relatedInformation": related}}}),
        )
        .await;
        client.open(&flow, text).await;
        let published = client.published(&flow).await;
        assert_eq!(published.findings(), ["6:8-9 duplicate-node-name"]);
        let shown = &published.diagnostics[0];
        let page = shown["codeDescription"]["href"].as_str().unwrap();
        assert!(page.ends_with("/docs/rules/duplicate-node-name.md"), "{page}");
        let first = &shown["relatedInformation"][0]["location"];
        if related {
            assert_eq!(*first, json!({"uri": crate::client::uri(&flow), "range": crate::client::range(3, 8, 9)}));
        } else {
            assert!(first.is_null());
        }
        client.finish().await;
    }
}

#[tokio::test]
async fn columns_count_what_the_editor_counts() {
    let text =
        "inputs:\n  a: {type: string}\noutputs:\n  é😀: {type: string, reference: \"${none.output}\"}\nnodes: []\n";
    let folder = Folder::with("lsp-columns", &[("flow.dag.yaml", text)]);
    let flow = folder.path().join("flow.dag.yaml");
    for (offered, chosen, column) in [
        (json!(null), "utf-16", 36),
        (json!(["utf-16"]), "utf-16", 36),
        (json!(["utf-32", "utf-16"]), "utf-16", 36),
        (json!(["utf-32"]), "utf-32", 35),
        (json!(["utf-16", "utf-8"]), "utf-8", 39),
    ] {
        let mut client = Client::start_with(folder.path(), json!({"general": {"positionEncodings": offered}})).await;
        assert_eq!(client.capabilities["capabilities"]["positionEncoding"], chosen);
        client.open(&flow, text).await;
        let published = client.published(&flow).await;
        let found = published.findings();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(&format!("3:{column}-")), "{chosen}: {found:?}");
        // What the editor inserts before the finding moves it by as much as the editor counts.
        let before = if chosen == "utf-8" { 6 } else { usize::from(chosen == "utf-16") + 2 };
        client.edit(&flow, 2, crate::client::range(3, 2 + before, 2 + before), "😀").await;
        let moved = client.published(&flow).await;
        let width = match chosen {
            "utf-8" => 4,
            "utf-16" => 2,
            _ => 1,
        };
        assert!(moved.findings()[0].starts_with(&format!("3:{}-", column + width)), "{chosen}: {:?}", moved.findings());
        client.finish().await;
    }
}

#[tokio::test]
async fn a_text_that_does_not_parse_keeps_its_findings() {
    let folder =
        Folder::with("lsp-broken", &[("flow.dag.yaml", GOOD_FLOW), ("answer.py", ANY_TOOL), ("requirements.txt", "")]);
    let flow = folder.path().join("flow.dag.yaml");
    let mut client = Client::start(folder.path()).await;
    client.open(&flow, &GOOD_FLOW.replace("answer.py", "other.py")).await;
    assert_eq!(client.published(&flow).await.findings(), ["14:10-18 missing-source-file"]);
    assert!(client.published(&folder.path().join("requirements.txt")).await.findings().is_empty());
    client.edit(&flow, 2, crate::client::range(2, 0, 0), "half\n").await;
    let broken = client.published(&flow).await;
    assert_eq!(broken.version, Some(2));
    assert!(broken.findings().iter().any(|finding| finding.ends_with("yaml-syntax")), "{:?}", broken.findings());
    assert!(broken.findings().contains(&"15:10-18 missing-source-file".to_owned()), "{:?}", broken.findings());
    client.finish().await;
}

#[tokio::test]
async fn a_configuration_counts_and_a_bad_one_is_told_once() {
    let text = GOOD_FLOW.replace("answer.py", "other.py");
    let folder = Folder::with(
        "lsp-config",
        &[("flow.dag.yaml", &text), ("flowgate.yaml", "check:\n  rules:\n    missing-source-file: hint\n")],
    );
    let flow = folder.path().join("flow.dag.yaml");
    let mut client = Client::start(folder.path()).await;
    client.open(&flow, &text).await;
    let severities = |published: &crate::client::Published| {
        published
            .diagnostics
            .iter()
            .map(|d| (d["code"].as_str().unwrap().to_owned(), d["severity"].as_u64().unwrap()))
            .collect::<Vec<_>>()
    };
    let published = severities(&client.published(&flow).await);
    assert_eq!(published, [("requirements-path-not-found".to_owned(), 1), ("missing-source-file".to_owned(), 4)]);

    folder.write("flowgate.yaml", "check:\n  rules:\n    missing-sauce-file: hint\n");
    client.disk_event(&folder.path().join("flowgate.yaml"), 2).await;
    let said = client.told("window/showMessage").await["params"]["message"].to_string();
    assert!(said.contains("missing-sauce-file") && said.contains("missing-source-file"), "{said}");
    assert_eq!(client.told("window/logMessage").await["params"]["message"].to_string(), said);
    let published = severities(&client.published(&flow).await);
    assert_eq!(published, [("requirements-path-not-found".to_owned(), 1), ("missing-source-file".to_owned(), 1)]);

    client.edit(&flow, 2, crate::client::range(0, 0, 0), "\n").await;
    assert_eq!(client.published(&flow).await.version, Some(2));
    client.finish().await;
}
