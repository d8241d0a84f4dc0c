//! The job summary of a workflow: Markdown, within GitHub's limit.

use flowgate_check::Level;
use flowgate_runtime::outcome::FlowError;
use flowgate_runtime::{Outcome, RunReport, Verdict};

use super::{IN_REPORT, counts, fault_and_help, tail, total, verdict_name};
use crate::check::{CheckReport, level_name, plural};
use crate::escape::{markdown, markdown_block};

/// GitHub drops a summary over 1 MiB; this leaves room for those of other steps.
const MAX_BYTES: usize = 512 * 1024;
const MAX_FINDINGS: usize = 50;
const MAX_LINES_PER_FLOW: usize = 3;

/// The summary of a check and, where there was one, of a run.
pub fn render(check: &CheckReport, run: Option<&RunReport>) -> String {
    let mut out = "## flowgate\n\n".to_owned();
    if let Some(run) = run {
        out += &flows(run);
    }
    out += &findings(check);
    if out.len() > MAX_BYTES {
        let end = (0..=MAX_BYTES).rev().find(|at| out.is_char_boundary(*at)).unwrap_or(0);
        out.truncate(end);
        out += "\n\nThe rest was cut: the report file holds all.\n";
    }
    out
}

fn flows(run: &RunReport) -> String {
    let mut out = format!("**{}**: {}\n\n", verdict_name(run.verdict()), total(run));
    if run.flows.is_empty() {
        return out;
    }
    out += "| flow | verdict | lines | environment | metrics |\n|---|---|---|---|---|\n";
    for flow in &run.flows {
        let environment = match (&flow.image, &flow.key) {
            (Some(image), _) => markdown(image),
            (None, Some(key)) => format!("{} {}", flow.backend, key.get(..16).unwrap_or(key)),
            (None, None) => flow.backend.to_string(),
        };
        let metrics: Vec<_> = flow.metrics.iter().map(|(name, value)| markdown(&format!("{name} = {value}"))).collect();
        out += &format!(
            "| {} | {} | {} | {environment} | {} |\n",
            markdown(&flow.flow),
            verdict_name(flow.verdict()),
            counts(flow),
            metrics.join("<br>")
        );
    }
    out.push('\n');
    for flow in run.flows.iter().filter(|flow| flow.verdict() != Verdict::Passed) {
        let mut text = String::new();
        match &flow.error {
            Some(FlowError::Refused(fault)) => text += &(fault_and_help(fault, 20, IN_REPORT) + "\n"),
            Some(FlowError::Runtime(error)) => {
                text += &format!("{}\n", error.message);
                text += &error.hint.as_ref().map_or(String::new(), |hint| format!("help: {hint}\n"));
                text += &error.log.as_ref().map_or(String::new(), |log| tail(log, 20, IN_REPORT));
            }
            None => {
                for line in flow.lines.iter().filter(|line| line.outcome != Outcome::Passed).take(MAX_LINES_PER_FLOW) {
                    let fault = line.error.as_ref().map_or(String::new(), |fault| fault_and_help(fault, 20, IN_REPORT));
                    text += &format!(
                        "row {} {}: {fault}\n",
                        line.line + 1,
                        super::outcome_name(line.outcome).replace('_', " ")
                    );
                }
                if let Some(fault) = &flow.aggregation_error {
                    text += &format!("aggregation: {}\n", fault_and_help(fault, 20, IN_REPORT));
                }
            }
        }
        out += &format!(
            "<details><summary>{}</summary>\n\n{}\n</details>\n\n",
            markdown(&flow.flow),
            markdown_block(&text)
        );
    }
    out
}

fn findings(check: &CheckReport) -> String {
    let total = check.findings().count();
    let mut out = format!("**{}** in {} checked\n\n", plural(total, "finding"), plural(check.flows(), "flow"));
    if total == 0 {
        return out;
    }
    out += "| level | place | finding |\n|---|---|---|\n";
    let mut sorted: Vec<_> = check.findings().collect();
    sorted.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    for finding in sorted.iter().take(MAX_FINDINGS) {
        let place = format!("{}:{}", finding.path, finding.start.line + 1);
        out += &format!(
            "| {} | {} | {} ({}) |\n",
            level_name(finding.level),
            markdown(&place),
            markdown(&finding.message),
            finding.rule
        );
    }
    if total > MAX_FINDINGS {
        out += &format!(
            "\n{} more: {}, {}, {} in all.\n",
            total - MAX_FINDINGS,
            plural(check.count(Level::Error), "error"),
            plural(check.count(Level::Warning), "warning"),
            plural(check.count(Level::Hint), "hint")
        );
    }
    out
}
