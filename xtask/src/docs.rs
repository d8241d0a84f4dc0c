//! Documentation that is derived from the code: written here, and proved current by the tests.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use crate::command::{Result, at, root, say};

/// A folder that holds generated files only, so that the page of a rule that went goes too.
const GENERATED_ONLY: &str = "docs/rules";

/// What must change: a file's path from the repository's root, and what it must hold; `None`
/// where it must go.
type Stale = Vec<(PathBuf, Option<String>)>;

/// Writes what is not current.
///
/// # Errors
/// A file cannot be read or written.
pub(crate) fn write() -> Result<()> {
    for (path, content) in stale()? {
        let full = root().join(&path);
        let Some(content) = content else {
            fs::remove_file(&full).map_err(at(&full))?;
            say(&format!("docs: removed {}", path.display()));
            continue;
        };
        if let Some(folder) = full.parent() {
            fs::create_dir_all(folder).map_err(at(folder))?;
        }
        fs::write(&full, content).map_err(at(&full))?;
        say(&format!("docs: wrote {}", path.display()));
    }
    Ok(())
}

/// Says what is not current.
///
/// # Errors
/// Names the files.
pub(crate) fn check() -> Result<()> {
    let stale: Vec<String> = stale()?.iter().map(|(path, _)| path.display().to_string()).collect();
    if stale.is_empty() {
        return Ok(());
    }
    Err(format!("not what the code says: {}\nwrite them with `cargo xtask docs`", stale.join(", ")))
}

fn stale() -> Result<Stale> {
    let generated = flowgate_report::docs::generated().map_err(|error| format!("cannot generate the docs: {error}"))?;
    let known: BTreeSet<PathBuf> = generated.iter().map(|(path, _)| PathBuf::from(path)).collect();
    let mut stale = Stale::new();
    for (path, content) in generated {
        let full = root().join(&path);
        match fs::read_to_string(&full) {
            Ok(current) if current == content => {}
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(at(&full)(error)),
            _ => stale.push((PathBuf::from(path), Some(content))),
        }
    }
    let folder = root().join(GENERATED_ONLY);
    let present = match fs::read_dir(&folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(stale),
        other => other.map_err(at(&folder))?,
    };
    for entry in present {
        let path = PathBuf::from(GENERATED_ONLY).join(entry.map_err(at(&folder))?.file_name());
        if !known.contains(&path) {
            stale.push((path, None));
        }
    }
    Ok(stale)
}
