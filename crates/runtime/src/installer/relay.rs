//! The stream: requests of the agent go to the gate, and its answers back, each within its window.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

use super::frames::{
    BODY, COMPILE, END, Exited, Fatal, Kind, MAX_FRAME, MAX_HEAD, MAX_STREAMS, RESPONSE, RUN, Request, Response, Run,
    WINDOW,
};
use crate::gate::{self, Session};
use crate::wire::{self, WireError, clip};

/// What one body frame holds at most.
const PART: usize = 64 << 10;
/// Bytes that may wait for an agent that does not read: more than all windows together.
const MAX_QUEUED: usize = 2 * MAX_STREAMS * WINDOW;

type Frame = (u8, u32, Vec<u8>);

/// A frame that is still to be sent.
pub(super) struct Outgoing(Frame);

impl Outgoing {
    pub(super) fn run(run: &Run) -> Self {
        Self((RUN, 0, serde_json::to_vec(run).unwrap_or_default()))
    }
}

/// The stream to one agent.
pub(super) struct Channel {
    reader: Box<dyn AsyncRead + Send + Unpin>,
    writer: Writer,
    writing: JoinHandle<()>,
    /// The number of the last stream.
    last: u32,
    /// Whether a run began and did not end: then a part of a frame may be lost.
    torn: bool,
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.writing.abort();
    }
}

/// Sends without waiting: what is queued is bounded by the windows.
#[derive(Clone)]
struct Writer {
    frames: mpsc::UnboundedSender<Frame>,
    queued: Arc<AtomicUsize>,
}

impl Writer {
    fn send(&self, kind: u8, channel: u32, payload: Vec<u8>) {
        self.queued.fetch_add(payload.len() + 9, Ordering::Relaxed);
        // An agent that is gone is noticed by who reads.
        let _ = self.frames.send((kind, channel, payload));
    }
}

/// The streams that are open. Who removes one ends it.
#[derive(Clone, Default)]
struct Streams(Arc<Mutex<HashMap<u32, Stream>>>);

#[derive(Clone)]
struct Stream {
    /// Bytes that may still be sent.
    window: Arc<Semaphore>,
    task: AbortHandle,
}

impl Streams {
    fn with<T>(&self, what: impl FnOnce(&mut HashMap<u32, Stream>) -> T) -> T {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Channel {
    pub(super) fn new(
        reader: impl AsyncRead + Send + Unpin + 'static,
        mut writer: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Self {
        let (frames, mut waiting) = mpsc::unbounded_channel::<Frame>();
        let queued = Arc::new(AtomicUsize::new(0));
        let count = queued.clone();
        let writing = tokio::spawn(async move {
            while let Some((kind, channel, payload)) = waiting.recv().await {
                count.fetch_sub(payload.len() + 9, Ordering::Relaxed);
                if wire::write_raw(&mut writer, kind, channel, &payload).await.is_err() {
                    break;
                }
            }
            // The agent ends by it. One that is gone needs no end.
            let _ = writer.shutdown().await;
        });
        Self { reader: Box::new(reader), writer: Writer { frames, queued }, writing, last: 0, torn: false }
    }

    /// The next frame of the agent's own, on channel 0.
    pub(super) async fn next_of_agent(&mut self) -> Result<(Kind, Vec<u8>), String> {
        match self.next().await? {
            (kind, 0, payload) => Ok((kind, payload)),
            (kind, ..) => Err(format!("{kind:?} was not due")),
        }
    }

    async fn next(&mut self) -> Result<(Kind, u32, Vec<u8>), String> {
        let (kind, channel, payload) =
            wire::read_raw(&mut self.reader, MAX_FRAME).await.map_err(|error| match error {
                WireError::End => "it ended".to_owned(),
                WireError::Broken(error) => format!("the stream broke: {error}"),
                WireError::Malformed(what) => format!("it sent {what}"),
            })?;
        let kind = Kind::from_byte(kind).ok_or_else(|| format!("it sent a frame of the unknown kind {kind:#04x}"))?;
        Ok((kind, channel, payload))
    }

    /// Has a command run, and answers its requests until it has ended.
    pub(super) async fn run(
        &mut self,
        command: Outgoing,
        session: &Arc<Session>,
        output: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<Exited, String> {
        if std::mem::replace(&mut self.torn, true) {
            return Err("an earlier install was broken off".to_owned());
        }
        let Outgoing((kind, channel, payload)) = command;
        if payload.len() + 5 > MAX_FRAME {
            return Err("the requirements are too long".to_owned());
        }
        self.writer.send(kind, channel, payload);
        let (streams, mut tasks) = (Streams::default(), JoinSet::new());
        let exited = self.serve(session, output, &streams, &mut tasks).await?;
        let open: Vec<(u32, Stream)> = streams.with(|streams| streams.drain().collect());
        for (number, stream) in open {
            stream.task.abort();
            self.writer.send(END, number, b"over".to_vec());
        }
        while tasks.join_next().await.is_some() {}
        self.torn = false;
        Ok(exited)
    }

    /// Has modules compiled, and waits until they are.
    pub(super) async fn compile(&mut self) -> Result<(), String> {
        self.writer.send(COMPILE, 0, Vec::new());
        match self.next_of_agent().await? {
            (Kind::Compiled, _) => Ok(()),
            (Kind::Fatal, payload) => Err(clip(json::<Fatal>(&payload)?.message, 1000)),
            (kind, _) => Err(format!("it sent {kind:?}, which was not due")),
        }
    }

    /// Closes the stream to the agent, and reads on until it has ended.
    pub(super) async fn end(&mut self) {
        (self.writer.frames, _) = mpsc::unbounded_channel();
        while self.next().await.is_ok() {}
    }

    async fn serve(
        &mut self,
        session: &Arc<Session>,
        output: &mut (dyn FnMut(&[u8]) + Send),
        streams: &Streams,
        tasks: &mut JoinSet<()>,
    ) -> Result<Exited, String> {
        loop {
            while tasks.try_join_next().is_some() {}
            if self.writer.queued.load(Ordering::Relaxed) > MAX_QUEUED {
                return Err("it asks without reading the answers".to_owned());
            }
            let (kind, channel, payload) = self.next().await?;
            match (kind, channel) {
                (Kind::Output, 0) => output(payload.get(1..).unwrap_or(&[])),
                (Kind::Exited, 0) => return json(&payload),
                (Kind::Fatal, 0) => return Err(clip(json::<Fatal>(&payload)?.message, 1000)),
                (Kind::Request, number) => {
                    let full = streams.with(|streams| streams.len() >= MAX_STREAMS);
                    if number <= self.last || full || payload.len() > 2 * MAX_HEAD {
                        return Err("it opened a stream that it may not open".to_owned());
                    }
                    self.last = number;
                    let Request { method, target, accept, body } = json(&payload)?;
                    let request = gate::Request { method, target, accept, body };
                    let window = Arc::new(Semaphore::new(WINDOW));
                    let answer =
                        answer(session.clone(), request, number, window.clone(), self.writer.clone(), streams.clone());
                    // The task removes its stream: it must not before it is there.
                    streams.with(|streams| {
                        let task = tasks.spawn(answer);
                        streams.insert(number, Stream { window, task });
                    });
                }
                (Kind::Ack, number) => {
                    let count = <[u8; 4]>::try_from(payload.as_slice()).map(u32::from_be_bytes);
                    let count = count.map_err(|_| "it sent a malformed ACK")? as usize;
                    let Some(stream) = streams.with(|streams| streams.get(&number).cloned()) else { continue };
                    if count > WINDOW.saturating_sub(stream.window.available_permits()) {
                        return Err("it acknowledged what was not sent".to_owned());
                    }
                    stream.window.add_permits(count);
                }
                (Kind::Cancel, number) => {
                    if let Some(stream) = streams.with(|streams| streams.remove(&number)) {
                        stream.task.abort();
                        self.writer.send(END, number, b"cancelled".to_vec());
                    }
                }
                (kind, _) => return Err(format!("it sent {kind:?}, which was not due")),
            }
        }
    }
}

async fn answer(
    session: Arc<Session>,
    request: gate::Request,
    number: u32,
    window: Arc<Semaphore>,
    writer: Writer,
    streams: Streams,
) {
    let gate::Response { status, reason, content_type, length, mut body } = session.answer(&request).await;
    let head = Response { status, reason: &reason, content_type, length };
    writer.send(RESPONSE, number, serde_json::to_vec(&head).unwrap_or_default());
    let end = loop {
        match body.next(PART).await {
            Ok(part) if part.is_empty() => break Vec::new(),
            Ok(part) => {
                let size = u32::try_from(part.len()).unwrap_or(u32::MAX);
                match window.acquire_many(size).await {
                    Ok(permits) => permits.forget(),
                    Err(_) => break b"closed".to_vec(),
                }
                writer.send(BODY, number, part);
            }
            Err(trouble) => {
                session.broke(trouble);
                break b"broken".to_vec();
            }
        }
    };
    if streams.with(|streams| streams.remove(&number)).is_some() {
        writer.send(END, number, end);
    }
}

/// A payload of the agent's.
pub(super) fn json<T: DeserializeOwned>(payload: &[u8]) -> Result<T, String> {
    serde_json::from_slice(payload).map_err(|error| format!("it sent an answer that cannot be read: {error}"))
}
