//! One conversation with one worker, over whatever stream its backend gives.
//!
//! A reader task takes frames, judges whether each one is due, and hands answers to the job's
//! [`Channel`]; it never waits for a channel, so that one job cannot hold up another. What a job
//! may leave with us is bounded by construction: one answer, one end, a capped log, and the windows
//! of its connections.

mod channel;
mod net;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::error::{RuntimeError, Stage};
use crate::log::{LOG_BYTES, LogTail};
use crate::pack::Archive;
use crate::streams::NetKind;
use crate::wire::{self, Ended, FatalBody, Frame, Hello, JobLimits, Kind, Open, WireError, WorkerState, clip};
use crate::{weight, worker};

pub use channel::Channel;
pub use net::{Connection, Net, Serve};
use net::{Queued, Served};

/// Frames that wait to be written; a full queue holds up who sends.
const OUTGOING: usize = 4;
/// Answers that wait for their channel: that it waits for a place, the one that is due, a fault, the end.
const ANSWERS: usize = 4;
/// How long the last words of a dead worker are waited for.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long a worker may take to answer a question about itself.
const COMMAND: Duration = Duration::from_secs(10);
/// What one answer may take of this machine's memory once it is read, in bytes.
const MAX_WEIGHT: usize = 256 << 20;

/// A started worker that has said hello. When it is dropped, its stream closes and the worker
/// ends.
pub struct Session {
    hello: Hello,
    shared: Arc<Shared>,
    outgoing: mpsc::Sender<Frame>,
    commands: tokio::sync::Mutex<()>,
    tasks: [JoinHandle<()>; 2],
}

struct Shared {
    table: Mutex<Table>,
    /// Who waits for the worker's state, the first one first.
    states: Mutex<VecDeque<oneshot::Sender<WorkerState>>>,
    dead: watch::Sender<Option<RuntimeError>>,
    log: LogTail,
    /// What the jobs' connections send.
    net: mpsc::UnboundedSender<Queued>,
}

#[derive(Default)]
struct Table {
    /// The number of the last channel.
    last: u32,
    open: HashMap<u32, Entry>,
}

struct Entry {
    answers: mpsc::Sender<Answer>,
    due: Option<Kind>,
    /// After a fault, whatever comes before the end is ignored.
    faulty: bool,
    output: Output,
    net: Option<Served>,
}

enum Answer {
    Payload(Vec<u8>),
    Waiting,
    Fault(String),
    Ended(Ended),
}

/// The output of one job while it runs.
#[derive(Debug, Clone, Default)]
pub struct Output(Arc<Mutex<Captured>>);

impl Output {
    /// Takes what user code wrote since the last call.
    pub fn take(&self) -> Captured {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Captured> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What user code wrote to its standard output and error.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Captured {
    /// The start of it, in the order of arrival.
    pub bytes: Vec<u8>,
    /// How many bytes came after that.
    pub dropped: u64,
}

/// Why a channel gives no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelError {
    /// The job ended before it answered.
    Ended(Ended),
    /// The job sent what was not due or cannot be read; a lower-case fragment.
    Protocol(String),
    /// What should be sent does not fit into a frame: so many bytes.
    TooLarge(usize),
    /// An answer would take so many bytes of this machine's memory once it is read, and is not.
    TooHeavy(usize),
    /// The worker has gone.
    Worker(RuntimeError),
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("hello", &self.hello).finish_non_exhaustive()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        self.shared.die(self.shared.error("the session was closed"));
    }
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the session; the first cause stays.
    fn die(&self, error: RuntimeError) {
        self.dead.send_if_modified(|dead| {
            let first = dead.is_none();
            dead.get_or_insert(error);
            first
        });
        self.table().open.clear();
        self.states.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    async fn died(&self) -> RuntimeError {
        let mut dead = self.dead.subscribe();
        match dead.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(error)) => error.clone(),
            _ => self.error("the worker ended unexpectedly"),
        }
    }

    fn error(&self, message: impl Into<String>) -> RuntimeError {
        let error = RuntimeError::new(Stage::Runtime, message);
        match self.log.text() {
            Some(log) => error.with_log(log),
            None => error,
        }
    }
}

impl Session {
    /// Sends the worker's source to a started bootstrap ([`worker::arguments`]) and waits until
    /// the worker is ready. `log` is what the backend fills with the worker's standard error.
    ///
    /// # Errors
    /// [`Stage::Runtime`] where the worker ends, gives up, speaks another protocol, or does not
    /// answer in time.
    pub async fn start<R, W>(reader: R, writer: W, log: LogTail, start_timeout: Duration) -> Result<Self, RuntimeError>
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        Self::greet(reader, writer, log, start_timeout, worker::preamble()).await
    }

    /// Speaks to a worker that runs, over a relay, and waits until it is ready.
    ///
    /// # Errors
    /// As those of [`Session::start`].
    #[cfg(feature = "docker")]
    pub(crate) async fn attach<R, W>(
        reader: R,
        writer: W,
        log: LogTail,
        timeout: Duration,
    ) -> Result<Self, RuntimeError>
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        Self::greet(reader, writer, log, timeout, Vec::new()).await
    }

    async fn greet<R, W>(
        mut reader: R,
        mut writer: W,
        log: LogTail,
        start_timeout: Duration,
        source: Vec<u8>,
    ) -> Result<Self, RuntimeError>
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        let (table, states) = (Mutex::default(), Mutex::default());
        let (net, of_connections) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared { table, states, dead: watch::Sender::new(None), log, net });
        let start = async {
            let send = async {
                writer.write_all(&source).await?;
                writer.flush().await
            };
            // A worker that ends early says why in its frames or its log: a failed write does not.
            let (_, frame) = tokio::join!(send, wire::read(&mut reader));
            frame
        };
        let frame = match timeout(start_timeout, start).await {
            Err(_) => {
                return Err(shared.error(format!("the worker did not answer within {} s", start_timeout.as_secs())));
            }
            Ok(Err(error)) => return Err(lost(&shared, error).await),
            Ok(Ok(frame)) => frame,
        };
        let hello: Hello = match (frame.kind, frame.channel) {
            (Kind::Hello, 0) => {
                body(&frame.payload).map_err(|e| shared.error(format!("worker sent {e} as its hello")))?
            }
            (Kind::Fatal, 0) => return Err(fatal(&shared, &frame.payload)),
            (kind, channel) => {
                return Err(shared.error(format!("worker sent {kind:?} on channel {channel} before its hello")));
            }
        };
        if hello.protocol != wire::PROTOCOL {
            return Err(shared.error(format!(
                "the worker speaks protocol {}, and this flowgate speaks {}",
                hello.protocol,
                wire::PROTOCOL
            )));
        }
        let (outgoing, queue) = mpsc::channel(OUTGOING);
        let tasks = [
            tokio::spawn(read_frames(reader, Arc::clone(&shared))),
            tokio::spawn(write_frames(writer, queue, of_connections, Arc::clone(&shared))),
        ];
        Ok(Self { hello, shared, outgoing, commands: tokio::sync::Mutex::default(), tasks })
    }

    /// What the runtime holds.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Why the worker has gone; `None` while it lives.
    pub fn dead(&self) -> Option<RuntimeError> {
        self.shared.dead.borrow().clone()
    }

    /// Asks how the worker is.
    ///
    /// # Errors
    /// Why it does not answer.
    pub async fn status(&self) -> Result<WorkerState, RuntimeError> {
        self.command(Kind::Status, json!({})).await
    }

    /// The same, and says that it is about to be used: its idle time begins anew.
    #[cfg(feature = "docker")]
    pub(crate) async fn begin_use(&self) -> Result<WorkerState, RuntimeError> {
        self.command(Kind::Status, json!({ "use": true })).await
    }

    /// Changes after how long without a job the worker ends.
    ///
    /// # Errors
    /// Why it does not answer.
    pub async fn set_idle(&self, idle: Option<Duration>) -> Result<WorkerState, RuntimeError> {
        self.command(Kind::Set, json!({ "idle": idle.map(|idle| idle.as_secs_f64()) })).await
    }

    /// Ends the worker: `None` where it has ended. Without `force` it goes on where others have jobs there.
    ///
    /// # Errors
    /// Why it does not answer.
    pub async fn end(&self, force: bool) -> Result<Option<WorkerState>, RuntimeError> {
        match self.command(Kind::Stop, json!({ "force": force })).await {
            Ok(state) => Ok(Some(state)),
            Err(_) if self.dead().is_some() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn command(&self, kind: Kind, body: Value) -> Result<WorkerState, RuntimeError> {
        let (answer, state) = oneshot::channel();
        {
            // In the order in which the questions are sent: one at a time.
            let _turn = self.commands.lock().await;
            self.shared.states.lock().unwrap_or_else(PoisonError::into_inner).push_back(answer);
            let frame = Frame { kind, channel: 0, payload: body.to_string().into_bytes() };
            if self.outgoing.send(frame).await.is_err() {
                return Err(self.shared.died().await);
            }
        }
        tokio::select! {
            state = timeout(COMMAND, state) => match state {
                Ok(Ok(state)) => Ok(state),
                Ok(Err(_)) => Err(self.shared.died().await),
                Err(_) => Err(self.shared.error(format!("the worker did not answer within {} s", COMMAND.as_secs()))),
            },
            error = self.shared.died() => Err(error),
        }
    }

    /// How many jobs the runtime has room for at a time; `None` where that is not limited.
    pub fn places(&self) -> Option<usize> {
        Some(self.hello.places).filter(|places| *places > 0)
    }

    /// Asks for a job on a packed flow. [`Channel::opened`] and then [`Channel::loaded`] are the answers. With `net`, its
    /// processes, and no other job's, can connect to a listener.
    ///
    /// # Errors
    /// [`ChannelError::Worker`] where the worker has gone.
    pub async fn open(
        &self,
        flow_file: &str,
        archive: &Archive,
        limits: JobLimits,
        net: Option<Net>,
    ) -> Result<Channel, ChannelError> {
        let open = Open {
            flow_file: flow_file.to_owned(),
            sha256: archive.sha256().to_owned(),
            tar_bytes: archive.bytes().len() as u64,
            limits,
            net: net.as_ref().map(|net| net.variables.clone()),
        };
        let payload = json(&open)?;
        let Ok(permit) = self.outgoing.reserve().await else {
            return Err(ChannelError::Worker(self.shared.died().await));
        };
        let (answers, inbox) = mpsc::channel(ANSWERS);
        let output = Output::default();
        let number = {
            // Numbers must reach the worker in their order, so the frame is queued under the lock.
            let mut table = self.shared.table();
            if let Some(error) = self.dead() {
                return Err(ChannelError::Worker(error));
            }
            table.last += 1;
            let number = table.last;
            let net = net.map(|net| Served::new(number, net, &self.shared.net));
            let entry = Entry { answers, due: Some(Kind::Opened), faulty: false, output: output.clone(), net };
            table.open.insert(number, entry);
            permit.send(Frame { kind: Kind::Open, channel: number, payload });
            number
        };
        Ok(Channel {
            number,
            shared: Arc::clone(&self.shared),
            outgoing: self.outgoing.clone(),
            inbox,
            output,
            over: false,
        })
    }
}

async fn read_frames(mut reader: impl AsyncRead + Unpin, shared: Arc<Shared>) {
    let error = loop {
        match wire::read(&mut reader).await {
            Ok(frame) => {
                if let Err(error) = take(&shared, frame) {
                    break error;
                }
            }
            Err(error) => break lost(&shared, error).await,
        }
    };
    shared.die(error);
}

async fn write_frames(
    mut writer: impl AsyncWrite + Unpin,
    mut queue: mpsc::Receiver<Frame>,
    mut of_connections: mpsc::UnboundedReceiver<Queued>,
    shared: Arc<Shared>,
) {
    let write = async {
        // In turns by chance, so that neither an upload nor the bytes of connections hold up the other, or a KILL.
        while let Some(frame) = tokio::select! {
            frame = queue.recv() => frame,
            Some(queued) = of_connections.recv() => Some(queued.frame()),
        } {
            if wire::write(&mut writer, &frame).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = write => {}
        _ = shared.died() => return,
    }
    // The reader knows better why: what the worker said last may still be on its way.
    if timeout(LAST_WORDS, shared.died()).await.is_err() {
        shared.die(shared.error("the worker takes nothing more"));
    }
}

/// What the end of the stream means.
async fn lost(shared: &Shared, error: WireError) -> RuntimeError {
    match error {
        WireError::Malformed(what) => shared.error(format!("worker sent {what}")),
        WireError::End | WireError::Broken(_) => {
            let _ = timeout(LAST_WORDS, shared.log.finished()).await;
            shared.error("the worker ended unexpectedly").with_hint(
                "its log may say why; otherwise it was stopped, or killed: by the flow's code, or as memory ran out",
            )
        }
    }
}

fn fatal(shared: &Shared, payload: &[u8]) -> RuntimeError {
    match body::<FatalBody>(payload) {
        Ok(fatal) => {
            shared.error(format!("the worker failed: {}: {}", clip(fatal.r#type, 256), clip(fatal.message, 16 << 10)))
        }
        Err(error) => shared.error(format!("worker sent {error} as its last words")),
    }
}

/// Judges one frame. Errors are the worker's own fault and end the session.
fn take(shared: &Shared, frame: Frame) -> Result<(), RuntimeError> {
    if frame.kind == Kind::Fatal && frame.channel == 0 {
        return Err(fatal(shared, &frame.payload));
    }
    if frame.kind == Kind::State && frame.channel == 0 {
        let state = body(&frame.payload).map_err(|e| shared.error(format!("worker sent {e} as its state")))?;
        let first = shared.states.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(first) = first else { return Err(shared.error("worker sent its state unasked")) };
        let _ = first.send(state);
        return Ok(());
    }
    let mut table = shared.table();
    let Some(entry) = table.open.get_mut(&frame.channel) else {
        let state = if (1..=table.last).contains(&frame.channel) { "has ended" } else { "was never opened" };
        return Err(shared.error(format!("worker sent {:?} for channel {}, which {state}", frame.kind, frame.channel)));
    };
    if entry.faulty && frame.kind != Kind::Ended && frame.kind != Kind::Output {
        return Ok(());
    }
    if let Some(kind) = NetKind::from_byte(frame.kind as u8) {
        let taken = match &mut entry.net {
            Some(net) => net.take(kind, &frame.payload),
            None => Err(format!("sent {kind:?} without a listener")),
        };
        if let Err(what) = taken {
            (entry.faulty, entry.net) = (true, None);
            let _ = entry.answers.try_send(Answer::Fault(format!("the job {what}")));
        }
        return Ok(());
    }
    match frame.kind {
        Kind::Ended => {
            let ended: Ended =
                body(&frame.payload).map_err(|e| shared.error(format!("worker sent {e} as the end of a job")))?;
            // A full inbox means that nobody takes from it.
            let _ = entry.answers.try_send(Answer::Ended(ended));
            table.open.remove(&frame.channel);
        }
        Kind::Output => {
            let mut captured = entry.output.lock();
            let bytes = frame.payload.get(1..).unwrap_or_default();
            let room = LOG_BYTES.saturating_sub(captured.bytes.len()).min(bytes.len());
            captured.bytes.extend(&bytes[..room]);
            captured.dropped += (bytes.len() - room) as u64;
        }
        Kind::Waiting if entry.due == Some(Kind::Opened) => {
            let _ = entry.answers.try_send(Answer::Waiting);
        }
        kind if entry.due == Some(kind) => {
            entry.due = None;
            let _ = entry.answers.try_send(Answer::Payload(frame.payload));
        }
        kind => {
            entry.faulty = true;
            let due = entry.due.map_or("nothing".to_owned(), |due| format!("{due:?}"));
            let _ = entry.answers.try_send(Answer::Fault(format!("the job sent {kind:?} where {due} was due")));
        }
    }
    Ok(())
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, ChannelError> {
    match serde_json::to_vec(value) {
        Ok(payload) if wire::fits(payload.len()) => Ok(payload),
        Ok(payload) => Err(ChannelError::TooLarge(payload.len())),
        Err(error) => Err(ChannelError::Protocol(format!("the request cannot be written: {error}"))),
    }
}

/// Reads a body; the error is a lower-case fragment that follows "sent".
fn body<T: DeserializeOwned>(payload: &[u8]) -> Result<T, String> {
    serde_json::from_slice(payload).map_err(|error| format!("JSON that cannot be read ({error})"))
}

fn parse<T: DeserializeOwned>(payload: &[u8]) -> Result<T, ChannelError> {
    parse_weighed(payload).map(|(body, _)| body)
}

/// A body, and how much memory it takes at most, in bytes.
fn parse_weighed<T: DeserializeOwned>(payload: &[u8]) -> Result<(T, usize), ChannelError> {
    let weight = weight::of(payload);
    if weight > MAX_WEIGHT {
        return Err(ChannelError::TooHeavy(weight));
    }
    let body = body(payload).map_err(|error| ChannelError::Protocol(format!("the job sent {error}")))?;
    Ok((body, weight))
}
