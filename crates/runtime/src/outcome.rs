//! What a run came to. Verdicts are computed here, from what was seen, never taken from a runtime.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::error::{RuntimeError, Stage};

/// The kinds of backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendKind {
    /// A container of a Docker engine, without a network.
    Docker,
    /// A virtual environment on this machine. No sandbox.
    Process,
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Docker => "docker",
            Self::Process => "process",
        })
    }
}

/// How one line ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The engine completed the line.
    Passed,
    /// The flow is at fault: a node raised, or the flow's process died.
    Failed,
    /// The line could not be run: the flow does not load, or the tool broke.
    Errored,
    /// The line took longer than its time limit and was killed.
    TimedOut,
    /// The line was not run: the flow needs a connection, the run was cancelled, or the runtime was gone.
    Skipped,
}

/// An error with the place in the flow that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The exception's class, or flowgate's own name for it (`ConnectionRequired`,
    /// `ProcessCrashError`, `LineExecutionTimeoutError`, ...).
    pub r#type: String,
    /// One readable text.
    pub message: String,
    /// The node, where one is at fault.
    pub node: Option<String>,
    /// The end of Python's traceback, where there is one.
    pub traceback: Option<String>,
    /// What to do about it, or what explains it, where flowgate knows.
    pub help: Option<String>,
}

impl Fault {
    /// Whether it only says that a connection is needed, which no runtime has.
    pub fn needs_connection(&self) -> bool {
        self.r#type == CONNECTION_REQUIRED
    }
}

/// One line's result.
#[derive(Debug, Clone, PartialEq)]
pub struct LineResult {
    /// The data row, from 0.
    pub line: usize,
    /// How it ended.
    pub outcome: Outcome,
    /// What went in.
    pub inputs: Map<String, Value>,
    /// What came out, where the line passed.
    pub output: Option<Map<String, Value>>,
    /// What went wrong, where it did not.
    pub error: Option<Fault>,
    /// How long the line took, measured on our side.
    pub duration: Duration,
}

/// The [`Fault`] type of a node that needs a connection.
pub const CONNECTION_REQUIRED: &str = "ConnectionRequired";

impl LineResult {
    /// Whether it was not run for want of a connection.
    fn needs_connection(&self) -> bool {
        self.outcome == Outcome::Skipped && self.error.as_ref().is_some_and(Fault::needs_connection)
    }
}

/// How a flow or a whole run ended, worst first when several apply: errored, failed, skipped, passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every line passed, and there was one.
    Passed,
    /// Nothing went wrong, but a flow or a line was not run, because it needs a connection.
    Skipped,
    /// A line failed or timed out.
    Failed,
    /// Something could not be run.
    Errored,
}

/// What became of one flow.
#[derive(Debug, Clone)]
pub struct FlowOutcome {
    /// The flow's path as the user named it.
    pub flow: String,
    /// Where it ran, or was to run.
    pub backend: BackendKind,
    /// The environment's key (hexadecimal), where it was planned.
    pub key: Option<String>,
    /// The image that it ran in; `None` for the process backend.
    pub image: Option<String>,
    /// Why the flow as a whole could not be run.
    pub error: Option<FlowError>,
    /// The lines, in order.
    pub lines: Vec<LineResult>,
    /// How long its lines took together: several run at the same time.
    pub elapsed: Duration,
    /// Metrics that aggregation nodes logged.
    pub metrics: Map<String, Value>,
    /// Why aggregation failed, if it did.
    pub aggregation_error: Option<Fault>,
    /// What user code wrote to its standard output and error, capped, unescaped.
    pub log: String,
    /// How many bytes of it were dropped.
    pub log_dropped: u64,
    /// What the checker knows of why it did not pass: the runtime leaves it empty.
    pub advice: Vec<String>,
}

/// Why a flow could not be run at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlowError {
    /// The engine refused the flow (exit 4: its environment or the flow itself is not fit to run).
    Refused(Fault),
    /// No runtime could be had.
    Runtime(RuntimeError),
}

/// What became of a whole run.
#[derive(Debug, Clone, Default)]
pub struct RunReport {
    /// The flows, in order.
    pub flows: Vec<FlowOutcome>,
    /// How long the run took, environments included.
    pub elapsed: Duration,
    /// True where the user stopped it.
    pub cancelled: bool,
}

/// Why the process ends as it does; the codes are product's contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitReason {
    /// Everything passed.
    Passed,
    /// Nothing went wrong, but not everything was run, for want of a connection.
    Skipped,
    /// Lines failed.
    LinesFailed,
    /// Usage or configuration.
    Usage,
    /// Findings at or above the failing level.
    Findings,
    /// The environment could not be built, or the engine refuses the flow.
    Environment,
    /// The runtime could not start or died.
    Runtime,
    /// Engine, GitHub, disk.
    Infrastructure,
    /// The user stopped it.
    Cancelled,
}

impl ExitReason {
    /// The process's exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::LinesFailed => 1,
            Self::Usage => 2,
            Self::Findings => 3,
            Self::Environment | Self::Skipped => 4,
            Self::Runtime => 5,
            Self::Infrastructure => 8,
            Self::Cancelled => 130,
        }
    }

    /// Why a process ends that could not get past a stage.
    pub fn of(stage: Stage) -> Self {
        match stage {
            Stage::Usage => Self::Usage,
            Stage::Environment => Self::Environment,
            Stage::Runtime => Self::Runtime,
            Stage::Infrastructure => Self::Infrastructure,
        }
    }

    /// The one that wins when several apply: 130, 8, 2, 4, 5, 1, 3, then 4 where flows were only skipped, then 0.
    pub fn worst(reasons: impl IntoIterator<Item = Self>) -> Self {
        let rank = |reason: &Self| match reason {
            Self::Cancelled => 8,
            Self::Infrastructure => 7,
            Self::Usage => 6,
            Self::Environment => 5,
            Self::Runtime => 4,
            Self::LinesFailed => 3,
            Self::Findings => 2,
            Self::Skipped => 1,
            Self::Passed => 0,
        };
        reasons.into_iter().max_by_key(rank).unwrap_or(Self::Passed)
    }
}

impl FlowOutcome {
    /// The number of lines that ended that way.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.lines.iter().filter(|line| line.outcome == outcome).count()
    }

    /// Errored where anything could not be run, failed where a line failed, skipped where lines need a connection,
    /// passed only where every line passed and there was at least one.
    pub fn verdict(&self) -> Verdict {
        let connection = self.lines.iter().filter(|line| line.needs_connection()).count();
        let errored = self.count(Outcome::Errored) + self.count(Outcome::Skipped) - connection;
        let refused = self.error.as_ref().is_some_and(|error| !error.needs_connection());
        if refused || errored > 0 || self.lines.is_empty() {
            Verdict::Errored
        } else if self.aggregation_error.is_some() || self.count(Outcome::Passed) + connection < self.lines.len() {
            Verdict::Failed
        } else if self.error.is_some() || connection > 0 {
            Verdict::Skipped
        } else {
            Verdict::Passed
        }
    }

    /// What this flow means for the exit code.
    pub fn exit_reason(&self) -> ExitReason {
        match (&self.error, self.verdict()) {
            (_, Verdict::Skipped) => ExitReason::Skipped,
            (Some(FlowError::Refused(_)), _) => ExitReason::Environment,
            (Some(FlowError::Runtime(error)), _) => ExitReason::of(error.stage),
            (None, Verdict::Passed) => ExitReason::Passed,
            (None, Verdict::Failed) => ExitReason::LinesFailed,
            (None, Verdict::Errored) => ExitReason::Runtime,
        }
    }
}

impl FlowError {
    /// Whether the flow was only not run for want of a connection.
    pub fn needs_connection(&self) -> bool {
        matches!(self, Self::Refused(fault) if fault.needs_connection())
    }
}

impl RunReport {
    /// The worst verdict of the flows; errored where there was none to run.
    pub fn verdict(&self) -> Verdict {
        let worst = self.flows.iter().map(FlowOutcome::verdict).max_by_key(|verdict| match verdict {
            Verdict::Passed => 0,
            Verdict::Skipped => 1,
            Verdict::Failed => 2,
            Verdict::Errored => 3,
        });
        if self.cancelled { Verdict::Errored } else { worst.unwrap_or(Verdict::Errored) }
    }

    /// The exit code's reason.
    pub fn exit_reason(&self) -> ExitReason {
        let cancelled = self.cancelled.then_some(ExitReason::Cancelled);
        ExitReason::worst(self.flows.iter().map(FlowOutcome::exit_reason).chain(cancelled))
    }
}
