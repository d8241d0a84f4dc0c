//! What the Action leaves behind for the workflow: outputs, the job summary, the report.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use flowgate_report::run::{json, verdict_name};
use flowgate_runtime::outcome::ExitReason;
use flowgate_runtime::{RunReport, Verdict};

use crate::inputs::Inputs;

/// Writes all of them.
///
/// # Errors
/// The first file that cannot be written.
pub(crate) fn write(inputs: &Inputs, reason: ExitReason, ran: Option<&RunReport>, summary: &str) -> Result<(), String> {
    if let Some(ran) = ran {
        let text = json::render(ran).map_err(|error| error.to_string())?;
        std::fs::write(&inputs.report, text)
            .map_err(|error| format!("cannot write {}: {error}", inputs.report.display()))?;
    }
    if let Some(path) = &inputs.summary {
        append(path, summary)?;
    }
    if let Some(path) = &inputs.output {
        let verdict = match ran.map(RunReport::verdict) {
            Some(Verdict::Passed) | None if reason == ExitReason::Findings => Verdict::Failed,
            Some(verdict) => verdict,
            None => Verdict::Passed,
        };
        let report = if ran.is_some() { inputs.report.display().to_string() } else { String::new() };
        append(path, &format!("verdict={}\nreport-json={report}\n", verdict_name(verdict)))?;
    }
    Ok(())
}

fn append(path: &Path, text: &str) -> Result<(), String> {
    let written =
        OpenOptions::new().append(true).create(true).open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| format!("cannot write {}: {error}", path.display()))
}
