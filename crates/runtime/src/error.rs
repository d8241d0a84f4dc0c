//! What can go wrong around a run: never the flow's own fault.

use std::fmt;
use std::time::Duration;

/// The stage at which a runtime could not be had. It decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The flow's data or its configuration cannot be used (exit 2).
    Usage,
    /// The environment could not be planned or built (exit 4).
    Environment,
    /// The runtime did not start, or died (exit 5).
    Runtime,
    /// The engine, the disk or the network (exit 8).
    Infrastructure,
}

/// A failure with its cause and the next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeError {
    /// Where it happened.
    pub stage: Stage,
    /// The cause, as a lower-case fragment.
    pub message: String,
    /// What to do next, where that is known.
    pub hint: Option<String>,
    /// The last lines of the log of what failed, unescaped.
    pub log: Option<String>,
}

impl RuntimeError {
    /// An error of that stage.
    pub fn new(stage: Stage, message: impl Into<String>) -> Self {
        Self { stage, message: message.into(), hint: None, log: None }
    }

    /// An environment whose making took longer than it may.
    pub(crate) fn not_built_within(limit: Duration) -> Self {
        let message = format!("the environment was not built within {} s", limit.as_secs());
        Self::new(Stage::Environment, message).with_hint(
            "look at what its packages do when they are built; on a command line, --build-timeout gives it longer",
        )
    }

    /// Adds the next step.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the end of a log.
    #[must_use]
    pub fn with_log(mut self, log: impl Into<String>) -> Self {
        self.log = Some(log.into());
        self
    }
}

impl fmt::Display for RuntimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RuntimeError {}
