//! Where the report of a run goes: tried before the run, and never lost after it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flowgate_report::file;
use flowgate_runtime::Cancel;

use crate::commands::{Failure, is_standard_output};
use crate::say::{self, Text};

/// How long the reader of a pipe has after the run was cancelled.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the report goes.
pub(super) enum Destination {
    /// Standard output; what people read goes to standard error then.
    StandardOutput,
    /// A file that the user named.
    File(PathBuf),
}

impl Destination {
    /// Tries it: a run of an hour must not end with "no such folder".
    ///
    /// # Errors
    /// The report could not be written there.
    pub(super) fn of(path: &Path) -> Result<Self, Failure> {
        if is_standard_output(path) {
            return Ok(Self::StandardOutput);
        }
        file::probe(path).map_err(|error| Failure::of_file(path, &error).within("--report"))?;
        Ok(Self::File(path.to_owned()))
    }

    /// Writes the report, or keeps it in a temporary file of that folder.
    ///
    /// # Errors
    /// It could not be written where it belongs; says where it is.
    pub(super) async fn write(&self, report: &str, temporary: &Path, cancel: &Cancel) -> Result<(), Failure> {
        let failure = match self {
            Self::StandardOutput => match say::print(report, Text::Json) {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            },
            Self::File(path) => match write(path, report, cancel).await {
                Ok(()) => return Ok(()),
                Err(error) => Failure::infrastructure(Failure::of_file(path, &error).message),
            },
        };
        let hint = match file::keep(temporary, "flowgate-report-", ".json", report.as_bytes()) {
            Ok(kept) => format!("the report is kept in {}", kept.display()),
            Err(error) => {
                format!(
                    "the report is lost: it could not be kept in {} either: {}",
                    temporary.display(),
                    file::reason(&error)
                )
            }
        };
        Err(Failure { hint: Some(hint), ..failure })
    }
}

/// A pipe waits for its reader; nobody has to wait with it who cancels.
async fn write(path: &Path, report: &str, cancel: &Cancel) -> io::Result<()> {
    if !file::is_special(path) {
        return file::write(path, report.as_bytes());
    }
    let (done, written) = tokio::sync::oneshot::channel();
    let (path, report) = (path.to_owned(), report.to_owned());
    std::thread::Builder::new()
        .name("report".to_owned())
        .spawn(move || done.send(file::write(&path, report.as_bytes())))?;
    let given_up = async {
        cancel.cancelled().await;
        tokio::time::sleep(PATIENCE).await;
    };
    tokio::select! {
        written = written => written.unwrap_or_else(|_| Err(io::Error::other("the writing broke off"))),
        () = given_up => Err(io::Error::other("nothing read it")),
    }
}
