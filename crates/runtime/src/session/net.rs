//! The connections of a job's own processes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::DuplexStream;
use tokio::sync::mpsc;

use crate::streams::{MAX_STREAMS, NetKind, Streams, WINDOW};
use crate::wire::Frame;

/// Bytes that may wait for a worker that does not read: what the windows of a few jobs hold.
const MAX_QUEUED: usize = 16 * MAX_STREAMS * WINDOW;

/// A connection of a process of the job: bytes both ways, until either end is dropped.
pub type Connection = DuplexStream;

/// A listener for the processes of a job.
pub struct Net {
    /// Variables for the job's environment. In their values `{port}` stands for the port on 127.0.0.1.
    pub variables: BTreeMap<String, String>,
    /// Gets each connection, and must not wait.
    pub serve: Box<dyn FnMut(Connection) + Send>,
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net").field("variables", &self.variables).finish_non_exhaustive()
    }
}

/// One job's listener, from here.
pub(super) struct Served {
    streams: Streams,
    serve: Box<dyn FnMut(Connection) + Send>,
}

impl Served {
    pub(super) fn new(channel: u32, net: Net, outbox: &Outbox) -> Self {
        let outbox = outbox.clone();
        let streams = Streams::new(move |kind, payload| outbox.send(Frame { kind: kind.into(), channel, payload }));
        Self { streams, serve: net.serve }
    }

    /// Takes a frame; the error is a fragment that follows "the worker".
    pub(super) fn take(&mut self, kind: NetKind, payload: &[u8]) -> Result<(), String> {
        if let Some(connection) = self.streams.take(kind, payload)? {
            (self.serve)(connection);
        }
        Ok(())
    }
}

/// Frames of connections that wait to be written: never waited for, as the windows bound them.
#[derive(Clone)]
pub(super) struct Outbox {
    frames: mpsc::UnboundedSender<Frame>,
    queued: Arc<AtomicUsize>,
}

impl Outbox {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Frame>) {
        let (frames, waiting) = mpsc::unbounded_channel();
        (Self { frames, queued: Arc::default() }, waiting)
    }

    fn send(&self, frame: Frame) {
        self.queued.fetch_add(frame.payload.len() + 9, Ordering::Relaxed);
        // A worker that is gone is noticed by who reads.
        let _ = self.frames.send(frame);
    }

    pub(super) fn took(&self, frame: &Frame) {
        self.queued.fetch_sub(frame.payload.len() + 9, Ordering::Relaxed);
    }

    pub(super) fn is_full(&self) -> bool {
        self.queued.load(Ordering::Relaxed) > MAX_QUEUED
    }
}
