//! Stopping a run from outside.

use std::sync::Arc;

use tokio::sync::watch;

/// Tells a run to stop. Clones share one state, and it never goes back.
#[derive(Debug, Clone)]
pub struct Cancel(Arc<watch::Sender<bool>>);

impl Default for Cancel {
    fn default() -> Self {
        Self::new()
    }
}

impl Cancel {
    /// Nothing is cancelled yet.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Stops the run: lines that have not ended are skipped, and runtimes are removed.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }

    /// True after [`Cancel::cancel`].
    pub fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    /// Ends when it is cancelled; at once if it already is.
    pub async fn cancelled(&self) {
        let mut state = self.0.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = state.wait_for(|cancelled| *cancelled).await;
    }
}
