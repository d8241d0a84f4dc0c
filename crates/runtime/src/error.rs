//! What can go wrong around a run: never the flow's own fault.

use std::path::Path;
use std::time::Duration;
use std::{fmt, io};

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

/// What to do about a full disk.
const FULL: &str = "free some space, or set FLOWGATE_CACHE_DIR to a folder on another disk";
/// What a program says where it finds one: the texts of ENOSPC and EDQUOT.
const FULL_WORDS: [&str; 2] = ["No space left on device", "Disk quota exceeded"];

fn is_full(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether less than a mebibyte is left.
#[cfg(unix)]
fn has_no_space(folder: &Path) -> bool {
    rustix::fs::statvfs(folder).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < 1 << 20)
}

#[cfg(not(unix))]
fn has_no_space(_: &Path) -> bool {
    false
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

    /// An error of the disk that flowgate keeps its own files on.
    pub(crate) fn disk(what: &str, path: &Path, error: &io::Error) -> Self {
        use io::ErrorKind::{NotADirectory, PermissionDenied, ReadOnlyFilesystem};
        let plain = Self::new(Stage::Infrastructure, format!("cannot {what} {}: {error}", path.display()));
        match error.kind() {
            kind if is_full(kind) => plain.with_hint(FULL),
            PermissionDenied | ReadOnlyFilesystem | NotADirectory => {
                plain.with_hint("set FLOWGATE_CACHE_DIR to a folder that you can write to")
            }
            _ => plain,
        }
    }

    /// The same, unless the disk of that folder is what is at fault.
    pub(crate) fn or_full(self, folder: &Path) -> Self {
        let says = |text: &str| FULL_WORDS.iter().any(|words| text.contains(words));
        // Not every program says why another one that it ran could not write.
        if !self.log.as_deref().is_some_and(says) && !says(&self.message) && !has_no_space(folder) {
            return self;
        }
        let message = format!(
            "{}: no space is left on the disk of {}, or in the folder for temporary files",
            self.message,
            folder.display()
        );
        Self { stage: Stage::Infrastructure, message, hint: Some(FULL.to_owned()), ..self }
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
