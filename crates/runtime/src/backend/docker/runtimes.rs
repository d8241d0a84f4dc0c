//! Warm runtimes in containers. A container's name is the lock of its runtime, its labels say what it is, and its
//! broker says the rest.

mod attach;
mod labels;
mod start;
mod watch;

use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::models::{ContainerInspectResponse, ContainerUpdateBody, SystemInfo};
use bollard::query_parameters::{InspectContainerOptions, LogsOptionsBuilder, RemoveImageOptionsBuilder};
use futures_util::StreamExt;
use futures_util::future::join_all;
use tokio::time::timeout;

use super::Docker;
use crate::backend::Limits;
use crate::environment::REPOSITORY;
use crate::error::{RuntimeError, Stage};
use crate::runtimes::{Idle, Phase, Size, State, Usage, WarmRuntime};
use crate::wire::WorkerState;

pub(super) use attach::Warm;
pub(super) use labels::{NAME_LABEL, is_left_behind};

/// What the names of their containers begin with.
const PREFIX: &str = "flowgate-rt-";
/// How long a runtime may take to say how it is, where that is only shown.
const GLANCE: Duration = Duration::from_secs(3);

/// A container that is, or is named like, a runtime.
struct Seen {
    container: String,
    runtime: Option<WarmRuntime>,
    /// The engine's word for its state.
    status: String,
}

impl Docker {
    /// The runtimes of this engine, by name.
    ///
    /// # Errors
    /// [`Stage::Infrastructure`] where the engine does not list its containers.
    pub async fn runtimes(&self) -> Result<Vec<WarmRuntime>, RuntimeError> {
        let containers = self.containers("label", NAME_LABEL).await?;
        let looks = containers.into_iter().filter_map(|container| container.id).map(|id| async move {
            let Some(runtime) = self.look(&id).await?.and_then(|seen| seen.runtime) else { return Ok(None) };
            Ok(Some(self.with_usage(runtime).await))
        });
        let looked: Result<Vec<Option<WarmRuntime>>, RuntimeError> = join_all(looks).await.into_iter().collect();
        let mut runtimes: Vec<WarmRuntime> = looked?.into_iter().flatten().collect();
        runtimes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(runtimes)
    }

    /// Adds what the broker says.
    async fn with_usage(&self, mut runtime: WarmRuntime) -> WarmRuntime {
        if runtime.state != State::Running {
            return runtime;
        }
        let asked = async {
            let session = self.attach(&runtime.container, &runtime.name, GLANCE).await?;
            session.status().await
        };
        match timeout(GLANCE, asked).await {
            Ok(Ok(state)) => runtime.usage = Some(usage(&state)),
            Ok(Err(error)) => {
                (runtime.state, runtime.stage) = (State::NotAvailable, Some(Phase::Silent));
                runtime.reason = Some(error.message);
            }
            Err(_) => {
                (runtime.state, runtime.stage) = (State::NotAvailable, Some(Phase::Starting));
                runtime.reason = Some("it is starting".to_owned());
            }
        }
        runtime
    }

    /// What the engine knows of a container; `None` where there is none.
    async fn look(&self, container: &str) -> Result<Option<Seen>, RuntimeError> {
        match self.engine.inspect_container(container, None::<InspectContainerOptions>).await {
            Ok(container) => Ok(Some(seen(container))),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(self.broken("look up a container", &error)),
        }
    }

    /// Removes the image of an environment that flowgate built, so that it is built anew.
    ///
    /// # Errors
    /// [`Stage::Infrastructure`] where the engine does not remove it.
    pub async fn forget_environment(&self, image: &str) -> Result<(), RuntimeError> {
        if !image.starts_with(&format!("{REPOSITORY}:")) {
            return Ok(());
        }
        // Its name goes, whoever uses it still.
        let options = RemoveImageOptionsBuilder::new().force(true).build();
        match self.engine.remove_image(image, Some(options), None).await {
            Ok(_) | Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
            Err(error) => Err(self.broken(&format!("remove the image {image}"), &error)),
        }
    }

    /// An error where the machine of the engine has less than a runtime may use.
    async fn has_room(&self, size: Size) -> Result<(), RuntimeError> {
        let info = self.engine.info().await.map_err(|error| self.broken("say what its machine has", &error))?;
        let has = machine(&info);
        if size.cpus <= has.cpus && size.memory <= has.memory {
            return Ok(());
        }
        let message = format!("{size} is more than the machine of the Docker engine at {} has: {has}", self.endpoint);
        Err(RuntimeError::new(Stage::Infrastructure, message)
            .with_hint("ask for less, as `--size cpus=1,memory=2GiB`, or use a larger machine"))
    }

    /// Ends a runtime, whatever it is doing, and waits until it is gone.
    ///
    /// # Errors
    /// What could not be removed.
    pub async fn stop_runtime(&self, runtime: &WarmRuntime) -> Result<(), RuntimeError> {
        if runtime.state == State::Running
            && let Ok(Ok(session)) = timeout(GLANCE, self.attach(&runtime.container, &runtime.name, GLANCE)).await
        {
            // In order, so that its jobs are buried; what does not answer is ended by the engine.
            let _ = session.end(true).await;
        }
        self.remove(&runtime.container).await
    }

    /// Changes the idle time of a running runtime.
    ///
    /// # Errors
    /// [`Stage::Runtime`] where it does not answer.
    pub async fn set_idle(&self, runtime: &WarmRuntime, idle: Idle) -> Result<(), RuntimeError> {
        let session = self.attach(&runtime.container, &runtime.name, Limits::default().start_timeout).await?;
        session.set_idle(idle.0).await.map(drop).map_err(|error| unanswering(&runtime.name, error))
    }

    /// Changes what a runtime may use, while it runs.
    ///
    /// # Errors
    /// [`Stage::Infrastructure`] where the machine has less, or the engine refuses.
    pub async fn resize(&self, runtime: &WarmRuntime, size: Size) -> Result<(), RuntimeError> {
        self.has_room(size).await?;
        let memory = i64::try_from(size.memory).unwrap_or(i64::MAX);
        let body = ContainerUpdateBody {
            memory: Some(memory),
            memory_swap: Some(memory),
            nano_cpus: Some((size.cpus * 1e9) as i64),
            ..ContainerUpdateBody::default()
        };
        self.engine.update_container(&runtime.container, body).await.map_err(|error| match error {
            Error::DockerResponseServerError { message, .. } => {
                let message =
                    format!("the Docker engine did not change the runtime `{}`: {}", runtime.name, message.trim());
                RuntimeError::new(Stage::Infrastructure, message)
                    .with_hint("it may hold more memory than that; `flowgate runtime reset` begins anew")
            }
            other => self.broken("change a container", &other),
        })
    }

    /// The end of what a runtime's worker and its imports wrote, unescaped.
    ///
    /// # Errors
    /// [`Stage::Infrastructure`] where the engine does not give it.
    pub async fn runtime_log(&self, runtime: &WarmRuntime) -> Result<String, RuntimeError> {
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail("1000").build();
        let mut parts = self.engine.logs(&runtime.container, Some(options));
        let mut bytes = Vec::new();
        while let Some(part) = parts.next().await {
            match part.map_err(|error| self.broken("give the log of a container", &error))? {
                LogOutput::StdErr { message } | LogOutput::StdOut { message } => bytes.extend_from_slice(&message),
                LogOutput::StdIn { .. } | LogOutput::Console { .. } => {}
            }
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// What the machine of an engine has. What it does not say does not limit.
pub(super) fn machine(info: &SystemInfo) -> Size {
    let memory = u64::try_from(info.mem_total.unwrap_or(i64::MAX)).unwrap_or(u64::MAX);
    Size { cpus: info.ncpu.unwrap_or(i64::MAX) as f64, memory }
}

fn seen(container: ContainerInspectResponse) -> Seen {
    let id = container.id.clone().unwrap_or_default();
    let status = container.state.as_ref().and_then(|state| state.status).map(|status| status.to_string());
    let name = container.name.as_deref().unwrap_or_default().trim_start_matches('/').to_owned();
    let runtime = name.strip_prefix(PREFIX).and_then(|name| labels::read(name, &id, &container));
    Seen { container: id, runtime, status: status.unwrap_or_default() }
}

fn usage(state: &WorkerState) -> Usage {
    let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default();
    Usage {
        clients: state.clients.saturating_sub(1),
        jobs: state.jobs,
        lines: state.lines,
        unused: seconds(state.unused),
        idle: Idle(state.idle.map(seconds)),
        up: seconds(state.seconds),
    }
}

fn unanswering(name: &str, error: RuntimeError) -> RuntimeError {
    let message = format!("the runtime `{name}` does not answer: {}", error.message);
    let hint = format!("end it with `flowgate runtime stop {name} --yes`, and start it again");
    RuntimeError { message, hint: Some(hint), stage: Stage::Runtime, log: error.log }
}
