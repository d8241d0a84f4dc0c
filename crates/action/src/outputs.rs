//! What the Action leaves behind for the workflow: outputs, the job summary, the report.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use flowgate_report::check::{CheckReport, sarif};
use flowgate_report::run::{json, summary, verdict_name};
use flowgate_runtime::outcome::ExitReason;
use flowgate_runtime::{RunReport, Verdict};

use crate::inputs::Inputs;

/// Writes all of them.
///
/// # Errors
/// The first file that cannot be written.
pub(crate) fn write(
    inputs: &Inputs,
    reason: ExitReason,
    checked: &CheckReport,
    ran: Option<&RunReport>,
) -> Result<(), String> {
    let findings = sarif::render(checked).map_err(|error| error.to_string())?;
    replace(&inputs.sarif, &findings)?;
    if let Some(ran) = ran {
        let text = json::render(ran).map_err(|error| error.to_string())?;
        replace(&inputs.report, &text)?;
    }
    if let Some(path) = &inputs.summary {
        append(path, &summary::render(checked, ran))?;
    }
    if let Some(path) = &inputs.output {
        let verdict = match ran.map(RunReport::verdict) {
            Some(Verdict::Passed) | None if reason == ExitReason::Findings => Verdict::Failed,
            Some(verdict) => verdict,
            None => Verdict::Passed,
        };
        let report = if ran.is_some() { inputs.report.display().to_string() } else { String::new() };
        let sarif = inputs.sarif.display();
        append(path, &format!("verdict={}\nreport-json={report}\nsarif-file={sarif}\n", verdict_name(verdict)))?;
    }
    Ok(())
}

fn replace(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn append(path: &Path, text: &str) -> Result<(), String> {
    let written =
        OpenOptions::new().append(true).create(true).open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| format!("cannot write {}: {error}", path.display()))
}
