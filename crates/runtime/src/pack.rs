//! A flow's merged folder as a tar, which is how it travels into a runtime.
//!
//! The same folder gives the same bytes: sorted names, no owners, no times, two modes. Links are
//! followed here and never packed, so that nothing inside a runtime depends on this machine.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flowgate_flow::load::{FileSystem, Within, open_file};
use flowgate_flow::{Project, include};

use sha2::{Digest, Sha256};

use crate::environment::key::hex;
use crate::error::{RuntimeError, Stage};
use crate::outcome::{Fault, FlowError};

/// The most bytes of files that a flow may have.
pub const MAX_BYTES: u64 = 256 << 20;
/// The most files and folders that a flow may have.
pub const MAX_ENTRIES: usize = 20_000;
/// How deep folders may lie in each other.
const MAX_DEPTH: usize = 64;

/// A packed flow with its content address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    bytes: Vec<u8>,
    sha256: String,
}

impl Archive {
    /// Hashes a tar.
    pub fn new(bytes: Vec<u8>) -> Self {
        let sha256 = hex(&Sha256::digest(&bytes));
        Self { bytes, sha256 }
    }

    /// The tar.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its hash, in lower-case hexadecimal digits.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

/// Packs the flow's folder with its `additional_includes` merged in: an include stands under its
/// base name, its files win over files of the folder, and the last include wins. Blocks.
///
/// Nothing outside the `boundary`, which is the flow's folder where none is given, and nothing of git's is packed,
/// wherever includes and links lead, nor is it said whether it is there.
///
/// # Errors
/// [`FlowError::Refused`] where an include is missing, something leads over the boundary, or the
/// folder is too large; [`FlowError::Runtime`] where a file cannot be read.
pub fn pack(project: &Project, boundary: Option<&Within>) -> Result<Vec<u8>, FlowError> {
    pack_within(project, boundary, MAX_BYTES)
}

fn pack_within(project: &Project, boundary: Option<&Within>, limit: u64) -> Result<Vec<u8>, FlowError> {
    let folder = std::path::absolute(&project.folder).map_err(|error| unreadable(&project.folder, &error))?;
    let boundary = match boundary {
        Some(boundary) => boundary.clone(),
        None => Within::new(&folder, "the flow's folder").map_err(|error| unreadable(&folder, &error))?,
    };
    let mut tree = Tree { boundary, entries: BTreeMap::new(), inside: Vec::new() };
    tree.add(&folder, Path::new(""))?;
    for written in project.includes() {
        let path = folder.join(include::lexical(Path::new(written)));
        let Some(real) = tree.real(&path)? else { return Err(missing(written, &path)) };
        // The SDK follows links before it takes the name, but not those of an absolute path.
        let named = if Path::new(written).is_absolute() { &path } else { &real };
        let Some(name) = named.file_name() else {
            return Err(refused(
                "UserErrorException",
                format!("additional include `{written}` is the root directory, which is not supported"),
            ));
        };
        tree.add(&path, Path::new(name))?;
    }
    tree.archive(limit)
}

fn refused(name: &str, message: String) -> FlowError {
    FlowError::Refused(Fault { r#type: name.to_owned(), message, node: None, traceback: None, help: None })
}

/// The engine's SDK says it in these words.
fn missing(written: &str, path: &Path) -> FlowError {
    let zips = path.extension().is_some_and(|e| e == "zip") && path.with_extension("").is_dir();
    let next = if zips { "; flowgate makes no archives of folders: include the folder itself" } else { "" };
    refused("UserErrorException", format!("Unable to find additional include {written}{next}"))
}

fn unreadable(path: &Path, error: &io::Error) -> FlowError {
    FlowError::Runtime(RuntimeError::new(Stage::Infrastructure, format!("cannot read {}: {error}", path.display())))
}

enum Entry {
    Folder,
    File { from: PathBuf, size: u64, executable: bool },
}

struct Tree {
    boundary: Within,
    /// By the path in the archive.
    entries: BTreeMap<PathBuf, Entry>,
    /// The real paths of the folders above the one that is read, against links that go in circles.
    inside: Vec<PathBuf>,
}

impl Tree {
    /// The path without links; `None` where nothing is there.
    fn real(&self, from: &Path) -> Result<Option<PathBuf>, FlowError> {
        if !self.boundary.reaches(from) {
            let message = format!(
                "`{}` leads out of {} or into `.git`, and nothing from there is sent into a runtime",
                from.display(),
                self.boundary.boundary()
            );
            return Err(refused("OutsideBoundary", message));
        }
        match fs::canonicalize(self.boundary.identity(from)) {
            Ok(real) => Ok(Some(real)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(from, &error)),
        }
    }

    /// Adds what stands at `from`, and all that is below it.
    fn add(&mut self, from: &Path, to: &Path) -> Result<(), FlowError> {
        // A link that leads nowhere; where the flow needs it, the engine says so.
        let Some(real) = self.real(from)? else { return Ok(()) };
        let data = fs::metadata(&real).map_err(|error| unreadable(from, &error))?;
        if data.is_file() {
            return self.put(to, Entry::File { from: real, size: data.len(), executable: is_executable(&data) });
        }
        if !data.is_dir() || self.inside.contains(&real) {
            return Ok(());
        }
        if self.inside.len() >= MAX_DEPTH {
            return Err(refused(
                "FlowTooLarge",
                format!("`{}` lies more than {MAX_DEPTH} folders deep", from.display()),
            ));
        }
        if !to.as_os_str().is_empty() {
            self.put(to, Entry::Folder)?;
        }
        self.inside.push(real.clone());
        for child in fs::read_dir(&real).map_err(|error| unreadable(from, &error))? {
            let child = child.map_err(|error| unreadable(from, &error))?;
            let name = child.file_name();
            let path = from.join(&name);
            let skipped = name.to_str().is_some_and(|name| include::LEFT_BEHIND.contains(&name));
            // A virtual environment, whatever its name is.
            if !skipped && !path.join("pyvenv.cfg").is_file() {
                self.add(&path, &to.join(&name))?;
            }
        }
        self.inside.pop();
        Ok(())
    }

    fn put(&mut self, to: &Path, entry: Entry) -> Result<(), FlowError> {
        if matches!(entry, Entry::File { .. }) && matches!(self.entries.get(to), Some(Entry::Folder)) {
            self.entries.retain(|path, _| !path.starts_with(to));
        }
        self.entries.insert(to.to_owned(), entry);
        if self.entries.len() > MAX_ENTRIES {
            let message = format!(
                "the flow's folder holds more than {MAX_ENTRIES} files and folders, the last one at `{}`; move data out of it",
                to.display()
            );
            return Err(refused("FlowTooLarge", message));
        }
        Ok(())
    }

    fn archive(self, limit: u64) -> Result<Vec<u8>, FlowError> {
        let sizes = self.entries.iter().filter_map(|(to, entry)| match entry {
            Entry::File { size, .. } => Some((*size, to)),
            Entry::Folder => None,
        });
        let total: u64 = sizes.clone().map(|(size, _)| size).fold(0, u64::saturating_add);
        if total > limit {
            let (size, largest) = sizes.max().map_or((0, Path::new("")), |(size, path)| (size, path.as_path()));
            let message = format!(
                "the flow's folder holds {} of files, and {} is the most that is sent into a runtime; the largest is `{}` with {}",
                mib(total),
                mib(limit),
                largest.display(),
                mib(size)
            );
            return Err(refused("FlowTooLarge", message));
        }
        let mut archive = tar::Builder::new(Vec::with_capacity(usize::try_from(total).unwrap_or(0).min(1 << 20)));
        for (to, entry) in &self.entries {
            let (kind, mode, bytes) = match entry {
                Entry::Folder => (tar::EntryType::Directory, 0o755, Vec::new()),
                Entry::File { from, size, executable } => {
                    let mut bytes = Vec::new();
                    let file = open_file(from).map_err(|error| unreadable(from, &error))?;
                    // A file that grows meanwhile stops at the size that was counted.
                    file.take(*size).read_to_end(&mut bytes).map_err(|error| unreadable(from, &error))?;
                    (tar::EntryType::Regular, if *executable { 0o755 } else { 0o644 }, bytes)
                }
            };
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(mode);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            header.set_size(bytes.len() as u64);
            archive.append_data(&mut header, to, bytes.as_slice()).map_err(|error| unreadable(to, &error))?;
        }
        archive.into_inner().map_err(|error| unreadable(Path::new("the archive"), &error))
    }
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

#[cfg(unix)]
pub(crate) fn is_executable(data: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    data.permissions().mode() & 0o100 != 0
}

#[cfg(not(unix))]
pub(crate) fn is_executable(_: &fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests;
