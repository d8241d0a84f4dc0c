//! A requirements file belongs to the flows that name it.

use flowgate_tests::Folder;
use serde_json::json;

use crate::client::{Client, range, uri};
use crate::{ANY_TOOL, GOOD_FLOW};

const PINNED: &str = "promptflow==1.18.5\n";

#[tokio::test]
async fn a_text_that_was_never_saved_counts_for_the_flow_that_names_it() {
    let folder = Folder::with("lsp-unsaved", &[("flow.dag.yaml", GOOD_FLOW), ("answer.py", ANY_TOOL)]);
    let (flow, requirements) = (folder.path().join("flow.dag.yaml"), folder.path().join("requirements.txt"));
    let mut client = Client::start(folder.path()).await;
    client.open(&flow, GOOD_FLOW).await;
    assert_eq!(client.published(&flow).await.findings(), ["1:27-43 requirements-path-not-found"]);
    client.open(&requirements, PINNED).await;
    assert!(client.published(&flow).await.findings().is_empty());
    assert_eq!(client.published(&requirements).await.findings(), ["0:0-18 pinned-promptflow"]);
    client.close(&requirements).await;
    assert_eq!(client.published(&flow).await.findings(), ["1:27-43 requirements-path-not-found"]);
    assert!(client.published(&requirements).await.findings().is_empty());
    client.finish().await;
}

#[tokio::test]
async fn an_unsaved_flow_decides_which_files_are_its_requirements() {
    let folder = Folder::with(
        "lsp-rename",
        &[("flow.dag.yaml", GOOD_FLOW), ("answer.py", ANY_TOOL), ("requirements.txt", PINNED), ("deps.txt", "")],
    );
    let (flow, requirements, deps) =
        (folder.path().join("flow.dag.yaml"), folder.path().join("requirements.txt"), folder.path().join("deps.txt"));
    let mut client = Client::start(folder.path()).await;
    client.open(&flow, GOOD_FLOW).await;
    assert!(client.published(&flow).await.findings().is_empty());
    assert_eq!(client.published(&requirements).await.findings().len(), 1);
    client.open(&deps, PINNED).await;
    client.edit(&flow, 2, range(1, 27, 43), "deps.txt").await;
    assert_eq!(client.published(&deps).await.findings(), ["0:0-18 pinned-promptflow"]);
    assert!(client.published(&requirements).await.findings().is_empty());
    assert_eq!(client.published(&flow).await.version, Some(2));
    client.edit(&flow, 3, range(1, 27, 35), "requirements.txt").await;
    assert!(client.published(&deps).await.findings().is_empty());
    assert_eq!(client.published(&requirements).await.findings().len(), 1);
    assert_eq!(client.published(&flow).await.version, Some(3));
    client.finish().await;
}

#[tokio::test]
async fn a_file_of_two_flows_shows_each_finding_once() {
    let flow = "additional_includes: [../requirements.txt]\nenvironment:\n  python_requirements_txt: requirements.txt\nnodes: []\n";
    let folder = Folder::with(
        "lsp-shared",
        &[("a/flow.dag.yaml", flow), ("b/flow.dag.yaml", flow), ("requirements.txt", PINNED)],
    );
    let (a, b, requirements) = (
        folder.path().join("a/flow.dag.yaml"),
        folder.path().join("b/flow.dag.yaml"),
        folder.path().join("requirements.txt"),
    );
    let mut client = Client::start(folder.path()).await;
    client.open(&a, flow).await;
    assert_eq!(client.published(&a).await.version, Some(1));
    assert_eq!(client.published(&requirements).await.findings(), ["0:0-18 pinned-promptflow"]);
    client.open(&b, flow).await;
    assert_eq!(client.published(&b).await.version, Some(1));
    client.open(&requirements, PINNED).await;
    let shared = client.published(&requirements).await;
    assert_eq!((shared.version, shared.findings()), (Some(1), vec!["0:0-18 pinned-promptflow".to_owned()]));
    assert_eq!(client.actions(&requirements, range(0, 3, 3), None).await.len(), 1);
    // One flow closes; the other still owns the file.
    client.close(&a).await;
    assert!(client.published(&a).await.findings().is_empty());
    client.edit(&requirements, 2, range(0, 0, 0), "# why\n").await;
    assert_eq!(client.published(&requirements).await.findings(), ["1:0-18 pinned-promptflow"]);
    client.finish().await;
}

#[tokio::test]
async fn a_file_that_is_opened_alone_finds_its_flow_above_it() {
    let flow = GOOD_FLOW.replace("requirements.txt", "environment/deps.txt");
    let folder = Folder::with("lsp-above", &[("flow.dag.yaml", &flow), ("environment/deps.txt", PINNED)]);
    let deps = folder.path().join("environment/deps.txt");
    // No folder is open in this editor.
    let mut client = Client::start_as(json!({"processId": null, "rootUri": null, "capabilities": {}})).await;
    client.open(&deps, PINNED).await;
    assert_eq!(client.published(&deps).await.findings(), ["0:0-18 pinned-promptflow"]);
    client.finish().await;
}

#[tokio::test]
async fn a_file_that_is_opened_alone_finds_its_flow_elsewhere_in_the_workspace() {
    let flow =
        "additional_includes: [../../shared/deps.txt]\nenvironment:\n  python_requirements_txt: deps.txt\nnodes: []\n";
    let folder = Folder::with("lsp-below", &[("flows/a/flow.dag.yaml", flow), ("shared/deps.txt", PINNED)]);
    let deps = folder.path().join("shared/deps.txt");
    let mut client = Client::start_as(json!({"processId": null, "rootUri": null, "capabilities": {}})).await;
    client.open(&deps, PINNED).await;
    assert!(client.actions(&deps, range(0, 0, 0), None).await.is_empty());
    client
        .notify(
            "workspace/didChangeWorkspaceFolders",
            json!({"event": {"added": [{"uri": uri(folder.path()), "name": "w"}], "removed": []}}),
        )
        .await;
    assert_eq!(client.published(&deps).await.findings(), ["0:0-18 pinned-promptflow"]);
    client.finish().await;
}

#[tokio::test]
async fn a_requirements_file_without_a_flow_is_checked_with_what_it_includes() {
    let folder = Folder::with("lsp-alone", &[("requirements.txt", "-r more.txt\n"), ("more.txt", "")]);
    let (requirements, more) = (folder.path().join("requirements.txt"), folder.path().join("more.txt"));
    let mut client = Client::start(folder.path()).await;
    client.open(&requirements, "-r more.txt\npromptflow<2\n").await;
    assert_eq!(client.published(&requirements).await.findings(), ["1:0-12 pinned-promptflow"]);
    assert!(client.published(&more).await.findings().is_empty());
    client.finish().await;
}
