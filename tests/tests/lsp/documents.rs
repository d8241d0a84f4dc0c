//! Opening, changing, saving and closing.

use flowgate_tests::Folder;
use serde_json::json;

use crate::client::{Client, range, uri};
use crate::{ANY_TOOL, GOOD_FLOW, THREE_FAULTS};

#[tokio::test]
async fn a_burst_of_changes_is_taken_in_order() {
    const KEYS: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let text = "inputs: {}\noutputs:\n  o:\n    type: string\n    reference: ${.output}\nnodes: []\n";
    let folder = Folder::with("lsp-burst", &[("flow.dag.yaml", text)]);
    let flow = folder.path().join("flow.dag.yaml");
    let mut client = Client::start(folder.path()).await;
    client.open(&flow, text).await;
    assert_eq!(client.published(&flow).await.version, Some(1));
    for (index, key) in KEYS.chars().enumerate() {
        client.edit(&flow, index as i64 + 2, range(4, 17 + index, 17 + index), &key.to_string()).await;
    }
    let last = KEYS.len() as i64 + 1;
    let mut version = 1;
    let end = loop {
        let published = client.published(&flow).await;
        let now = published.version.expect("a version");
        assert!(now > version, "version {now} after {version}");
        version = now;
        if now == last {
            break published;
        }
    };
    let message = end.diagnostics[0]["message"].as_str().unwrap();
    assert!(message.contains(KEYS), "{message}");
    client.finish().await;
}

#[tokio::test]
async fn several_changes_in_one_message_build_on_each_other() {
    let folder =
        Folder::with("lsp-changes", &[("flow.dag.yaml", GOOD_FLOW), ("answer.py", ANY_TOOL), ("requirements.txt", "")]);
    let flow = folder.path().join("flow.dag.yaml");
    let mut client = Client::start(folder.path()).await;
    client.open(&flow, GOOD_FLOW).await;
    assert!(client.published(&flow).await.findings().is_empty());
    assert!(client.published(&folder.path().join("requirements.txt")).await.findings().is_empty());
    let changes = json!([{"range": range(14, 10, 19), "text": ""}, {"range": range(0, 0, 0), "text": "\n\n"}, {"range": range(16, 10, 10), "text": "other.py"}]);
    client
        .notify(
            "textDocument/didChange",
            json!({"textDocument": {"uri": uri(&flow), "version": 2}, "contentChanges": changes}),
        )
        .await;
    assert_eq!(client.published(&flow).await.findings(), ["16:10-18 missing-source-file"]);
    client.finish().await;
}

#[tokio::test]
async fn closing_clears_what_was_shown() {
    let folder =
        Folder::with("lsp-close", &[("flow.dag.yaml", THREE_FAULTS), ("requirements.txt", "promptflow==1.18.5\n")]);
    let (flow, requirements) = (folder.path().join("flow.dag.yaml"), folder.path().join("requirements.txt"));
    let mut client = Client::start(folder.path()).await;
    client.open(&flow, THREE_FAULTS).await;
    assert!(!client.published(&flow).await.diagnostics.is_empty());
    assert_eq!(client.published(&requirements).await.findings(), ["0:0-18 pinned-promptflow"]);

    client.open(&requirements, "promptflow\n").await;
    let unsaved = client.published(&requirements).await;
    assert_eq!((unsaved.version, unsaved.findings().len()), (Some(1), 0));
    // The flow is still open, so the file's findings are those of the disk again.
    client.close(&requirements).await;
    let cleared = client.published(&requirements).await;
    assert_eq!((cleared.version, cleared.findings().len()), (None, 0));
    assert_eq!(client.published(&requirements).await.findings(), ["0:0-18 pinned-promptflow"]);

    client.close(&flow).await;
    assert!(client.published(&flow).await.diagnostics.is_empty());
    assert!(client.published(&requirements).await.diagnostics.is_empty());
    client.finish().await;
}

#[tokio::test]
async fn a_file_that_goes_from_the_disk_is_missed() {
    let folder =
        Folder::with("lsp-watch", &[("flow.dag.yaml", GOOD_FLOW), ("answer.py", ANY_TOOL), ("requirements.txt", "")]);
    let (flow, requirements) = (folder.path().join("flow.dag.yaml"), folder.path().join("requirements.txt"));
    let mut client = Client::start_with(
        folder.path(),
        json!({"workspace": {"didChangeWatchedFiles": {"dynamicRegistration": true}}}),
    )
    .await;
    let registration = client.told("client/registerCapability").await;
    let watchers = registration["params"]["registrations"][0]["registerOptions"]["watchers"].as_array().unwrap();
    assert!(watchers.iter().any(|watcher| watcher["globPattern"] == "**/*.txt"), "{watchers:?}");
    client.send(json!({"jsonrpc": "2.0", "id": registration["id"], "result": null})).await;
    client.open(&flow, GOOD_FLOW).await;
    assert!(client.published(&flow).await.findings().is_empty());
    assert!(client.published(&requirements).await.findings().is_empty());

    std::fs::remove_file(&requirements).unwrap();
    client.disk_event(&requirements, 3).await;
    assert_eq!(client.published(&flow).await.findings(), ["1:27-43 requirements-path-not-found"]);
    assert!(client.published(&requirements).await.findings().is_empty());

    folder.write("requirements.txt", "promptflow==1.18.5\n");
    client.disk_event(&requirements, 1).await;
    assert!(client.published(&flow).await.findings().is_empty());
    assert_eq!(client.published(&requirements).await.findings(), ["0:0-18 pinned-promptflow"]);
    client.finish().await;
}

#[tokio::test]
async fn without_a_watch_the_disk_is_looked_at_on_save() {
    let folder = Folder::with("lsp-save", &[("flow.dag.yaml", GOOD_FLOW), ("requirements.txt", "")]);
    let flow = folder.path().join("flow.dag.yaml");
    let mut client = Client::start(folder.path()).await;
    client.open(&flow, GOOD_FLOW).await;
    assert_eq!(client.published(&flow).await.findings(), ["14:10-19 missing-source-file"]);
    assert!(client.published(&folder.path().join("requirements.txt")).await.findings().is_empty());
    folder.write("answer.py", ANY_TOOL);
    client.save(&flow).await;
    assert!(client.published(&flow).await.findings().is_empty());
    client.finish().await;
}

#[tokio::test]
async fn an_editor_that_refuses_the_watch_is_served_all_the_same() {
    let folder =
        Folder::with("lsp-refuse", &[("flow.dag.yaml", GOOD_FLOW), ("answer.py", ANY_TOOL), ("requirements.txt", "")]);
    let flow = folder.path().join("flow.dag.yaml");
    let mut client = Client::start_with(
        folder.path(),
        json!({"workspace": {"didChangeWatchedFiles": {"dynamicRegistration": true}}}),
    )
    .await;
    let registration = client.told("client/registerCapability").await;
    client.send(json!({"jsonrpc": "2.0", "id": registration["id"], "error": {"code": -32603, "message": "no"}})).await;
    let said = client.told("window/logMessage").await["params"]["message"].to_string();
    assert!(said.contains("opened or saved"), "{said}");
    client.open(&flow, GOOD_FLOW).await;
    assert_eq!(client.published(&flow).await.version, Some(1));
    assert_eq!(client.published(&folder.path().join("requirements.txt")).await.version, None);
    client.finish().await;
}

#[tokio::test]
async fn what_is_no_file_or_none_of_ours_is_left_alone() {
    let folder = Folder::with("lsp-other", &[("notes.txt", ""), ("config.yaml", "a: [")]);
    let flow = folder.path().join("flow.dag.yaml");
    let mut client = Client::start(folder.path()).await;
    client.open_as("untitled:flow.dag.yaml", "nodes: 1\n").await;
    client.open_as(&uri(&flow).replace("file:", "git:"), "nodes: 1\n").await;
    client.open(&folder.path().join("notes.txt"), "promptflow==1.0\n").await;
    client.open(&folder.path().join("config.yaml"), "a: [").await;
    client.edit(&folder.path().join("unknown/flow.dag.yaml"), 7, range(0, 0, 0), "x").await;
    client.save(&flow).await;
    client.close(&flow).await;
    assert!(client.actions(&folder.path().join("notes.txt"), range(0, 0, 0), None).await.is_empty());
    client.finish().await;
}

#[tokio::test]
async fn a_pipe_stops_no_findings_and_what_is_outside_the_workspace_is_not_read() {
    let text = GOOD_FLOW.replace("path: answer.py", "path: ../../outside/answer.py");
    let folder = Folder::with(
        "lsp-pipe",
        &[
            ("open/piped/flow.dag.yaml", GOOD_FLOW),
            ("open/piped/requirements.txt", ""),
            ("open/out/flow.dag.yaml", &text),
            ("open/out/requirements.txt", ""),
            ("outside/answer.py", "SECRET"),
        ],
    );
    let path = |name: &str| folder.path().join(name);
    let pipe = path("open/piped/answer.py");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let mut client = Client::start(&path("open")).await;
    client.open(&path("open/piped/flow.dag.yaml"), GOOD_FLOW).await;
    let published = client.published(&path("open/piped/flow.dag.yaml")).await;
    assert_eq!(published.findings(), ["14:10-19 unreadable-file"]);
    client.open(&path("open/out/flow.dag.yaml"), &text).await;
    let published = client.published(&path("open/out/flow.dag.yaml")).await;
    assert_eq!(published.findings(), ["14:10-33 outside-repository"]);
    client.finish().await;
}
