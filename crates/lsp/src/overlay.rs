//! The disk behind the open texts.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flowgate_flow::include::lexical;
use flowgate_flow::load::{Disk, FileSystem};

use crate::documents::Documents;

/// Texts come from the editor where it has them open, else from the disk.
#[derive(Debug, Clone)]
pub(crate) struct Overlay {
    documents: Arc<Documents>,
}

impl Overlay {
    pub(crate) fn new(documents: Arc<Documents>) -> Self {
        Self { documents }
    }
}

impl FileSystem for Overlay {
    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        match self.documents.get(&lexical(path)) {
            Some(document) => {
                let bytes = document.text.as_bytes();
                Ok(bytes.get(..limit).unwrap_or(bytes).to_vec())
            }
            None => Disk.read(path, limit),
        }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<(String, bool)>> {
        let at = lexical(folder);
        let unsaved = self.documents.iter().filter(|(path, document)| !document.saved && path.parent() == Some(&at));
        let unsaved: Vec<_> =
            unsaved.filter_map(|(path, _)| Some((path.file_name()?.to_str()?.to_owned(), false))).collect();
        let mut names = match Disk.list(folder) {
            Err(_) if !unsaved.is_empty() => Vec::new(),
            listed => listed?,
        };
        names.extend(unsaved);
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn identity(&self, path: &Path) -> PathBuf {
        Disk.identity(path)
    }
}
