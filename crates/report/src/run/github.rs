//! What went wrong in a run as GitHub workflow commands, one per flow.

use flowgate_runtime::outcome::FlowError;
use flowgate_runtime::{Outcome, RunReport};

use super::{counts, fault_text};
use crate::escape::{workflow_message, workflow_property};

/// One `::error` per flow that did not pass; nothing for those that did.
pub fn render(report: &RunReport) -> String {
    let mut out = String::new();
    for flow in &report.flows {
        let message = match &flow.error {
            Some(FlowError::Refused(fault)) => fault_text(fault, 6),
            Some(FlowError::Runtime(error)) => match &error.hint {
                Some(hint) => format!("{}\nhelp: {hint}", error.message),
                None => error.message.clone(),
            },
            None => match flow.lines.iter().find(|line| line.outcome != Outcome::Passed) {
                Some(line) => {
                    let fault = line
                        .error
                        .as_ref()
                        .map_or(String::new(), |fault| format!("\nline {}: {}", line.line, fault_text(fault, 6)));
                    format!("{}{fault}", counts(flow))
                }
                None => match &flow.aggregation_error {
                    Some(fault) => format!("aggregation: {}", fault_text(fault, 6)),
                    None => continue,
                },
            },
        };
        out += &format!(
            "::error file={},title={}::{}\n",
            workflow_property(&flow.flow),
            workflow_property("flow did not pass"),
            workflow_message(&message)
        );
    }
    out
}
