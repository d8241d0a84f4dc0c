//! The end of what a program said, for error messages.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::watch;

/// How much of what user code writes is kept for each flow, in bytes.
pub(crate) const LOG_BYTES: usize = 64 << 10;
/// How much is kept of what a program said.
const KEPT: usize = 16 << 10;

/// The last bytes of a log. Clones share them.
#[derive(Debug, Clone)]
pub struct LogTail(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bytes: Mutex<VecDeque<u8>>,
    finished: watch::Sender<bool>,
}

impl Default for LogTail {
    fn default() -> Self {
        Self(Arc::new(Inner { bytes: Mutex::default(), finished: watch::Sender::new(false) }))
    }
}

impl LogTail {
    /// Adds bytes; the oldest ones are dropped.
    pub fn push(&self, bytes: &[u8]) {
        let mut kept = self.0.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(&bytes[bytes.len().saturating_sub(KEPT)..]);
        let surplus = kept.len().saturating_sub(KEPT);
        kept.drain(..surplus);
    }

    /// Says that nothing more comes.
    pub fn finish(&self) {
        self.0.finished.send_replace(true);
    }

    /// Ends when nothing more comes.
    pub(crate) async fn finished(&self) {
        let mut state = self.0.finished.subscribe();
        let _ = state.wait_for(|finished| *finished).await;
    }

    /// What is kept, as text; `None` where there is nothing to read.
    pub fn text(&self) -> Option<String> {
        let kept = self.0.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = kept.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes).trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    /// Takes all of a stream, and then finishes.
    pub async fn fill(self, mut stream: impl AsyncRead + Unpin) {
        let mut part = vec![0; 8 << 10];
        while let Ok(count @ 1..) = stream.read(&mut part).await {
            self.push(&part[..count]);
        }
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept() {
        let log = LogTail::default();
        assert_eq!(log.text(), None);
        log.push(&vec![b'a'; 3 * KEPT]);
        log.push(b"end\n");
        let text = log.text().unwrap();
        assert!(text.len() < KEPT && text.ends_with("aend"));
    }
}
