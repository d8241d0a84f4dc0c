//! Which files of a repository are looked at: those that git would show, without what tools leave behind.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use ignore::{DirEntry, WalkState};

use super::walk::walk;
use super::{Disk, kind_of};
use crate::classify::{FileKind, classify};

/// Every flow file below `root` (or `root` itself, if it is no folder), in order of path. Hidden
/// folders, ignored files, and copies that tools leave behind are skipped; so are virtual
/// environments.
///
/// # Errors
/// The folder or file that could not be read, with its path in the message.
pub fn discover(root: &Path) -> io::Result<Vec<PathBuf>> {
    if !root.is_dir() {
        return Ok(vec![root.to_owned()]);
    }
    let found = Mutex::new(Vec::new());
    walk_all(root, 1, |entry| {
        if let Some(flow) = flow_file(entry) {
            found.lock().unwrap_or_else(PoisonError::into_inner).push(flow);
        }
    })?;
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort();
    Ok(found)
}

/// Every file below `root` that can be checked by itself: flows, run specifications, connections and
/// prompty files, handed over in any order, on as many threads. Otherwise like [`discover`].
///
/// # Errors
/// The folder that could not be read, with its path in the message.
pub fn discover_all(root: &Path, threads: usize, each: impl Fn(PathBuf, FileKind) + Sync) -> io::Result<()> {
    walk_all(root, threads, |entry| {
        let kind = match entry.file_type() {
            Some(kind) if kind.is_file() => kind_of(&Disk, entry.path()),
            // What is read of a link is for the boundary to say, and of a pipe nothing; its name is told.
            Some(kind) if !kind.is_dir() => classify(entry.path()),
            _ => return,
        };
        if !matches!(kind, FileKind::Requirements | FileKind::Other) {
            each(entry.into_path(), kind);
        }
    })
}

/// Like [`discover`], for a door that must neither fail nor take long: what cannot be read is left
/// out, and the walk ends after `limit` entries.
pub fn discover_some(root: &Path, limit: usize) -> Vec<PathBuf> {
    let Ok((walk, _)) = walk(root) else { return Vec::new() };
    let mut found: Vec<PathBuf> = walk.build().take(limit).filter_map(|entry| flow_file(entry.ok()?)).collect();
    found.sort();
    found
}

/// Hands over every entry. After an error nothing more is; of several errors on several threads the first by its text
/// is told, for the order is chance.
fn walk_all(root: &Path, threads: usize, each: impl Fn(DirEntry) + Sync) -> io::Result<()> {
    let (mut walk, unsearched) = walk(root)?;
    let unsearched = || unsearched.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err);
    // A thread of its own takes longer to start than most searches last.
    if threads <= 1 {
        for entry in walk.build() {
            each(entry.map_err(io::Error::other)?);
        }
        return unsearched();
    }
    let failed = AtomicBool::new(false);
    let error: Mutex<Option<ignore::Error>> = Mutex::new(None);
    walk.threads(threads).build_parallel().run(|| {
        Box::new(|entry| {
            match entry {
                Ok(entry) if !failed.load(Ordering::Relaxed) => each(entry),
                Ok(_) => {}
                Err(other) => {
                    failed.store(true, Ordering::Relaxed);
                    let mut error = error.lock().unwrap_or_else(PoisonError::into_inner);
                    if error.as_ref().is_none_or(|error| other.to_string() < error.to_string()) {
                        *error = Some(other);
                    }
                }
            }
            WalkState::Continue
        })
    });
    match error.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(io::Error::other(error)),
        None => unsearched(),
    }
}

fn flow_file(entry: DirEntry) -> Option<PathBuf> {
    let is_flow = classify(entry.path()) == FileKind::Flow && entry.file_type().is_some_and(|kind| !kind.is_dir());
    is_flow.then(|| entry.into_path())
}
