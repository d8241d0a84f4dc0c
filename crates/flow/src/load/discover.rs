//! Which files of a repository are looked at: those that git would show, without what tools leave behind.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use ignore::{DirEntry, WalkBuilder, WalkState};

use super::{Disk, kind_of, passed_over};
use crate::classify::{FileKind, classify};

/// Every flow file below `root` (or `root` itself, if it is one), in order of path. Hidden
/// folders, ignored files, and copies that tools leave behind are skipped; so are virtual
/// environments.
///
/// # Errors
/// The folder or file that could not be read, with its path in the message.
pub fn discover(root: &Path) -> io::Result<Vec<PathBuf>> {
    if root.is_file() {
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
        if !entry.file_type().is_some_and(|kind| kind.is_file()) {
            return;
        }
        let kind = kind_of(&Disk, entry.path());
        if !matches!(kind, FileKind::Requirements | FileKind::Other) {
            each(entry.into_path(), kind);
        }
    })
}

/// Like [`discover`], for a door that must neither fail nor take long: what cannot be read is left
/// out, and the walk ends after `limit` entries.
pub fn discover_some(root: &Path, limit: usize) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = walk(root).build().take(limit).filter_map(|entry| flow_file(entry.ok()?)).collect();
    found.sort();
    found
}

/// How a search goes through a folder.
pub(super) fn walk(root: &Path) -> WalkBuilder {
    // The walk on several threads follows a link to its root only where the path says that it is a folder.
    let mut walk = WalkBuilder::new(root.join(""));
    walk.require_git(false).ignore(false).filter_entry(|entry| passed_over::of_folder(entry).is_none());
    walk
}

/// Hands over every entry. After an error nothing more is; of several errors on several threads the first by its text
/// is told, for the order is chance.
fn walk_all(root: &Path, threads: usize, each: impl Fn(DirEntry) + Sync) -> io::Result<()> {
    // A thread of its own takes longer to start than most searches last.
    if threads <= 1 {
        for entry in walk(root).build() {
            each(entry.map_err(io::Error::other)?);
        }
        return Ok(());
    }
    let failed = AtomicBool::new(false);
    let error: Mutex<Option<ignore::Error>> = Mutex::new(None);
    walk(root).threads(threads).build_parallel().run(|| {
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
    error.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), |error| Err(io::Error::other(error)))
}

fn flow_file(entry: DirEntry) -> Option<PathBuf> {
    let is_flow = classify(entry.path()) == FileKind::Flow && entry.file_type().is_some_and(|kind| kind.is_file());
    is_flow.then(|| entry.into_path())
}
