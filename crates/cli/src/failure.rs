//! Why a command could not do its work.

use std::io;
use std::path::Path;

use flowgate_report::file;
use flowgate_runtime::RuntimeError;
use flowgate_runtime::outcome::ExitReason;

/// Why a command could not do its work; what it found is not a failure.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) code: u8,
    /// The cause, as a lower-case fragment, not yet escaped.
    pub(crate) message: String,
    /// The next step.
    pub(crate) hint: Option<String>,
}

impl Failure {
    /// Exit code 2: the user can mend it.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into(), hint: None }
    }

    /// What a runtime says, with the exit code of its stage.
    pub(crate) fn of(error: RuntimeError) -> Self {
        let code = ExitReason::of(error.stage).code();
        let log = error.log.map(|log| format!("\n{log}")).unwrap_or_default();
        Self { code, message: error.message + &log, hint: error.hint }
    }

    /// The same of one of several.
    pub(crate) fn within(self, name: &str) -> Self {
        Self { message: format!("{name}: {}", self.message), ..self }
    }

    /// A file that cannot be written: exit code 8 where the disk is at fault.
    pub(crate) fn of_file(path: &Path, error: &io::Error) -> Self {
        let message = format!("cannot write {}: {}", path.display(), file::reason(error));
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::ReadOnlyFilesystem => {
                Self::infrastructure(message)
            }
            _ => Self::usage(message),
        }
    }

    /// Exit code 8: the machine is at fault.
    pub(crate) fn infrastructure(message: impl Into<String>) -> Self {
        Self { code: 8, message: message.into(), hint: None }
    }
}
