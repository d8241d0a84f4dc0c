//! Connections of processes on the other side, which come over one stream of frames: bytes both ways, with a window in
//! each direction. `worker/PROTOCOL.md` describes the frames; `worker/streams.py` is the other end.
//!
//! A connection is served as a server would serve one that it accepted. Whatever arrives is hostile: the windows bound
//! what a connection keeps here, and what serves it ends with it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::sync::lock;

/// How many bytes may be in flight, in each direction.
pub(crate) const WINDOW: usize = 256 << 10;
/// How many connections may be open at once.
pub(crate) const MAX_STREAMS: usize = 64;
/// What one [`NetKind::Data`] holds at most.
const PART: usize = 64 << 10;
/// After how many bytes an ACK is sent.
const ACK_AFTER: usize = WINDOW / 2;
/// In [`NetKind::End`]: the sender sends nothing more.
const ONE_WAY: u8 = 0;
/// In [`NetKind::End`]: the sender takes nothing more, either.
const BOTH_WAYS: u8 = 1;

/// What a frame is. All begin with the connection's number, `u32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum NetKind {
    /// A process has connected.
    Open = 0xa0,
    /// Bytes.
    Data = 0xa1,
    /// How many bytes were taken, `u32`.
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

/// Queues a frame without waiting.
type Send = Arc<dyn Fn(NetKind, Vec<u8>) + std::marker::Send + Sync>;

/// The connections of one listener.
pub(crate) struct Streams {
    send: Send,
    /// The number of the last one.
    last: u32,
    open: Table,
}

/// Whoever removes a connection sends its end.
type Table = Arc<Mutex<HashMap<u32, Stream>>>;

struct Stream {
    shared: Arc<Shared>,
    task: AbortHandle,
}

/// What the reader of frames and the task of one connection share.
#[derive(Default)]
struct Shared {
    incoming: Mutex<Incoming>,
    arrived: Notify,
    /// Bytes that were sent and not acknowledged.
    in_flight: AtomicUsize,
    acknowledged: Notify,
}

#[derive(Default)]
struct Incoming {
    /// What waits for who serves the connection.
    bytes: Vec<u8>,
    /// Bytes that came and were not acknowledged.
    held: usize,
    /// Whether the other side sends nothing more.
    ended: bool,
}

impl Streams {
    pub(crate) fn new(send: impl Fn(NetKind, Vec<u8>) + std::marker::Send + Sync + 'static) -> Self {
        Self { send: Arc::new(send), last: 0, open: Table::default() }
    }

    /// Takes a frame. Where it opens a connection, `serve` serves it, and is dropped when the other side has gone.
    ///
    /// # Errors
    /// What the other side did that it may not do, as a fragment that follows "it".
    pub(crate) fn take<F>(
        &mut self,
        kind: NetKind,
        payload: &[u8],
        serve: impl FnOnce(DuplexStream) -> F,
    ) -> Result<(), String>
    where
        F: Future<Output = ()> + std::marker::Send + 'static,
    {
        let malformed = || format!("sent a malformed {kind:?} of a connection");
        let (number, rest) = payload.split_first_chunk::<4>().ok_or_else(malformed)?;
        let number = u32::from_be_bytes(*number);
        if kind == NetKind::Open {
            return self.begin(number, serve);
        }
        if number == 0 || number > self.last {
            return Err(format!("sent {kind:?} for a connection that was never opened"));
        }
        let mut open = lock(&self.open);
        // An unknown one has ended, and this frame has crossed with its end.
        let Some(Stream { shared, task }) = open.get(&number) else { return Ok(()) };
        match (kind, rest) {
            (NetKind::Data, [_, ..]) => {
                let mut incoming = lock(&shared.incoming);
                incoming.held += rest.len();
                if incoming.held > WINDOW {
                    return Err("sent more than a connection's window".to_owned());
                }
                if incoming.ended {
                    return Err("sent more after a connection's end".to_owned());
                }
                incoming.bytes.extend_from_slice(rest);
                shared.arrived.notify_one();
            }
            (NetKind::Ack, &[a, b, c, d]) => {
                let count = u32::from_be_bytes([a, b, c, d]) as usize;
                if count > shared.in_flight.load(Ordering::Relaxed) {
                    return Err("acknowledged what was not sent".to_owned());
                }
                shared.in_flight.fetch_sub(count, Ordering::Relaxed);
                shared.acknowledged.notify_one();
            }
            (NetKind::End, [ONE_WAY]) => {
                lock(&shared.incoming).ended = true;
                shared.arrived.notify_one();
            }
            (NetKind::End, [BOTH_WAYS]) => {
                task.abort();
                open.remove(&number);
            }
            _ => return Err(malformed()),
        }
        Ok(())
    }

    /// Ends every connection.
    pub(crate) fn close(&mut self) {
        let open = std::mem::take(&mut *lock(&self.open));
        for (number, stream) in open {
            stream.task.abort();
            end(&self.send, number);
        }
    }

    fn begin<F>(&mut self, number: u32, serve: impl FnOnce(DuplexStream) -> F) -> Result<(), String>
    where
        F: Future<Output = ()> + std::marker::Send + 'static,
    {
        let mut open = lock(&self.open);
        if number <= self.last || open.len() >= MAX_STREAMS {
            return Err("opened a connection that it may not open".to_owned());
        }
        self.last = number;
        let (near, far) = duplex(PART);
        let shared = Arc::<Shared>::default();
        let pump = Pump { number, send: self.send.clone(), shared: shared.clone() };
        let (served, table) = (serve(near), self.open.clone());
        // It needs the table at its end, and so waits until its entry is there.
        let task = tokio::spawn(async move {
            tokio::join!(served, pump.run(far));
            if lock(&table).remove(&pump.number).is_some() {
                end(&pump.send, pump.number);
            }
        });
        open.insert(number, Stream { shared, task: task.abort_handle() });
        Ok(())
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

/// Moves the bytes of one connection.
struct Pump {
    number: u32,
    send: Send,
    shared: Arc<Shared>,
}

impl Pump {
    /// Until whoever serves the connection has closed it: a server that has answered needs nothing more.
    async fn run(&self, far: DuplexStream) {
        let (reader, writer) = split(far);
        tokio::select! {
            () = self.send_on(reader) => {}
            () = async {
                self.pass_on(writer).await;
                std::future::pending().await
            } => {}
        }
    }

    /// To the other side, as far as its window is open.
    async fn send_on(&self, mut reader: ReadHalf<DuplexStream>) {
        let mut part = vec![0; PART];
        loop {
            let room = WINDOW.saturating_sub(self.shared.in_flight.load(Ordering::Relaxed));
            if room == 0 {
                self.shared.acknowledged.notified().await;
                continue;
            }
            let Ok(count @ 1..) = reader.read(&mut part[..room.min(PART)]).await else { return };
            self.shared.in_flight.fetch_add(count, Ordering::Relaxed);
            self.send(NetKind::Data, &part[..count]);
        }
    }

    /// From the other side, as far as it is read here.
    async fn pass_on(&self, mut writer: WriteHalf<DuplexStream>) {
        let mut taken = 0;
        loop {
            let (bytes, ended) = {
                let mut incoming = lock(&self.shared.incoming);
                (std::mem::take(&mut incoming.bytes), incoming.ended)
            };
            if bytes.is_empty() {
                if ended {
                    let _ = writer.shutdown().await;
                    return;
                }
                self.shared.arrived.notified().await;
                continue;
            }
            for part in bytes.chunks(PART) {
                if writer.write_all(part).await.is_err() {
                    return;
                }
                taken += part.len();
                if taken >= ACK_AFTER {
                    lock(&self.shared.incoming).held -= taken;
                    self.send(NetKind::Ack, &u32::try_from(taken).unwrap_or(u32::MAX).to_be_bytes());
                    taken = 0;
                }
            }
        }
    }

    fn send(&self, kind: NetKind, rest: &[u8]) {
        (self.send)(kind, [&self.number.to_be_bytes(), rest].concat());
    }
}
