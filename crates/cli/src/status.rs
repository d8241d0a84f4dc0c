//! What goes on: one moving line on a terminal, plain lines in a log. The line is gone before anything else is
//! printed, and when this is dropped.

use std::time::Duration;

use flowgate_report::escape;
use flowgate_runtime::backend::Said;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::say;

/// Shows the current step, and what stays to be read.
pub(crate) struct Status {
    bar: ProgressBar,
    live: bool,
}

impl Status {
    /// `live`: standard error is a terminal that can move its cursor.
    pub(crate) fn new(live: bool) -> Self {
        let target = if live { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed:>3} {wide_msg}") {
            bar.set_style(style);
        }
        if live {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        Self { bar, live }
    }

    /// The current step of a flow, unescaped: the moving line, or a line of the log.
    pub(crate) fn step(&self, flow: &str, what: &str) {
        if self.live {
            self.count(&format!("{}: {what}", short(flow)));
        } else {
            self.log(&format!("{flow}: {what}"));
        }
    }

    /// A part of a step, for the moving line alone, unescaped.
    pub(crate) fn part(&self, flow: &str, what: &str) {
        self.count(&format!("{}: {what}", short(flow)));
    }

    /// What changes too often for a log, unescaped.
    pub(crate) fn count(&self, text: &str) {
        self.bar.set_message(escape::line(text).replace('\t', " "));
    }

    /// What a log says, and a terminal shows otherwise, unescaped.
    pub(crate) fn log(&self, text: &str) {
        if !self.live {
            say::line(text);
        }
    }

    /// What stays to be read, unescaped.
    pub(crate) fn note(&self, text: &str) {
        self.bar.suspend(|| say::note(text));
    }

    /// What a backend says of a flow.
    pub(crate) fn tell(&self, flow: &str, said: Said<'_>) {
        match said {
            Said::Step(what) => self.step(flow, what),
            Said::Part(what) => self.part(flow, what),
            Said::Note(message) => self.note(&format!("{flow}: {message}")),
        }
    }
}

/// The folder of a flow: a moving line has no room for the way there.
fn short(flow: &str) -> &str {
    let folder = flow.rsplit_once('/').map_or(flow, |(folder, _)| folder);
    folder.rsplit('/').next().unwrap_or(folder)
}

impl Drop for Status {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
