//! `--watch`: each change of a runtime's state as it happens.

use std::time::{Duration, Instant};

use flowgate_report::runtime::{json, terminal};
use flowgate_runtime::runtimes::Transition;

use super::super::Failure;
use super::engine;
use super::target::{only, resolve};
use crate::args::{ReportFormat, RuntimeTarget};
use crate::places::Places;
use crate::say::{self, Text};

/// Those of every runtime, until it is interrupted.
pub(super) async fn all(places: &Places, format: ReportFormat) -> Result<u8, Failure> {
    follow(places, format, |_| true, |_| false).await
}

/// Those of one runtime, until it is gone.
pub(super) async fn one(places: &Places, arguments: &RuntimeTarget) -> Result<u8, Failure> {
    let docker = engine(places).await?;
    let name = only(resolve(places, &docker, &arguments.target).await?, &arguments.target)?.name;
    let is_gone = |transition: &Transition| transition.to.is_none();
    follow(places, arguments.format, |transition| transition.runtime == name, is_gone).await
}

async fn follow(
    places: &Places,
    format: ReportFormat,
    is_meant: impl Fn(&Transition) -> bool,
    is_last: impl Fn(&Transition) -> bool,
) -> Result<u8, Failure> {
    let docker = engine(places).await?;
    let (start, mut failed) = (Instant::now(), None);
    let watched = docker.watch(|transition| {
        if !is_meant(transition) {
            return true;
        }
        match print(transition, format, start.elapsed()) {
            Ok(is_read) => is_read && !is_last(transition),
            Err(failure) => {
                failed = Some(failure);
                false
            }
        }
    });
    watched.await.map_err(Failure::of)?;
    failed.map_or(Ok(0), Err)
}

/// Whether somebody reads on.
fn print(transition: &Transition, format: ReportFormat, after: Duration) -> Result<bool, Failure> {
    match format {
        ReportFormat::Text => say::one_of_many(&terminal::transition(transition, after), Text::People),
        ReportFormat::Json => {
            let line = json::transition(transition).map_err(|error| Failure::infrastructure(error.to_string()))?;
            say::one_of_many(&line, Text::Json)
        }
    }
}
