//! `flowgate run --report FILE`: version 1, schema in `docs/run-report.schema.json`. Fields may be
//! added; none is renamed or removed.

use std::time::Duration;

use flowgate_runtime::outcome::FlowError;
use flowgate_runtime::{Fault, FlowOutcome, LineResult, Outcome, RunReport};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{outcome_name, verdict_name};

/// The whole report.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "flowgate run --report")]
pub struct Report {
    /// The version of this format: 1.
    pub version: u32,
    /// The worst of the flows' verdicts.
    #[schemars(with = "WireVerdict")]
    pub verdict: &'static str,
    /// The exit code of the process.
    pub exit_code: u8,
    /// How long the run took, environments included, in milliseconds.
    pub elapsed_ms: f64,
    /// The flows, in order.
    pub flows: Vec<WireFlow>,
}

/// The verdicts. `skipped`: nothing went wrong, but something was not run, because it needs a connection.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "stands for the verdict's text in the schema only")]
enum WireVerdict {
    Passed,
    Failed,
    Errored,
    Skipped,
}

/// One flow.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WireFlow {
    /// Its file, relative to the working directory, with `/`.
    pub flow: String,
    /// `passed` only where every line passed and there was at least one.
    #[schemars(with = "WireVerdict")]
    pub verdict: &'static str,
    /// `docker` or `process`.
    pub backend: String,
    /// What it ran in.
    pub environment: WireEnvironment,
    /// Why the flow as a whole could not be run.
    pub error: Option<WireError>,
    /// Counts; they add up to `total`.
    pub lines: WireCounts,
    /// How long the lines took together, in milliseconds: several run at the same time.
    pub elapsed_ms: f64,
    /// The lines, in order.
    pub results: Vec<WireLine>,
    /// Metrics that aggregation nodes logged.
    pub metrics: Map<String, Value>,
    /// Why the aggregation failed, if it did.
    pub aggregation_error: Option<WireError>,
    /// What user code wrote to its standard output and error, up to 64 KiB.
    pub log: String,
    /// How many bytes of it were dropped.
    pub log_dropped_bytes: u64,
}

/// What a flow ran in.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WireEnvironment {
    /// The environment's content address; null where it could not be planned.
    pub key: Option<String>,
    /// The image; null for the process backend.
    pub image: Option<String>,
}

/// An error.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WireError {
    /// The exception's class, or flowgate's name for it.
    pub r#type: String,
    /// One readable text.
    pub message: String,
    /// The node at fault.
    pub node: Option<String>,
    /// The end of Python's traceback, or of a log.
    pub traceback: Option<String>,
    /// What to do about it, or what explains it.
    pub help: Option<String>,
}

/// How many lines ended how.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WireCounts {
    /// All lines.
    pub total: usize,
    /// Lines that the engine completed.
    pub passed: usize,
    /// Lines in which the flow failed.
    pub failed: usize,
    /// Lines that could not be run.
    pub errored: usize,
    /// Lines that took too long.
    pub timed_out: usize,
    /// Lines that were not run.
    pub skipped: usize,
}

/// One line.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WireLine {
    /// The data row, from 0.
    pub line: usize,
    /// How it ended.
    #[schemars(with = "WireOutcome")]
    pub outcome: &'static str,
    /// What went in.
    pub inputs: Map<String, Value>,
    /// What came out.
    pub output: Option<Map<String, Value>>,
    /// What went wrong.
    pub error: Option<WireError>,
    /// How long it took, in milliseconds.
    pub duration_ms: f64,
}

/// The outcomes.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "stands for the outcome's text in the schema only")]
enum WireOutcome {
    Passed,
    Failed,
    Errored,
    TimedOut,
    Skipped,
}

/// The report as wire structs.
pub fn report(report: &RunReport) -> Report {
    Report {
        version: 1,
        verdict: verdict_name(report.verdict()),
        exit_code: report.exit_reason().code(),
        elapsed_ms: milliseconds(report.elapsed),
        flows: report.flows.iter().map(flow).collect(),
    }
}

/// The report as one JSON text with a final line break.
///
/// # Errors
/// None in practice: the structs hold nothing that JSON cannot say.
pub fn render(run_report: &RunReport) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string_pretty(&report(run_report))? + "\n")
}

fn flow(flow: &FlowOutcome) -> WireFlow {
    WireFlow {
        flow: flow.flow.clone(),
        verdict: verdict_name(flow.verdict()),
        backend: flow.backend.to_string(),
        environment: WireEnvironment { key: flow.key.clone(), image: flow.image.clone() },
        error: flow.error.as_ref().map(|error| match error {
            FlowError::Refused(fault) => wire_error(fault),
            FlowError::Runtime(error) => WireError {
                r#type: format!("{:?}Error", error.stage),
                message: match &error.hint {
                    Some(hint) => format!("{}; {hint}", error.message),
                    None => error.message.clone(),
                },
                node: None,
                traceback: error.log.clone(),
                help: error.hint.clone(),
            },
        }),
        lines: WireCounts {
            total: flow.lines.len(),
            passed: flow.count(Outcome::Passed),
            failed: flow.count(Outcome::Failed),
            errored: flow.count(Outcome::Errored),
            timed_out: flow.count(Outcome::TimedOut),
            skipped: flow.count(Outcome::Skipped),
        },
        elapsed_ms: milliseconds(flow.elapsed),
        results: flow.lines.iter().map(line).collect(),
        metrics: flow.metrics.clone(),
        aggregation_error: flow.aggregation_error.as_ref().map(wire_error),
        log: flow.log.clone(),
        log_dropped_bytes: flow.log_dropped,
    }
}

fn line(line: &LineResult) -> WireLine {
    WireLine {
        line: line.line,
        outcome: outcome_name(line.outcome),
        inputs: line.inputs.clone(),
        output: line.output.clone(),
        error: line.error.as_ref().map(wire_error),
        duration_ms: milliseconds(line.duration),
    }
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

fn wire_error(fault: &Fault) -> WireError {
    WireError {
        r#type: fault.r#type.clone(),
        message: fault.message.clone(),
        node: fault.node.clone(),
        traceback: fault.traceback.clone(),
        help: fault.help.clone(),
    }
}
