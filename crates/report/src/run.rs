//! Runs, collected or as they happen, for a front end.

pub mod advice;
pub mod github;
pub mod json;
pub mod summary;
pub mod terminal;

use flowgate_runtime::outcome::FlowError;
use flowgate_runtime::{Fault, FlowOutcome, Outcome, RunReport, Verdict};

use crate::check::plural;

/// Where the whole of a text is that a report on GitHub shows in part.
pub(crate) const IN_REPORT: &str = "the report file holds all";

/// A verdict's name in every format.
pub fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Skipped => "skipped",
        Verdict::Failed => "failed",
        Verdict::Errored => "errored",
    }
}

/// An outcome's name in every format.
pub fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "passed",
        Outcome::Failed => "failed",
        Outcome::Errored => "errored",
        Outcome::TimedOut => "timed_out",
        Outcome::Skipped => "skipped",
    }
}

/// `3 passed, 1 failed`: the outcomes that occurred, in a fixed order.
pub(crate) fn counts(flow: &FlowOutcome) -> String {
    let all = [
        (Outcome::Passed, "passed"),
        (Outcome::Failed, "failed"),
        (Outcome::Errored, "errored"),
        (Outcome::TimedOut, "timed out"),
        (Outcome::Skipped, "skipped"),
    ];
    let present: Vec<_> = all
        .into_iter()
        .map(|(outcome, name)| (flow.count(outcome), name))
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
    if present.is_empty() { "no line".to_owned() } else { present.join(", ") }
}

/// `2 of 4 flows passed, 1 skipped`.
pub(crate) fn total(report: &RunReport) -> String {
    let count = |verdict| report.flows.iter().filter(|flow| flow.verdict() == verdict).count();
    let skipped = match count(Verdict::Skipped) {
        0 => String::new(),
        count => format!(", {count} skipped"),
    };
    format!("{} of {} passed{skipped}", count(Verdict::Passed), plural(report.flows.len(), "flow"))
}

/// Why a flow was skipped as a whole; `None` where it was not.
pub(crate) fn why_skipped(flow: &FlowOutcome) -> Option<&Fault> {
    match &flow.error {
        Some(FlowError::Refused(fault)) if fault.needs_connection() => Some(fault),
        _ => None,
    }
}

/// `ValueError: text`, as [`fault_text`], and what helps.
pub(crate) fn fault_and_help(fault: &Fault, lines: usize, whole: &str) -> String {
    let help = fault.help.as_ref().map_or(String::new(), |help| format!("\nhelp: {help}"));
    fault_text(fault, lines, whole) + &help
}

/// `ValueError: text`; the class once, as the engine's own texts often start with it, and never flowgate's own for a
/// connection, which the text says. `whole` says where all of it is.
pub(crate) fn fault_text(fault: &Fault, lines: usize, whole: &str) -> String {
    let message = head(&fault.message, lines, whole);
    let class = format!("{}: ", fault.r#type);
    if message.starts_with(&class) || fault.needs_connection() { message } else { class + &message }
}

/// The first lines of a text, with the number of those that were left out, and where all are.
pub(crate) fn head(text: &str, lines: usize, whole: &str) -> String {
    let all: Vec<&str> = text.lines().collect();
    match all.len().checked_sub(lines).filter(|rest| *rest > 0) {
        Some(rest) => format!("{}\n... {}; {whole}", all[..lines].join("\n"), plural(rest, "more line")),
        None => all.join("\n"),
    }
}

/// The last lines of a text, with the number of those that were left out, and where all are.
pub(crate) fn tail(text: &str, lines: usize, whole: &str) -> String {
    let all: Vec<&str> = text.lines().collect();
    match all.len().checked_sub(lines).filter(|rest| *rest > 0) {
        Some(rest) => format!("... {} before; {whole}\n{}", plural(rest, "line"), all[rest..].join("\n")),
        None => all.join("\n"),
    }
}
