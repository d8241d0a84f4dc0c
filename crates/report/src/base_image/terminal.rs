//! For people.

use super::{FROZEN, VersionReport};
use crate::check::{level_name, plural};
use crate::escape;

/// The facts, then the findings.
pub fn render(report: &VersionReport) -> String {
    let mut out = format!("{}\n", escape::line(&report.image));
    let mut line = |name: &str, text: &str| out += &format!("  {name:<9}{}\n", escape::line(text));
    line("digest", report.digest.as_deref().unwrap_or("unknown"));
    let newest = match (&report.versions, report.newest()) {
        (Some(versions), Some(newest)) => format!("{newest} of {}", plural(versions.len(), "version")),
        (Some(_), None) => "no tag reads as a version (YYYYMMDD.vN)".to_owned(),
        (None, _) => "unknown".to_owned(),
    };
    line("newest", &newest);
    if let Some(unknown) = &report.unknown {
        line("because", unknown);
    }
    if report.frozen {
        line("note", FROZEN);
    }
    for finding in &report.findings {
        line(level_name(finding.level), &format!("[{}] {}", finding.rule, finding.message));
        if let Some(help) = &finding.help {
            line("", &format!("help: {help}"));
        }
    }
    out
}
