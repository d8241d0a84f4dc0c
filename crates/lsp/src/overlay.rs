//! The disk behind the open texts.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flowgate_flow::include::lexical;
use flowgate_flow::load::{Entry, FileSystem, Within};

use crate::documents::Documents;

/// Texts come from the editor where it has them open, else from the disk.
#[derive(Debug, Clone)]
pub(crate) struct Overlay {
    documents: Arc<Documents>,
    within: Within,
}

impl Overlay {
    /// What belongs to a file: all of the folders that the editor has open, and of the file's repository.
    pub(crate) fn new(documents: Arc<Documents>, roots: &[PathBuf], file: &Path) -> Self {
        let named = roots.iter().map(PathBuf::as_path).chain([file]);
        Self { documents, within: Within::of_named(named) }
    }
}

impl FileSystem for Overlay {
    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        match self.documents.get(&lexical(path)) {
            Some(document) if self.reaches(path) => {
                let bytes = document.text.as_bytes();
                Ok(bytes.get(..limit).unwrap_or(bytes).to_vec())
            }
            _ => self.within.read(path, limit),
        }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<(String, Entry)>> {
        let at = lexical(folder);
        let unsaved = self.documents.iter().filter(|(path, document)| !document.saved && path.parent() == Some(&at));
        let unsaved: Vec<_> =
            unsaved.filter_map(|(path, _)| Some((path.file_name()?.to_str()?.to_owned(), Entry::File))).collect();
        let mut names = match self.within.list(folder) {
            Err(_) if !unsaved.is_empty() => Vec::new(),
            listed => listed?,
        };
        names.extend(unsaved);
        names.sort();
        // Of a text and what it is in front of, the text comes first.
        names.dedup_by(|one, other| one.0 == other.0);
        Ok(names)
    }

    fn identity(&self, path: &Path) -> PathBuf {
        self.within.identity(path)
    }

    fn reaches(&self, path: &Path) -> bool {
        self.within.reaches(path)
    }

    /// The configuration counts as saved: half of a rule's name is not another rule's name.
    fn read_configuration(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        self.within.read_configuration(path, limit)
    }

    fn boundary(&self) -> &str {
        self.within.boundary()
    }
}
