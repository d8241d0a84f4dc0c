//! The one task that analyses and publishes, so that what the editor is told is in order.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lsp_types::MessageType;
use tokio::sync::{Notify, watch};
use tower_lsp::Client;

use crate::state::State;

/// The state, and who waits for its changes.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: Notify,
    settled: watch::Sender<()>,
}

impl Shared {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), changed: Notify::new(), settled: watch::Sender::new(()) })
    }

    /// The state. Never held across an `await`.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and lets the consequences follow.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_one();
        result
    }

    /// Told after each analysis.
    pub(crate) fn settled(&self) -> watch::Receiver<()> {
        self.settled.subscribe()
    }
}

/// Analyses and publishes for as long as the task lives.
pub(crate) async fn keep_publishing(shared: Arc<Shared>, client: Client) {
    loop {
        shared.changed.notified().await;
        loop {
            let job = shared.lock().plan().map(Arc::new);
            let mut said = Vec::new();
            if let Some(job) = &job {
                let running = job.clone();
                let done = tokio::task::spawn_blocking(move || running.run()).await;
                let done = match done {
                    Ok(done) => done,
                    Err(error) => {
                        client.log_message(MessageType::ERROR, format!("the check broke off: {error}")).await;
                        job.given_up()
                    }
                };
                said = shared.lock().accept(done);
                shared.settled.send_replace(());
            }
            for message in said {
                let message = format!(
                    "flowgate checks with the default rules, because the configuration cannot be used: {message}"
                );
                client.log_message(MessageType::ERROR, &message).await;
                client.show_message(MessageType::ERROR, &message).await;
            }
            let due = shared.lock().due();
            for publication in due {
                client.publish_diagnostics(publication.uri, publication.diagnostics, publication.version).await;
            }
            if job.is_none() {
                break;
            }
        }
    }
}
