//! Sessions with the workers of runtimes that run.

use std::time::Duration;

use super::super::{Docker, Exec};
use super::labels;
use crate::backend::{Runtime, Stop};
use crate::error::{RuntimeError, Stage};
use crate::runtimes::{Kind, State, WarmRuntime};
use crate::session::Session;
use crate::worker;

/// How long a run waits for a warm runtime before it starts one of its own.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a run finds of the runtimes of its environment.
pub(in super::super) enum Warm {
    /// One that runs.
    Running(Runtime),
    /// A named one that its next use starts again.
    Ended(WarmRuntime),
    /// None, with why one that is there is not used: a full sentence.
    None(Option<String>),
}

impl Docker {
    /// A session with the worker of a running container.
    pub(super) async fn attach(
        &self,
        container: &str,
        name: &str,
        patience: Duration,
    ) -> Result<Session, RuntimeError> {
        let seconds = patience.as_secs().to_string();
        let relay = ["-I", "-S", "-B", "-c", worker::RELAY, &seconds];
        let Exec { output, input, log } = self.exec_python(container, &relay, &[]).await?;
        let session = Session::attach(output, input, log, patience).await?;
        if session.hello().isolation != "uid" {
            let message = format!("the worker in {name} does not keep jobs apart: it is not root there");
            return Err(RuntimeError::new(Stage::Runtime, message));
        }
        Ok(session)
    }

    /// The warm runtime of an environment, for a run.
    pub(in super::super) async fn warm(&self, key: &str) -> Result<Warm, RuntimeError> {
        let containers = self.containers("label", &format!("{}={key}", labels::KEY_LABEL)).await?;
        let (mut why, mut ended) = (None, None);
        for id in containers.into_iter().filter_map(|container| container.id) {
            let Some(runtime) = self.look(&id).await?.and_then(|seen| seen.runtime) else { continue };
            if runtime.is_over() && runtime.kind == Kind::Named {
                ended = Some(runtime);
                continue;
            }
            if runtime.state != State::Running {
                continue;
            }
            let name = &runtime.name;
            if runtime.worker != worker::digest() {
                why = Some(format!("The warm runtime `{name}` is not used: another version of flowgate started it."));
                continue;
            }
            let used = async {
                let session = self.attach(&id, name, PATIENCE).await?;
                session.begin_use().await?;
                Ok::<_, RuntimeError>(session)
            };
            match used.await {
                Ok(session) => {
                    let notice = Some(format!("The warm runtime `{name}` is used."));
                    let cpus = Some(runtime.size.cpus);
                    return Ok(Warm::Running(Runtime { session, notice, cpus, stop: Box::new(Detach) }));
                }
                Err(error) => why = Some(format!("The warm runtime `{name}` is not used: {}.", error.message)),
            }
        }
        Ok(match (ended, why) {
            (Some(ended), None) => Warm::Ended(ended),
            (_, why) => Warm::None(why),
        })
    }
}

/// A run leaves a warm runtime as it is.
struct Detach;

#[async_trait::async_trait]
impl Stop for Detach {
    async fn stop(self: Box<Self>) -> Result<(), RuntimeError> {
        Ok(())
    }
}
