//! How a session ends, and what must not end it.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use flowgate_tests::{Folder, command};
use serde_json::{Value, json};

use crate::client::{Client, range, uri};
use crate::{ANY_TOOL, GOOD_FLOW};

#[tokio::test]
async fn nonsense_does_not_end_the_session() {
    let folder = Folder::with(
        "lsp-nonsense",
        &[("flow.dag.yaml", GOOD_FLOW), ("answer.py", ANY_TOOL), ("requirements.txt", "")],
    );
    let flow = folder.path().join("flow.dag.yaml");
    let mut client = Client::start(folder.path()).await;
    let unknown = client.ask("textDocument/noSuchMethod", json!({})).await;
    assert_eq!(client.answer(unknown).await["error"]["code"], -32601);
    client.notify("$/setTrace", json!({"value": "off"})).await;
    client.notify("$/cancelRequest", json!({"id": 4711})).await;
    client.notify("textDocument/didOpen", json!({"wrong": true})).await;
    let wrong = client.ask("textDocument/codeAction", json!({"textDocument": {"uri": uri(&flow)}})).await;
    assert_eq!(client.answer(wrong).await["error"]["code"], -32602);
    for body in ["{\"jsonrpc\": \"2.0\", ", "", "[]", "{}", "\"\\ud800\""] {
        client.send_raw(body).await;
    }
    client.open(&flow, GOOD_FLOW).await;
    // Half a character, as an editor sends it that was told to cut one in two.
    let edit = json!({"jsonrpc": "2.0", "method": "textDocument/didChange", "params": {"textDocument": {"uri": uri(&flow), "version": 2}, "contentChanges": [{"range": range(0, 0, 0), "text": "# HALF\n"}]}});
    client.send_raw(&edit.to_string().replace("HALF", "\\ud83d")).await;
    let cancelled = client
        .ask(
            "textDocument/codeAction",
            json!({"textDocument": {"uri": uri(&flow)}, "range": range(0, 0, 0), "context": {"diagnostics": []}}),
        )
        .await;
    client.notify("$/cancelRequest", json!({"id": cancelled})).await;
    let answer = client.answer(cancelled).await;
    assert!(answer["result"].is_array() || answer["error"]["code"] == -32800, "{answer}");
    while client.published(&flow).await.version != Some(2) {}
    assert!(client.published(&folder.path().join("requirements.txt")).await.findings().is_empty());
    client.finish().await;
}

#[tokio::test]
async fn an_exit_without_a_shutdown_is_an_error() {
    let mut client = Client::connect();
    client.send(json!({"jsonrpc": "2.0", "method": "exit"})).await;
    assert_eq!(client.ended().await, 1);
}

#[cfg(unix)]
#[tokio::test]
async fn the_server_ends_with_the_editor_that_started_it() {
    let mut editor = Command::new("sleep").arg("600").spawn().expect("a process");
    let mut client = Client::connect();
    client.request("initialize", json!({"processId": editor.id(), "rootUri": null, "capabilities": {}})).await;
    editor.kill().expect("it ends");
    editor.wait().expect("it is gone");
    assert_eq!(client.ended().await, 1);
}

#[tokio::test]
async fn an_editor_that_cannot_be_seen_is_not_missed() {
    let folder = Folder::with("lsp-container", &[("flow.dag.yaml", "nodes: []\n")]);
    let flow = folder.path().join("flow.dag.yaml");
    // The number of no process, as that of an editor outside of this container may be.
    let mut client = Client::start_as(json!({"processId": i32::MAX, "rootUri": null, "capabilities": {}})).await;
    client.open(&flow, "nodes: []\n").await;
    assert_eq!(client.published(&flow).await.version, Some(1));
    client.finish().await;
}

/// The same over the built binary, whose input stays open.
#[test]
fn the_process_ends_at_exit_though_its_input_stays_open() {
    let folder = Folder::new("lsp-exit");
    for (messages, code) in [(&["initialize", "shutdown", "exit"][..], 0), (&["initialize", "exit"], 1)] {
        let mut server = command(folder.path(), &["lsp"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("flowgate starts");
        let mut input = server.stdin.take().expect("its input");
        let mut output = BufReader::new(server.stdout.take().expect("its output"));
        for (id, method) in messages.iter().enumerate() {
            send(&mut input, id, method);
            if *method != "exit" {
                assert_eq!(answer(&mut output)["id"], id);
            }
        }
        let status = server.wait().expect("the server ends");
        drop(input);
        assert_eq!(status.code(), Some(code), "{messages:?}");
    }
}

#[test]
fn an_editor_that_no_longer_listens_ends_the_process_quietly() {
    let folder = Folder::new("lsp-deaf");
    let mut server = command(folder.path(), &["lsp"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("flowgate starts");
    let mut input = server.stdin.take().expect("its input");
    drop(server.stdout.take());
    send(&mut input, 1, "initialize");
    let status = server.wait().expect("the server ends");
    let mut said = String::new();
    server.stderr.take().expect("its standard error").read_to_string(&mut said).expect("text");
    assert_eq!((status.code(), said.as_str()), (Some(1), ""));
}

fn send(input: &mut impl Write, id: usize, method: &str) {
    let mut message = json!({"jsonrpc": "2.0", "method": method});
    if method != "exit" {
        message["id"] = json!(id);
    }
    if method == "initialize" {
        message["params"] = json!({"processId": null, "rootUri": null, "capabilities": {}});
    }
    let body = message.to_string();
    write!(input, "Content-Length: {}\r\n\r\n{body}", body.len()).expect("the server reads");
}

fn answer(output: &mut impl BufRead) -> Value {
    let mut length = 0;
    loop {
        let mut line = String::new();
        output.read_line(&mut line).expect("a header");
        match line.trim_end() {
            "" => break,
            header => {
                length =
                    header.strip_prefix("Content-Length: ").map_or(length, |value| value.parse().expect("a length"))
            }
        }
    }
    let mut body = vec![0; length];
    output.read_exact(&mut body).expect("a body");
    serde_json::from_slice(&body).expect("JSON")
}
