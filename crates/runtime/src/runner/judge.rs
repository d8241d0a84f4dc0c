//! From answers to outcomes. What a job says about itself counts only against it: a line passes
//! where the engine completed it, with an output and without an error.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::backend::BackendKind;
use crate::error::{RuntimeError, Stage};
use crate::outcome::{Fault, FlowError, Outcome};
use crate::runtimes::size::shown_memory;
use crate::session::ChannelError;
use crate::wire::{Ended, ErrorBody, LineBody, clip};

const NO_VALUE: &str = "give it a column in the data, or a default in the flow";
const NO_NETWORK: &str = "this runtime has no network";
/// The classes that Python's clients raise where they reach nothing: socket, urllib, urllib3, requests, httpx, aiohttp,
/// openai, azure-core.
const CLIENT_ERRORS: [&str; 13] = [
    "gaierror",
    "ConnectionError",
    "ConnectionRefusedError",
    "URLError",
    "NewConnectionError",
    "NameResolutionError",
    "MaxRetryError",
    "ConnectError",
    "ConnectTimeout",
    "ClientConnectorError",
    "ClientConnectorDNSError",
    "APIConnectionError",
    "ServiceRequestError",
];
/// What the system says where there is no network.
const SYSTEM_ERRORS: [&str; 3] =
    ["Temporary failure in name resolution", "Name or service not known", "Network is unreachable"];

/// What a line came to.
pub(super) struct Judged {
    pub(super) outcome: Outcome,
    pub(super) output: Option<Map<String, Value>>,
    pub(super) error: Option<Fault>,
}

impl Judged {
    pub(super) fn wrong(outcome: Outcome, error: Fault) -> Self {
        Self { outcome, output: None, error: Some(error) }
    }
}

pub(super) fn fault(name: &str, message: impl Into<String>) -> Fault {
    Fault { r#type: name.to_owned(), message: message.into(), node: None, traceback: None, help: None }
}

pub(super) fn violation(what: &str) -> Fault {
    fault(
        "ProtocolViolation",
        format!(
            "{}; the flow's process wrote to descriptors that are not its own, or is not the worker's",
            clip(what.to_owned(), 1 << 10)
        ),
    )
}

/// What a job tells, with what its author cannot know: where values come from, and why a runtime gives it no connection
/// and no network.
pub(super) fn told(error: ErrorBody, backend: BackendKind) -> Fault {
    let mut fault = Fault::from(error);
    if fault.needs_connection() {
        fault.message += match backend {
            BackendKind::Docker => "; this runtime has no network, and flowgate passes no connection into it",
            BackendKind::Process => "; flowgate passes no connection into a runtime",
        };
    } else if fault.r#type == "InputNotFound" {
        fault.help = Some(NO_VALUE.to_owned());
    } else if backend == BackendKind::Docker && wants_network(&fault) {
        fault.help = Some(NO_NETWORK.to_owned());
    }
    fault
}

/// Whether it is the error of a client that found no network: by its class, or by the system's own words in one that it
/// was raised from.
fn wants_network(fault: &Fault) -> bool {
    let traceback = fault.traceback.as_deref().unwrap_or_default();
    CLIENT_ERRORS.contains(&fault.r#type.as_str())
        || SYSTEM_ERRORS.iter().any(|text| fault.message.contains(text) || traceback.contains(text))
}

/// Judges a line's answer.
pub(super) fn line(body: LineBody, backend: BackendKind) -> Judged {
    match (body.status.as_str(), body.error, body.output) {
        ("Completed", None, Some(output)) => Judged { outcome: Outcome::Passed, output: Some(output), error: None },
        ("Completed", None, None) => {
            Judged::wrong(Outcome::Failed, violation("the job completed a line without an output"))
        }
        (_, Some(error), _) => {
            let fault = told(error, backend);
            // Not the flow's fault: no connection enters a runtime.
            let outcome = if fault.needs_connection() { Outcome::Skipped } else { Outcome::Failed };
            Judged::wrong(outcome, fault)
        }
        (status, None, _) => {
            let message = format!("the engine ended the line as `{}` and did not say why", clip(status.to_owned(), 64));
            Judged::wrong(Outcome::Failed, fault("UnknownError", message))
        }
    }
}

/// Judges a line that got no answer.
pub(super) fn unanswered(line: usize, error: ChannelError) -> Judged {
    match error {
        ChannelError::Ended(ended) => {
            Judged::wrong(Outcome::Failed, ended_early(&ended, &format!("while row {} ran", line + 1)))
        }
        ChannelError::Protocol(what) => Judged::wrong(Outcome::Failed, violation(&what)),
        ChannelError::TooLarge(bytes) => {
            let message = format!(
                "the inputs of row {} are {bytes} bytes of JSON, and 16 MiB is the most that a runtime takes",
                line + 1
            );
            Judged::wrong(Outcome::Errored, fault("InputTooLarge", message))
        }
        ChannelError::TooHeavy(weight) => Judged::wrong(Outcome::Failed, too_heavy(weight)),
        ChannelError::Worker(error) => Judged::wrong(Outcome::Errored, of_runtime(&error)),
    }
}

/// An answer of many small values, which take far more than their text.
pub(super) fn too_heavy(weight: usize) -> Fault {
    let message = format!("the answer has so many values that it would take {} MiB of memory to read", weight >> 20);
    fault("OutputTooLarge", message)
}

pub(super) fn timed_out(line: usize, limit: Duration) -> Judged {
    let message = format!("row {} took longer than {} and was killed", line + 1, seconds(limit));
    Judged::wrong(Outcome::TimedOut, fault("LineExecutionTimeoutError", message))
}

/// Why a job that was not asked to end has ended.
pub(super) fn ended_early(ended: &Ended, when: &str) -> Fault {
    if ended.reason == "protocol" {
        return violation(&ended.detail);
    }
    if ended.out_of_memory == Some(true) {
        return out_of_memory(ended.memory, when);
    }
    let how = match (ended.signal, ended.exit) {
        (Some(9), _) if ended.out_of_memory.is_none() => {
            "was killed by signal 9 (SIGKILL), possibly out of memory,".to_owned()
        }
        (Some(number), _) => format!("was killed by signal {number}{}", signal_name(number)),
        (None, Some(code)) => format!("exited with code {code}"),
        (None, None) => "ended".to_owned(),
    };
    let detail =
        if ended.detail.is_empty() { String::new() } else { format!(": {}", clip(ended.detail.clone(), 1 << 10)) };
    fault("ProcessCrashError", format!("the flow's process {how} {when}{detail}"))
}

/// The job's memory use is unknown, so the help suggests twice the limit.
fn out_of_memory(limit: Option<u64>, when: &str) -> Fault {
    let Some(limit) = limit else {
        return fault(
            "OutOfMemory",
            format!("the flow's process was killed {when}, because the machine's memory ran out"),
        );
    };
    let more = limit.saturating_mul(2).div_ceil(1 << 30) << 30;
    let (size, more) = (shown_memory(limit), shown_memory(more));
    let message = format!("the flow's process was killed {when}, because memory ran out: its runtime has {size}");
    let help = format!(
        "with docker, give it more: `flowgate runtime start FLOW --size memory={}`, or `flowgate runtime edit` where it \
         runs; fewer lines at a time need less: `--concurrency 1`",
        more.replace(' ', "")
    );
    Fault { help: Some(help), ..fault("OutOfMemory", message) }
}

fn signal_name(number: i64) -> &'static str {
    match number {
        1 => " (SIGHUP)",
        2 => " (SIGINT)",
        3 => " (SIGQUIT)",
        4 => " (SIGILL)",
        6 => " (SIGABRT)",
        7 => " (SIGBUS)",
        8 => " (SIGFPE)",
        9 => " (SIGKILL)",
        11 => " (SIGSEGV)",
        13 => " (SIGPIPE)",
        15 => " (SIGTERM)",
        _ => "",
    }
}

/// Seconds as people write them.
pub(super) fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

/// What the rows say that were not run because of that: short, as there can be many of them.
pub(super) fn of_flow(error: &FlowError) -> Fault {
    match error {
        FlowError::Refused(fault) => Fault { message: first_line(&fault.message), traceback: None, ..fault.clone() },
        FlowError::Runtime(error) => of_runtime(error),
    }
}

fn of_runtime(error: &RuntimeError) -> Fault {
    let name = match error.stage {
        Stage::Usage => "UsageError",
        Stage::Environment => "EnvironmentError",
        Stage::Runtime => "RuntimeError",
        Stage::Infrastructure => "InfrastructureError",
    };
    fault(name, first_line(&error.message))
}

fn first_line(text: &str) -> String {
    clip(text.lines().next().unwrap_or_default().to_owned(), 300)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(status: &str, output: Option<Map<String, Value>>, error: Option<ErrorBody>) -> LineBody {
        LineBody {
            line: 0,
            status: status.to_owned(),
            output,
            aggregation_inputs: Map::new(),
            error,
            nodes: Map::new(),
        }
    }

    fn line(body: LineBody) -> Judged {
        super::line(body, BackendKind::Docker)
    }

    #[test]
    fn only_a_completed_line_with_an_output_and_no_error_passes() {
        assert_eq!(line(body("Completed", Some(Map::new()), None)).outcome, Outcome::Passed);
        assert_eq!(line(body("Completed", None, None)).outcome, Outcome::Failed);
        assert_eq!(line(body("Completed", Some(Map::new()), Some(ErrorBody::default()))).outcome, Outcome::Failed);
        assert_eq!(line(body("Canceled", Some(Map::new()), None)).outcome, Outcome::Failed);
        assert_eq!(line(body("completed", Some(Map::new()), None)).outcome, Outcome::Failed);
        let needs = ErrorBody { r#type: "ConnectionRequired".to_owned(), ..ErrorBody::default() };
        assert_eq!(line(body("Failed", None, Some(needs))).outcome, Outcome::Skipped);
    }

    #[test]
    fn a_crash_names_its_signal() {
        let text = |signal, exit| {
            ended_early(&Ended { reason: "exited".to_owned(), signal, exit, ..Ended::default() }, "while row 2 ran")
                .message
        };
        assert_eq!(text(Some(11), None), "the flow's process was killed by signal 11 (SIGSEGV) while row 2 ran");
        assert_eq!(text(None, Some(3)), "the flow's process exited with code 3 while row 2 ran");
        assert!(text(Some(9), None).contains("(SIGKILL), possibly out of memory, while row 2 ran"));
        let ran_out =
            |memory| Ended { reason: "exited".to_owned(), out_of_memory: Some(true), memory, ..Ended::default() };
        let fault = ended_early(&ran_out(Some(1536 << 20)), "while row 2 ran");
        assert_eq!(
            fault.message,
            "the flow's process was killed while row 2 ran, because memory ran out: its runtime has 1.5 GiB"
        );
        assert!(fault.help.is_some_and(|help| help.contains("--size memory=3GiB`")));
        let machine = ended_early(&ran_out(None), "while row 2 ran").message;
        assert!(machine.ends_with("because the machine's memory ran out"), "{machine}");
        let forged =
            Ended { reason: "protocol".to_owned(), detail: "the job sent kind 0xff".to_owned(), ..Ended::default() };
        assert_eq!(ended_early(&forged, "").r#type, "ProtocolViolation");
    }
}
