//! An editor in a few lines: it speaks to the server over a pipe, and a message that no test asked
//! for is a failure.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream, ReadHalf, WriteHalf};
use tokio::task::JoinHandle;

/// Longer than any answer takes, so that a server that is silent fails the test.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Client {
    reader: BufReader<ReadHalf<DuplexStream>>,
    writer: WriteHalf<DuplexStream>,
    server: JoinHandle<u8>,
    unread: VecDeque<Value>,
    requests: i64,
    /// The answer to `initialize`.
    pub(crate) capabilities: Value,
}

/// What one `textDocument/publishDiagnostics` said.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) version: Option<i64>,
    pub(crate) diagnostics: Vec<Value>,
}

impl Published {
    /// `LINE:COLUMN-COLUMN rule` of each finding, counted from 0.
    pub(crate) fn findings(&self) -> Vec<String> {
        let one = |diagnostic: &Value| {
            let (start, end) = (&diagnostic["range"]["start"], &diagnostic["range"]["end"]);
            format!(
                "{}:{}-{} {}",
                start["line"],
                start["character"],
                end["character"],
                diagnostic["code"].as_str().expect("a rule")
            )
        };
        self.diagnostics.iter().map(one).collect()
    }
}

pub(crate) fn uri(path: &Path) -> String {
    format!("file://{}", path.to_str().expect("a path of plain letters"))
}

/// A place, counted from 0.
pub(crate) fn at(line: usize, character: usize) -> Value {
    json!({"line": line, "character": character})
}

/// The range between two places of one line.
pub(crate) fn range(line: usize, start: usize, end: usize) -> Value {
    json!({"start": at(line, start), "end": at(line, end)})
}

impl Client {
    /// An editor that has opened a folder, can do what an editor must, and nothing else.
    pub(crate) async fn start(folder: &Path) -> Self {
        Self::start_with(folder, json!({})).await
    }

    /// An editor with capabilities.
    pub(crate) async fn start_with(folder: &Path, capabilities: Value) -> Self {
        let folders = json!([{"uri": uri(folder), "name": "workspace"}]);
        Self::start_as(json!({"processId": null, "rootUri": uri(folder), "workspaceFolders": folders, "capabilities": capabilities})).await
    }

    /// An editor that begins in its own way.
    pub(crate) async fn start_as(params: Value) -> Self {
        let mut client = Self::connect();
        client.capabilities = client.request("initialize", params).await;
        client.notify("initialized", json!({})).await;
        client
    }

    /// An editor that has said nothing yet.
    pub(crate) fn connect() -> Self {
        let (own, servers) = tokio::io::duplex(64 * 1024);
        let (input, output) = tokio::io::split(servers);
        let server = tokio::spawn(flowgate_lsp::serve_over(input, output));
        let (reader, writer) = tokio::io::split(own);
        Self {
            reader: BufReader::new(reader),
            writer,
            server,
            unread: VecDeque::new(),
            requests: 0,
            capabilities: Value::Null,
        }
    }

    pub(crate) async fn send_raw(&mut self, body: &str) {
        let message = format!("Content-Length: {}\r\n\r\n{body}", body.len());
        if self.writer.write_all(message.as_bytes()).await.is_err() {
            let ended = (&mut self.server).await;
            panic!("the server has ended: {ended:?}");
        }
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.send_raw(&message.to_string()).await;
    }

    pub(crate) async fn notify(&mut self, method: &str, params: Value) {
        self.send(json!({"jsonrpc": "2.0", "method": method, "params": params})).await;
    }

    /// Sends a request and gives its number.
    pub(crate) async fn ask(&mut self, method: &str, params: Value) -> i64 {
        self.requests += 1;
        self.send(json!({"jsonrpc": "2.0", "id": self.requests, "method": method, "params": params})).await;
        self.requests
    }

    /// The answer to a request, whole.
    pub(crate) async fn answer(&mut self, id: i64) -> Value {
        self.take(|message| message["id"] == id && message.get("method").is_none()).await
    }

    /// Sends a request and gives its result.
    pub(crate) async fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.ask(method, params).await;
        let answer = self.answer(id).await;
        answer.get("result").unwrap_or_else(|| panic!("{method} failed: {answer}")).clone()
    }

    async fn read(&mut self) -> Option<Value> {
        let mut length = 0;
        loop {
            let mut line = String::new();
            let read = tokio::time::timeout(PATIENCE, self.reader.read_line(&mut line)).await;
            if read.unwrap_or_else(|_| panic!("the server is silent; unread: {:?}", self.unread)).expect("a header")
                == 0
            {
                return None;
            }
            match line.trim_end() {
                "" => break,
                header => {
                    length =
                        header.strip_prefix("Content-Length: ").map_or(length, |value| value.parse().expect("a length"))
                }
            }
        }
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).await.expect("a body");
        Some(serde_json::from_slice(&body).expect("JSON"))
    }

    /// The first message that fits; those before it stay.
    pub(crate) async fn take(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        if let Some(index) = self.unread.iter().position(&fits) {
            return self.unread.remove(index).expect("a message");
        }
        loop {
            let message = self.read().await.expect("the server goes on");
            if fits(&message) {
                return message;
            }
            self.unread.push_back(message);
        }
    }

    /// The next notification or request of the server by that name.
    pub(crate) async fn told(&mut self, method: &str) -> Value {
        self.take(|message| message["method"] == method).await
    }

    /// The next findings of a file.
    pub(crate) async fn published(&mut self, path: &Path) -> Published {
        let uri = uri(path);
        let message = self
            .take(|message| message["method"] == "textDocument/publishDiagnostics" && message["params"]["uri"] == uri)
            .await;
        let params = &message["params"];
        Published {
            version: params["version"].as_i64(),
            diagnostics: params["diagnostics"].as_array().expect("an array").clone(),
        }
    }

    pub(crate) async fn open(&mut self, path: &Path, text: &str) {
        self.open_as(&uri(path), text).await;
    }

    pub(crate) async fn open_as(&mut self, uri: &str, text: &str) {
        self.notify(
            "textDocument/didOpen",
            json!({"textDocument": {"uri": uri, "languageId": "yaml", "version": 1, "text": text}}),
        )
        .await;
    }

    /// Replaces a range.
    pub(crate) async fn edit(&mut self, path: &Path, version: i64, range: Value, text: &str) {
        let changes = json!([{"range": range, "text": text}]);
        self.notify(
            "textDocument/didChange",
            json!({"textDocument": {"uri": uri(path), "version": version}, "contentChanges": changes}),
        )
        .await;
    }

    pub(crate) async fn save(&mut self, path: &Path) {
        self.notify("textDocument/didSave", json!({"textDocument": {"uri": uri(path)}})).await;
    }

    pub(crate) async fn close(&mut self, path: &Path) {
        self.notify("textDocument/didClose", json!({"textDocument": {"uri": uri(path)}})).await;
    }

    /// Says that a file has changed (2) or gone (3).
    pub(crate) async fn disk_event(&mut self, path: &Path, kind: u8) {
        self.notify("workspace/didChangeWatchedFiles", json!({"changes": [{"uri": uri(path), "type": kind}]})).await;
    }

    /// The code actions at a range, of the given kinds.
    pub(crate) async fn actions(&mut self, path: &Path, range: Value, only: Option<&[&str]>) -> Vec<Value> {
        let mut context = json!({"diagnostics": []});
        if let Some(only) = only {
            context["only"] = json!(only);
        }
        let result = self
            .request(
                "textDocument/codeAction",
                json!({"textDocument": {"uri": uri(path)}, "range": range, "context": context}),
            )
            .await;
        result.as_array().expect("an array").clone()
    }

    /// Ends the session as the protocol asks, with the input left open; nothing may be unread.
    pub(crate) async fn finish(mut self) {
        self.request("shutdown", Value::Null).await;
        self.send(json!({"jsonrpc": "2.0", "method": "exit"})).await;
        while let Some(message) = self.read_to_end().await {
            self.unread.push_back(message);
        }
        // Of a file that the flow names and no test looks at, the server says that nothing is wrong.
        self.unread.retain(|message| message["params"]["diagnostics"] != json!([]));
        assert!(self.unread.is_empty(), "messages that no test asked for: {:#?}", self.unread);
        assert_eq!(self.ended().await, 0);
    }

    async fn read_to_end(&mut self) -> Option<Value> {
        self.read().await
    }

    /// Waits for the server's end and gives its exit code.
    pub(crate) async fn ended(self) -> u8 {
        tokio::time::timeout(PATIENCE, self.server).await.expect("the server ends").expect("the server does not panic")
    }
}
