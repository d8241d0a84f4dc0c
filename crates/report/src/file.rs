//! Files that a user named, written by us: whole or not at all where that can be had.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// As many links as Linux follows.
const MAX_LINKS: usize = 40;
/// What the trial of [`probe`] writes: a full disk still takes an empty file.
const TRIAL: [u8; 4096] = [0; 4096];

/// What a name leads to, past the links that the user made.
enum Place {
    /// A regular file.
    Regular(PathBuf, Metadata),
    /// Nothing yet.
    New(PathBuf),
    /// What must stay what it is: a pipe, a device, or a stream that is open already.
    Special(PathBuf),
}

impl Place {
    fn of(path: &Path) -> io::Result<Self> {
        let mut path = path.to_owned();
        for _ in 0..MAX_LINKS {
            let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no file name"))?;
            let folder = folder(&path);
            let folder = folder.canonicalize().map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => {
                    io::Error::new(error.kind(), format!("there is no folder {}", folder.display()))
                }
                _ => error,
            })?;
            let at = folder.join(name);
            // /dev/stdout and its like lead there, also to regular files; whoever opened those goes on writing.
            if at.starts_with("/proc") || at.starts_with("/dev/fd") {
                return Ok(Self::Special(at));
            }
            match at.symlink_metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::New(at)),
                Err(error) => return Err(error),
                Ok(data) if data.is_symlink() => path = folder.join(fs::read_link(&at)?),
                Ok(data) if data.is_dir() => return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder")),
                Ok(data) if data.is_file() => return Ok(Self::Regular(at, data)),
                Ok(_) => return Ok(Self::Special(at)),
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidInput, "too many links"))
    }
}

/// Writes a text where the user wants it. A regular file is replaced at once, with its permissions; a link is followed;
/// what is no regular file is written through, for which a pipe waits until somebody reads it.
///
/// # Errors
/// A regular file is then as it was, and nothing is left beside it.
pub fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    match Place::of(path)? {
        Place::Special(at) => OpenOptions::new().append(true).open(at)?.write_all(text),
        Place::Regular(at, data) => persist(temporary(&at, Some(&data), text)?, &at),
        Place::New(at) => persist(temporary(&at, None, text)?, &at),
    }
}

/// Whether the name leads to what is no regular file, which may take its time.
pub fn is_special(path: &Path) -> bool {
    matches!(Place::of(path), Ok(Place::Special(_)))
}

/// Finds out whether [`write`] would work, and changes nothing.
///
/// # Errors
/// It would not.
pub fn probe(path: &Path) -> io::Result<()> {
    match Place::of(path)? {
        Place::Regular(at, data) => temporary(&at, Some(&data), &TRIAL).map(drop),
        Place::New(at) => temporary(&at, None, &TRIAL).map(drop),
        // To open a pipe is to wait for its reader, and to let go of it ends what that one reads.
        Place::Special(at) if is_pipe(&at) => Ok(()),
        Place::Special(at) => OpenOptions::new().append(true).open(at).map(drop),
    }
}

/// Replaces a file's text, if it still is `before`. A link is followed; the permissions stay.
///
/// # Errors
/// The file is then as it was.
pub fn replace(path: &Path, before: &[u8], after: &[u8]) -> io::Result<()> {
    let Place::Regular(at, data) = Place::of(path)? else { return Err(io::Error::other("it is no regular file")) };
    let file = temporary(&at, Some(&data), after)?;
    if fs::read(&at)? != before {
        return Err(io::Error::other("the file changed meanwhile; nothing was written"));
    }
    persist(file, &at)
}

/// Writes a file under a name of our own choice, whatever is there: a link is replaced, because no user asked for it.
///
/// # Errors
/// What was there is then as it was.
pub fn write_own(path: &Path, text: &[u8]) -> io::Result<()> {
    persist(temporary(path, None, text)?, path)
}

/// Finds out whether [`write_own`] would work, and changes nothing.
///
/// # Errors
/// It would not.
pub fn probe_own(path: &Path) -> io::Result<()> {
    if path.symlink_metadata().is_ok_and(|data| data.is_dir()) {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"));
    }
    temporary(path, None, &TRIAL).map(drop)
}

/// Writes at the end of a file that several write to.
///
/// # Errors
/// It cannot be opened or written to.
pub fn append(path: &Path, text: &[u8]) -> io::Result<()> {
    OpenOptions::new().append(true).create(true).open(path)?.write_all(text)
}

/// Keeps a text in a new file of that folder, under a name that nothing has, and gives its path.
///
/// # Errors
/// It cannot be written.
pub fn keep(folder: &Path, prefix: &str, suffix: &str, text: &[u8]) -> io::Result<PathBuf> {
    let mut file = tempfile::Builder::new().prefix(prefix).suffix(suffix).tempfile_in(folder)?;
    file.write_all(text)?;
    let (_, path) = file.keep().map_err(|error| error.error)?;
    Ok(path)
}

/// Why that did not work, as a lower-case fragment.
pub fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "the disk is full".to_owned(),
        io::ErrorKind::ReadOnlyFilesystem => "its file system is read-only".to_owned(),
        _ => error.to_string(),
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file beside that one, with the text, which is gone unless it takes its place.
fn temporary(path: &Path, old: Option<&Metadata>, text: &[u8]) -> io::Result<NamedTempFile> {
    // A folder that may be written to would let a file go that may not.
    if old.is_some_and(|data| data.permissions().readonly()) {
        return Err(io::Error::other("the file is read-only"));
    }
    let mut builder = tempfile::Builder::new();
    builder.prefix(".flowgate-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // What the user's mask leaves of it.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder(path))?;
    file.write_all(text)?;
    if let Some(data) = old {
        file.as_file().set_permissions(data.permissions())?;
        give(file.as_file(), data);
    }
    file.as_file().sync_all()?;
    Ok(file)
}

/// Gives a file the owner of another.
#[cfg(unix)]
fn give(file: &File, data: &Metadata) {
    use std::os::unix::fs::{MetadataExt, fchown};
    // Only root may give a file away; for everyone else the file is their own already.
    let _ = fchown(file, Some(data.uid()), Some(data.gid()));
}

#[cfg(not(unix))]
fn give(_: &File, _: &Metadata) {}

fn persist(file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.persist(path).map(drop).map_err(|error| error.error)
}

#[cfg(unix)]
fn is_pipe(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    fs::metadata(path).is_ok_and(|data| data.file_type().is_fifo())
}

#[cfg(not(unix))]
fn is_pipe(_: &Path) -> bool {
    false
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_that_changed_or_is_protected_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        fs::write(&path, "new").unwrap();
        assert!(reason(&replace(&path, b"old", b"fixed").unwrap_err()).contains("changed meanwhile"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        for refused in [replace(&path, b"new", b"fixed"), write(&path, b"fixed"), probe(&path)] {
            assert!(refused.unwrap_err().to_string().contains("read-only"));
        }
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["a.txt"]);
    }

    #[test]
    fn a_link_stays_and_a_file_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("real")).unwrap();
        fs::write(at("real/a"), "old").unwrap();
        fs::set_permissions(at("real/a"), fs::Permissions::from_mode(0o640)).unwrap();
        symlink("real/a", at("a")).unwrap();
        symlink("a", at("twice")).unwrap();
        symlink("real/new", at("dangling")).unwrap();
        symlink("loop", at("loop")).unwrap();
        let before = fs::metadata(at("real/a")).unwrap().ino();
        for (name, target) in [("twice", "real/a"), ("dangling", "real/new"), ("plain", "plain")] {
            probe(&at(name)).unwrap();
            write(&at(name), b"text").unwrap();
            assert_eq!(fs::read(at(target)).unwrap(), b"text", "{name}");
        }
        let data = fs::metadata(at("real/a")).unwrap();
        assert!(data.mode() & 0o777 == 0o640 && data.ino() != before, "replaced at once, with its mode");
        // A new file has the mode that any program's would have.
        File::create(at("reference")).unwrap();
        assert_eq!(fs::metadata(at("plain")).unwrap().mode(), fs::metadata(at("reference")).unwrap().mode());
        write_own(&at("twice"), b"own").unwrap();
        assert!(fs::symlink_metadata(at("twice")).unwrap().is_file() && fs::read(at("real/a")).unwrap() == b"text");
        for (name, cause) in [("real", "it is a folder"), ("loop", "too many links"), ("no/a", "there is no folder")] {
            for refused in [write(&at(name), b"text"), probe(&at(name))] {
                assert!(reason(&refused.unwrap_err()).contains(cause), "{name}");
            }
        }
        assert_eq!(names(folder.path()), ["a", "dangling", "loop", "plain", "real", "reference", "twice"]);
        assert_eq!(names(&at("real")), ["a", "new"]);
    }
}
