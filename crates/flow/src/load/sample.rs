//! The rows that a flow runs on: a data set that was named, or what lies beside the flow.

use std::io::{self, Read};
use std::path::Path;

use super::{Entry, FileSystem, reason, utf8};
use crate::data::{self, Remark, Row};
use crate::project::{FlowFile, Project};

/// Longer data sets are refused before they are read whole.
const MAX_DATA_BYTES: usize = 256 * 1024 * 1024;
/// The data set that promptflow's own examples have beside a flow.
const BESIDE: &str = "data.jsonl";

/// The rows that a flow is to run on, and what a person should know about them.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// The rows.
    pub rows: Vec<Row>,
    /// In the order in which they are to be read.
    pub remarks: Vec<Remark>,
}

/// Reads a data set, or the beginning of one that is too long; of a pipe, it waits for its end.
///
/// # Errors
/// It cannot be read.
pub fn read_data(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_DATA_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The rows of a data set for a flow, as [`read_data`] read it. `name` is the file's, for messages; `given` are inputs
/// whose values come from elsewhere.
///
/// # Errors
/// A message with file, place and cause: a file that cannot be read, or that does not fit the flow.
pub fn data_rows(name: &str, read: io::Result<Vec<u8>>, project: &Project, given: &[&str]) -> Result<Sample, String> {
    let place = |text: String| format!("{name}: {text}");
    let bytes = read.map_err(|error| place(reason(&error)))?;
    if bytes.len() > MAX_DATA_BYTES {
        return Err(place(format!("the file is longer than {} MiB; split it", MAX_DATA_BYTES >> 20)));
    }
    let (text, _) = utf8(bytes).map_err(place)?;
    let rows = data::parse(&text, Path::new(name).extension().and_then(|e| e.to_str()).unwrap_or("")).map_err(place)?;
    if rows.is_empty() {
        return Err(place("there is no row to run".to_owned()));
    }
    // The inputs of a flex flow are its function's; of a file that cannot be read whole, some may be unknown.
    let known = project.flow.as_ref().filter(|file| !file.flow.flex && file.document.is_complete());
    let compare = |file: &FlowFile| data::compare(name, &rows, &file.flow, given).map_err(place);
    let remarks = known.map_or(Ok(Vec::new()), compare)?;
    Ok(Sample { rows, remarks })
}

/// The rows of a flow that was given none: one row of its defaults where every input has one, else
/// `data.jsonl` beside it, as promptflow's own examples have it, else one empty row, about which
/// the engine will complain by name. Says which, where there is something to choose.
///
/// # Errors
/// A `data.jsonl` that cannot be read or does not fit the flow.
pub fn sample_rows(fs: &dyn FileSystem, project: &Project) -> Result<Sample, String> {
    let mut inputs = project.flow.iter().flat_map(|flow| flow.flow.inputs.iter());
    let first = inputs.find(|input| !input.has_default()).map(|input| input.name.value.as_str());
    let beside = project.folder.join(BESIDE);
    let folder = if project.folder.as_os_str().is_empty() { Path::new(".") } else { &project.folder };
    let is_beside = |(name, entry): &(String, Entry)| name == BESIDE && *entry != Entry::Folder;
    let exists = fs.list(folder).is_ok_and(|names| names.iter().any(is_beside));
    let note = match first {
        Some(first) if exists => {
            let mut sample = data_rows(BESIDE, fs.read(&beside, MAX_DATA_BYTES + 1), project, &[])?;
            let note = format!("Input `{first}` has no default, so the rows of {BESIDE} beside the flow are used.");
            sample.remarks.insert(0, Remark::Note(note));
            return Ok(sample);
        }
        Some(first) => Some(format!(
            "Input `{first}` has no default, and there is no {BESIDE} beside the flow; give rows with `--data`, \
             or a value with `--inputs {first}=...`."
        )),
        None if exists => Some(format!(
            "{BESIDE} beside the flow is not used, as no input needs it; name it with `--data` to run its rows."
        )),
        None => None,
    };
    Ok(Sample { rows: vec![Row::new()], remarks: note.map(Remark::Note).into_iter().collect() })
}
