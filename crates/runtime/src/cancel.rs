//! Stopping a run from outside.

use std::sync::Arc;

use tokio::signal;
use tokio::sync::watch;
use tokio::task::JoinHandle;

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

    /// Cancels on an interrupt (Ctrl-C), and on the termination that runners of workflows send
    /// before they kill. Abort the task when the run has ended.
    pub fn on_signals(&self) -> JoinHandle<()> {
        let cancel = self.clone();
        tokio::spawn(async move {
            signalled().await;
            cancel.cancel();
        })
    }
}

async fn signalled() {
    #[cfg(unix)]
    if let Ok(mut terminate) = signal::unix::signal(signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = signal::ctrl_c() => {}
        }
        return;
    }
    let _ = signal::ctrl_c().await;
}
