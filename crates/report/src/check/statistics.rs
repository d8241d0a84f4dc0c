//! How many findings each rule has.

use std::collections::BTreeMap;

use flowgate_check::Level;

use crate::check::terminal::{fixable, summary};
use crate::check::{CheckReport, level_name};

/// One line per rule and level, most findings first, then the last lines of the terminal's report. `[*]` stands where every
/// finding has a safe fix, `[-]` where some have one.
pub fn render(report: &CheckReport, unsafe_fixes: bool) -> String {
    let mut rules: BTreeMap<(&str, Level), (usize, usize)> = BTreeMap::new();
    for finding in report.findings() {
        let (count, safe) = rules.entry((finding.rule, finding.level)).or_default();
        *count += 1;
        *safe += usize::from(finding.fix.as_ref().is_some_and(|fix| fix.safe));
    }
    let mut rules: Vec<_> = rules.into_iter().collect();
    // Stable: rules of the same count stay in the order of their names.
    rules.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
    let has_marks = rules.iter().any(|(_, (_, safe))| *safe > 0);
    let width = rules.first().map_or(0, |(_, (count, _))| count.to_string().len());
    let mut out = String::new();
    for ((rule, level), (count, safe)) in rules {
        let mark = match safe {
            0 => "   ",
            all if all == count => "[*]",
            _ => "[-]",
        };
        out += &format!("{count:>width$}  {:<7}  {mark}  {rule}\n", level_name(level));
    }
    if has_marks {
        out += "[*] every one is fixable with `--fix`, [-] some are\n";
    }
    out + &summary(report) + &fixable(report, unsafe_fixes)
}
