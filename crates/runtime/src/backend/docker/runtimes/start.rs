//! Starting a runtime, finding the one that runs, and replacing one by another.

use std::time::Duration;

use bollard::errors::Error;
use bollard::query_parameters::{CreateContainerOptionsBuilder, RenameContainerOptionsBuilder};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout};

use super::super::container::{self, Lease};
use super::super::leftover::{self, Leftover};
use super::super::{Attached, Docker};
use super::{GLANCE, PREFIX, labels, unanswering, usage};
use crate::backend::{Image, Limits, Progress};
use crate::environment::contract;
use crate::error::{RuntimeError, Stage};
use crate::runtimes::{DEFAULT_IDLE, Idle, Kind, Started, State, Wanted, WarmRuntime, automatic_name, size};
use crate::wire::WorkerState;
use crate::worker;

/// How long another one is waited for that has created a runtime and not started it yet.
const BETWEEN: Duration = Duration::from_millis(200);

impl Docker {
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
        let Image { name: image_name, key, .. } = image;
        let name = wanted.name.as_deref().unwrap_or_else(|| automatic_name(key));
        let (mut notes, mut wanted) = (Vec::new(), wanted.clone());
        let deadline = Instant::now() + start_timeout;
        while Instant::now() < deadline {
            if let Some((mut leftover, container)) = self.create_runtime(image, name, &wanted).await? {
                progress.step("starting the runtime");
                let state = self.launch_runtime(&container, image_name, &wanted, start_timeout).await?;
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
                    if let Some(runtime) = self.join(&runtime, &mut wanted, start_timeout, &mut notes).await? {
                        return Ok(Started { runtime, was_running: true, notes });
                    }
                }
                State::Stopping => self.remove(&seen.container).await?,
                State::NotAvailable | State::Failed if runtime.is_over() => {
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
        let Image { name: image_name, id, key, .. } = image;
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
            Kind::Automatic => Idle(Some(DEFAULT_IDLE)),
            Kind::Named => Idle(None),
        });
        let labels = labels::of(name, kind, key, image_name, idle, wanted);
        let limits = Limits { memory: size.memory, cpus: size.cpus, ..Limits::default() };
        let lease = Lease::Stays { idle, ends_for_good: kind == Kind::Automatic };
        // Created under a unique name and renamed later: where this process dies in between, the runtime's name is free.
        let mut leftover = Leftover::new(self.address.clone(), leftover::unique_name());
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
        let Image { name: image_name, id, key, .. } = image;
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
        let state = self.launch_runtime(&container, image_name, &options, start_timeout).await?;
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

    /// Starts a created container, gives it the worker, and waits until the worker is ready.
    async fn launch_runtime(
        &self,
        container: &str,
        image: &str,
        wanted: &Wanted,
        start_timeout: Duration,
    ) -> Result<WorkerState, RuntimeError> {
        let began = Instant::now();
        let Attached { mut output, mut input, log, watch } =
            self.attach_and_start(container, image, wanted.size.unwrap_or(size::DEFAULT).memory).await?;
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
                biased;
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
                if error.stage != Stage::Runtime {
                    return Err(error);
                }
                Err(self.lost_or(contract::unfit(image, error)).await)
            }
        }
    }

    /// Attaches to a runtime that runs; `None` where it is gone by now, or had to be replaced.
    async fn join(
        &self,
        runtime: &WarmRuntime,
        wanted: &mut Wanted,
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
            wanted.size = wanted.size.or(Some(runtime.size));
            wanted.idle = wanted.idle.or(Some(Idle(state.idle.map(Duration::from_secs_f64))));
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
}

fn foreign(name: &str) -> RuntimeError {
    let message = format!("the container `{PREFIX}{name}` has the name of this runtime, and was not made by flowgate");
    RuntimeError::new(Stage::Usage, message)
        .with_hint(format!("remove it with `docker rm --force {PREFIX}{name}`, or give the runtime another name"))
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
