//! Warm runtimes, for people and for machines.

pub mod json;
pub mod terminal;

use std::time::Duration;

use flowgate_runtime::runtimes::WarmRuntime;

/// A runtime, with what only the flow's files say.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// The runtime.
    pub runtime: WarmRuntime,
    /// Its flow's folder, as messages name it.
    pub flow: String,
    /// Whether the flow needs another environment by now; `None` where that is not known.
    pub is_behind: Option<bool>,
}

/// `45s`, `5m`, `3h`, `2d`: the largest unit alone.
fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}
