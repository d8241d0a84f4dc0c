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
            if !matches!(remove(&self.socket, &self.name), Ok(status) if status == *b"404") {
                break;
            }
        }
    }
}

/// Asks the engine to kill and remove a container; gives the status of its answer.
fn remove(socket: &Path, name: &str) -> std::io::Result<[u8; 3]> {
    delete(socket, &format!("/containers/{name}?force=true&v=true"))
}

/// Asks the engine to delete something, where nothing can be awaited; gives the status of its answer.
#[cfg(unix)]
pub(super) fn delete(socket: &Path, path: &str) -> std::io::Result<[u8; 3]> {
    let mut stream = std::os::unix::net::UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    write!(stream, "DELETE {path} HTTP/1.0\r\nHost: docker\r\n\r\n")?;
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    Ok([status[9], status[10], status[11]])
}

#[cfg(not(unix))]
pub(super) fn delete(_socket: &Path, _path: &str) -> std::io::Result<[u8; 3]> {
    Err(std::io::ErrorKind::Unsupported.into())
}
