//! What this process says. One place, so that a stream that is closed or full ends nothing by a panic, and no text from
//! a file or a runtime becomes a command in a workflow's log.

use std::borrow::Cow;
use std::fs::Metadata;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use anstream::stream::{AsLockedWrite, RawStream};
use anstream::{AutoStream, ColorChoice, adapter};
use flowgate_report::escape;

use crate::args::ReportFormat;
use crate::failure::Failure;
use crate::places;

/// What a text is, which decides how it is made harmless for a workflow's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Text {
    /// Text for people, escaped for a terminal already.
    People,
    /// JSON.
    Json,
    /// XML.
    Xml,
    /// Commands for that log, escaped where they were made.
    Commands,
}

/// A line on standard error, not yet escaped.
pub(crate) fn line(text: &str) {
    lines(&(escape::terminal(text) + "\n"));
}

/// What the user should know and is no failure: a full sentence, not yet escaped.
pub(crate) fn note(text: &str) {
    line(&format!("note: {text}"));
}

/// Why a command could not do its work.
pub(crate) fn failure(failure: &Failure) {
    let mut text = format!("\u{1b}[1;31merror\u{1b}[0m: {}\n", escape::terminal(&failure.message));
    if let Some(hint) = &failure.hint {
        text += &format!("  \u{1b}[1mhelp\u{1b}[0m: {}\n", escape::terminal(hint));
    }
    lines(&text);
}

/// Lines on standard error, escaped for a terminal already.
pub(crate) fn lines(text: &str) {
    aside(text, Text::People);
}

/// A text on standard error. Nothing is left to say where it cannot be written.
pub(crate) fn aside(text: &str, kind: Text) {
    let _ = write(io::stderr().lock(), text, kind);
}

/// Prints to standard output; a reader that has gone away (`| head`) is no failure.
///
/// # Errors
/// Standard output cannot be written to.
pub(crate) fn print(text: &str, kind: Text) -> Result<(), Failure> {
    broken(write(io::stdout().lock(), text, kind))
}

/// Prints one of many lines; `false` where the reader has gone away, who has seen enough.
///
/// # Errors
/// Standard output cannot be written to.
pub(crate) fn one_of_many(text: &str, kind: Text) -> Result<bool, Failure> {
    match write(io::stdout().lock(), text, kind) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        written => broken(written).map(|()| true),
    }
}

/// Prints a report in the form that was asked for.
///
/// # Errors
/// Standard output cannot be written to.
pub(crate) fn report(
    format: ReportFormat,
    text: impl FnOnce() -> String,
    json: impl FnOnce() -> Result<String, serde_json::Error>,
) -> Result<(), Failure> {
    match format {
        ReportFormat::Text => print(&text(), Text::People),
        ReportFormat::Json => print(&json().map_err(|error| Failure::infrastructure(error.to_string()))?, Text::Json),
    }
}

/// Prints a text as it is, for a program; on a terminal, without what would move the cursor.
///
/// # Errors
/// Standard output cannot be written to, or may be a workflow's log that takes a line of the text for a command: the
/// text cannot be changed.
pub(crate) fn exactly(text: &[u8]) -> Result<(), Failure> {
    let readable = String::from_utf8_lossy(text);
    if is_obeyed(&readable) {
        let message = "the text holds what GitHub's runner takes for a command, and standard output may be its log";
        return Err(Failure { hint: Some("send it to a file: `> FILE`".to_owned()), ..Failure::usage(message) });
    }
    let mut out = io::stdout().lock();
    let shown = out.is_terminal().then(|| escape::terminal(&readable));
    broken(out.write_all(shown.as_deref().map_or(text, str::as_bytes)).and_then(|()| out.flush()))
}

/// Prints a patch: exactly, but for a workflow's log that would obey it.
///
/// # Errors
/// Standard output cannot be written to.
pub(crate) fn patch(text: &str) -> Result<(), Failure> {
    if is_obeyed(text) { print(text, Text::People) } else { exactly(text.as_bytes()) }
}

/// Whether standard output may be a workflow's log, and the runner would take a line of the text for a command.
fn is_obeyed(text: &str) -> bool {
    places::is_workflow() && escape::workflow_log(text) != text && !metadata().is_ok_and(|data| data.is_file())
}

/// What standard output is: a file of the disk, a pipe, a device.
#[cfg(unix)]
fn metadata() -> io::Result<Metadata> {
    use std::os::fd::AsFd;
    std::fs::File::from(io::stdout().as_fd().try_clone_to_owned()?).metadata()
}

/// Whether the path is another name of standard output. A device may be opened twice: nothing is lost there.
#[cfg(unix)]
pub(crate) fn is_standard_output(path: &Path) -> bool {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let is_same = |(path, out): (Metadata, Metadata)| {
        (path.dev(), path.ino()) == (out.dev(), out.ino()) && !out.file_type().is_char_device()
    };
    std::fs::metadata(path).ok().zip(metadata().ok()).is_some_and(is_same)
}

#[cfg(not(unix))]
fn metadata() -> io::Result<Metadata> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(unix))]
pub(crate) fn is_standard_output(_: &Path) -> bool {
    false
}

fn broken(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::infrastructure(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

fn write(out: impl RawStream + AsLockedWrite, text: &str, kind: Text) -> io::Result<()> {
    let text = match (places::is_workflow(), kind) {
        (false, _) | (true, Text::Commands) => Cow::Borrowed(text),
        // A colour before `::` hides it from the runner, and must not hide it from us where colours are left out.
        (true, Text::People) if AutoStream::choice(&out) == ColorChoice::Never => {
            Cow::Owned(escape::workflow_log(&adapter::strip_str(text).to_string()))
        }
        (true, Text::People) => Cow::Owned(escape::workflow_log(text)),
        (true, Text::Json) => Cow::Owned(escape::workflow_json(text)),
        (true, Text::Xml) => Cow::Owned(escape::workflow_xml(text)),
    };
    let mut out = AutoStream::auto(out);
    out.write_all(text.as_bytes())?;
    out.flush()
}
