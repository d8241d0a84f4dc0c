//! The disk. Only regular files are opened: a pipe would keep its reader waiting, and opening a device may do something.

use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{Entry, FileSystem, overlay};

/// The disk, whole.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl FileSystem for Disk {
    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        let (mut file, about) = open(path)?;
        let length = usize::try_from(about.len()).unwrap_or(limit).min(limit);
        let mut bytes = vec![0; length];
        // Some file systems do not know.
        if length == 0 {
            file.take(limit as u64).read_to_end(&mut bytes)?;
            return Ok(bytes);
        }
        let mut filled = 0;
        while filled < length {
            match file.read(bytes.get_mut(filled..).unwrap_or_default()) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<(String, Entry)>> {
        names(folder, |link| Some(entry(link.metadata().ok()?.file_type())))
    }

    fn identity(&self, path: &Path) -> PathBuf {
        overlay::canonical(path)
    }
}

/// Opens a regular file; a link is followed.
///
/// # Errors
/// The operating system's, and what else stands there.
pub fn open_file(path: &Path) -> io::Result<File> {
    open(path).map(|(file, _)| file)
}

fn open(path: &Path) -> io::Result<(File, Metadata)> {
    regular(&fs::metadata(path)?)?;
    let mut options = OpenOptions::new();
    // Whatever took the file's place since then must not keep us waiting.
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed());
    }
    let file = options.read(true).open(path)?;
    let about = file.metadata()?;
    regular(&about)?;
    Ok((file, about))
}

fn regular(about: &Metadata) -> io::Result<()> {
    match entry(about.file_type()) {
        Entry::File => Ok(()),
        Entry::Special(what) => Err(io::Error::other(format!("it is {what}, not a file"))),
        Entry::Folder | Entry::Outside => Err(io::ErrorKind::IsADirectory.into()),
    }
}

/// Says what a path leads to where that is neither a file nor a folder, as `a named pipe`.
pub fn special(path: &Path) -> Option<&'static str> {
    match entry(fs::metadata(path).ok()?.file_type()) {
        Entry::Special(what) => Some(what),
        _ => None,
    }
}

pub(super) fn entry(kind: FileType) -> Entry {
    if kind.is_file() {
        return Entry::File;
    }
    if kind.is_dir() {
        return Entry::Folder;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            return Entry::Special("a named pipe");
        }
        if kind.is_socket() {
            return Entry::Special("a socket");
        }
    }
    Entry::Special("a device")
}

/// What is in a folder of the disk, in order. `judge` says what a link counts as; one that leads nowhere is not there.
pub(super) fn names(folder: &Path, judge: impl Fn(&Path) -> Option<Entry>) -> io::Result<Vec<(String, Entry)>> {
    let mut names = Vec::new();
    for child in fs::read_dir(folder)? {
        let child = child?;
        let kind = child.file_type()?;
        let found = if kind.is_symlink() { judge(&child.path()) } else { Some(entry(kind)) };
        match (child.file_name().into_string(), found) {
            (Ok(name), Some(found)) => names.push((name, found)),
            // It is told, and never opened: any spelling will do.
            (Err(name), Some(found @ (Entry::Special(_) | Entry::Outside))) => {
                names.push((name.to_string_lossy().into_owned(), found));
            }
            _ => {}
        }
    }
    names.sort();
    Ok(names)
}
