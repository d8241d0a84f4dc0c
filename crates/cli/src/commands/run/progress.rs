//! Progress: a moving line on a terminal, plain lines in a log.

use std::sync::Mutex;
use std::time::Duration;

use flowgate_report::check::plural;
use flowgate_report::escape;
use flowgate_report::run::{outcome_name, verdict_name};
use flowgate_runtime::{Outcome, RunEvent};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shows what happens.
pub(super) struct Progress {
    names: Vec<String>,
    bar: ProgressBar,
    terminal: bool,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    lines: u64,
    done: u64,
    bad: u64,
}

impl Progress {
    pub(super) fn new(names: Vec<String>, terminal: bool) -> Self {
        let bar = ProgressBar::with_draw_target(
            None,
            if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() },
        );
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self {
            names: names.iter().map(|name| escape::terminal(name)).collect(),
            bar,
            terminal,
            counts: Mutex::default(),
        }
    }

    pub(super) fn event(&self, event: &RunEvent) {
        let name = |flow: &usize| self.names.get(*flow).map_or("", String::as_str);
        match event {
            RunEvent::Preparing { flow, what } => self.say(&format!("{}: {}", name(flow), escape::terminal(what))),
            RunEvent::Notice { flow, message } => {
                self.note(&format!("note: {}: {}", name(flow), escape::terminal(message)))
            }
            RunEvent::Started { flow, lines, after } => {
                self.update(|counts| counts.lines += *lines as u64);
                self.say(&format!(
                    "{}: running {} (ready after {:.1} s)",
                    name(flow),
                    plural(*lines, "line"),
                    after.as_secs_f64()
                ));
            }
            RunEvent::LineFinished { flow, result } => {
                let (done, lines, bad) = self.update(|counts| {
                    counts.done += 1;
                    counts.bad += u64::from(result.outcome != Outcome::Passed);
                });
                let bad = if bad > 0 { format!(", {bad} not passed") } else { String::new() };
                self.bar.set_message(format!("{done} of {lines} lines{bad}"));
                if !self.terminal && result.outcome != Outcome::Passed {
                    self.note(&format!("{}: line {} {}", name(flow), result.line, outcome_name(result.outcome)));
                }
            }
            RunEvent::Finished { flow, outcome } => {
                if !self.terminal {
                    self.note(&format!("{}: {}", name(flow), verdict_name(outcome.verdict())));
                }
            }
        }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Changes the counts and gives done, lines and bad.
    fn update(&self, change: impl FnOnce(&mut Counts)) -> (u64, u64, u64) {
        let mut counts = self.counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        change(&mut counts);
        (counts.done, counts.lines, counts.bad)
    }

    /// The current stage: the moving line, or a line of the log.
    fn say(&self, message: &str) {
        if self.terminal {
            self.bar.set_message(message.to_owned());
        } else {
            anstream::eprintln!("{message}");
        }
    }

    /// What stays to be read.
    fn note(&self, message: &str) {
        if self.terminal {
            self.bar.suspend(|| anstream::eprintln!("{message}"));
        } else {
            anstream::eprintln!("{message}");
        }
    }
}
