//! Connections of the other side's processes, which come over one stream of frames: bytes both ways, each way within its
//! window. `worker/PROTOCOL.md` describes the frames; `worker/streams.py` is the other end.
//!
//! A connection is what a server would have accepted, so that any server of a library can have it. Whatever arrives is
//! hostile: what one connection or all of them can leave here is bounded by the windows.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;

/// How many bytes may be on their way, each way.
pub(crate) const WINDOW: usize = 256 << 10;
/// How many connections may be open at once.
pub(crate) const MAX_STREAMS: usize = 64;
/// What one [`NetKind::Data`] holds at most.
const PART: usize = 64 << 10;
/// After how many bytes that were taken the other side is told so.
const ACK_AFTER: usize = WINDOW / 2;
/// In [`NetKind::End`]: who sends it takes nothing more, either.
const BOTH_WAYS: u8 = 1;

/// What a frame is. All begin with the connection's number, `u32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum NetKind {
    /// Somebody has connected.
    Open = 0xa0,
    /// Bytes.
    Data = 0xa1,
    /// So many bytes were taken, `u32`.
    Ack = 0xa2,
    /// Nothing more is sent; `u8`: 1 where nothing more is taken, either.
    End = 0xa3,
}

impl NetKind {
    /// The kind of that number.
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0xa0 => Self::Open,
            0xa1 => Self::Data,
            0xa2 => Self::Ack,
            0xa3 => Self::End,
            _ => return None,
        })
    }
}

/// Queues a frame without waiting. How much is queued is bounded by the windows as long as the other side reads.
type Send = Arc<dyn Fn(NetKind, Vec<u8>) + std::marker::Send + Sync>;

/// The connections of one listener.
pub(crate) struct Streams {
    send: Send,
    /// The number of the last one.
    last: u32,
    open: Table,
}

/// Who removes one says its end.
type Table = Arc<Mutex<HashMap<u32, Stream>>>;

struct Stream {
    parts: mpsc::UnboundedSender<Vec<u8>>,
    /// Bytes that came and were not acknowledged.
    held: Arc<AtomicUsize>,
    /// Bytes that may still be sent.
    window: Arc<Semaphore>,
    task: AbortHandle,
}

impl Streams {
    pub(crate) fn new(send: impl Fn(NetKind, Vec<u8>) + std::marker::Send + Sync + 'static) -> Self {
        Self { send: Arc::new(send), last: 0, open: Table::default() }
    }

    /// Takes a frame; a connection where it opens one. Dropping that ends it.
    ///
    /// # Errors
    /// What the other side did that it may not do, as a fragment that follows "it".
    pub(crate) fn take(&mut self, kind: NetKind, payload: &[u8]) -> Result<Option<DuplexStream>, String> {
        let malformed = || format!("sent a malformed {kind:?} of a connection");
        let (number, rest) = payload.split_first_chunk::<4>().ok_or_else(malformed)?;
        let number = u32::from_be_bytes(*number);
        if kind == NetKind::Open {
            return self.begin(number).map(Some);
        }
        if number == 0 || number > self.last {
            return Err(format!("sent {kind:?} for a connection that was never opened"));
        }
        let mut open = lock(&self.open);
        // What is unknown here has ended, and this has crossed with its end.
        let Some(stream) = open.get(&number) else { return Ok(None) };
        match kind {
            NetKind::Open => {}
            NetKind::Data => {
                if rest.is_empty() {
                    return Err(malformed());
                }
                if stream.held.fetch_add(rest.len(), Ordering::Relaxed) + rest.len() > WINDOW {
                    return Err("sent more than a connection's window".to_owned());
                }
                let _ = stream.parts.send(rest.to_vec());
            }
            NetKind::Ack => {
                let count = u32::from_be_bytes(rest.try_into().map_err(|_| malformed())?) as usize;
                if count > WINDOW.saturating_sub(stream.window.available_permits()) {
                    return Err("acknowledged what was not sent".to_owned());
                }
                stream.window.add_permits(count);
            }
            NetKind::End if rest == [BOTH_WAYS] => {
                if let Some(stream) = open.remove(&number) {
                    stream.task.abort();
                }
            }
            // An empty part is the end.
            NetKind::End => _ = stream.parts.send(Vec::new()),
        }
        Ok(None)
    }

    /// Ends every connection.
    pub(crate) fn close(&mut self) {
        let open = std::mem::take(&mut *lock(&self.open));
        for (number, stream) in open {
            stream.task.abort();
            end(&self.send, number);
        }
    }

    fn begin(&mut self, number: u32) -> Result<DuplexStream, String> {
        let mut open = lock(&self.open);
        if number <= self.last || open.len() >= MAX_STREAMS {
            return Err("opened a connection that it may not open".to_owned());
        }
        self.last = number;
        let (near, far) = duplex(PART);
        let (parts, incoming) = mpsc::unbounded_channel();
        let (held, window) = (Arc::<AtomicUsize>::default(), Arc::new(Semaphore::new(WINDOW)));
        let pump = Pump { number, send: self.send.clone(), held: Arc::clone(&held), window: window.clone() };
        let table = self.open.clone();
        // It needs the table at its end, and so waits until its entry is there.
        let task = tokio::spawn(async move {
            pump.run(far, incoming).await;
            if lock(&table).remove(&pump.number).is_some() {
                end(&pump.send, pump.number);
            }
        });
        open.insert(number, Stream { parts, held, window, task: task.abort_handle() });
        Ok(near)
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        for stream in lock(&self.open).values() {
            stream.task.abort();
        }
    }
}

fn end(send: &Send, number: u32) {
    let mut payload = number.to_be_bytes().to_vec();
    payload.push(BOTH_WAYS);
    send(NetKind::End, payload);
}

/// Moves one connection's bytes.
struct Pump {
    number: u32,
    send: Send,
    held: Arc<AtomicUsize>,
    window: Arc<Semaphore>,
}

impl Pump {
    /// Until who has the connection has ended it: a server that has answered needs nothing more.
    async fn run(&self, far: DuplexStream, incoming: mpsc::UnboundedReceiver<Vec<u8>>) {
        let (mut reader, writer) = split(far);
        let outgoing = async {
            let mut part = vec![0; PART];
            while let Ok(count @ 1..) = reader.read(&mut part).await {
                let Ok(permits) = self.window.acquire_many(u32::try_from(count).unwrap_or(u32::MAX)).await else {
                    break;
                };
                permits.forget();
                self.send(NetKind::Data, &part[..count]);
            }
        };
        tokio::select! {
            () = outgoing => {}
            () = async {
                self.pass_on(writer, incoming).await;
                std::future::pending().await
            } => {}
        }
    }

    async fn pass_on(
        &self,
        mut writer: tokio::io::WriteHalf<DuplexStream>,
        mut incoming: mpsc::UnboundedReceiver<Vec<u8>>,
    ) {
        let mut taken = 0;
        while let Some(part) = incoming.recv().await {
            if part.is_empty() {
                let _ = writer.shutdown().await;
            } else if writer.write_all(&part).await.is_err() {
                break;
            }
            taken += part.len();
            if taken >= ACK_AFTER {
                self.held.fetch_sub(taken, Ordering::Relaxed);
                self.send(NetKind::Ack, &u32::try_from(taken).unwrap_or(u32::MAX).to_be_bytes());
                taken = 0;
            }
        }
    }

    fn send(&self, kind: NetKind, rest: &[u8]) {
        (self.send)(kind, [&self.number.to_be_bytes(), rest].concat());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
