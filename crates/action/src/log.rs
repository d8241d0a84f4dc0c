//! The log of the workflow: what a flow or a pull request wrote becomes no command there.

use flowgate_report::escape;

use crate::Host;

impl Host {
    /// Lines for people, not yet escaped.
    pub(crate) fn say(&self, text: &str) {
        (self.print)(&(escape::workflow_log(&escape::terminal(text)) + "\n"));
    }

    /// A notice beside the run: a full sentence, not yet escaped.
    pub(crate) fn notice(&self, message: &str) {
        self.commands(&format!("::notice title=flowgate::{}\n", escape::workflow_message(message)));
    }

    /// What is most likely a mistake: a full sentence, not yet escaped.
    pub(crate) fn warning(&self, message: &str) {
        self.commands(&format!("::warning title=flowgate::{}\n", escape::workflow_message(message)));
    }

    /// Why the step fails, as a lower-case fragment, not yet escaped.
    pub(crate) fn error(&self, message: &str) {
        self.commands(&format!("::error title=flowgate::{}\n", escape::workflow_message(message)));
    }

    /// Commands of flowgate's own, escaped where they were made.
    pub(crate) fn commands(&self, text: &str) {
        (self.print)(text);
    }
}
