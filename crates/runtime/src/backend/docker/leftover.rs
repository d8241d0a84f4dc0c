//! The net under a start that fails or is dropped half-way.
//!
//! A container that was created and never started is removed by nobody: its stream is not open yet,
//! so its lease has not begun. And a worker that is still importing does not see its lease end.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::backend::folders::unique;

/// How long the engine may take for each step of a removal.
const ANSWER: Duration = Duration::from_secs(5);
/// How often a container is looked for whose creation was still under way.
const ATTEMPTS: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(25);
/// The longest answer that is read, in bytes.
const MAX_ANSWER: u64 = 1 << 20;

/// A name that no other container has.
pub(super) fn unique_name() -> String {
    format!("flowgate-{}", unique())
}

/// Removes a container when it is dropped, unless something else sees to it. It does so
/// synchronously: nobody waits for a task that outlives the run.
#[derive(Debug)]
pub(super) struct Leftover {
    socket: PathBuf,
    name: String,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Creating,
    Created,
    SeenTo,
}

impl Leftover {
    /// A net under a container of that name, which is to be created now.
    pub(super) fn new(socket: PathBuf, name: String) -> Self {
        Self { socket, name, state: State::Creating }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Its name may change from now on, or be taken by another.
    pub(super) fn is_created_as(&mut self, id: &str) {
        id.clone_into(&mut self.name);
        self.state = State::Created;
    }

    pub(super) fn is_created(&mut self) {
        self.state = State::Created;
    }

    /// It came into use or was removed: its stream and its `Stop` see to it, or nothing is left.
    pub(super) fn is_seen_to(&mut self) {
        self.state = State::SeenTo;
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        let attempts = match self.state {
            State::SeenTo => 0,
            State::Created => 1,
            // The engine goes on with a request whose client has gone.
            State::Creating => ATTEMPTS,
        };
        for attempt in 0..attempts {
            if attempt > 0 {
                std::thread::sleep(BETWEEN);
            }
            // What cannot be removed now, the sweep of the next run will.
            if !matches!(remove(&self.socket, &self.name), Ok(404)) {
                break;
            }
        }
    }
}

/// Removes the images of the steps of a build that nothing is built upon, when it is dropped: a classic builder leaves
/// the last one where a step fails, and one for each stage.
#[derive(Debug)]
pub(super) struct Steps {
    socket: PathBuf,
    filters: String,
    is_over: bool,
}

impl Steps {
    /// A net under a build whose steps have that label.
    pub(super) fn new(socket: PathBuf, label: &str) -> Self {
        let filters = serde_json::json!({ "dangling": ["true"], "label": [label] }).to_string();
        let escaped = filters.bytes().map(|byte| match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'.' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        });
        Self { socket, filters: escaped.collect(), is_over: false }
    }

    /// The engine is not at it any more.
    pub(super) fn end(mut self) {
        self.is_over = true;
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        let list = format!("/images/json?filters={}", self.filters);
        // The engine goes on with a build for a moment when its client has gone.
        let attempts = if self.is_over { 1 } else { ATTEMPTS };
        for attempt in 0..attempts {
            if attempt > 0 {
                std::thread::sleep(BETWEEN);
            }
            // What cannot be removed now, the sweep of the next build will.
            let Ok((_, body)) = ask(&self.socket, "GET", &list) else { break };
            let images: Vec<serde_json::Value> = serde_json::from_slice(&body).unwrap_or_default();
            for id in images.iter().filter_map(|image| image.get("Id")?.as_str()) {
                let _ = delete(&self.socket, &format!("/images/{id}"));
            }
        }
    }
}

/// Asks the engine to kill and remove a container; gives the status of its answer.
fn remove(socket: &Path, name: &str) -> std::io::Result<u16> {
    delete(socket, &format!("/containers/{name}?force=true&v=true"))
}

/// Asks the engine to delete something, where nothing can be awaited; gives the status of its answer.
pub(super) fn delete(socket: &Path, path: &str) -> std::io::Result<u16> {
    ask(socket, "DELETE", path).map(|(status, _)| status)
}

/// Sends a request without a body, and gives the status and the body of the answer.
#[cfg(unix)]
fn ask(socket: &Path, method: &str, path: &str) -> std::io::Result<(u16, Vec<u8>)> {
    let mut stream = std::os::unix::net::UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: docker\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").ok_or(std::io::ErrorKind::InvalidData)?;
    let status = answer.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    Ok((status.ok_or(std::io::ErrorKind::InvalidData)?, answer.split_off(head + 4)))
}

#[cfg(not(unix))]
fn ask(_socket: &Path, _method: &str, _path: &str) -> std::io::Result<(u16, Vec<u8>)> {
    Err(std::io::ErrorKind::Unsupported.into())
}
