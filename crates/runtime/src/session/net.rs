//! The connections of a job's own processes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

use crate::streams::{MAX_STREAMS, NetKind, Streams, WINDOW};
use crate::wire::Frame;

/// Bytes of one job's connections that may wait to be written: more than all its windows together.
const MAX_QUEUED: usize = 2 * MAX_STREAMS * WINDOW;

/// A connection of a process of the job: bytes both ways.
pub type Connection = DuplexStream;

/// Serves one connection. It is dropped where the process or the job has gone.
pub type Serve = Box<dyn FnMut(Connection) -> BoxFuture<'static, ()> + Send>;

/// A listener for the processes of a job.
pub struct Net {
    /// Variables for the job's environment. In their values `{port}` stands for the port on 127.0.0.1.
    pub variables: BTreeMap<String, String>,
    /// Serves each connection.
    pub serve: Serve,
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net").field("variables", &self.variables).finish_non_exhaustive()
    }
}

/// One job's listener, from here.
pub(super) struct Served {
    streams: Streams,
    serve: Serve,
    queued: Arc<AtomicUsize>,
}

impl Served {
    pub(super) fn new(channel: u32, net: Net, outbox: &mpsc::UnboundedSender<Queued>) -> Self {
        let (outbox, queued) = (outbox.clone(), Arc::<AtomicUsize>::default());
        let count = queued.clone();
        let streams = Streams::new(move |kind, payload| {
            count.fetch_add(payload.len() + 9, Ordering::Relaxed);
            // A worker that is gone is noticed by the reader.
            let _ = outbox.send(Queued { frame: Frame { kind: kind.into(), channel, payload }, count: count.clone() });
        });
        Self { streams, serve: net.serve, queued }
    }

    /// Takes a frame; the error is a fragment that follows "the job".
    pub(super) fn take(&mut self, kind: NetKind, payload: &[u8]) -> Result<(), String> {
        if self.queued.load(Ordering::Relaxed) > MAX_QUEUED {
            return Err("opens connections faster than their ends can be told".to_owned());
        }
        self.streams.take(kind, payload, &mut self.serve)
    }
}

/// A frame of a connection that waits to be written. It is never waited for, as the windows bound how many there are.
pub(super) struct Queued {
    frame: Frame,
    /// Bytes of its job's that wait.
    count: Arc<AtomicUsize>,
}

impl Queued {
    /// Takes it from the queue.
    pub(super) fn frame(self) -> Frame {
        self.count.fetch_sub(self.frame.payload.len() + 9, Ordering::Relaxed);
        self.frame
    }
}
