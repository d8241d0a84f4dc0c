//! Frames between this process and the agent, version [`PROTOCOL`] of `installer/PROTOCOL.md`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::gate::Target;

/// The version of the protocol that both sides speak.
pub(super) const PROTOCOL: u32 = 1;
/// The largest `length`, both ways.
pub(super) const MAX_FRAME: usize = 1 << 20;
/// How many bytes of one stream may be on their way.
pub(super) const WINDOW: usize = 256 << 10;
/// How many streams may be open at once.
pub(super) const MAX_STREAMS: usize = 64;
/// The longest request head that is taken.
pub(super) const MAX_HEAD: usize = 16 << 10;

pub(super) const RUN: u8 = 0x01;
pub(super) const RESPONSE: u8 = 0x02;
pub(super) const BODY: u8 = 0x03;
pub(super) const END: u8 = 0x04;
pub(super) const COMPILE: u8 = 0x05;

/// What the agent sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Hello,
    Request,
    Ack,
    Cancel,
    Output,
    Exited,
    Compiled,
    Fatal,
}

impl Kind {
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0x81 => Self::Hello,
            0x82 => Self::Request,
            0x83 => Self::Ack,
            0x84 => Self::Cancel,
            0x85 => Self::Output,
            0x86 => Self::Exited,
            0x87 => Self::Compiled,
            0x8f => Self::Fatal,
            _ => return None,
        })
    }
}

/// `HELLO`: what is there.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Hello {
    pub(super) protocol: u32,
    pub(super) port: u16,
    pub(super) python: String,
    pub(super) executable: String,
    pub(super) uv: Option<String>,
    pub(super) pip: Option<String>,
    pub(super) packages: BTreeMap<String, String>,
    pub(super) mount: Option<String>,
    pub(super) wheels: Option<Target>,
}

/// `RUN`: a command, and the files in its folder, which `{work}` stands for.
#[derive(Debug, Serialize)]
pub(super) struct Run {
    pub(super) argv: Vec<String>,
    pub(super) env: BTreeMap<&'static str, String>,
    pub(super) files: BTreeMap<&'static str, String>,
    pub(super) archives: Vec<String>,
}

/// `REQUEST`.
#[derive(Debug, Deserialize)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) accept: String,
    pub(super) body: bool,
}

/// `RESPONSE`.
#[derive(Debug, Serialize)]
pub(super) struct Response<'r> {
    pub(super) status: u16,
    pub(super) reason: &'r str,
    pub(super) content_type: &'r str,
    pub(super) length: Option<u64>,
}

/// `EXITED`.
#[derive(Debug, Deserialize)]
pub(super) struct Exited {
    pub(super) exit: Option<i64>,
    pub(super) signal: Option<i64>,
    pub(super) detail: String,
    pub(super) packages: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) direct: Vec<String>,
}

/// `FATAL`.
#[derive(Debug, Deserialize)]
pub(super) struct Fatal {
    pub(super) message: String,
}
