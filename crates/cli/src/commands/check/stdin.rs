//! `--stdin-filename`: a text that an editor holds.

use std::io::Read;
use std::path::PathBuf;

use flowgate_flow::yaml::MAX_BYTES;

use super::super::Failure;

/// A file whose text is on standard input.
pub(super) struct Stdin {
    /// The file; it need not be there.
    pub(super) path: PathBuf,
    /// Its bytes.
    pub(super) text: Vec<u8>,
}

/// Reads it to its end.
///
/// # Errors
/// It cannot be read, or is longer than any file that is read: what is printed of it would not be whole.
pub(super) fn read(path: PathBuf) -> Result<Stdin, Failure> {
    let mut text = Vec::new();
    std::io::stdin()
        .lock()
        .take(MAX_BYTES as u64 + 1)
        .read_to_end(&mut text)
        .map_err(|error| Failure::infrastructure(format!("cannot read standard input: {error}")))?;
    if text.len() > MAX_BYTES {
        let most = MAX_BYTES >> 20;
        return Err(Failure::usage(format!(
            "standard input is longer than {most} MiB, which is the most that flowgate reads"
        )));
    }
    Ok(Stdin { path, text })
}
