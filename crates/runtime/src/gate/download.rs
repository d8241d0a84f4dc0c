//! One file on its way from an index: written to the disk, verified, and read meanwhile.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use reqwest::Response;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Gate;
use super::cache::Key;
use super::trouble::{Cause, Trouble};

/// What a body is handed out in.
pub(super) const PART: usize = 64 << 10;
/// A file larger than this is not taken from an index: the largest wheels are a tenth of it.
const MAX_FILE: u64 = 32 << 30;

/// A download that goes on as long as anyone holds it.
#[derive(Debug)]
pub(super) struct Download {
    state: watch::Receiver<State>,
    file: File,
    /// As announced.
    pub(super) length: Option<u64>,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone)]
enum State {
    Written(u64),
    Whole(u64),
    Failed(Trouble),
}

impl Drop for Download {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Download {
    /// Starts to take an answer's body. `expected` is its sha256 in hexadecimal, where the index
    /// names it; with a `key` a whole file is kept.
    pub(super) fn start(
        gate: Arc<Gate>,
        response: Response,
        expected: Option<String>,
        key: Option<Key>,
    ) -> Result<Self, Trouble> {
        let url = response.url().clone();
        let length = response.content_length();
        if length.is_some_and(|length| length > MAX_FILE) {
            return Err(Trouble::new(&url, Cause::TooLarge(MAX_FILE)));
        }
        let disk = |error: std::io::Error| Trouble::new(&url, Cause::Disk(error.to_string()));
        let partial = gate.cache.partial().map_err(disk)?;
        let file = partial.reopen().map_err(disk)?;
        let (sender, state) = watch::channel(State::Written(0));
        let task = tokio::spawn(async move {
            let taken = take(&gate, response, partial, expected, key, length, &sender).await;
            sender.send_replace(match taken {
                Ok(length) => State::Whole(length),
                Err(cause) => State::Failed(Trouble::new(&url, cause)),
            });
        });
        Ok(Self { state, file, length, task })
    }

    /// Whether it failed.
    pub(super) fn failed(&self) -> bool {
        matches!(*self.state.borrow(), State::Failed(_))
    }
}

/// Writes a body to the disk. The disk here is the page cache: writing a part does not wait.
async fn take(
    gate: &Gate,
    mut response: Response,
    mut partial: tempfile::NamedTempFile,
    expected: Option<String>,
    key: Option<Key>,
    length: Option<u64>,
    state: &watch::Sender<State>,
) -> Result<u64, Cause> {
    let disk = |error: std::io::Error| Cause::Disk(error.to_string());
    let mut hash = Sha256::new();
    let mut got = 0;
    loop {
        let part = match response.chunk().await {
            Ok(Some(part)) => part,
            Ok(None) => break,
            Err(error) => {
                return Err(match gate.fetcher.cause(&error) {
                    Cause::Broken(_) => Cause::Truncated { got, expected: length },
                    cause => cause,
                });
            }
        };
        got += part.len() as u64;
        if got > MAX_FILE {
            return Err(Cause::TooLarge(MAX_FILE));
        }
        hash.update(&part);
        partial.write_all(&part).map_err(disk)?;
        state.send_replace(State::Written(got));
    }
    if length.is_some_and(|length| length != got) {
        return Err(Cause::Truncated { got, expected: length });
    }
    if let Some(expected) = expected {
        let sum: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        if sum != expected {
            return Err(Cause::WrongHash { expected, got: sum });
        }
    }
    if let Some(key) = key {
        gate.cache.keep(&key, partial, got).map_err(disk)?;
    }
    Ok(got)
}

/// Reads a file, also while it is still on its way.
#[derive(Debug)]
pub(crate) struct Reader {
    file: File,
    at: u64,
    from: From,
}

#[derive(Debug)]
enum From {
    Disk,
    Download(Arc<Download>),
}

impl Reader {
    /// Of a file that is whole.
    pub(super) fn of_file(file: File) -> Self {
        Self { file, at: 0, from: From::Disk }
    }

    /// Of a file on its way.
    pub(super) fn of_download(download: &Arc<Download>) -> std::io::Result<Self> {
        Ok(Self { file: download.file.try_clone()?, at: 0, from: From::Download(download.clone()) })
    }

    /// The next part; empty at the end. The last byte of a download is held back until its hash is
    /// known: what is wrong is never whole for anyone.
    pub(crate) async fn next(&mut self) -> Result<Vec<u8>, Trouble> {
        let room = match &mut self.from {
            From::Disk => PART,
            From::Download(download) => {
                let mut state = download.state.clone();
                loop {
                    let available = match &*state.borrow_and_update() {
                        State::Written(written) => written.saturating_sub(1),
                        State::Whole(length) if self.at == *length => return Ok(Vec::new()),
                        State::Whole(length) => *length,
                        State::Failed(trouble) => return Err(trouble.clone()),
                    };
                    if available > self.at {
                        break PART.min(usize::try_from(available - self.at).unwrap_or(PART));
                    }
                    if state.changed().await.is_err() {
                        return Err(Trouble::refused("a download", "it was given up"));
                    }
                }
            }
        };
        let mut part = vec![0; room];
        let got = read_at(&self.file, &mut part, self.at)
            .map_err(|error| Trouble { place: "a kept file".to_owned(), cause: Cause::Disk(error.to_string()) })?;
        part.truncate(got);
        self.at += got as u64;
        Ok(part)
    }
}

/// Readers of one download share its handle, so each says where it is.
#[cfg(unix)]
fn read_at(file: &File, part: &mut [u8], at: u64) -> std::io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, part, at)
}

#[cfg(windows)]
fn read_at(file: &File, part: &mut [u8], at: u64) -> std::io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, part, at)
}
