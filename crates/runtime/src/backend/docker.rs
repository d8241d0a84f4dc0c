//! Runtimes in containers of a Docker engine: no network, no mount, a read-only root, three
//! capabilities, and the worker's stream as their only way in and out.
//!
//! The stream is the lease. When this process dies, the engine closes the worker's standard input,
//! the worker ends, and the engine removes the container. [`Docker::sweep`] is the second net.

mod container;
mod leftover;
mod owner;
mod stream;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use bollard::errors::Error;
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, ListContainersOptionsBuilder,
    RemoveContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use futures_util::StreamExt;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use self::leftover::Leftover;
use self::owner::Owner;
use super::{Backend, BackendKind, Image, Limits, Progress, Runtime, Stop};
use crate::error::{RuntimeError, Stage};
use crate::log::LogTail;
use crate::plan::EnvironmentPlan;
use crate::satisfies;
use crate::session::Session;

/// Where an engine listens unless the user says otherwise.
const DEFAULT_ENDPOINT: &str = "unix:///var/run/docker.sock";
/// How long the engine may take to answer a ping.
const PING: Duration = Duration::from_secs(10);
/// How long it may take to answer anything else, in seconds.
const ANSWER_SECONDS: u64 = 60;
/// How long a removal that is under way may take.
const REMOVAL: Duration = Duration::from_secs(20);

/// A connection to an engine.
#[derive(Debug, Clone)]
pub struct Docker {
    engine: bollard::Docker,
    endpoint: String,
    socket: PathBuf,
}

impl Docker {
    /// Connects to the engine at `endpoint` (the user's `DOCKER_HOST`), or at the usual socket.
    ///
    /// # Errors
    /// [`Stage::Infrastructure`] where no engine answers there.
    pub async fn connect(endpoint: Option<String>) -> Result<Self, RuntimeError> {
        let endpoint = endpoint.filter(|endpoint| !endpoint.is_empty()).unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
        let Some(socket) = endpoint.strip_prefix("unix://").map(PathBuf::from) else {
            let message = format!(
                "the Docker endpoint {endpoint} is not a local socket (unix://...), the only kind that flowgate speaks to"
            );
            return Err(RuntimeError::new(Stage::Infrastructure, message)
                .with_hint("set DOCKER_HOST to the engine's socket, or unset it"));
        };
        let absent = |cause: String| {
            RuntimeError::new(Stage::Infrastructure, format!("no Docker engine answers at {endpoint}: {cause}"))
                .with_hint("start Docker, set DOCKER_HOST to its socket, or use `--backend process`, which needs no engine but is no sandbox")
        };
        let connected = bollard::Docker::connect_with_socket(&endpoint, ANSWER_SECONDS, bollard::API_DEFAULT_VERSION);
        let engine = connected.map_err(|error| match error {
            Error::SocketNotFoundError(_) => absent("there is no such socket".to_owned()),
            other => absent(causes(&other)),
        })?;
        match timeout(PING, engine.ping()).await {
            Err(_) => Err(absent(format!("it accepts connections, but says nothing within {} s", PING.as_secs()))),
            Ok(Err(error)) => Err(absent(causes(&error))),
            Ok(Ok(_)) => Ok(Self { engine, endpoint, socket }),
        }
    }

    /// Removes containers that dead flowgates of this machine left behind, and those past the
    /// deadline in their label, and says how many. Touches nothing else.
    ///
    /// # Errors
    /// [`Stage::Infrastructure`] where the engine does not list its containers.
    pub async fn sweep(&self) -> Result<usize, RuntimeError> {
        let filters = [("label", vec![owner::OWNER_LABEL])].into_iter().collect();
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let containers =
            self.engine.list_containers(Some(options)).await.map_err(|error| self.broken("list containers", &error))?;
        let (here, now) = (Owner::this_process(), owner::now());
        let mut removed = 0;
        for container in containers {
            let labels = container.labels.unwrap_or_default();
            if let Some(id) = container.id.filter(|_| owner::is_left_behind(&labels, here.as_ref(), now)) {
                // Another flowgate may sweep at the same time; what it could not remove, the next one will.
                removed += usize::from(self.remove(&id).await.is_ok());
            }
        }
        Ok(removed)
    }

    /// Removes a container and waits until it is gone.
    async fn remove(&self, id: &str) -> Result<(), RuntimeError> {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        match self.engine.remove_container(id, Some(options)).await {
            Ok(()) | Err(Error::DockerResponseServerError { status_code: 404, .. }) => return Ok(()),
            Err(Error::DockerResponseServerError { status_code: 409, .. }) => {}
            Err(error) => return Err(self.stays(id, &causes(&error))),
        }
        // The engine is removing it by itself.
        let options = WaitContainerOptionsBuilder::new().condition("removed").build();
        let mut gone = std::pin::pin!(self.engine.wait_container(id, Some(options)));
        match timeout(REMOVAL, gone.next()).await {
            Ok(_) => Ok(()),
            Err(_) => Err(self.stays(id, &format!("its removal takes longer than {} s", REMOVAL.as_secs()))),
        }
    }

    fn stays(&self, id: &str, cause: &str) -> RuntimeError {
        let id = id.get(..12).unwrap_or(id);
        let message = format!("the container {id} could not be removed: {cause}");
        RuntimeError::new(Stage::Infrastructure, message)
            .with_hint(format!("remove it with `docker rm --force {id}`; the next flowgate run tries again"))
    }

    fn broken(&self, what: &str, error: &Error) -> RuntimeError {
        let message = format!("the Docker engine at {} did not {what}: {}", self.endpoint, causes(error));
        RuntimeError::new(Stage::Infrastructure, message)
    }

    /// Runs the worker in a fresh container. Whatever goes wrong, and also where this is dropped
    /// half-way, the container is removed.
    async fn launch(&self, name: &str, id: &str, limits: &Limits) -> Result<Runtime, RuntimeError> {
        let mut leftover = Leftover::new(self.socket.clone());
        let options = CreateContainerOptionsBuilder::new().name(leftover.name()).build();
        let labels = owner::labels(Owner::this_process().as_ref(), limits.deadline);
        let created = self.engine.create_container(Some(options), container::body(id, limits, labels)).await;
        let container = created.map_err(|error| self.broken("create a container", &error))?.id;
        leftover.is_created();
        let started = match self.converse(&container, name, limits).await {
            Ok((session, watch)) => {
                let stop = Box::new(Removal { docker: self.clone(), container, _watch: watch });
                Ok(Runtime { session, stop })
            }
            Err(error) => {
                // Why it did not start says more than why it could not be removed; the sweep comes back to that.
                let _ = self.remove(&container).await;
                Err(error)
            }
        };
        leftover.is_seen_to();
        started
    }

    /// Attaches to a created container, starts it, and waits until its worker answers.
    async fn converse(&self, container: &str, name: &str, limits: &Limits) -> Result<(Session, Watch), RuntimeError> {
        let options = AttachContainerOptionsBuilder::new().stdin(true).stdout(true).stderr(true).stream(true).build();
        let attached = self.engine.attach_container(container, Some(options)).await;
        let attached = attached.map_err(|error| self.broken("attach to a container", &error))?;
        let log = LogTail::default();
        let watch = stream::watch(self.engine.clone(), container.to_owned(), limits.memory, log.clone());
        let watch = Watch(tokio::spawn(watch).abort_handle());
        self.engine.start_container(container, None).await.map_err(|error| match error {
            Error::DockerResponseServerError { status_code: 400, message } => unfit(name, &message),
            other => self.broken("start a container", &other),
        })?;
        let output = stream::WorkerOutput::new(attached.output, log.clone());
        match Session::start(output, attached.input, log, limits.start_timeout).await {
            Ok(session) => Ok((session, watch)),
            Err(error) => Err(RuntimeError { log: error.log, stage: error.stage, ..unfit(name, &error.message) }),
        }
    }
}

#[async_trait]
impl Backend for Docker {
    fn kind(&self) -> BackendKind {
        BackendKind::Docker
    }

    async fn prepare(&self, plan: &EnvironmentPlan, progress: Progress<'_>) -> Result<Image, RuntimeError> {
        let name = plan.image_or_base();
        let fail = |message: String, hint: String| RuntimeError::new(Stage::Environment, message).with_hint(hint);
        if !container::is_image_name(&name) {
            return Err(fail(
                format!("`{}` is no image name", name.escape_debug()),
                "write it as `name:tag` or `host/name@sha256:...`".to_owned(),
            ));
        }
        let unchecked = satisfies::can_be_checked(plan)?;
        for what in unchecked {
            progress(&what);
        }
        progress(&format!("looking up image {name}"));
        match self.engine.inspect_image(&name).await {
            Ok(found) => Ok(Image::Container {
                id: found.id.unwrap_or_else(|| name.clone()),
                name,
                requirements: plan.requirements.clone(),
            }),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) if plan.image.is_none() => {
                let hint = "make it with `cargo xtask testbed` in flowgate's repository, or name an image of your own under `environment.image`";
                Err(fail(
                    format!("flowgate's base image {name} is not in the Docker engine at {}", self.endpoint),
                    hint.to_owned(),
                ))
            }
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Err(fail(
                format!("the image {name} is not in the Docker engine at {}", self.endpoint),
                format!("fetch it with `docker pull {name}`"),
            )),
            Err(error) => Err(self.broken(&format!("look up image {name}"), &error)),
        }
    }

    async fn start(&self, image: &Image, limits: &Limits) -> Result<Runtime, RuntimeError> {
        let Image::Container { name, id, requirements } = image else {
            return Err(RuntimeError::new(
                Stage::Environment,
                "a virtual environment cannot be started in a container",
            ));
        };
        let runtime = self.launch(name, id, limits).await?;
        let Err(error) = satisfies::check(name, requirements, runtime.session.hello()) else { return Ok(runtime) };
        let Runtime { session, stop } = runtime;
        drop(session);
        stop.stop().await?;
        Err(error)
    }
}

/// Why an image gave no runtime.
fn unfit(name: &str, cause: &str) -> RuntimeError {
    let message = format!("the image {name} gave no runtime: {cause}");
    let hint = "an image needs `sh`, Python 3.9 or newer and promptflow; one that is built FROM flowgate's base image has them";
    RuntimeError::new(Stage::Runtime, message).with_hint(hint)
}

/// An error with its causes, which bollard's own text leaves out.
fn causes(error: &Error) -> String {
    if let Error::DockerResponseServerError { message, .. } = error {
        return message.trim().to_owned();
    }
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}

/// Ends the watch over a container with its runtime.
#[derive(Debug)]
struct Watch(AbortHandle);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Removes the container of a runtime.
#[derive(Debug)]
struct Removal {
    docker: Docker,
    container: String,
    _watch: Watch,
}

#[async_trait]
impl Stop for Removal {
    async fn stop(self: Box<Self>) -> Result<(), RuntimeError> {
        self.docker.remove(&self.container).await
    }
}
