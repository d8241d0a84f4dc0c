//! What the Action leaves behind for the workflow: outputs, the job summary, the report.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;

use flowgate_report::check::{CheckReport, sarif};
use flowgate_report::file;
use flowgate_report::run::{json, summary, verdict_name};
use flowgate_runtime::outcome::ExitReason;
use flowgate_runtime::{RunReport, Verdict};

use crate::inputs::Inputs;

/// Tries where the report and the findings go: a run of an hour must not end with a file that cannot be written.
///
/// # Errors
/// Names the file.
pub(crate) fn probe(inputs: &Inputs) -> Result<(), String> {
    for path in [&inputs.report, &inputs.sarif] {
        file::probe_own(path).map_err(|error| cannot_write(path, &error))?;
    }
    Ok(())
}

/// Writes all of them; one that cannot be written does not keep the others from it, and is not named in the outputs.
///
/// # Errors
/// Each file that cannot be written.
pub(crate) fn write(
    inputs: &Inputs,
    reason: ExitReason,
    checked: &CheckReport,
    ran: Option<&RunReport>,
) -> Result<(), Vec<String>> {
    let mut failed = Vec::new();
    let mut own = |path: &Path, text: Result<String, serde_json::Error>| {
        let written = text
            .map_err(|error| error.to_string())
            .and_then(|text| file::write_own(path, text.as_bytes()).map_err(|error| cannot_write(path, &error)));
        match written {
            Ok(()) => path.display().to_string(),
            Err(error) => {
                failed.push(error);
                String::new()
            }
        }
    };
    let sarif = own(&inputs.sarif, sarif::render(checked));
    let report = ran.map(|ran| own(&inputs.report, json::render(ran))).unwrap_or_default();
    let verdict = match ran.map(RunReport::verdict) {
        Some(Verdict::Passed) | None if reason == ExitReason::Findings => Verdict::Failed,
        Some(verdict) => verdict,
        None => Verdict::Passed,
    };
    let outputs = multiline(&[("verdict", verdict_name(verdict)), ("report-json", &report), ("sarif-file", &sarif)]);
    for (path, text) in [(&inputs.summary, summary::render(checked, ran)), (&inputs.output, outputs)] {
        if let Some(path) = path
            && let Err(error) = file::append(path, text.as_bytes())
        {
            failed.push(cannot_write(path, &error));
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed) }
}

/// Outputs in the form for values of several lines. The delimiter is new each time, so that no value can end its own
/// output and begin another one.
fn multiline(outputs: &[(&str, &str)]) -> String {
    // The keys of a `RandomState` come from the system's source of randomness.
    let random = || RandomState::new().build_hasher().finish();
    let delimiter = format!("flowgate_{:016x}{:016x}", random(), random());
    outputs.iter().map(|(name, value)| format!("{name}<<{delimiter}\n{value}\n{delimiter}\n")).collect()
}

fn cannot_write(path: &Path, error: &std::io::Error) -> String {
    format!("cannot write {}: {}", path.display(), file::reason(error))
}
