//! Runtimes in containers of a Docker engine: no network, no mount, a read-only root, three
//! capabilities, and the worker's stream as their only way in and out.
//!
//! The stream is the lease. When this process dies, the engine closes the worker's standard input,
//! the worker ends, and the engine removes the container. [`Docker::sweep`] is the second net.

mod about;
mod build;
mod commit;
mod container;
mod dockerfile;
mod environment;
mod images;
mod leftover;
mod owner;
mod prune;
mod runtimes;
mod shared;
mod stream;
mod transfer;
mod transport;
mod trust;
mod verify;

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bollard::errors::Error;
use bollard::exec::StartExecResults;
use bollard::models::{ContainerSummary, ExecConfig};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, ListContainersOptionsBuilder,
    RemoveContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use futures_util::StreamExt;
use tokio::io::AsyncWrite;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use self::container::Lease;
use self::leftover::Leftover;
use self::owner::Owner;
use self::runtimes::Warm;
use super::{Backend, BackendKind, Image, Limits, Prepared, Progress, Runtime, Stop};
use crate::endpoint::{Address, Endpoint, USUAL_SOCKET};
use crate::environment::{Environments, contract};
use crate::error::{RuntimeError, Stage};
use crate::log::LogTail;
use crate::plan::EnvironmentPlan;
use crate::runtimes::{Wanted, WarmUse};
use crate::session::Session;

/// How long the engine may take to answer at all.
const FIRST_ANSWER: Duration = Duration::from_secs(10);
/// How long a removal that is under way may take.
const REMOVAL: Duration = Duration::from_secs(20);

/// What is always possible without an engine.
const WITHOUT: &str = "run flows with `--backend process`, which needs no engine but is not a sandbox";

/// A connection to an engine.
#[derive(Debug, Clone)]
pub struct Docker {
    engine: bollard::Docker,
    /// For messages: where it is, and who says so.
    endpoint: String,
    address: Address,
    environments: Environments,
    away: shared::Away,
    warm_use: WarmUse,
    has_answered: Arc<AtomicBool>,
}

impl Docker {
    /// Connects to the engine at `endpoint`, or at the usual socket.
    ///
    /// # Errors
    /// [`Stage::Infrastructure`] where no engine answers there.
    pub async fn connect(endpoint: Option<&Endpoint>, environments: Environments) -> Result<Self, RuntimeError> {
        let docker = Self::at(endpoint, environments)?;
        match docker.first(docker.engine.ping()).await? {
            Ok(_) => Ok(docker),
            Err(error) => Err(docker.absent(&causes(&error))),
        }
    }

    /// The engine at `endpoint`, or at the usual socket, without asking it anything.
    ///
    /// # Errors
    /// [`Stage::Infrastructure`] if the endpoint is invalid or its socket does not exist.
    pub fn at(endpoint: Option<&Endpoint>, environments: Environments) -> Result<Self, RuntimeError> {
        let (address, endpoint) = match endpoint {
            None => (Address::Socket(PathBuf::from(USUAL_SOCKET)), format!("unix://{USUAL_SOCKET}")),
            Some(Endpoint { source, address: Ok(address) }) => (address.clone(), format!("{address} ({source})")),
            Some(Endpoint { source, address: Err(cause) }) => {
                let message = format!("{source} does not say where the Docker engine is: {cause}");
                return Err(RuntimeError::new(Stage::Infrastructure, message).with_hint(format!(
                    "choose another one with `docker context use`, set DOCKER_HOST, or {WITHOUT}"
                )));
            }
        };
        let engine = transport::client(&address).map_err(|error| match error {
            Error::SocketNotFoundError(_) => absent(&endpoint, &address, "there is no such socket"),
            other => absent(&endpoint, &address, &causes(&other)),
        })?;
        let (away, warm_use, has_answered) = (shared::Away::default(), WarmUse::Never, Arc::default());
        Ok(Self { engine, endpoint, address, environments, away, warm_use, has_answered })
    }

    /// Runs flows in the warm runtimes of their environments, too.
    #[must_use]
    pub fn with_warm(mut self, warm_use: WarmUse) -> Self {
        self.warm_use = warm_use;
        self
    }

    /// Waits for what may be the first answer of the engine: an engine that is there gives one soon.
    async fn first<T>(
        &self,
        question: impl Future<Output = Result<T, Error>>,
    ) -> Result<Result<T, Error>, RuntimeError> {
        if self.has_answered.load(Ordering::Relaxed) {
            return Ok(question.await);
        }
        match timeout(FIRST_ANSWER, question).await {
            Err(_) => Err(self.absent(&silence())),
            Ok(answer @ (Ok(_) | Err(Error::DockerResponseServerError { .. }))) => {
                self.has_answered.store(true, Ordering::Relaxed);
                Ok(answer)
            }
            Ok(Err(error)) => Err(self.absent(&causes(&error))),
        }
    }

    /// The error, unless the engine is what went away: then nothing else is at fault.
    async fn lost_or(&self, error: RuntimeError) -> RuntimeError {
        match timeout(FIRST_ANSWER, self.engine.ping()).await {
            Ok(Ok(_)) => error,
            Ok(Err(gone)) => self.gone(&causes(&gone)),
            Err(_) => self.gone(&silence()),
        }
    }

    fn absent(&self, cause: &str) -> RuntimeError {
        absent(&self.endpoint, &self.address, cause)
    }

    fn gone(&self, cause: &str) -> RuntimeError {
        RuntimeError::new(Stage::Infrastructure, format!("the Docker engine at {} went away: {cause}", self.endpoint))
            .with_hint("start it again, and look at its log for why it ended; nothing half-made is left")
    }

    /// Removes containers that dead flowgates of this machine left behind, and those past the
    /// deadline in their label, and says how many. Touches nothing else.
    ///
    /// # Errors
    /// [`Stage::Infrastructure`] where the engine does not list its containers.
    pub async fn sweep(&self) -> Result<usize, RuntimeError> {
        let (here, now) = (Owner::this_process(), owner::now());
        let mut removed = 0;
        let mut containers = self.containers("label", owner::OWNER_LABEL).await?;
        containers.extend(self.containers("name", owner::BUILD_PREFIX).await?);
        let warm = self.containers("label", runtimes::NAME_LABEL).await?;
        for container in warm.iter().filter(|container| runtimes::is_left_behind(container, &warm)) {
            if let Some(id) = &container.id {
                removed += usize::from(self.remove(id).await.is_ok());
            }
        }
        for container in containers {
            let mut labels = container.labels.unwrap_or_default();
            labels.extend(container.names.unwrap_or_default().iter().flat_map(|name| owner::labels_of_name(name)));
            if let Some(id) = container.id.filter(|_| owner::is_left_behind(&labels, here.as_ref(), now)) {
                // Another flowgate may sweep at the same time; what it could not remove, the next one will.
                removed += usize::from(self.remove(&id).await.is_ok());
            }
        }
        Ok(removed)
    }

    async fn containers(&self, filter: &str, value: &str) -> Result<Vec<ContainerSummary>, RuntimeError> {
        let filters = [(filter, vec![value])].into_iter().collect();
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        self.engine.list_containers(Some(options)).await.map_err(|error| self.broken("list containers", &error))
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
        let mut waiting = std::pin::pin!(self.engine.wait_container(id, Some(options)));
        match timeout(REMOVAL, waiting.next()).await {
            Ok(_) => Ok(()),
            Err(_) => Err(self.stays(id, &format!("that takes longer than {} s", REMOVAL.as_secs()))),
        }
    }

    fn stays(&self, id: &str, cause: &str) -> RuntimeError {
        let id = id.get(..12).unwrap_or(id);
        let message = format!("the container {id} could not be removed: {cause}");
        RuntimeError::new(Stage::Infrastructure, message)
            .with_hint(format!("remove it with `docker rm --force {id}`; the next flowgate run tries again"))
    }

    fn broken(&self, what: &str, error: &Error) -> RuntimeError {
        if let Error::HyperLegacyError { err } = error {
            return match err.is_connect() {
                true => self.absent(&causes(error)),
                false => self.gone(&causes(error)),
            };
        }
        let message = format!("the Docker engine at {} did not {what}: {}", self.endpoint, causes(error));
        RuntimeError::new(Stage::Infrastructure, message)
    }

    /// Makes sure that the image of an environment is there.
    ///
    /// # Errors
    /// As those of [`Backend::prepare`].
    pub async fn image(&self, plan: &EnvironmentPlan, progress: Progress<'_>) -> Result<Image, RuntimeError> {
        let made = self.environment(plan, progress).await?;
        let (name, id) = (made.name, made.found.id);
        Ok(Image { name, id, key: made.key, changed: made.changed, flow: plan.flow.clone() })
    }

    /// A warm runtime of that image, or one that is there for the run.
    async fn start(&self, image: &Image, limits: &Limits) -> Result<Runtime, RuntimeError> {
        let Image { name, id, key, flow, .. } = image;
        if self.warm_use == WarmUse::Never {
            return self.launch(name, id, limits).await;
        }
        let wanted = |name, flow, identity| Wanted { name, idle: None, size: None, flow, identity };
        let (wanted, mut notice) = match self.warm(key).await? {
            Warm::Running(runtime) => return Ok(runtime),
            Warm::Ended(named) => (Some(wanted(Some(named.name), named.flow, named.identity)), None),
            Warm::None(None) if self.warm_use == WarmUse::Start => (Some(wanted(None, flow.clone(), None)), None),
            Warm::None(notice) => (None, notice),
        };
        if let Some(wanted) = wanted {
            let is_asked_for = wanted.name.is_none();
            match self.start_runtime(image, &wanted, limits.start_timeout, Progress(&|_| {})).await {
                Ok(_) => match self.warm(key).await? {
                    Warm::Running(runtime) => return Ok(runtime),
                    Warm::Ended(_) => {}
                    Warm::None(why) => notice = why,
                },
                // What is in its way does not stop the run.
                Err(error) if error.stage == Stage::Usage || !is_asked_for => {
                    notice = Some(format!("No warm runtime is used: {}.", error.message));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Runtime { notice, ..self.launch(name, id, limits).await? })
    }

    /// Runs the worker in a fresh container. Whatever goes wrong, and also where this is dropped
    /// half-way, the container is removed.
    async fn launch(&self, name: &str, id: &str, limits: &Limits) -> Result<Runtime, RuntimeError> {
        let (mut leftover, container) = self.create(id, limits).await?;
        let started = match self.converse(&container, name, limits).await {
            Ok((session, watch)) => {
                let stop = Box::new(Removal { docker: self.clone(), container, _watch: watch });
                Ok(Runtime { session, notice: None, cpus: None, stop })
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

    /// Creates the container of a runtime.
    async fn create(&self, id: &str, limits: &Limits) -> Result<(Leftover, String), RuntimeError> {
        let mut leftover = Leftover::new(self.address.clone(), leftover::unique_name());
        let options = CreateContainerOptionsBuilder::new().name(leftover.name()).build();
        let labels = owner::labels(Owner::this_process().as_ref(), limits.deadline);
        let volumes = self.volumes_of(id).await?;
        let body = container::body(id, &volumes, limits, labels, Lease::Stream);
        let created = self.engine.create_container(Some(options), body).await;
        let container = created.map_err(|error| self.broken("create a container", &error))?.id;
        leftover.is_created();
        Ok((leftover, container))
    }

    /// The volumes that an image declares.
    async fn volumes_of(&self, id: &str) -> Result<Vec<String>, RuntimeError> {
        let image = self.engine.inspect_image(id).await.map_err(|error| self.broken("look up an image", &error))?;
        Ok(image.config.and_then(|config| config.volumes).into_iter().flatten().collect())
    }

    /// Starts a created container, and waits until its worker answers.
    async fn converse(&self, container: &str, name: &str, limits: &Limits) -> Result<(Session, Watch), RuntimeError> {
        let Attached { output, input, log, watch } = self.attach_and_start(container, name, limits.memory).await?;
        match Session::start(output, input, log, limits.start_timeout).await {
            Ok(session) if session.hello().isolation != "uid" => {
                let message = format!("the worker in {name} does not keep jobs apart: it is not root there");
                Err(RuntimeError::new(Stage::Runtime, message))
            }
            Ok(session) => Ok((session, watch)),
            Err(error) => Err(self.lost_or(contract::unfit(name, error)).await),
        }
    }

    /// Starts Python as root in a running container, with those arguments and variables.
    async fn exec_python(&self, container: &str, arguments: &[&str], variables: &[&str]) -> Result<Exec, RuntimeError> {
        let broken = |error| self.broken("start Python in a container", &error);
        let config = ExecConfig {
            cmd: Some(container::python(arguments)),
            user: Some("0:0".to_owned()),
            working_dir: Some("/".to_owned()),
            env: Some(variables.iter().map(|variable| (*variable).to_owned()).collect()),
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..ExecConfig::default()
        };
        let exec = self.engine.create_exec(container, config).await.map_err(broken)?;
        let StartExecResults::Attached { output, input } =
            self.engine.start_exec(&exec.id, None).await.map_err(broken)?
        else {
            let message = "the engine started Python in a container without attaching its streams";
            return Err(RuntimeError::new(Stage::Infrastructure, message).with_hint("look at the engine's log"));
        };
        let log = LogTail::default();
        Ok(Exec { output: stream::WorkerOutput::of_exec(output, log.clone()), input, log })
    }

    /// Attaches to a created container of an image, and starts it. `memory` is its limit in bytes.
    async fn attach_and_start(&self, container: &str, image: &str, memory: u64) -> Result<Attached, RuntimeError> {
        let options = AttachContainerOptionsBuilder::new().stdin(true).stdout(true).stderr(true).stream(true).build();
        let attached = self.engine.attach_container(container, Some(options)).await;
        let attached = attached.map_err(|error| self.broken("attach to a container", &error))?;
        let log = LogTail::default();
        let watch = stream::watch(self.engine.clone(), container.to_owned(), memory, log.clone());
        let watch = Watch(tokio::spawn(watch).abort_handle());
        self.engine.start_container(container, None).await.map_err(|error| match error {
            Error::DockerResponseServerError { status_code: 400, message } => contract::not_started(image, &message),
            other => self.broken("start a container", &other),
        })?;
        let output = stream::WorkerOutput::new(attached.output, log.clone());
        Ok(Attached { output, input: attached.input, log, watch })
    }
}

#[async_trait]
impl Backend for Docker {
    fn kind(&self) -> BackendKind {
        BackendKind::Docker
    }

    async fn prepare(&self, plan: &EnvironmentPlan, progress: Progress<'_>) -> Result<Box<dyn Prepared>, RuntimeError> {
        let image = self.image(plan, progress).await?;
        Ok(Box::new(PreparedImage { docker: self.clone(), image }))
    }
}

/// An image with its engine.
struct PreparedImage {
    docker: Docker,
    image: Image,
}

#[async_trait]
impl Prepared for PreparedImage {
    fn image(&self) -> Option<&Image> {
        Some(&self.image)
    }

    async fn start(&self, limits: &Limits) -> Result<Runtime, RuntimeError> {
        self.docker.start(&self.image, limits).await
    }
}

fn silence() -> String {
    format!("it accepts connections, but does not answer within {} s", FIRST_ANSWER.as_secs())
}

fn absent(endpoint: &str, address: &Address, cause: &str) -> RuntimeError {
    let next = match address {
        Address::Socket(_) if cause.to_ascii_lowercase().contains("permission denied") => {
            "add your user to the group that owns the socket (mostly `docker`)".to_owned()
        }
        Address::Socket(_) => "start Docker, set DOCKER_HOST to its socket".to_owned(),
        Address::Tcp { .. } => {
            "see that it listens there, and that its certificates are of the same authority".to_owned()
        }
        Address::Ssh { user, host, port, .. } => {
            let user = user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
            let port = port.map(|port| format!("-p {port} ")).unwrap_or_default();
            format!("see that `ssh {port}{user}{host} docker version` works without a question")
        }
    };
    RuntimeError::new(Stage::Infrastructure, format!("no Docker engine answers at {endpoint}: {cause}"))
        .with_hint(format!("{next}, or {WITHOUT}"))
}

/// An error with its causes, which bollard's own text leaves out.
fn causes(error: &Error) -> String {
    if let Error::DockerResponseServerError { message, .. } = error {
        return message.trim().to_owned();
    }
    // The outer texts of a failed request name the HTTP library; their cause says what happened.
    let first: &dyn std::error::Error = match error {
        Error::HyperLegacyError { err } => std::error::Error::source(err).unwrap_or(err),
        other => other,
    };
    let mut text = first.to_string();
    let mut next = first.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}

/// The streams of a started container, and what is written of it for people.
struct Attached {
    output: stream::WorkerOutput,
    input: Pin<Box<dyn AsyncWrite + Send>>,
    log: LogTail,
    watch: Watch,
}

/// The streams of a process in a running container.
struct Exec {
    output: stream::WorkerOutput,
    input: Pin<Box<dyn AsyncWrite + Send>>,
    log: LogTail,
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
