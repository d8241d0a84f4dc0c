//! Indexes on loopback: a real one, `pypiserver`, and a fake one for what no real one would do.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::place::find;

/// pypiserver with a password for everything.
pub(crate) struct Pypiserver {
    child: Child,
    pub(crate) port: u16,
}

impl Pypiserver {
    /// Serves a folder to who has the password; None where it is not installed.
    pub(crate) fn start(folder: &Path, password: &str) -> Option<Self> {
        const PROGRAM: &str = r#"
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIServer, make_server
import pypiserver
folder, passwords = sys.argv[1:]
every = ["list", "download", "update"]
app = pypiserver.app(roots=[folder], password_file=passwords, authenticate=every, disable_fallback=True)
class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
server = make_server("127.0.0.1", 0, app, server_class=Server)
print(server.server_port, flush=True)
server.serve_forever()
"#;
        let python = fs::canonicalize(find("pypi-server")?).unwrap().with_file_name("python");
        let passwords = folder.with_extension("htpasswd");
        fs::write(&passwords, format!("flowgate:{password}\n")).unwrap();
        let mut command = Command::new(python);
        command.args(["-I", "-c", PROGRAM]).arg(folder).arg(passwords);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Some(Self { child, port: line.trim().parse().unwrap() })
    }
}

impl Drop for Pypiserver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a fake index answers.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// A page with these links: target, fragment included.
    Links(Vec<String>),
    File(Vec<u8>),
    /// A page that is said to be packed so.
    Gzip(Vec<u8>),
    Status(u16),
    Redirect(String),
    /// Announces all of the bytes, sends so many, and closes.
    Cut(Vec<u8>, usize),
    /// Takes the request, and says nothing.
    Silent,
}

/// A request as a fake index saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    /// What the answer may be packed with.
    pub(crate) encoding: Option<String>,
}

/// A server on loopback that speaks HTTP as an index would, and says what it is told to.
pub(crate) struct FakeIndex {
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for FakeIndex {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeIndex {
    pub(crate) async fn start(answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (answer, all) = (Arc::new(answer), seen.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, all) = (answer.clone(), all.clone());
                tokio::spawn(async move { serve(stream, &*answer, &all).await });
            }
        });
        Self { port, seen, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/simple/", self.port)
    }

    /// Every request so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The paths of these.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.path).collect()
    }
}

async fn serve(stream: TcpStream, answer: &(dyn Fn(&Seen) -> Answer + Send + Sync), all: &Mutex<Vec<Seen>>) {
    let mut stream = tokio::io::BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        match stream.read_line(&mut line).await {
            Ok(1..) if !line.trim().is_empty() => lines.push(line.trim().to_owned()),
            Ok(1..) => break,
            _ => return,
        }
    }
    let header = |name: &str| {
        lines.iter().find_map(|line| {
            line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
        })
    };
    let path = lines[0].split(' ').nth(1).unwrap().to_owned();
    let (authorization, encoding) = (header("authorization"), header("accept-encoding"));
    let seen = Seen { host: header("host").unwrap_or_default(), path, authorization, encoding };
    all.lock().unwrap().push(seen.clone());
    let (status, extra, body, sent) = match answer(&seen) {
        Answer::Links(links) => {
            let links: String = links.iter().map(|link| format!("<a href=\"{link}\">x</a>\n")).collect();
            let body = format!("<html><body>{links}</body></html>").into_bytes();
            (200, "Content-Type: text/html\r\n".to_owned(), body, usize::MAX)
        }
        Answer::Gzip(body) => {
            (200, "Content-Type: text/html\r\nContent-Encoding: gzip\r\n".to_owned(), body, usize::MAX)
        }
        Answer::File(body) => (200, String::new(), body, usize::MAX),
        Answer::Status(status) => (status, String::new(), Vec::new(), 0),
        Answer::Redirect(to) => (302, format!("Location: {to}\r\n"), Vec::new(), 0),
        Answer::Cut(body, sent) => (200, String::new(), body, sent),
        Answer::Silent => {
            // Until the other side has had enough.
            let _ = stream.read_line(&mut String::new()).await;
            return;
        }
    };
    let head = format!("HTTP/1.1 {status} Fake\r\n{extra}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(&body[..sent.min(body.len())]).await;
    let _ = stream.shutdown().await;
}
