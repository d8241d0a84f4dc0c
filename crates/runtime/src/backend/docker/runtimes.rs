//! Runtimes that stay, in containers. A container's name is the lock of its runtime, its labels say what it is, and its
//! broker says the rest.

mod labels;

use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::StartExecResults;
use bollard::models::{ContainerInspectResponse, ContainerUpdateBody, ExecConfig};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, LogsOptionsBuilder, RenameContainerOptionsBuilder,
};
use futures_util::StreamExt;
use futures_util::future::join_all;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout};

use super::container::{self, Lease};
use super::leftover::{self, Leftover};
use super::{Attached, Docker, stream};
use crate::backend::{Image, Limits, Progress, Runtime, Stop};
use crate::environment::{REPOSITORY, contract};
use crate::error::{RuntimeError, Stage};
use crate::log::LogTail;
use crate::runtimes::{Idle, Kind, Size, Started, State, Usage, Wanted, WarmRuntime, automatic_name, size};
use crate::session::Session;
use crate::wire::WorkerState;
use crate::worker;

pub(super) use labels::{NAME_LABEL, is_left_behind};

/// What the names of their containers begin with.
const PREFIX: &str = "flowgate-rt-";
/// How long a runtime may take to say how it is, where that is only shown.
const GLANCE: Duration = Duration::from_secs(3);
/// How long a run waits for a runtime that stays, before it takes one of its own.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long another one is waited for that has created a runtime and not started it yet.
const BETWEEN: Duration = Duration::from_millis(200);

/// A container that is, or is named like, a runtime.
struct Seen {
    container: String,
    runtime: Option<WarmRuntime>,
    /// The engine's word for its state.
    status: String,
}

/// What a run finds of the runtimes of its environment.
pub(super) enum Warm {
    /// One that runs.
    Running(Runtime),
    /// A named one that its next use starts again.
    Ended(WarmRuntime),
    /// None, with why one that is there is not used: a full sentence.
    None(Option<String>),
}

impl Docker {
    /// The runtimes of this engine, by name.
    ///
    /// # Errors
    /// [`Stage::Infrastructure`] where the engine does not list its containers.
    pub async fn runtimes(&self) -> Result<Vec<WarmRuntime>, RuntimeError> {
        let containers = self.first(self.engine.ping()).await?.map_err(|error| self.broken("answer", &error));
        containers?;
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
                (runtime.state, runtime.reason) = (State::NotAvailable, Some(error.message));
            }
            Err(_) => {
                (runtime.state, runtime.reason) = (State::NotAvailable, Some("it is starting".to_owned()));
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

    /// Starts the runtime of an environment, or attaches to it where it runs, and waits until it answers.
    ///
    /// # Errors
    /// [`Stage::Usage`] where it runs with other options, or its name is another's; [`Stage::Environment`] where the
    /// image gives no runtime; [`Stage::Infrastructure`] where the machine has too little, or the engine fails.
    pub async fn start_runtime(
        &self,
        image: &Image,
        wanted: &Wanted,
        start_timeout: Duration,
        progress: Progress<'_>,
    ) -> Result<Started, RuntimeError> {
        let Image::Container { name: image_name, key, .. } = image else {
            return Err(RuntimeError::new(Stage::Usage, "the process backend has no warm runtimes"));
        };
        let name = wanted.name.as_deref().unwrap_or_else(|| automatic_name(key));
        let (mut notes, mut wanted) = (Vec::new(), wanted.clone());
        let deadline = Instant::now() + start_timeout;
        while Instant::now() < deadline {
            if let Some((mut leftover, container)) = self.create_runtime(image, name, &wanted).await? {
                progress.step("starting the runtime");
                let state = self.launch_runtime(&container, image_name, start_timeout).await?;
                leftover.is_seen_to();
                let looked = self.look(&container).await?.and_then(|seen| seen.runtime);
                let Some(mut runtime) = looked else { continue };
                runtime.usage = Some(usage(&state));
                return Ok(Started { runtime, was_running: false, notes });
            }
            let Some(seen) = self.look(&format!("{PREFIX}{name}")).await? else { continue };
            let Some(runtime) = seen.runtime else { return Err(foreign(name)) };
            if runtime.key != *key {
                return Err(taken(&runtime));
            }
            match runtime.state {
                State::Running => {
                    progress.step("waiting until the runtime answers");
                    if let Some(runtime) = self.join(&runtime, &wanted, start_timeout, &mut notes).await? {
                        return Ok(Started { runtime, was_running: true, notes });
                    }
                }
                State::Stopping => self.remove(&seen.container).await?,
                State::NotAvailable | State::Failed if runtime.is_over => {
                    let why = runtime.reason.as_deref().unwrap_or("its container had ended");
                    notes.push(format!("The runtime was started again: {why}."));
                    // As it was, but for what is asked for now.
                    wanted.size = wanted.size.or(Some(runtime.size));
                    wanted.idle = wanted.idle.or(Some(runtime.started_with));
                    self.remove(&seen.container).await?;
                }
                _ if seen.status == "paused" => return Err(paused(&runtime)),
                State::NotAvailable | State::Failed => {
                    progress.step("waiting for another flowgate, which is about to start the runtime");
                    tokio::time::sleep(BETWEEN).await;
                }
            }
        }
        let message = format!("the runtime `{name}` was not started within {} s", start_timeout.as_secs());
        Err(RuntimeError::new(Stage::Runtime, message).with_hint(format!(
            "another flowgate may be starting it, and be stopped itself; end it with `flowgate runtime stop {name}`"
        )))
    }

    /// Creates the container of a runtime; `None` where its name is taken.
    async fn create_runtime(
        &self,
        image: &Image,
        name: &str,
        wanted: &Wanted,
    ) -> Result<Option<(Leftover, String)>, RuntimeError> {
        let Image::Container { name: image_name, id, key, .. } = image else { return Ok(None) };
        // Who only attaches creates nothing.
        if self.look(&format!("{PREFIX}{name}")).await?.is_some() {
            return Ok(None);
        }
        let (leftover, container) = self.create_nameless(image_name, id, key, name, wanted).await?;
        // What is not named is removed.
        Ok(self.take_name(&container, name).await?.then_some((leftover, container)))
    }

    /// Gives a container the name of a runtime, which is its lock; `false` where another one has it.
    async fn take_name(&self, container: &str, name: &str) -> Result<bool, RuntimeError> {
        let lock = RenameContainerOptionsBuilder::new().name(&format!("{PREFIX}{name}")).build();
        match self.engine.rename_container(container, lock).await {
            Ok(()) => Ok(true),
            Err(Error::DockerResponseServerError { status_code: 409, .. }) => Ok(false),
            Err(error) => Err(self.broken("name a container", &error)),
        }
    }

    /// Creates the container of a runtime, which does not have the runtime's name yet.
    async fn create_nameless(
        &self,
        image_name: &str,
        id: &str,
        key: &str,
        name: &str,
        wanted: &Wanted,
    ) -> Result<(Leftover, String), RuntimeError> {
        let size = wanted.size.unwrap_or(size::DEFAULT);
        self.has_room(size).await?;
        let kind = if wanted.name.is_some() { Kind::Named } else { Kind::Automatic };
        let idle = wanted.idle.unwrap_or(match kind {
            Kind::Automatic => Idle(Some(crate::runtimes::DEFAULT_IDLE)),
            Kind::Named => Idle(None),
        });
        let labels = labels::of(name, kind, key, image_name, idle, wanted);
        let limits = Limits { memory: size.memory, cpus: size.cpus, ..Limits::default() };
        let lease = Lease::Stays { idle, ends_for_good: kind == Kind::Automatic };
        // Under the name of its own first: the lock is taken by a name that nobody can lose by our end.
        let mut leftover = Leftover::new(self.socket.clone(), leftover::unique_name());
        let options = CreateContainerOptionsBuilder::new().name(leftover.name()).build();
        let volumes = self.volumes_of(id).await?;
        let body = container::body(id, &volumes, &limits, labels, lease);
        let created = self.engine.create_container(Some(options), body).await;
        let container = created.map_err(|error| self.broken("create a container", &error))?.id;
        leftover.is_created_as(&container);
        Ok((leftover, container))
    }

    /// Replaces a runtime by one of that image, with the same options. The old one serves until the new one answers,
    /// unless both are of one environment.
    ///
    /// # Errors
    /// As those of [`Docker::start_runtime`]; the old one is still there then, but where both are of one environment.
    pub async fn replace_runtime(
        &self,
        old: &WarmRuntime,
        image: &Image,
        identity: Option<String>,
        start_timeout: Duration,
        progress: Progress<'_>,
    ) -> Result<Started, RuntimeError> {
        let Image::Container { name: image_name, id, key, .. } = image else {
            return Err(RuntimeError::new(Stage::Usage, "the process backend has no runtimes that stay"));
        };
        let name = (old.kind == Kind::Named).then(|| old.name.clone());
        let is_same = old.key == *key;
        let options = Wanted { name, idle: Some(old.idle()), size: Some(old.size), flow: old.flow.clone(), identity };
        let Some(name) = options.name.as_deref().filter(|_| !is_same) else {
            if is_same {
                self.stop_runtime(old).await?;
                return self.start_runtime(image, &options, start_timeout, progress).await;
            }
            // Where there is one of that environment, it serves another flow, too, and keeps its options.
            let there = self.look(&format!("{PREFIX}{}", automatic_name(key))).await?.is_some();
            let options = if there { Wanted { idle: None, size: None, ..options } } else { options };
            let started = self.start_runtime(image, &options, start_timeout, progress).await?;
            self.stop_runtime(old).await?;
            return Ok(started);
        };
        progress.step("starting the runtime");
        let (mut leftover, container) = self.create_nameless(image_name, id, key, name, &options).await?;
        let state = self.launch_runtime(&container, image_name, start_timeout).await?;
        // The old one lets go of the name before it ends, so that there is one of that name at nearly any time.
        let aside = RenameContainerOptionsBuilder::new().name(&leftover::unique_name()).build();
        let renamed = self.engine.rename_container(&old.container, aside).await;
        let has_name = self.take_name(&container, name).await?;
        self.stop_runtime(old).await?;
        // An engine that would not rename the old one has freed its name now.
        let has_name = has_name || (renamed.is_err() && self.take_name(&container, name).await?);
        if !has_name {
            let message = format!("another runtime took the name `{name}`");
            return Err(RuntimeError::new(Stage::Usage, message).with_hint("look at it with `flowgate runtime list`"));
        }
        leftover.is_seen_to();
        let looked = self.look(&container).await?.and_then(|seen| seen.runtime);
        let gone = || RuntimeError::new(Stage::Runtime, format!("the runtime `{name}` ended at once"));
        let runtime = WarmRuntime { usage: Some(usage(&state)), ..looked.ok_or_else(gone)? };
        Ok(Started { runtime, was_running: false, notes: Vec::new() })
    }

    /// Removes the image of an environment that flowgate built, so that it is built anew.
    ///
    /// # Errors
    /// [`Stage::Infrastructure`] where the engine does not remove it.
    pub async fn forget_environment(&self, image: &str) -> Result<(), RuntimeError> {
        if !image.starts_with(&format!("{REPOSITORY}:")) {
            return Ok(());
        }
        match self.remove_image(image).await {
            Ok(()) | Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
            Err(error) => Err(self.broken(&format!("remove the image {image}"), &error)),
        }
    }

    /// An error where the machine of the engine has less than a runtime may use.
    async fn has_room(&self, size: Size) -> Result<(), RuntimeError> {
        let info = self.engine.info().await.map_err(|error| self.broken("say what its machine has", &error))?;
        let cpus = info.ncpu.unwrap_or(i64::MAX) as f64;
        let memory = u64::try_from(info.mem_total.unwrap_or(i64::MAX)).unwrap_or(u64::MAX);
        if size.cpus <= cpus && size.memory <= memory {
            return Ok(());
        }
        let has = Size { cpus, memory };
        let message = format!("{size} is more than the machine of the Docker engine at {} has: {has}", self.endpoint);
        Err(RuntimeError::new(Stage::Infrastructure, message)
            .with_hint("ask for less, as `--size cpus=1,memory=2GiB`, or use a larger machine"))
    }

    /// Starts a created container, gives it the worker, and waits until the worker is ready.
    async fn launch_runtime(
        &self,
        container: &str,
        image: &str,
        start_timeout: Duration,
    ) -> Result<WorkerState, RuntimeError> {
        let began = Instant::now();
        let Attached { mut output, mut input, log, watch } =
            self.attach_and_start(container, image, Limits::default().memory).await?;
        let read = async {
            // Nothing comes but what is written to standard error, which goes to the log.
            let _ = tokio::io::copy(&mut output, &mut tokio::io::sink()).await;
        };
        let ready = async {
            let source = worker::preamble();
            // A worker that ends early says why in its log.
            let _ = input.write_all(&source).await;
            let _ = input.flush().await;
            let session = self.attach(container, image, start_timeout).await?;
            session.status().await
        };
        let ready = async {
            tokio::pin!(read);
            tokio::pin!(ready);
            tokio::select! {
                ready = &mut ready => ready,
                () = &mut read => {
                    // It has ended. What it wrote last is in the log.
                    let _ = timeout(GLANCE, log.finished()).await;
                    Err(RuntimeError::new(Stage::Runtime, "the worker ended unexpectedly"))
                }
            }
        };
        let outcome = match timeout(start_timeout, ready).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let seconds = began.elapsed().as_secs();
                Err(RuntimeError::new(Stage::Runtime, format!("the worker did not answer within {seconds} s")))
            }
        };
        drop(watch);
        match outcome {
            Ok(state) => Ok(state),
            Err(mut error) => {
                error.log = log.text().or(error.log);
                let _ = self.remove(container).await;
                Err(self.lost_or(contract::unfit(image, error)).await)
            }
        }
    }

    /// Attaches to a runtime that runs; `None` where it is gone by now, or had to be replaced.
    async fn join(
        &self,
        runtime: &WarmRuntime,
        wanted: &Wanted,
        start_timeout: Duration,
        notes: &mut Vec<String>,
    ) -> Result<Option<WarmRuntime>, RuntimeError> {
        let asked = async {
            let session = self.attach(&runtime.container, &runtime.name, start_timeout).await?;
            let state = session.status().await?;
            Ok::<_, RuntimeError>((session, state))
        };
        let (session, state) = match asked.await {
            Ok(answer) => answer,
            // It may have ended meanwhile; where it is there still, that it does not answer is the matter.
            Err(error) => {
                // The engine learns of the end of a container some time after it.
                let ended = async {
                    while self.is_running(&runtime.container).await? {
                        tokio::time::sleep(BETWEEN).await;
                    }
                    Ok(())
                };
                return match timeout(GLANCE, ended).await {
                    Ok(Ok(())) => Ok(None),
                    Ok(Err(lost)) => Err(lost),
                    Err(_) => Err(unanswering(&runtime.name, error)),
                };
            }
        };
        if runtime.worker != worker::digest() {
            if session.end(false).await?.is_some() {
                let message =
                    format!("the runtime `{}` was started by another version of flowgate, and is busy", runtime.name);
                return Err(RuntimeError::new(Stage::Runtime, message).with_hint(format!(
                    "try again when it is not, or end it with `flowgate runtime stop {} --yes`",
                    runtime.name
                )));
            }
            drop(session);
            self.remove(&runtime.container).await?;
            notes.push("The runtime was replaced, as another version of flowgate had started it.".to_owned());
            return Ok(None);
        }
        let mut runtime = runtime.clone();
        runtime.usage = Some(usage(&state));
        let (size, idle) = (
            wanted.size.filter(|size| !size.is_about(runtime.size)),
            wanted.idle.filter(|idle| *idle != runtime.idle()),
        );
        if size.is_none() && idle.is_none() {
            return Ok(Some(runtime));
        }
        let message = format!(
            "the runtime `{}` runs already, with {} and idle time {}",
            runtime.name,
            runtime.size,
            runtime.idle()
        );
        let options =
            size.map(|size| format!(" --size cpus={},memory={}MiB", size.cpus, size.memory >> 20)).into_iter();
        let options: String = options.chain(idle.map(|idle| format!(" --idle {idle}"))).collect();
        Err(RuntimeError::new(Stage::Usage, message)
            .with_hint(format!("change it with `flowgate runtime edit {}{options}`", runtime.name)))
    }

    async fn is_running(&self, container: &str) -> Result<bool, RuntimeError> {
        let seen = self.look(container).await?;
        Ok(seen.and_then(|seen| seen.runtime).is_some_and(|runtime| runtime.state == State::Running))
    }

    /// A session with the worker of a running container.
    async fn attach(&self, container: &str, name: &str, patience: Duration) -> Result<Session, RuntimeError> {
        let broken = |error| self.broken("attach to a runtime", &error);
        let seconds = patience.as_secs().to_string();
        let config = ExecConfig {
            cmd: Some(container::python(&["-I", "-S", "-B", "-c", worker::RELAY, &seconds])),
            user: Some("0:0".to_owned()),
            working_dir: Some("/".to_owned()),
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..ExecConfig::default()
        };
        let exec = self.engine.create_exec(container, config).await.map_err(broken)?;
        let StartExecResults::Attached { output, input } =
            self.engine.start_exec(&exec.id, None).await.map_err(broken)?
        else {
            return Err(RuntimeError::new(Stage::Infrastructure, "the engine gave no stream to a runtime"));
        };
        let log = LogTail::default();
        let output = stream::WorkerOutput::of_exec(output, log.clone());
        let session = Session::attach(output, input, log, patience).await?;
        if session.hello().isolation != "uid" {
            let message = format!("the worker in {name} does not keep jobs apart: it is not root there");
            return Err(RuntimeError::new(Stage::Runtime, message));
        }
        Ok(session)
    }

    /// The warm runtime of an environment, for a run.
    pub(super) async fn warm(&self, key: &str) -> Result<Warm, RuntimeError> {
        let containers = self.containers("label", &format!("{}={key}", labels::KEY_LABEL)).await?;
        let (mut why, mut ended) = (None, None);
        for id in containers.into_iter().filter_map(|container| container.id) {
            let Some(runtime) = self.look(&id).await?.and_then(|seen| seen.runtime) else { continue };
            if runtime.is_over && runtime.kind == Kind::Named {
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

/// Nothing is removed after a run in a runtime that stays.
struct Detach;

#[async_trait::async_trait]
impl Stop for Detach {
    async fn stop(self: Box<Self>) -> Result<(), RuntimeError> {
        Ok(())
    }
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

fn foreign(name: &str) -> RuntimeError {
    let message = format!("the container `{PREFIX}{name}` has the name of this runtime, and was not made by flowgate");
    RuntimeError::new(Stage::Usage, message).with_hint(format!(
        "remove it with `docker rm --force {PREFIX}{name}`, or give the runtime another name (--name)"
    ))
}

fn taken(runtime: &WarmRuntime) -> RuntimeError {
    let message = format!(
        "the name `{}` is that of a runtime of another environment, of {}",
        runtime.name,
        runtime.flow.display()
    );
    RuntimeError::new(Stage::Usage, message)
        .with_hint(format!("choose another name, or end it with `flowgate runtime stop {}`", runtime.name))
}

fn paused(runtime: &WarmRuntime) -> RuntimeError {
    let name = &runtime.name;
    RuntimeError::new(Stage::Usage, format!("the runtime `{name}` is paused"))
        .with_hint(format!("let it go on with `docker unpause {PREFIX}{name}`"))
}

fn unanswering(name: &str, error: RuntimeError) -> RuntimeError {
    let message = format!("the runtime `{name}` does not answer: {}", error.message);
    let hint = format!("end it with `flowgate runtime stop {name} --yes`, and start it again");
    RuntimeError { message, hint: Some(hint), stage: Stage::Runtime, log: error.log }
}
