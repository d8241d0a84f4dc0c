//! What fixing did, for people.

use std::path::Path;

use flowgate_check::repair::{Repair, Repaired};

use crate::check::{display_path, plural};
use crate::escape::terminal as escape;

/// Whether the fixes are done or only shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tense {
    /// They were written.
    Done,
    /// They would be.
    Would,
}

/// One line per fix, and one for each that was taken back.
pub fn render(repair: &Repair, base: &Path, tense: Tense) -> String {
    let line = |word: &str, fix: &Repaired, rest: &str| {
        let path = escape(&display_path(&fix.path, base));
        format!("{word} {path}:{}: {} [{}]{rest}\n", fix.line + 1, escape(&fix.title), fix.rule)
    };
    let word = if tense == Tense::Done { "fixed" } else { "would fix" };
    let mut out: String = repair.applied.iter().map(|fix| line(word, fix, "")).collect();
    for fix in &repair.undone {
        out += &line("not fixed", fix, ": an error would appear that is not there now");
    }
    out
}

/// `2 fixes in 1 file`.
pub fn count(repair: &Repair) -> String {
    let fixes = if repair.applied.len() == 1 { "1 fix".to_owned() } else { format!("{} fixes", repair.applied.len()) };
    format!("{fixes} in {}", plural(repair.files.len(), "file"))
}
