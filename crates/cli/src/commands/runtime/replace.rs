//! `flowgate runtime install` and `reset`: another runtime in the place of one.

use std::ffi::OsStr;

use flowgate_runtime::EnvironmentPlan;
use flowgate_runtime::backend::docker::Docker;
use flowgate_runtime::backend::{Image, Limits, Progress};
use flowgate_runtime::runtimes::{State, WarmRuntime};

use super::super::{Failure, say_identity};
use super::confirm::confirm;
use super::target::{only, resolve};
use super::{engine, identity_of, planned, prepare, print_one, tell_started};
use crate::args::{InstallArguments, ReportFormat, ResetArguments};
use crate::places::Places;
use crate::say;
use crate::status::Status;

pub(super) async fn install(places: &Places, arguments: &InstallArguments) -> Result<u8, Failure> {
    let (places, docker, old) = &as_started(places, &arguments.target.target).await?;
    let (name, plan) = planned(places, &old.flow)?;
    let by = By { places, docker, name: &name, plan: &plan, yes: arguments.yes, format: arguments.target.format };
    match by.build(old).await? {
        Built::Same(old) => {
            say::note("Nothing to install: the runtime is up to date.");
            print_one(places, docker, old, by.format).await
        }
        Built::Other(old, image) => by.replace(&old, &image).await,
    }
}

/// What a runtime is to be replaced by.
pub(super) struct By<'b> {
    pub(super) places: &'b Places,
    pub(super) docker: &'b Docker,
    /// The flow's name in messages.
    pub(super) name: &'b str,
    pub(super) plan: &'b EnvironmentPlan,
    /// Whether nobody is asked.
    pub(super) yes: bool,
    pub(super) format: ReportFormat,
}

/// What came of a build for a runtime, with the runtime as it is now.
pub(super) enum Built {
    /// It has that environment, and runs.
    Same(WarmRuntime),
    /// It may be replaced by one of that image.
    Other(WarmRuntime, Image),
}

impl By<'_> {
    /// Builds the environment, and asks before what runs in the old one is lost.
    pub(super) async fn build(&self, old: &WarmRuntime) -> Result<Built, Failure> {
        let image = self.prepare().await?;
        // A build takes minutes: what runs in it now counts.
        let old = only(resolve(self.places, self.docker, old.name.as_ref()).await?, old.name.as_ref())?;
        if image.key == old.key && old.state == State::Running {
            return Ok(Built::Same(old));
        }
        confirm(std::slice::from_ref(&old), "replace", self.yes).await?;
        Ok(Built::Other(old, image))
    }

    async fn prepare(&self) -> Result<Image, Failure> {
        let status = Status::new(Places::is_live());
        prepare(self.docker, self.plan, Progress(&|said| status.tell(self.name, said))).await
    }

    pub(super) async fn replace(&self, old: &WarmRuntime, image: &Image) -> Result<u8, Failure> {
        let (timeout, identity) = (Limits::default().start_timeout, identity_of(self.places, self.plan));
        let status = Status::new(Places::is_live());
        let progress = Progress(&|said| status.tell(self.name, said));
        let started =
            self.docker.replace_runtime(old, image, identity, timeout, progress).await.map_err(Failure::of)?;
        drop(status);
        say_identity(&self.places.engines.environments.packages.identity);
        tell_started(self.places, self.docker, started, self.format).await
    }
}

/// A runtime that is to be replaced, and what opens feeds and registries as it did where no other identity is named.
pub(super) async fn as_started(places: &Places, target: &OsStr) -> Result<(Places, Docker, WarmRuntime), Failure> {
    let docker = engine(places).await?;
    let old = only(resolve(places, &docker, target).await?, target)?;
    match &old.identity {
        Some(identity) if places.client_id().is_none() => {
            let places = places.clone().identified(identity.clone());
            let docker = places.engines.engine().map_err(Failure::of)?;
            Ok((places, docker, old))
        }
        _ => Ok((places.clone(), docker, old)),
    }
}

pub(super) async fn reset(places: &Places, arguments: &ResetArguments) -> Result<u8, Failure> {
    let (places, docker, old) = &as_started(places, &arguments.target.target).await?;
    let (name, plan) = planned(places, &old.flow)?;
    confirm(std::slice::from_ref(old), "reset", arguments.yes).await?;
    if arguments.rebuild {
        docker.forget_environment(&old.image).await.map_err(Failure::of)?;
    }
    let by = By { places, docker, name: &name, plan: &plan, yes: arguments.yes, format: arguments.target.format };
    by.replace(old, &by.prepare().await?).await
}
