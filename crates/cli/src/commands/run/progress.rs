//! The events of a run as a status.

use std::sync::Mutex;

use flowgate_report::check::plural;
use flowgate_report::run::{outcome_name, verdict_name};
use flowgate_runtime::{Outcome, RunEvent};

use crate::status::Status;

/// Shows what happens.
pub(super) struct Progress {
    names: Vec<String>,
    status: Status,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    lines: u64,
    done: u64,
    bad: u64,
}

impl Progress {
    pub(super) fn new(names: Vec<String>, status: Status) -> Self {
        Self { names, status, counts: Mutex::default() }
    }

    pub(super) fn event(&self, event: &RunEvent) {
        let name = |flow: &usize| self.names.get(*flow).map_or("", String::as_str);
        match event {
            RunEvent::Preparing { flow, what, part: false } => self.status.step(name(flow), what),
            RunEvent::Preparing { flow, what, part: true } => self.status.part(name(flow), what),
            RunEvent::Notice { flow, message } => self.status.note(&format!("{}: {message}", name(flow))),
            RunEvent::Started { flow, lines, after } => {
                self.update(|counts| counts.lines += *lines as u64);
                let (lines, after) = (plural(*lines, "row"), after.as_secs_f64());
                self.status.step(name(flow), &format!("running {lines} (ready after {after:.1} s)"));
            }
            RunEvent::LineFinished { flow, result } => {
                let (done, lines, bad) = self.update(|counts| {
                    counts.done += 1;
                    counts.bad += u64::from(result.outcome != Outcome::Passed);
                });
                let bad = if bad > 0 { format!(", {bad} not passed") } else { String::new() };
                self.status.count(&format!("{done} of {lines} rows{bad}"));
                if result.outcome != Outcome::Passed {
                    self.status.log(&format!(
                        "{}: row {} {}",
                        name(flow),
                        result.line + 1,
                        outcome_name(result.outcome).replace('_', " ")
                    ));
                }
            }
            RunEvent::Finished { flow, outcome } => {
                self.status.log(&format!("{}: {}", name(flow), verdict_name(outcome.verdict())));
            }
        }
    }

    /// Changes the counts and gives done, lines and bad.
    fn update(&self, change: impl FnOnce(&mut Counts)) -> (u64, u64, u64) {
        let mut counts = self.counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        change(&mut counts);
        (counts.done, counts.lines, counts.bad)
    }
}
