//! Files are replaced whole or not at all.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

/// Replaces a file's text, if it still is `before`. A link is followed; the permissions stay.
///
/// # Errors
/// As a lower-case fragment without the path. The file is then as it was.
pub(crate) fn replace(path: &Path, before: &[u8], after: &[u8]) -> Result<(), String> {
    try_replace(path, before, after).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    })
}

fn try_replace(path: &Path, before: &[u8], after: &[u8]) -> io::Result<()> {
    // What is renamed over a link would take the link's place.
    let path = path.canonicalize()?;
    let data = fs::metadata(&path)?;
    // A folder that may be written to would let a file go that may not.
    if data.permissions().readonly() {
        return Err(io::Error::other("the file is read-only"));
    }
    let folder = path.parent().ok_or(io::ErrorKind::NotFound)?;
    let mut file = tempfile::Builder::new().prefix(".flowgate-").tempfile_in(folder)?;
    file.write_all(after)?;
    file.as_file().set_permissions(data.permissions())?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, fchown};
        // Only root may give a file away; for everyone else the file is their own already.
        let _ = fchown(file.as_file(), Some(data.uid()), Some(data.gid()));
    }
    file.as_file().sync_all()?;
    if fs::read(&path)? != before {
        return Err(io::Error::other("the file changed meanwhile; nothing was written"));
    }
    file.persist(&path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::replace;
    use std::fs;

    #[test]
    fn a_file_that_changed_or_is_protected_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        fs::write(&path, "new").unwrap();
        assert!(replace(&path, b"old", b"fixed").unwrap_err().contains("changed meanwhile"));
        let mut permissions = fs::metadata(&path).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&path, permissions).unwrap();
        assert!(replace(&path, b"new", b"fixed").unwrap_err().contains("read-only"));
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no other file is left");
    }
}
