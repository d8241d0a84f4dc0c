//! What a search passes by, and why: for a person who misses a file.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::walk::{PassedOver, SILENT_FOLDERS, of_folder, walk};
use super::{Disk, kind_of};
use crate::classify::FileKind;

/// What [`super::discover_all`] passes by below `root`, in order of path: folders as a whole, and the files that
/// flowgate knows.
///
/// # Errors
/// The first folder that could not be read, with its path in the message.
pub fn passed_over(root: &Path) -> io::Result<Vec<(PathBuf, PassedOver)>> {
    let searched: HashSet<PathBuf> = walk(root)?.0.build().filter_map(|entry| Some(entry.ok()?.into_path())).collect();
    let folders = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&folders);
    let everything = ignore::WalkBuilder::new(root)
        .standard_filters(false)
        .filter_entry(move |entry| {
            let Some(why) = of_folder(entry) else { return true };
            if !SILENT_FOLDERS.iter().any(|name| entry.file_name() == *name) {
                seen.lock().unwrap_or_else(PoisonError::into_inner).push((entry.path().to_owned(), why));
            }
            false
        })
        .build();
    let mut found = Vec::new();
    for entry in everything {
        let entry = entry.map_err(io::Error::other)?;
        if !entry.file_type().is_some_and(|kind| kind.is_file()) {
            continue;
        }
        let path = entry.into_path();
        let kind = kind_of(&Disk, &path);
        let why = match (searched.contains(&path), kind) {
            (_, FileKind::Other) => continue,
            (true, FileKind::Requirements) => PassedOver::Requirements,
            (true, _) => continue,
            (false, _) if is_hidden(root, &path) => PassedOver::Hidden,
            (false, _) => PassedOver::Ignored,
        };
        found.push((path, why));
    }
    found.append(&mut folders.lock().unwrap_or_else(PoisonError::into_inner));
    found.sort();
    Ok(found)
}

fn is_hidden(root: &Path, path: &Path) -> bool {
    let below = path.strip_prefix(root).unwrap_or(path);
    below.components().any(|part| part.as_os_str().to_string_lossy().starts_with('.'))
}
