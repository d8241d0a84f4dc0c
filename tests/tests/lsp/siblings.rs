//! The files beside flows, and the parts of flows.

use flowgate_tests::Folder;

use crate::client::{Client, range};
use crate::{ANY_TOOL, GOOD_FLOW};

#[tokio::test]
async fn files_beside_flows_are_told_by_name_and_text() {
    let run = "flow: .\ndata: rows.jsonl\ncolumn_mapping: {txt: \"${data.text}\"}\n";
    let connection = "name: c\ntype: open_ai\napi_key: <user-input>\napi_bse: x\n";
    let prompty = "---\nmodel: {configuration: {type: openai, model: gpt-4}, parameters: {}}\n---\nhi\n";
    let flow =
        "inputs:\n  text: {type: string}\noutputs:\n  o: {type: string, reference: \"${inputs.text}\"}\nnodes: []\n";
    let folder = Folder::with("lsp-siblings", &[("flow.dag.yaml", flow), ("rows.jsonl", "{\"text\": \"a\"}\n")]);
    let path = |name: &str| folder.path().join(name);
    let mut client = Client::start(folder.path()).await;
    client.open(&path("nightly.yml"), run).await;
    assert_eq!(client.published(&path("nightly.yml")).await.findings(), ["2:17-20 unknown-run-input"]);
    client.open(&path("c.yaml"), connection).await;
    assert_eq!(client.published(&path("c.yaml")).await.findings(), ["3:0-7 invalid-connection"]);
    client.open(&path("ask.prompty"), prompty).await;
    assert_eq!(client.published(&path("ask.prompty")).await.findings(), ["3:0-2 chat-prompt-missing-role"]);

    // A run specification follows the unsaved text of its flow.
    assert_eq!(client.published(&path("flow.dag.yaml")).await.version, None);
    client.open(&path("flow.dag.yaml"), flow).await;
    assert_eq!(client.published(&path("flow.dag.yaml")).await.version, Some(1));
    client.edit(&path("flow.dag.yaml"), 2, range(1, 2, 6), "txt").await;
    assert!(client.published(&path("nightly.yml")).await.findings().is_empty());
    assert_eq!(client.published(&path("flow.dag.yaml")).await.findings().len(), 1);
    // Another text is no connection any more.
    client.edit(&path("c.yaml"), 2, range(1, 0, 4), "kind").await;
    assert!(client.published(&path("c.yaml")).await.findings().is_empty());
    client.finish().await;
}

#[tokio::test]
async fn the_parts_of_a_flow_have_their_findings_when_they_alone_are_open() {
    let flow = GOOD_FLOW.to_owned() + "- name: ask\n  type: prompt\n  source: {type: code, path: ask.jinja2}\n";
    let template = "{{ question }}\n";
    let folder = Folder::with(
        "lsp-parts",
        &[("flow.dag.yaml", &flow), ("answer.py", ANY_TOOL), ("ask.jinja2", template), ("requirements.txt", "")],
    );
    let path = |name: &str| folder.path().join(name);
    let mut client = Client::start(folder.path()).await;
    client.open(&path("ask.jinja2"), template).await;
    assert_eq!(client.published(&path("ask.jinja2")).await.findings(), ["0:3-11 prompt-variable-not-supplied"]);
    client.open(&path("answer.py"), ANY_TOOL).await;
    assert_eq!(client.published(&path("answer.py")).await.version, Some(1));
    client.finish().await;
}
