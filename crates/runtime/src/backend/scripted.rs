//! A backend whose workers are scripts in this process that speak the real frames: for tests of
//! the runner and of reporters, where time, death and malice must come on cue.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;

use super::{Backend, BackendKind, Image, Limits, Prepared, Progress, Runtime, Stop};
use crate::error::{RuntimeError, Stage};
use crate::log::LogTail;
use crate::plan::EnvironmentPlan;
use crate::session::Session;
use crate::wire::{self, Frame, Kind, Open};

/// What the host asks of a job.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// `OPEN` and all of its `DATA`.
    Open {
        /// The flow file.
        flow_file: String,
        /// The archive.
        archive: Vec<u8>,
    },
    /// `LINE`.
    Line {
        /// The row.
        line: u64,
        /// Its values.
        inputs: Value,
    },
    /// `AGGREGATE`, as sent.
    Aggregate(Value),
    /// `CLOSE`.
    Close,
    /// `KILL`.
    Kill,
}

/// What a script does about a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// What a well-behaved worker does: loads any flow, echoes inputs as outputs, ends when told.
    Usual,
    /// Sends that frame on the job's channel.
    Send(Kind, Value),
    /// Sends bytes as they are.
    Raw(Vec<u8>),
    /// Sends nothing.
    Silence,
    /// Closes the stream for good.
    Die,
}

type Script = Arc<dyn Fn(usize, u32, &Request) -> Vec<Reply> + Send + Sync>;

/// The scripted backend. It says that it is the process backend.
pub struct Scripted {
    script: Script,
    /// How `prepare` fails, if it is to fail.
    pub prepare_error: Option<RuntimeError>,
    counts: Arc<Counts>,
}

/// What became of the runtimes of a [`Scripted`].
#[derive(Debug, Default)]
pub struct Counts {
    started: AtomicUsize,
    stopped: AtomicUsize,
}

impl Counts {
    /// How many were started.
    pub fn started(&self) -> usize {
        self.started.load(Ordering::SeqCst)
    }

    /// How many were stopped again.
    pub fn stopped(&self) -> usize {
        self.stopped.load(Ordering::SeqCst)
    }
}

impl Scripted {
    /// A backend whose workers answer what `script` says; it gets the runtime's number from 0, the
    /// channel, and the request.
    pub fn new(script: impl Fn(usize, u32, &Request) -> Vec<Reply> + Send + Sync + 'static) -> Self {
        Self { script: Arc::new(script), prepare_error: None, counts: Arc::default() }
    }

    /// A backend whose workers behave.
    pub fn usual() -> Self {
        Self::new(|_, _, _| vec![Reply::Usual])
    }

    /// What became of its runtimes.
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }
}

#[async_trait]
impl Backend for Scripted {
    fn kind(&self) -> BackendKind {
        BackendKind::Process
    }

    async fn prepare(&self, _: &EnvironmentPlan, progress: Progress<'_>) -> Result<Box<dyn Prepared>, RuntimeError> {
        progress.step("reading the script");
        match &self.prepare_error {
            Some(error) => Err(error.clone()),
            None => Ok(Box::new(PreparedScript { script: Arc::clone(&self.script), counts: self.counts() })),
        }
    }
}

/// The environment of a script.
struct PreparedScript {
    script: Script,
    counts: Arc<Counts>,
}

#[async_trait]
impl Prepared for PreparedScript {
    fn image(&self) -> Option<&Image> {
        None
    }

    async fn start(&self, limits: &Limits) -> Result<Runtime, RuntimeError> {
        let number = self.counts.started.fetch_add(1, Ordering::SeqCst);
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let script = Arc::clone(&self.script);
        let task = tokio::spawn(async move {
            let _ = Peer { stream: theirs, incoming: HashMap::new() }.serve(number, &script).await;
        });
        let log = LogTail::default();
        log.push(b"the script's log\n");
        log.finish();
        let (reader, writer) = tokio::io::split(ours);
        let session = Session::start(reader, writer, log, limits.start_timeout).await?;
        Ok(Runtime {
            session,
            notice: None,
            cpus: None,
            stop: Box::new(Scene { task, counts: Arc::clone(&self.counts) }),
        })
    }
}

struct Scene {
    task: JoinHandle<()>,
    counts: Arc<Counts>,
}

#[async_trait]
impl Stop for Scene {
    async fn stop(self: Box<Self>) -> Result<(), RuntimeError> {
        self.counts.stopped.fetch_add(1, Ordering::SeqCst);
        self.task.abort();
        match self.task.await {
            Err(error) if error.is_panic() => Err(RuntimeError::new(Stage::Infrastructure, "the script panicked")),
            _ => Ok(()),
        }
    }
}

/// The worker's end of the stream.
struct Peer {
    stream: DuplexStream,
    /// Archives on their way, with the bytes that they still lack.
    incoming: HashMap<u32, (Open, Vec<u8>)>,
}

impl Peer {
    async fn serve(mut self, number: usize, script: &Script) -> std::io::Result<()> {
        let size = self.stream.read_u32().await?;
        tokio::io::copy(&mut (&mut self.stream).take(u64::from(size)), &mut tokio::io::sink()).await?;
        let hello = json!({"protocol": wire::PROTOCOL, "python": "3.11.0", "promptflow": "1.18.5", "packages": {}, "markers": {}, "isolation": "process"});
        self.send(Kind::Hello, 0, &hello).await?;
        while let Ok(frame) = wire::read(&mut self.stream).await {
            let channel = frame.channel;
            let Some(request) = self.request(frame).await? else { continue };
            for reply in script(number, channel, &request) {
                match reply {
                    Reply::Usual => self.usual(channel, &request).await?,
                    Reply::Send(kind, body) => self.send(kind, channel, &body).await?,
                    Reply::Raw(bytes) => self.stream.write_all(&bytes).await?,
                    Reply::Silence => {}
                    Reply::Die => return Ok(()),
                }
            }
        }
        Ok(())
    }

    async fn request(&mut self, frame: Frame) -> std::io::Result<Option<Request>> {
        Ok(match frame.kind {
            Kind::Open => {
                let open: Open = serde_json::from_slice(&frame.payload)?;
                self.incoming.insert(frame.channel, (open, Vec::new()));
                self.send(Kind::Opened, frame.channel, &json!({"need": true})).await?;
                None
            }
            Kind::Data => {
                let Some((open, archive)) = self.incoming.get_mut(&frame.channel) else { return Ok(None) };
                archive.extend(frame.payload);
                if (archive.len() as u64) < open.tar_bytes {
                    return Ok(None);
                }
                self.incoming
                    .remove(&frame.channel)
                    .map(|(open, archive)| Request::Open { flow_file: open.flow_file, archive })
            }
            Kind::Line => {
                let mut body: Value = serde_json::from_slice(&frame.payload)?;
                Some(Request::Line { line: body["line"].as_u64().unwrap_or(u64::MAX), inputs: body["inputs"].take() })
            }
            Kind::Aggregate => Some(Request::Aggregate(serde_json::from_slice(&frame.payload)?)),
            Kind::Close => Some(Request::Close),
            _ => Some(Request::Kill),
        })
    }

    async fn usual(&mut self, channel: u32, request: &Request) -> std::io::Result<()> {
        let (kind, body) = match request {
            Request::Open { .. } => (Kind::Loaded, json!({"inputs": {}, "has_aggregation": false})),
            Request::Line { line, inputs } => (Kind::Result, completed(*line, inputs)),
            Request::Aggregate(_) => (Kind::Aggregated, json!({"metrics": {}})),
            Request::Close => (Kind::Ended, json!({"reason": "closed", "exit": 0})),
            Request::Kill => (Kind::Ended, json!({"reason": "killed", "signal": 9})),
        };
        self.send(kind, channel, &body).await
    }

    async fn send(&mut self, kind: Kind, channel: u32, body: &Value) -> std::io::Result<()> {
        wire::write(&mut self.stream, &Frame { kind, channel, payload: body.to_string().into_bytes() }).await
    }
}

/// The answer for a line that the engine completed.
pub fn completed(line: u64, output: &Value) -> Value {
    json!({"line": line, "status": "Completed", "output": output, "aggregation_inputs": {}, "error": null, "duration_ms": 1, "tokens": {}, "nodes": {}})
}

/// The answer for a line that raised.
pub fn raised(line: u64, error: &str, node: &str) -> Value {
    let error = json!({"type": error, "message": format!("{error}: no"), "node": node, "traceback": "Traceback"});
    json!({"line": line, "status": "Failed", "output": null, "aggregation_inputs": {}, "error": error, "duration_ms": 1, "tokens": {}, "nodes": {}})
}
