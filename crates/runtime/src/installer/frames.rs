//! Frames between this process and the agent, version [`PROTOCOL`] of `installer/PROTOCOL.md`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::gate::Target;
use crate::streams::NetKind;

/// The version of the protocol that both sides speak.
pub(super) const PROTOCOL: u32 = 2;
/// The largest `length`, both ways.
pub(super) const MAX_FRAME: usize = 1 << 20;

pub(super) const RUN: u8 = 0x01;
pub(super) const COMPILE: u8 = 0x02;

/// What the agent sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Hello,
    Output,
    Exited,
    Compiled,
    Fatal,
    /// Of a connection to the installer's index.
    Net(NetKind),
}

impl Kind {
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0x81 => Self::Hello,
            0x82 => Self::Output,
            0x83 => Self::Exited,
            0x84 => Self::Compiled,
            0x8f => Self::Fatal,
            byte => Self::Net(NetKind::from_byte(byte)?),
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
