//! Texts that stand in front of the disk.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use super::{Entry, FileSystem};
use crate::include::lexical;

/// A file system with texts of its own in front of another: what a fix would write, or what comes
/// from standard input.
#[derive(Clone)]
pub struct Overlay<'f> {
    under: &'f (dyn FileSystem + Sync),
    texts: HashMap<PathBuf, Vec<u8>>,
}

impl<'f> Overlay<'f> {
    /// Nothing stands in front yet.
    pub fn new(under: &'f (dyn FileSystem + Sync)) -> Self {
        Self { under, texts: HashMap::new() }
    }

    /// Puts a text in front of a file, by whatever path it is read.
    pub fn insert(&mut self, path: &Path, text: impl Into<Vec<u8>>) {
        self.texts.insert(self.under.identity(path), text.into());
    }
}

impl FileSystem for Overlay<'_> {
    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        if self.texts.is_empty() {
            return self.under.read(path, limit);
        }
        match self.texts.get(&self.under.identity(path)) {
            Some(text) => Ok(text.get(..limit).unwrap_or(text).to_vec()),
            None => self.under.read(path, limit),
        }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<(String, Entry)>> {
        let listed = self.under.list(folder);
        if self.texts.is_empty() {
            return listed;
        }
        let at = self.under.identity(folder);
        let own = self.texts.keys().filter(|path| path.parent() == Some(&at));
        let own: Vec<_> = own.filter_map(|path| Some((path.file_name()?.to_str()?.to_owned(), Entry::File))).collect();
        let mut names = match listed {
            Err(_) if !own.is_empty() => Vec::new(),
            listed => listed?,
        };
        names.extend(own);
        names.sort();
        // Of a text and what it is in front of, the text comes first.
        names.dedup_by(|one, other| one.0 == other.0);
        Ok(names)
    }

    fn identity(&self, path: &Path) -> PathBuf {
        self.under.identity(path)
    }

    fn reaches(&self, path: &Path) -> bool {
        self.under.reaches(path)
    }

    fn read_configuration(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        self.under.read_configuration(path, limit)
    }

    fn boundary(&self) -> &str {
        self.under.boundary()
    }
}

/// The path of a file whatever links lead to it; the tidied path where nothing is there yet.
pub(super) fn canonical(path: &Path) -> PathBuf {
    let path = lexical(path);
    path.canonicalize().unwrap_or_else(|_| {
        // A file that is not there stands in a folder that may be.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        match (folder.and_then(|folder| folder.canonicalize().ok()), path.file_name()) {
            (Some(folder), Some(name)) => folder.join(name),
            _ => path.clone(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Memory, load_project};

    #[test]
    fn a_text_in_front_is_read_and_listed() {
        let memory = Memory { files: [("/f/flow.dag.yaml".into(), b"inputs: {}\n".to_vec())].into() };
        let mut overlay = Overlay::new(&memory);
        overlay.insert(Path::new("/f/x/../requirements.txt"), "requests\n");
        overlay.insert(Path::new("/g/new.txt"), "");
        let project = load_project(&overlay, Path::new("/f/flow.dag.yaml"));
        assert_eq!(project.requirements.len(), 1);
        assert_eq!(overlay.list(Path::new("/g")).unwrap(), [("new.txt".to_owned(), Entry::File)]);
        assert!(overlay.list(Path::new("/h")).is_err());
        assert_eq!(overlay.read(Path::new("/f/requirements.txt"), 3).unwrap(), b"req");
    }
}
