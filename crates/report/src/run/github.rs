//! What went wrong in a run as GitHub workflow commands, one per flow.

use flowgate_runtime::outcome::FlowError;
use flowgate_runtime::{Outcome, RunReport, Verdict};

use super::{IN_REPORT, counts, fault_and_help};
use crate::escape::{workflow_message, workflow_property};

/// One `::error` per flow that went wrong, one `::warning` per flow that was skipped for want of a connection; nothing
/// for those that passed.
pub fn render(report: &RunReport) -> String {
    let mut out = String::new();
    for flow in &report.flows {
        let message = match &flow.error {
            Some(FlowError::Refused(fault)) => fault_and_help(fault, 6, IN_REPORT),
            Some(FlowError::Runtime(error)) => match &error.hint {
                Some(hint) => format!("{}\nhelp: {hint}", error.message),
                None => error.message.clone(),
            },
            None => match flow.lines.iter().find(|line| line.outcome != Outcome::Passed) {
                Some(line) => {
                    let fault = line.error.as_ref().map_or(String::new(), |fault| {
                        format!("\nrow {}: {}", line.line + 1, fault_and_help(fault, 6, IN_REPORT))
                    });
                    format!("{}{fault}", counts(flow))
                }
                None => match &flow.aggregation_error {
                    Some(fault) => format!("aggregation: {}", fault_and_help(fault, 6, IN_REPORT)),
                    None => continue,
                },
            },
        };
        let (command, title) = match flow.verdict() {
            Verdict::Skipped => ("warning", "flow was skipped"),
            Verdict::Passed | Verdict::Failed | Verdict::Errored => ("error", "flow did not pass"),
        };
        out += &format!(
            "::{command} file={},title={}::{}\n",
            workflow_property(&flow.flow),
            workflow_property(title),
            workflow_message(&message)
        );
    }
    out
}
