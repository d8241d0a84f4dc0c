//! A run on a terminal or in a log: what went wrong, then one table.

use flowgate_runtime::outcome::FlowError;
use flowgate_runtime::{Fault, FlowOutcome, Outcome, RunReport, Verdict};

use super::{counts, fault_text, head, tail};
use crate::check::plural;
use crate::escape;

/// How many lines of a flow are explained; the report file holds all.
const MAX_EXPLAINED: usize = 5;
/// How many lines of a text are shown.
const MAX_TEXT_LINES: usize = 12;
/// How many characters of an output are shown.
const MAX_TEXT: usize = 2000;

/// The whole run, escaped for a terminal.
pub fn render(report: &RunReport) -> String {
    let mut out = String::new();
    for flow in &report.flows {
        out += &explain(flow);
    }
    if let [flow] = report.flows.as_slice() {
        out += &output(flow);
    }
    out += &table(report);
    if report.cancelled {
        out += "cancelled: the lines that had not ended were skipped\n";
    }
    escape::terminal(&out)
}

/// What a flow gave that ran alone on one row: a person who tries a flow wants to see it.
fn output(flow: &FlowOutcome) -> String {
    let [line] = flow.lines.as_slice() else { return String::new() };
    let Some(output) = line.output.as_ref().filter(|_| line.outcome == Outcome::Passed) else { return String::new() };
    let mut out = format!("{}\n", flow.flow);
    for (name, value) in output {
        let text = match value {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let text = head(clip(text.trim_end()), MAX_TEXT_LINES);
        let several = if text.contains('\n') {
            format!("\n{}", indent(&indent(&text)).trim_end_matches('\n'))
        } else {
            format!(" {text}")
        };
        out += &format!("  {name}:{several}\n");
    }
    out + "\n"
}

/// The beginning of a text that may be megabytes long.
fn clip(text: &str) -> &str {
    text.char_indices().nth(MAX_TEXT).map_or(text, |(end, _)| &text[..end])
}

/// Why a flow did not pass; nothing for one that did.
fn explain(flow: &FlowOutcome) -> String {
    let mut out = String::new();
    match &flow.error {
        Some(FlowError::Refused(fault)) => {
            out += &format!("error: {} cannot be run\n{}", flow.flow, indent(&whole_fault(fault)));
        }
        Some(FlowError::Runtime(error)) => {
            out += &format!("error: {}: {}\n", flow.flow, error.message);
            if let Some(log) = &error.log {
                out += &indent(&tail(log, MAX_TEXT_LINES));
            }
            if let Some(hint) = &error.hint {
                out += &format!("  help: {hint}\n");
            }
        }
        None => {
            let bad: Vec<_> = flow.lines.iter().filter(|line| line.outcome != Outcome::Passed).collect();
            for line in bad.iter().take(MAX_EXPLAINED) {
                let word = match line.outcome {
                    Outcome::Passed => "passed",
                    Outcome::Failed => "failed",
                    Outcome::Errored => "errored",
                    Outcome::TimedOut => "timed out",
                    Outcome::Skipped => "was skipped",
                };
                out += &format!(
                    "{}: {} line {} {word}\n",
                    if line.outcome == Outcome::Skipped { "note" } else { "error" },
                    flow.flow,
                    line.line
                );
                if let Some(fault) = &line.error {
                    out += &indent(&whole_fault(fault));
                }
            }
            if bad.len() > MAX_EXPLAINED {
                out +=
                    &format!("  ... {} more; `--report FILE` writes all\n", plural(bad.len() - MAX_EXPLAINED, "line"));
            }
        }
    }
    if let Some(fault) = &flow.aggregation_error {
        out += &format!("error: {} aggregation failed\n{}", flow.flow, indent(&whole_fault(fault)));
    }
    if flow.verdict() != Verdict::Passed && !flow.log.trim().is_empty() {
        out +=
            &format!("  output of the flow's code:\n{}", indent(&indent(&tail(flow.log.trim_end(), MAX_TEXT_LINES))));
    }
    if flow.log_dropped > 0 {
        out +=
            &format!("note: {}: {} bytes of its output were dropped (64 KiB are kept)\n", flow.flow, flow.log_dropped);
    }
    if out.is_empty() { out } else { out + "\n" }
}

/// A fault with its node and the frames of the flow's own code.
fn whole_fault(fault: &Fault) -> String {
    let node = fault.node.as_ref().map_or(String::new(), |node| format!("node `{node}`: "));
    let mut text = format!("{node}{}", fault_text(fault, MAX_TEXT_LINES));
    let frames = fault.traceback.as_deref().map_or(String::new(), own_frames);
    if !frames.is_empty() {
        text += "\n";
        text += &tail(&frames, MAX_TEXT_LINES);
    }
    text
}

/// The frames of a traceback that lie in the flow: the worker gives its files by relative paths. Those
/// of the engine help nobody here; the report file holds them.
fn own_frames(traceback: &str) -> String {
    let mut own = false;
    let mut frames = Vec::new();
    for line in traceback.lines() {
        if let Some(path) = line.trim_start().strip_prefix("File \"") {
            own = !path.starts_with(['/', '<']);
        } else if !line.starts_with(' ') {
            own = false;
        }
        if own {
            frames.push(line);
        }
    }
    frames.join("\n")
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// One row a flow, aligned, and a total.
fn table(report: &RunReport) -> String {
    let width = report.flows.iter().map(|flow| flow.flow.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for flow in &report.flows {
        let verdict = super::verdict_name(flow.verdict());
        let pad = " ".repeat(width - flow.flow.chars().count());
        let seconds: f64 = flow.lines.iter().fold(0.0, |sum, line| sum + line.duration.as_secs_f64());
        out += &format!("{verdict:<8} {}{pad}  {}  {seconds:.2} s  {}\n", flow.flow, counts(flow), flow.backend);
        for (name, value) in &flow.metrics {
            out += &format!("         {name} = {value}\n");
        }
    }
    let passed = report.flows.iter().filter(|flow| flow.verdict() == Verdict::Passed).count();
    out + &format!("{} of {} passed\n", passed, plural(report.flows.len(), "flow"))
}

#[cfg(test)]
mod tests {
    use super::own_frames;

    #[test]
    fn only_the_flows_own_frames_are_shown() {
        let traceback = "Traceback (most recent call last):\n  File \"/opt/x/engine.py\", line 1, in run\n    f()\n  \
                         File \"n.py\", line 6, in f\n    g()\n    ^^^\n  File \"<string>\", line 1, in g\nValueError: no\n\n\
                         During handling:\n  File \"a/b.py\", line 2, in h\nValueError: no\n";
        let shown = "  File \"n.py\", line 6, in f\n    g()\n    ^^^\n  File \"a/b.py\", line 2, in h";
        assert_eq!(own_frames(traceback), shown);
        assert_eq!(own_frames("ValueError: no"), "");
    }
}
