//! The stream to an agent: connections of the installer go to the gate, and its own frames to who asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::frames::{COMPILE, Exited, Fatal, Kind, MAX_FRAME, RUN, Run};
use crate::gate::{self, Session};
use crate::streams::{MAX_STREAMS, Streams, WINDOW};
use crate::wire::{self, WireError, clip};

/// Bytes that may wait for an agent that does not read: more than all windows together.
const MAX_QUEUED: usize = 2 * MAX_STREAMS * WINDOW;

type Frame = (u8, Vec<u8>);

/// The stream to one agent.
pub(super) struct Channel {
    reader: Box<dyn AsyncRead + Send + Unpin>,
    writer: Writer,
    writing: JoinHandle<()>,
    streams: Streams,
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
    fn send(&self, kind: u8, payload: Vec<u8>) {
        self.queued.fetch_add(payload.len() + 9, Ordering::Relaxed);
        // An agent that is gone is noticed by who reads.
        let _ = self.frames.send((kind, payload));
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
            while let Some((kind, payload)) = waiting.recv().await {
                count.fetch_sub(payload.len() + 9, Ordering::Relaxed);
                if wire::write_raw(&mut writer, kind, 0, &payload).await.is_err() {
                    break;
                }
            }
            // The agent ends by it. One that is gone needs no end.
            let _ = writer.shutdown().await;
        });
        let writer = Writer { frames, queued };
        let of_streams = writer.clone();
        let streams = Streams::new(move |kind, payload| of_streams.send(kind as u8, payload));
        Self { reader: Box::new(reader), writer, writing, streams, torn: false }
    }

    /// The next frame of the agent's own. Connections are closed meanwhile.
    pub(super) async fn next_of_agent(&mut self) -> Result<(Kind, Vec<u8>), String> {
        loop {
            match self.next().await? {
                (Kind::Net(kind), payload) => {
                    let closed = |connection| async move { drop(connection) };
                    self.streams.take(kind, &payload, closed).map_err(|what| format!("it {what}"))?;
                }
                own => return Ok(own),
            }
        }
    }

    async fn next(&mut self) -> Result<(Kind, Vec<u8>), String> {
        if self.writer.queued.load(Ordering::Relaxed) > MAX_QUEUED {
            return Err("it asks without reading the answers".to_owned());
        }
        let (kind, channel, payload) =
            wire::read_raw(&mut self.reader, MAX_FRAME).await.map_err(|error| match error {
                WireError::End => "it ended".to_owned(),
                WireError::Broken(error) => format!("the stream broke: {error}"),
                WireError::Malformed(what) => format!("it sent {what}"),
            })?;
        let kind = Kind::from_byte(kind).ok_or_else(|| format!("it sent a frame of the unknown kind {kind:#04x}"))?;
        if channel != 0 {
            return Err(format!("it sent {kind:?} on channel {channel}, which was never opened"));
        }
        Ok((kind, payload))
    }

    /// Has a command run, and answers its requests until it has ended.
    pub(super) async fn run(
        &mut self,
        command: &Run,
        session: &Arc<Session>,
        output: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<Exited, String> {
        if std::mem::replace(&mut self.torn, true) {
            return Err("an earlier install was broken off".to_owned());
        }
        let payload = serde_json::to_vec(command).unwrap_or_default();
        if payload.len() + 5 > MAX_FRAME {
            return Err("the requirements are too long".to_owned());
        }
        self.writer.send(RUN, payload);
        let exited = self.serve(session, output).await?;
        self.streams.close();
        self.torn = false;
        Ok(exited)
    }

    /// Has modules compiled, and waits until they are.
    pub(super) async fn compile(&mut self) -> Result<(), String> {
        self.writer.send(COMPILE, Vec::new());
        match self.next_of_agent().await? {
            (Kind::Compiled, _) => Ok(()),
            (Kind::Fatal, payload) => Err(clip(json::<Fatal>(&payload)?.message, 1000)),
            (kind, _) => Err(format!("it sent {kind:?}, which was not due")),
        }
    }

    /// Closes the stream to the agent, and reads on until it has ended.
    pub(super) async fn end(&mut self) {
        self.streams = Streams::new(|_, _| {});
        let (frames, _) = mpsc::unbounded_channel();
        self.writer = Writer { frames, queued: Arc::default() };
        while self.next().await.is_ok() {}
    }

    async fn serve(
        &mut self,
        session: &Arc<Session>,
        output: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<Exited, String> {
        loop {
            let (kind, payload) = self.next().await?;
            match kind {
                Kind::Net(kind) => {
                    let serve = |connection| gate::serve(session.clone(), connection);
                    self.streams.take(kind, &payload, serve).map_err(|what| format!("it {what}"))?;
                }
                Kind::Output => output(payload.get(1..).unwrap_or(&[])),
                Kind::Exited => return json(&payload),
                Kind::Fatal => return Err(clip(json::<Fatal>(&payload)?.message, 1000)),
                kind => return Err(format!("it sent {kind:?}, which was not due")),
            }
        }
    }
}

/// A payload of the agent's.
pub(super) fn json<T: DeserializeOwned>(payload: &[u8]) -> Result<T, String> {
    serde_json::from_slice(payload).map_err(|error| format!("it sent an answer that cannot be read: {error}"))
}
