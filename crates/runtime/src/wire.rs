//! Frames between this process and the worker, version [`PROTOCOL`] of `worker/PROTOCOL.md`.
//!
//! `u32 length | u8 kind | u32 channel | payload`, big-endian; `length` counts what follows it.
//! Whatever arrives is hostile: nothing here panics, and a length alone makes nothing allocate.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::io::{self, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::outcome::Fault;
use crate::streams::NetKind;

/// The version of the protocol that both sides speak.
pub const PROTOCOL: u32 = 2;
/// The largest `length`, both ways.
pub const MAX_FRAME: usize = 16 << 20;
/// The largest payload of a [`Kind::Data`] frame.
pub const MAX_DATA: usize = 1 << 20;
/// What stands between `length` and the payload.
const HEAD: usize = 5;
/// How much room is made for a payload before any of it has arrived.
const FIRST_ROOM: usize = 64 << 10;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Starts a job.
    Open = 0x01,
    /// A part of the flow's archive.
    Data = 0x02,
    /// One line to run.
    Line = 0x03,
    /// The aggregation to run.
    Aggregate = 0x04,
    /// Answer what is queued, then end.
    Close = 0x05,
    /// End now.
    Kill = 0x06,
    /// One node to run alone.
    Node = 0x07,
    /// Asks for [`Kind::State`].
    Status = 0x10,
    /// Changes the idle time.
    Set = 0x11,
    /// Ends the worker.
    Stop = 0x12,
    /// The worker is ready.
    Hello = 0x81,
    /// The engine loaded the flow, or refused it.
    Loaded = 0x82,
    /// A line's result.
    Result = 0x83,
    /// The aggregation's result.
    Aggregated = 0x84,
    /// What user code wrote.
    Output = 0x85,
    /// The job and everything it started is gone.
    Ended = 0x86,
    /// The job has a place; says whether its archive must be sent.
    Opened = 0x87,
    /// One node's result.
    NodeResult = 0x88,
    /// The job waits for a place.
    Waiting = 0x89,
    /// The worker gives up.
    Fatal = 0x8f,
    /// How the worker is.
    State = 0x90,
    /// A process of the job has connected to its listener.
    NetOpen = NetKind::Open as u8,
    /// Bytes of such a connection.
    NetData = NetKind::Data as u8,
    /// So many of them were taken.
    NetAck = NetKind::Ack as u8,
    /// One end of it sends nothing more.
    NetEnd = NetKind::End as u8,
}

impl Kind {
    /// The kind of that number.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0x01 => Self::Open,
            0x02 => Self::Data,
            0x03 => Self::Line,
            0x04 => Self::Aggregate,
            0x05 => Self::Close,
            0x06 => Self::Kill,
            0x07 => Self::Node,
            0x10 => Self::Status,
            0x11 => Self::Set,
            0x12 => Self::Stop,
            0x81 => Self::Hello,
            0x82 => Self::Loaded,
            0x83 => Self::Result,
            0x84 => Self::Aggregated,
            0x85 => Self::Output,
            0x86 => Self::Ended,
            0x87 => Self::Opened,
            0x88 => Self::NodeResult,
            0x89 => Self::Waiting,
            0x8f => Self::Fatal,
            0x90 => Self::State,
            byte => NetKind::from_byte(byte)?.into(),
        })
    }
}

impl From<NetKind> for Kind {
    fn from(kind: NetKind) -> Self {
        match kind {
            NetKind::Open => Self::NetOpen,
            NetKind::Data => Self::NetData,
            NetKind::Ack => Self::NetAck,
            NetKind::End => Self::NetEnd,
        }
    }
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// The job that it belongs to; 0 is the worker itself.
    pub channel: u32,
    /// JSON, or bytes for [`Kind::Data`] and [`Kind::Output`].
    pub payload: Vec<u8>,
}

/// Why a stream gives no further frame.
#[derive(Debug)]
pub enum WireError {
    /// The stream ended between two frames.
    End,
    /// The stream broke, or ended within a frame.
    Broken(io::Error),
    /// The bytes are no frame; a lower-case fragment that follows "the worker sent ".
    Malformed(String),
}

/// Reads the next frame. Not to be cancelled: part of a frame would be lost.
///
/// # Errors
/// See [`WireError`].
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Frame, WireError> {
    let (kind, size, channel) = read_head(stream, MAX_FRAME).await?;
    let Some(kind) = Kind::from_byte(kind) else {
        return Err(WireError::Malformed(format!("a frame of the unknown kind {kind:#04x}")));
    };
    Ok(Frame { kind, channel, payload: read_payload(stream, size).await? })
}

/// The same, for the frames of another protocol: kind, channel and payload.
pub(crate) async fn read_raw(
    stream: &mut (impl AsyncRead + Unpin),
    max_frame: usize,
) -> Result<(u8, u32, Vec<u8>), WireError> {
    let (kind, size, channel) = read_head(stream, max_frame).await?;
    Ok((kind, channel, read_payload(stream, size).await?))
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin), max_frame: usize) -> Result<(u8, usize, u32), WireError> {
    let mut head = [0; 4 + HEAD];
    let mut have = 0;
    while have < head.len() {
        match stream.read(&mut head[have..]).await {
            Ok(0) if have == 0 => return Err(WireError::End),
            Ok(0) => return Err(WireError::Broken(io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => have += count,
            Err(error) => return Err(WireError::Broken(error)),
        }
    }
    let [a, b, c, d, kind, e, f, g, h] = head;
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if !(HEAD..=max_frame).contains(&length) {
        return Err(WireError::Malformed(format!("a frame of kind {kind:#04x} that announces {length} bytes")));
    }
    Ok((kind, length - HEAD, u32::from_be_bytes([e, f, g, h])))
}

async fn read_payload(stream: &mut (impl AsyncRead + Unpin), size: usize) -> Result<Vec<u8>, WireError> {
    // Room grows with what arrives, so that a length costs its sender as much as it costs us.
    let mut payload = Vec::with_capacity(size.min(FIRST_ROOM));
    let taken = stream.take(size as u64).read_to_end(&mut payload).await.map_err(WireError::Broken)?;
    if taken < size {
        return Err(WireError::Broken(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(payload)
}

/// Writes one frame.
///
/// # Errors
/// The stream's; a payload that no frame can hold is [`io::ErrorKind::InvalidInput`].
pub async fn write(stream: &mut (impl AsyncWrite + Unpin), frame: &Frame) -> io::Result<()> {
    write_raw(stream, frame.kind as u8, frame.channel, &frame.payload).await
}

/// The same, for the frames of another protocol.
pub(crate) async fn write_raw(
    stream: &mut (impl AsyncWrite + Unpin),
    kind: u8,
    channel: u32,
    payload: &[u8],
) -> io::Result<()> {
    let length = payload.len() + HEAD;
    if length > MAX_FRAME {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // One write: on its way into a container each wakes four processes.
    let mut frame = Vec::with_capacity(4 + length);
    frame.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    frame.push(kind);
    frame.extend(channel.to_be_bytes());
    frame.extend_from_slice(payload);
    stream.write_all(&frame).await?;
    stream.flush().await
}

/// Whether a payload of that many bytes fits into a frame.
pub fn fits(payload: usize) -> bool {
    payload <= MAX_FRAME - HEAD
}

/// `OPEN`: what a job may send.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct JobLimits {
    /// Bytes of one answer.
    pub result_bytes: u64,
    /// Bytes of output over the life of the job.
    pub output_bytes: u64,
}

/// `OPEN`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Open {
    /// The flow file, relative to the archive's root.
    pub flow_file: String,
    /// The archive's hash, in lower-case hexadecimal digits.
    pub sha256: String,
    /// How many bytes the archive has; they follow in `DATA` frames where the worker asks for them.
    pub tar_bytes: u64,
    /// What the job may send.
    pub limits: JobLimits,
    /// Where the job has a listener: variables of its environment, in which `{port}` stands for the listener's port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net: Option<BTreeMap<String, String>>,
}

/// `OPENED`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Opened {
    /// Whether the worker lacks the archive.
    pub need: bool,
}

/// `LINE`.
#[derive(Debug, Serialize)]
pub struct Line<'l> {
    /// The data row, from 0.
    pub line: usize,
    /// Its values.
    pub inputs: &'l Map<String, Value>,
}

/// `AGGREGATE`: the values of the completed lines, one list for each name.
#[derive(Debug, Default, Serialize)]
pub struct Aggregate {
    /// Flow inputs.
    pub inputs: Map<String, Value>,
    /// Outputs of the nodes that aggregation nodes read.
    pub aggregation_inputs: Map<String, Value>,
    /// The completed lines: a job that ran all of them uses its own values.
    pub lines: Vec<usize>,
}

/// `HELLO`: what the runtime holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The protocol's version.
    pub protocol: u32,
    /// Python's version.
    pub python: String,
    /// The engine's version.
    pub promptflow: String,
    /// Installed packages: normalised name to version.
    #[serde(default)]
    pub packages: BTreeMap<String, String>,
    /// The environment markers of PEP 508.
    #[serde(default)]
    pub markers: BTreeMap<String, String>,
    /// `uid` or `process`.
    #[serde(default)]
    pub isolation: String,
    /// How many jobs can be there at a time, of all clients; 0 is any number.
    #[serde(default)]
    pub places: usize,
}

/// `LOADED`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Loaded {
    /// The flow's inputs as the engine understood them.
    #[serde(default)]
    pub inputs: Map<String, Value>,
    /// Whether there is something to aggregate.
    #[serde(default)]
    pub has_aggregation: bool,
    /// Why the engine refused the flow.
    #[serde(default)]
    pub error: Option<ErrorBody>,
}

/// `RESULT`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct LineBody {
    /// The line that it answers.
    pub line: u64,
    /// The engine's word for how it ended.
    pub status: String,
    /// The flow's outputs.
    #[serde(default)]
    pub output: Option<Map<String, Value>>,
    /// Values for the aggregation.
    #[serde(default)]
    pub aggregation_inputs: Map<String, Value>,
    /// What went wrong.
    #[serde(default)]
    pub error: Option<ErrorBody>,
    /// Node records by name.
    #[serde(default)]
    pub nodes: Map<String, Value>,
}

/// `AGGREGATED`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct AggregatedBody {
    /// What the nodes logged as metrics.
    #[serde(default)]
    pub metrics: Map<String, Value>,
    /// What went wrong.
    #[serde(default)]
    pub error: Option<ErrorBody>,
    /// Node records by name.
    #[serde(default)]
    pub nodes: Map<String, Value>,
}

/// `ENDED`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Ended {
    /// `closed`, `killed`, `exited`, `protocol` or `refused`.
    pub reason: String,
    /// The exit code of a job that left by itself.
    #[serde(default)]
    pub exit: Option<i64>,
    /// The signal that killed it.
    #[serde(default)]
    pub signal: Option<i64>,
    /// More about the reason.
    #[serde(default)]
    pub detail: String,
    /// Bytes of output that the worker dropped.
    #[serde(default)]
    pub output_dropped: u64,
    /// Of a job that was killed by SIGKILL: whether the kernel did it because memory ran out, where that can be known.
    #[serde(default)]
    pub out_of_memory: Option<bool>,
    /// The bytes that all processes of the runtime may use, where that ran out; `None` where it is the machine's.
    #[serde(default)]
    pub memory: Option<u64>,
}

/// `STATE`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct WorkerState {
    /// Clients, the asking one included.
    pub clients: u64,
    /// Jobs of all clients.
    pub jobs: u64,
    /// Lines, aggregations and nodes since the start.
    pub lines: u64,
    /// Seconds without a job after which the worker ends.
    pub idle: Option<f64>,
    /// For how many seconds there has been no job.
    pub unused: f64,
    /// For how many seconds it has been running.
    pub seconds: f64,
}

/// `FATAL`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FatalBody {
    /// The kind of failure.
    pub r#type: String,
    /// One readable text.
    pub message: String,
}

/// An error in a worker's answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The exception's class.
    #[serde(default)]
    pub r#type: String,
    /// One readable text.
    #[serde(default)]
    pub message: String,
    /// The node at fault.
    #[serde(default)]
    pub node: Option<String>,
    /// The end of Python's traceback.
    #[serde(default)]
    pub traceback: Option<String>,
}

impl From<ErrorBody> for Fault {
    /// Bounds every text: the worker does, but a job can forge its answers.
    fn from(body: ErrorBody) -> Self {
        let name = if body.r#type.is_empty() { "Exception".to_owned() } else { clip(body.r#type, 256) };
        Self {
            r#type: name,
            message: clip(body.message, 16 << 10),
            node: body.node.map(|node| clip(node, 256)),
            traceback: body.traceback.filter(|text| !text.is_empty()).map(|text| clip(text, 20 << 10)),
            help: None,
        }
    }
}

/// The start of a text: at most `limit` bytes, and `...` where something is missing.
pub(crate) fn clip(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit.saturating_sub(3)));
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    proptest! {
        #[test]
        fn any_bytes_give_frames_and_then_a_reason(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut stream = bytes.as_slice();
            let mut seen = 0;
            block(async {
                while let Ok(frame) = read(&mut stream).await {
                    seen += 4 + HEAD + frame.payload.len();
                }
            });
            prop_assert!(seen <= bytes.len());
        }

        #[test]
        fn a_length_makes_no_room_by_itself(length in (HEAD as u32)..=(MAX_FRAME as u32), sent in 0usize..64) {
            let mut bytes = length.to_be_bytes().to_vec();
            bytes.extend([Kind::Result as u8, 0, 0, 0, 1]);
            bytes.extend(vec![b'x'; sent]);
            let mut stream = bytes.as_slice();
            match block(read(&mut stream)) {
                Ok(frame) => prop_assert!(frame.payload.len() <= sent && frame.payload.capacity() <= FIRST_ROOM),
                Err(error) => prop_assert!(matches!(error, WireError::Broken(_)), "{error:?}"),
            }
        }

        #[test]
        fn what_is_written_is_read(channel in any::<u32>(), payload in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let frame = Frame { kind: Kind::Output, channel, payload };
            let mut bytes = Vec::new();
            block(write(&mut bytes, &frame)).unwrap();
            let mut stream = bytes.as_slice();
            prop_assert_eq!(block(read(&mut stream)).unwrap(), frame);
            prop_assert!(matches!(block(read(&mut stream)), Err(WireError::End)));
        }

        #[test]
        fn any_payload_is_a_body_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = serde_json::from_slice::<Hello>(&bytes);
            let _ = serde_json::from_slice::<LineBody>(&bytes);
            let _ = serde_json::from_slice::<Ended>(&bytes);
        }
    }

    #[test]
    fn lengths_and_kinds_out_of_range_are_named() {
        let text = |bytes: &[u8]| {
            let mut stream = bytes;
            match block(read(&mut stream)) {
                Err(WireError::Malformed(text)) => text,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(text(&[0, 0, 0, 4, 0x83, 0, 0, 0, 1]), "a frame of kind 0x83 that announces 4 bytes");
        assert_eq!(
            text(&[0xff, 0xff, 0xff, 0xff, 0x83, 0, 0, 0, 1]),
            "a frame of kind 0x83 that announces 4294967295 bytes"
        );
        assert_eq!(text(&[0, 0, 0, 5, 0x77, 0, 0, 0, 1]), "a frame of the unknown kind 0x77");
    }

    #[test]
    fn json_deeper_than_the_reader_bears_is_an_error() {
        let deep = format!(
            r#"{{"line":0,"status":"Completed","output":{{"a":{}{}}}}}"#,
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        assert!(serde_json::from_slice::<LineBody>(deep.as_bytes()).is_err());
    }

    #[test]
    fn forged_texts_are_cut() {
        let fault =
            Fault::from(ErrorBody { message: "é".repeat(20_000), r#type: "x".repeat(1000), ..ErrorBody::default() });
        assert!(fault.message.len() <= 16 << 10 && fault.message.ends_with("..."));
        assert_eq!(fault.r#type.len(), 256);
    }
}
