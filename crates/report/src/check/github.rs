//! Findings as GitHub workflow commands, which become annotations.
//!
//! GitHub shows ten annotations of a kind per step, so errors come first; nothing is left out of
//! the log.

use flowgate_check::Level;

use crate::check::{CheckReport, LocatedFinding, plural, with_help};
use crate::escape::{workflow_message, workflow_property};

/// One line per finding, worst level first, then a summary line.
pub fn render(report: &CheckReport) -> String {
    let mut out = String::new();
    for level in [Level::Error, Level::Warning, Level::Hint] {
        for finding in report.findings().filter(|finding| finding.level == level) {
            out += &command(finding);
        }
    }
    out + &format!(
        "{} checked: {}, {}, {}\n",
        report.checked(),
        plural(report.count(Level::Error), "error"),
        plural(report.count(Level::Warning), "warning"),
        plural(report.count(Level::Hint), "hint")
    )
}

fn command(finding: &LocatedFinding) -> String {
    let kind = match finding.level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Hint => "notice",
    };
    let mut place = format!(
        "file={},line={},col={}",
        workflow_property(&finding.path),
        finding.start.line + 1,
        finding.start.column + 1
    );
    // GitHub refuses an end column on an annotation of several lines.
    if finding.end.line == finding.start.line {
        place += &format!(",endLine={},endColumn={}", finding.end.line + 1, finding.end.column + 1);
    } else {
        place += &format!(",endLine={}", finding.end.line + 1);
    }
    let message = workflow_message(&with_help(finding));
    format!("::{kind} {place},title={}::{message}\n", workflow_property(finding.rule))
}
