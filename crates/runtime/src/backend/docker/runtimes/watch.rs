//! Transitions of runtimes, as the engine's events and their brokers tell them.

use std::time::Duration;

use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::StreamExt;
use tokio::time::{Instant, sleep_until, timeout};

use super::super::{Docker, owner};
use super::labels::NAME_LABEL;
use crate::error::RuntimeError;
use crate::runtimes::{Phase, Transition, WarmRuntime};

/// What may change the state of a container. What is not among them is mostly our own doing: `exec_create`.
const ACTIONS: [&str; 10] =
    ["create", "rename", "start", "die", "destroy", "pause", "unpause", "oom", "update", "restart"];
/// Events come in groups: a container that ends dies, and is destroyed.
const GROUP: Duration = Duration::from_millis(50);
/// How often one that starts is asked whether it answers: nothing else tells.
const STARTING: Duration = Duration::from_millis(500);

impl Docker {
    /// Tells each change of a runtime's state, the first of each runtime that is there included, until `tell` says that it is
    /// enough.
    ///
    /// # Errors
    /// [`crate::Phase::Infrastructure`] where the engine goes away.
    pub async fn watch(&self, mut tell: impl FnMut(&Transition) -> bool) -> Result<(), RuntimeError> {
        let filters = [("type", vec!["container"]), ("label", vec![NAME_LABEL]), ("event", ACTIONS.to_vec())];
        let options = EventsOptionsBuilder::new().filters(&filters.into_iter().collect()).build();
        // Listened to first, so that nothing falls between the look and the events.
        let mut events = std::pin::pin!(self.engine.events(Some(options)));
        let mut known: Vec<WarmRuntime> = Vec::new();
        loop {
            let seen = self.runtimes().await?;
            for transition in transitions(&known, &seen, owner::now()) {
                if !tell(&transition) {
                    return Ok(());
                }
            }
            let starts = seen.iter().any(|runtime| runtime.stage == Some(Phase::Starting));
            known = seen;
            let again = Instant::now() + if starts { STARTING } else { Duration::from_secs(86_400) };
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(_)) => while timeout(GROUP, events.next()).await.is_ok_and(|event| event.is_some()) {},
                    Some(Err(error)) => return Err(self.broken("tell what happens", &error)),
                    None => return Err(self.gone("it closed its events")),
                },
                () = sleep_until(again) => {}
            }
        }
    }
}

/// What changed between two looks.
fn transitions(before: &[WarmRuntime], after: &[WarmRuntime], time: u64) -> Vec<Transition> {
    let same = |all: &[WarmRuntime], one: &WarmRuntime| {
        all.iter().find(|other| other.container == one.container).map(|other| (other.state, other.reason.clone()))
    };
    let gone = before.iter().filter(|runtime| same(after, runtime).is_none()).map(|runtime| Transition {
        time,
        runtime: runtime.name.clone(),
        from: Some(runtime.state),
        to: None,
        stage: None,
        reason: None,
    });
    let changed = after.iter().filter_map(|runtime| {
        let was = same(before, runtime);
        let is = (runtime.state, runtime.reason.clone());
        (was.as_ref() != Some(&is)).then(|| Transition {
            time,
            runtime: runtime.name.clone(),
            from: was.map(|(state, _)| state),
            to: Some(runtime.state),
            stage: runtime.stage,
            reason: runtime.reason.clone(),
        })
    });
    gone.chain(changed).collect()
}
