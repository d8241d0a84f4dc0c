//! `flowgate runtime install` and `reset`: another runtime in the place of one.

use flowgate_runtime::EnvironmentPlan;
use flowgate_runtime::backend::docker::Docker;
use flowgate_runtime::backend::{Image, Limits, Progress};
use flowgate_runtime::runtimes::{Started, State, WarmRuntime};

use super::super::{Failure, say_identity};
use super::confirm::confirm;
use super::target::{only, resolve};
use super::{engine, planned, prepare, print_one, tell_started};
use crate::args::{InstallArguments, ResetArguments};
use crate::places::Places;
use crate::say;
use crate::status::Status;

pub(super) async fn install(places: &Places, arguments: &InstallArguments) -> Result<u8, Failure> {
    let docker = engine(places).await?;
    let old = only(resolve(places, &docker, &arguments.target.target).await?, &arguments.target.target)?;
    let (name, plan) = planned(places, &old.flow)?;
    let status = Status::new(Places::is_live());
    let progress = Progress(&|said| status.tell(&name, said));
    let image = prepare(&docker, &plan, progress).await?;
    if matches!(&image, Image::Container { key, .. } if *key == old.key) && old.state == State::Running {
        drop(status);
        say::note("Nothing to install: the runtime is up to date.");
        return print_one(places, &docker, old, arguments.target.format).await;
    }
    drop(status);
    // A build takes minutes: what runs in it now counts.
    let old = only(resolve(places, &docker, old.name.as_ref()).await?, old.name.as_ref())?;
    confirm(std::slice::from_ref(&old), "replace", arguments.yes).await?;
    let status = Status::new(Places::is_live());
    let progress = Progress(&|said| status.tell(&name, said));
    let started = replace(&docker, &old, &image, &plan, progress).await?;
    drop(status);
    say_identity(&places.engines.environments.packages.identity);
    tell_started(places, &docker, started, arguments.target.format).await
}

pub(super) async fn replace(
    docker: &Docker,
    old: &WarmRuntime,
    image: &Image,
    plan: &EnvironmentPlan,
    progress: Progress<'_>,
) -> Result<Started, Failure> {
    let timeout = Limits::default().start_timeout;
    docker.replace_runtime(old, image, plan.identity.clone(), timeout, progress).await.map_err(Failure::of)
}

pub(super) async fn reset(places: &Places, arguments: &ResetArguments) -> Result<u8, Failure> {
    let docker = engine(places).await?;
    let old = only(resolve(places, &docker, &arguments.target.target).await?, &arguments.target.target)?;
    let (name, plan) = planned(places, &old.flow)?;
    confirm(std::slice::from_ref(&old), "reset", arguments.yes).await?;
    let status = Status::new(Places::is_live());
    let progress = Progress(&|said| status.tell(&name, said));
    if arguments.rebuild {
        docker.forget_environment(&old.image).await.map_err(Failure::of)?;
    }
    let image = prepare(&docker, &plan, progress).await?;
    let started = replace(&docker, &old, &image, &plan, progress).await?;
    drop(status);
    tell_started(places, &docker, started, arguments.target.format).await
}
