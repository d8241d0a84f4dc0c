//! What happens during a run, as it happens. The enum is closed: no reporter matches with a
//! wildcard, so that the compiler lists every reporter when an event is added.

use std::time::Duration;

use crate::outcome::{FlowOutcome, LineResult};

/// One event. `flow` is the index of the [`crate::Case`].
#[derive(Debug, Clone)]
pub enum RunEvent {
    /// The environment or the runtime of a flow reached a stage: "making the environment", ...
    Preparing {
        /// Which flow: the first of those that share the environment.
        flow: usize,
        /// The stage, as a lower-case fragment in the progressive form.
        what: String,
        /// Whether it is one of perhaps hundreds of parts of a stage, and nothing for a log.
        part: bool,
    },
    /// Something the user should know that is no failure: a part that was skipped, and why.
    Notice {
        /// Which flow.
        flow: usize,
        /// A full sentence.
        message: String,
    },
    /// The runtime is ready and the engine has loaded the flow.
    Started {
        /// Which flow.
        flow: usize,
        /// How many lines will run.
        lines: usize,
        /// How long after the start of the run.
        after: Duration,
    },
    /// A line ended. Lines that never began have no event of their own: they stand in
    /// [`RunEvent::Finished`].
    LineFinished {
        /// Which flow.
        flow: usize,
        /// Its result.
        result: Box<LineResult>,
    },
    /// A flow ended; every line has ended.
    Finished {
        /// Which flow.
        flow: usize,
        /// Its outcome.
        outcome: Box<FlowOutcome>,
    },
}
