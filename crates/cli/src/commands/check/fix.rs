//! `--fix` and `--diff`.

use std::path::Path;

use flowgate_check::repair::Repair;
use flowgate_flow::credential::mask;
use flowgate_report::check::display_path;
use flowgate_report::file;
use similar::TextDiff;

use super::super::Failure;

/// Writes what changes. A file that cannot be written does not keep the others from it.
///
/// # Errors
/// Names the files that could not be written.
pub(super) fn write_all(repair: &Repair, base: &Path) -> Result<(), Failure> {
    let mut failed = Vec::new();
    for (path, change) in &repair.files {
        if let Err(error) = file::replace(path, change.before.as_bytes(), change.after.as_bytes()) {
            failed.push(format!("{}: {}", display_path(&change.path, base), file::reason(&error)));
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::infrastructure(format!("cannot write every fix: {}", failed.join("; "))))
}

/// What changes, as one unified diff. Logs keep it: keys and tokens are masked in it as everywhere.
pub(super) fn diff(repair: &Repair, base: &Path) -> String {
    let mut out = String::new();
    for change in repair.files.values() {
        let path = display_path(&change.path, base);
        let (before, after) = (mask(&change.before), mask(&change.after));
        let diff = TextDiff::from_lines(before.as_ref(), after.as_ref());
        out += &diff.unified_diff().header(&path, &path).to_string();
    }
    out
}
