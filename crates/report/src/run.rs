//! Runs, collected or as they happen, for a front end.

pub mod advice;
pub mod github;
pub mod json;
pub mod summary;
pub mod terminal;

use flowgate_runtime::{Fault, FlowOutcome, Outcome, Verdict};

/// A verdict's name in every format.
pub fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
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

/// `ValueError: text`; the class once, as the engine's own texts often start with it.
pub(crate) fn fault_text(fault: &Fault, lines: usize) -> String {
    let message = head(&fault.message, lines);
    let class = format!("{}: ", fault.r#type);
    if message.starts_with(&class) { message } else { class + &message }
}

/// The first lines of a text, with the number of those that were left out.
pub(crate) fn head(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    match all.len().checked_sub(lines).filter(|rest| *rest > 0) {
        Some(rest) => format!("{}\n... {rest} more lines", all[..lines].join("\n")),
        None => all.join("\n"),
    }
}

/// The last lines of a text, with the number of those that were left out.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    match all.len().checked_sub(lines).filter(|rest| *rest > 0) {
        Some(rest) => format!("... {rest} lines before\n{}", all[rest..].join("\n")),
        None => all.join("\n"),
    }
}
