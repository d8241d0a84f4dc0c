//! `flowgate runtime install` and `reset`: another runtime in the place of one.

use std::ffi::OsStr;

use flowgate_runtime::EnvironmentPlan;
use flowgate_runtime::backend::docker::Docker;
use flowgate_runtime::backend::{Image, Limits, Progress};
use flowgate_runtime::runtimes::{Started, State, WarmRuntime};

use super::super::{Failure, say_identity};
use super::confirm::confirm;
use super::target::{only, resolve};
use super::{engine, identity_of, planned, prepare, print_one, tell_started};
use crate::args::{InstallArguments, ResetArguments};
use crate::places::Places;
use crate::say;
use crate::status::Status;

pub(super) async fn install(places: &Places, arguments: &InstallArguments) -> Result<u8, Failure> {
    let (places, docker, old) = &as_started(places, &arguments.target.target).await?;
    let (name, plan) = planned(places, &old.flow)?;
    let status = Status::new(Places::is_live());
    let progress = Progress(&|said| status.tell(&name, said));
    let image = prepare(docker, &plan, progress).await?;
    if image.key == old.key && old.state == State::Running {
        drop(status);
        say::note("Nothing to install: the runtime is up to date.");
        return print_one(places, docker, old.clone(), arguments.target.format).await;
    }
    drop(status);
    // A build takes minutes: what runs in it now counts.
    let old = only(resolve(places, docker, old.name.as_ref()).await?, old.name.as_ref())?;
    confirm(std::slice::from_ref(&old), "replace", arguments.yes).await?;
    let status = Status::new(Places::is_live());
    let progress = Progress(&|said| status.tell(&name, said));
    let started = replace(places, docker, &old, &image, &plan, progress).await?;
    drop(status);
    say_identity(&places.engines.environments.packages.identity);
    tell_started(places, docker, started, arguments.target.format).await
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

pub(super) async fn replace(
    places: &Places,
    docker: &Docker,
    old: &WarmRuntime,
    image: &Image,
    plan: &EnvironmentPlan,
    progress: Progress<'_>,
) -> Result<Started, Failure> {
    let (timeout, identity) = (Limits::default().start_timeout, identity_of(places, plan));
    docker.replace_runtime(old, image, identity, timeout, progress).await.map_err(Failure::of)
}

pub(super) async fn reset(places: &Places, arguments: &ResetArguments) -> Result<u8, Failure> {
    let (places, docker, old) = &as_started(places, &arguments.target.target).await?;
    let (name, plan) = planned(places, &old.flow)?;
    confirm(std::slice::from_ref(old), "reset", arguments.yes).await?;
    let status = Status::new(Places::is_live());
    let progress = Progress(&|said| status.tell(&name, said));
    if arguments.rebuild {
        docker.forget_environment(&old.image).await.map_err(Failure::of)?;
    }
    let image = prepare(docker, &plan, progress).await?;
    let started = replace(places, docker, old, &image, &plan, progress).await?;
    drop(status);
    tell_started(places, docker, started, arguments.target.format).await
}
