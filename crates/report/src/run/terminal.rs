//! A run on a terminal or in a log: what went wrong, what came out, then one table.

use flowgate_runtime::outcome::{ExitReason, FlowError};
use flowgate_runtime::{Fault, FlowOutcome, LineResult, Outcome, RunReport, Verdict};
use serde_json::{Map, Value};

use super::{counts, fault_text, head, tail, total, why_skipped};
use crate::check::plural;
use crate::escape;

/// How many rows of a flow are explained; the report file holds all.
const MAX_EXPLAINED: usize = 5;
/// How many lines of a text are shown.
const MAX_TEXT_LINES: usize = 12;
/// How many characters of an output are shown.
const MAX_TEXT: usize = 2000;
/// How many flows have their outputs shown in short, how many rows of each, and how many characters of a row.
const MAX_FLOWS: usize = 10;
const MAX_ROWS: usize = 5;
const MAX_ROW: usize = 100;

/// The whole run, escaped for a terminal. `file` is the report file that holds all, where there is one; `-` is standard
/// output.
pub fn render(report: &RunReport, file: Option<&str>) -> String {
    let whole = match file {
        None => "`--report FILE` writes all".to_owned(),
        Some("-") => "the report holds all".to_owned(),
        Some(file) => format!("{file} holds all"),
    };
    let mut out = String::new();
    for flow in &report.flows {
        out += &explain(flow, &whole);
    }
    out += &match report.flows.as_slice() {
        [flow] if flow.lines.len() == 1 => flow.lines.iter().map(|line| output(flow, line, &whole)).collect(),
        flows => outputs(flows, &whole),
    };
    out += &table(report);
    if report.cancelled {
        out += "cancelled: the rows that had not ended were skipped\n";
    }
    escape::terminal(&out)
}

/// What a flow gave that ran alone on one row: a person who tries a flow wants to see it.
fn output(flow: &FlowOutcome, line: &LineResult, whole: &str) -> String {
    let Some(output) = passed(line) else { return String::new() };
    let mut out = format!("{}\n", flow.flow);
    for (name, value) in output {
        let text = text(value);
        let text = text.trim_end();
        let shown = match clip(text, MAX_TEXT) {
            Some(start) => format!("{start}...\n... {} characters in all; {whole}", text.chars().count()),
            None => head(text, MAX_TEXT_LINES, whole),
        };
        let several = if shown.contains('\n') {
            format!("\n{}", indent(&indent(&shown)).trim_end_matches('\n'))
        } else {
            format!(" {shown}")
        };
        out += &format!("  {name}:{several}\n");
    }
    out + "\n"
}

/// What several rows or flows gave, in short.
fn outputs(flows: &[FlowOutcome], whole: &str) -> String {
    let mut out = String::new();
    let mut short = false;
    let any = |flow: &&FlowOutcome| flow.lines.iter().any(|line| passed(line).is_some());
    for flow in flows.iter().filter(any).take(MAX_FLOWS) {
        out += &format!("{}\n", flow.flow);
        let rows: Vec<_> = flow.lines.iter().filter_map(|line| Some((line.line, passed(line)?))).collect();
        for (row, output) in rows.iter().take(MAX_ROWS) {
            let text = one_line(output);
            let place = if flow.lines.len() == 1 { String::new() } else { format!("row {}  ", row + 1) };
            out += &match clip(&text, MAX_ROW) {
                Some(start) => format!("  {place}{start}...\n"),
                None => format!("  {place}{text}\n"),
            };
            short |= text.chars().count() > MAX_ROW;
        }
        if let Some(rest) = rows.len().checked_sub(MAX_ROWS).filter(|rest| *rest > 0) {
            out += &format!("  ... {}\n", plural(rest, "more row"));
            short = true;
        }
    }
    if let Some(rest) = flows.iter().filter(any).count().checked_sub(MAX_FLOWS).filter(|rest| *rest > 0) {
        out += &format!("... {}\n", plural(rest, "more flow"));
        short = true;
    }
    if short {
        out += &format!("outputs are shortened; {whole}\n");
    }
    if out.is_empty() { out } else { out + "\n" }
}

fn passed(line: &LineResult) -> Option<&Map<String, Value>> {
    line.output.as_ref().filter(|output| line.outcome == Outcome::Passed && !output.is_empty())
}

/// `name: value; name: value`, without line breaks.
fn one_line(output: &Map<String, Value>) -> String {
    let value = |(name, value): (&String, &Value)| {
        let text = text(value);
        let start = clip(&text, MAX_TEXT).unwrap_or(&text);
        format!("{name}: {}", start.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    output.iter().map(value).collect::<Vec<_>>().join("; ")
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The beginning of a text that is longer than so many characters.
fn clip(text: &str, most: usize) -> Option<&str> {
    text.char_indices().nth(most).map(|(end, _)| &text[..end])
}

/// Why a flow did not pass; nothing for one that did.
fn explain(flow: &FlowOutcome, whole: &str) -> String {
    if let Some(fault) = why_skipped(flow) {
        return format!("skipped: {}: {}\n{}\n", flow.flow, fault.message, advice(flow));
    }
    let mut out = String::new();
    match &flow.error {
        Some(FlowError::Refused(fault)) => {
            out += &format!("error: {} cannot be run\n{}", flow.flow, indent(&whole_fault(fault, whole)));
        }
        Some(FlowError::Runtime(error)) => {
            out += &format!("error: {}: {}\n", flow.flow, error.message);
            if let Some(log) = &error.log {
                out += &indent(&tail(log, MAX_TEXT_LINES, whole));
            }
            if let Some(hint) = &error.hint {
                out += &format!("  help: {hint}\n");
            }
        }
        None => {
            let bad: Vec<_> = flow.lines.iter().filter(|line| line.outcome != Outcome::Passed).collect();
            for line in bad.iter().take(MAX_EXPLAINED) {
                let (level, word) = match line.outcome {
                    Outcome::Passed => ("note", "passed"),
                    Outcome::Failed => ("error", "failed"),
                    Outcome::Errored => ("error", "errored"),
                    Outcome::TimedOut => ("error", "timed out"),
                    Outcome::Skipped => ("note", "was skipped"),
                };
                out += &format!("{level}: {} row {} {word}\n", flow.flow, line.line + 1);
                if let Some(fault) = &line.error {
                    out += &indent(&whole_fault(fault, whole));
                }
            }
            if bad.len() > MAX_EXPLAINED {
                out += &format!("  ... {}; {whole}\n", plural(bad.len() - MAX_EXPLAINED, "more row"));
            }
        }
    }
    if let Some(fault) = &flow.aggregation_error {
        out += &format!("error: {} aggregation failed\n{}", flow.flow, indent(&whole_fault(fault, whole)));
    }
    if flow.verdict() != Verdict::Passed && !flow.log.trim().is_empty() {
        let log = tail(flow.log.trim_end(), MAX_TEXT_LINES, whole);
        out += &format!("  output of the flow's code:\n{}", indent(&indent(&log)));
    }
    out += &advice(flow);
    if flow.log_dropped > 0 {
        out +=
            &format!("note: {}: {} bytes of its output were dropped (64 KiB are kept)\n", flow.flow, flow.log_dropped);
    }
    if out.is_empty() { out } else { out + "\n" }
}

fn advice(flow: &FlowOutcome) -> String {
    flow.advice.iter().map(|advice| format!("  help: {advice}\n")).collect()
}

/// A fault with its node, the frames of the flow's own code, and what helps.
fn whole_fault(fault: &Fault, whole: &str) -> String {
    let node = fault.node.as_ref().map_or(String::new(), |node| format!("node `{node}`: "));
    let node = if fault.needs_connection() { String::new() } else { node };
    let mut text = format!("{node}{}", fault_text(fault, MAX_TEXT_LINES, whole));
    let frames = fault.traceback.as_deref().map_or(String::new(), own_frames);
    if !frames.is_empty() {
        text += "\n";
        text += &tail(&frames, MAX_TEXT_LINES, whole);
    }
    if let Some(help) = &fault.help {
        text += &format!("\nhelp: {help}");
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
        let sum: f64 = flow.lines.iter().fold(0.0, |sum, line| sum + line.duration.as_secs_f64());
        let time = if flow.lines.len() > 1 {
            format!("{:.2} s ({sum:.2} s in rows)", flow.elapsed.as_secs_f64())
        } else {
            format!("{sum:.2} s")
        };
        out += &format!("{verdict:<8} {}{pad}  {}  {time}  {}\n", flow.flow, counts(flow), flow.backend);
        for (name, value) in &flow.metrics {
            out += &format!("         {name} = {value}\n");
        }
    }
    out += &total(report);
    if report.flows.len() > 1 {
        out += &format!(" ({:.2} s)", report.elapsed.as_secs_f64());
    }
    out.push('\n');
    if report.exit_reason() == ExitReason::Skipped {
        out += "exit code 4: skipped flows do not count as passed; to leave them out, name the other flows\n";
    }
    out
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
