//! The walk that every search makes: what git would show, without what tools leave behind.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use ignore::WalkBuilder;

/// The most bytes of a file that says what git ignores.
const MAX_IGNORE_FILE: u64 = 1 << 20;
/// Folders where tools write copies of flows.
const TOOL_FOLDERS: [&str; 4] = [".runs", ".promptflow", "node_modules", "site-packages"];
/// Folders that a search skips without reporting them.
pub(super) const SILENT_FOLDERS: [&str; 2] = [".git", "__pycache__"];

/// Why a search passes a file or a folder by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PassedOver {
    /// A requirements file: checked with the flow that names it.
    Requirements,
    /// A folder where tools keep copies.
    ToolFolder,
    /// A virtual environment of Python.
    VirtualEnvironment,
    /// Its name, or that of a folder above it, starts with a dot.
    Hidden,
    /// A `.gitignore` file names it, or git's own configuration.
    Ignored,
}

/// Why a search does not look into a folder.
pub(super) fn of_folder(entry: &ignore::DirEntry) -> Option<PassedOver> {
    let name = entry.file_name().to_str().unwrap_or("");
    if entry.depth() == 0 || !entry.file_type().is_some_and(|kind| kind.is_dir()) {
        None
    } else if TOOL_FOLDERS.contains(&name) || SILENT_FOLDERS.contains(&name) {
        Some(PassedOver::ToolFolder)
    } else {
        entry.path().join("pyvenv.cfg").is_file().then_some(PassedOver::VirtualEnvironment)
    }
}

/// Why a folder was not searched, once the walk is done.
pub(super) type Unsearched = Arc<Mutex<Option<io::Error>>>;

/// How a search goes through a folder.
///
/// # Errors
/// See [`ignore_files`], of a folder above.
pub(super) fn walk(root: &Path) -> io::Result<(WalkBuilder, Unsearched)> {
    root.ancestors().try_for_each(ignore_files)?;
    let unsearched = Unsearched::default();
    let told = Arc::clone(&unsearched);
    // The walk on several threads follows a link to its root only where the path says that it is a folder.
    let mut walk = WalkBuilder::new(root.join(""));
    walk.require_git(false).ignore(false).filter_entry(move |entry| {
        let searched = of_folder(entry).is_none();
        let is_folder = || entry.file_type().is_some_and(|kind| kind.is_dir());
        match if searched && is_folder() { ignore_files(entry.path()) } else { Ok(()) } {
            Ok(()) => searched,
            Err(error) => {
                told.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                false
            }
        }
    });
    Ok((walk, unsearched))
}

/// The walk reads what git ignores by itself, whatever the file is.
///
/// # Errors
/// A file that would not end, or would keep the walk waiting.
fn ignore_files(folder: &Path) -> io::Result<()> {
    for name in [".gitignore", ".git/info/exclude"] {
        let path = folder.join(name);
        let Ok(about) = path.metadata() else { continue };
        // What the kernel makes up as it is read has no length.
        let is_made_up = about.len() == 0 && path.is_symlink();
        if !about.is_file() || about.len() > MAX_IGNORE_FILE || is_made_up {
            return Err(io::Error::other(format!("{}: not a file of at most 1 MiB", path.display())));
        }
    }
    Ok(())
}
