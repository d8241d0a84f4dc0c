//! Documentation that is derived from the code: written here, and proved current by the tests.

use std::path::PathBuf;

use crate::command::{Result, at, root, say};

/// Every generated file: its path from the repository's root, and what it must hold.
fn generated() -> Result<Vec<(PathBuf, String)>> {
    let files = flowgate_report::docs::generated().map_err(|error| error.to_string())?;
    Ok(files.into_iter().map(|(path, content)| (PathBuf::from(path), content)).collect())
}

/// Writes what is not current.
pub(crate) fn write() -> Result<()> {
    for (path, content) in stale()? {
        let path = root().join(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(at(folder))?;
        }
        std::fs::write(&path, content).map_err(at(&path))?;
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

fn stale() -> Result<Vec<(PathBuf, String)>> {
    let mut stale = Vec::new();
    for (path, content) in generated()? {
        let full = root().join(&path);
        match std::fs::read_to_string(&full) {
            Ok(current) if current == content => {}
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(at(&full)(error)),
            _ => stale.push((path, content)),
        }
    }
    Ok(stale)
}
