//! What one virtual environment holds, for another of the same Python, without a second copy of each file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::RuntimeError;

/// The longest script that names its Python; what is longer is a program.
const MAX_SCRIPT: u64 = 64 << 10;

/// Gives `to`, a new environment, the packages of `from`. Files are linked: an installer that changes a package removes
/// its files and writes new ones, and so changes them in one environment only.
pub(super) fn packages(from: &Path, to: &Path) -> Result<(), RuntimeError> {
    let programs = if cfg!(windows) { "Scripts" } else { "bin" };
    let fail = |error| RuntimeError::disk("copy", from, &error);
    for entry in fs::read_dir(from).map_err(fail)? {
        let name = entry.map_err(fail)?.file_name();
        let (from, to) = (from.join(&name), to.join(&name));
        let copied = match name.to_str() {
            // What each has of its own: what it is made from, and uv's lock.
            Some("pyvenv.cfg" | ".lock") => Ok(()),
            Some(name) if name == programs => scripts(&from, &to),
            _ => tree(&from, &to),
        };
        copied.map_err(|error| RuntimeError::disk("copy", &from, &error))?;
    }
    Ok(())
}

/// Links all of a folder that is not there yet.
fn tree(from: &Path, to: &Path) -> io::Result<()> {
    let mut waiting: Vec<(PathBuf, PathBuf)> = vec![(from.to_owned(), to.to_owned())];
    while let Some((from, to)) = waiting.pop() {
        let metadata = fs::symlink_metadata(&from)?;
        if metadata.is_dir() {
            match fs::create_dir(&to) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            for entry in fs::read_dir(&from)? {
                let name = entry?.file_name();
                waiting.push((from.join(&name), to.join(&name)));
            }
        } else if fs::symlink_metadata(&to).is_err() {
            link(&from, &to)?;
        }
    }
    Ok(())
}

/// Takes away the right to write to the files of an environment that others are linked to: what a flow's code changes
/// in place would change for all. New files are still made, and old ones removed, as installers do it.
pub(super) fn protect(venv: &Path) -> Result<(), RuntimeError> {
    let mut waiting = vec![venv.to_owned()];
    while let Some(path) = waiting.pop() {
        let fail = |error| RuntimeError::disk("protect", &path, &error);
        let metadata = fs::symlink_metadata(&path).map_err(fail)?;
        if metadata.is_dir() {
            for entry in fs::read_dir(&path).map_err(fail)? {
                waiting.push(entry.map_err(fail)?.path());
            }
        } else if metadata.is_file() {
            let mut permissions = metadata.permissions();
            permissions.set_readonly(true);
            fs::set_permissions(&path, permissions).map_err(fail)?;
        }
    }
    Ok(())
}

/// A second name of a file; where it can have none, a copy that Python takes for as old as the first.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    if fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    fs::copy(from, to)?;
    fs::File::open(to)?.set_modified(fs::metadata(from)?.modified()?)
}

/// Scripts name the Python of their environment, in their first lines.
fn scripts(from: &Path, to: &Path) -> io::Result<()> {
    let (old, new) = (from.display().to_string(), to.display().to_string());
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if fs::symlink_metadata(&to).is_ok() {
            continue;
        }
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            tree(&from, &to)?;
            continue;
        }
        let text = if metadata.is_file() && metadata.len() <= MAX_SCRIPT { fs::read(&from)? } else { Vec::new() };
        match String::from_utf8(text) {
            Ok(text) if text.starts_with("#!") => {
                fs::write(&to, text.replace(&old, &new))?;
                fs::set_permissions(&to, metadata.permissions())?;
            }
            _ => link(&from, &to)?,
        }
    }
    Ok(())
}
