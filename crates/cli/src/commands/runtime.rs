//! `flowgate runtime`.

use std::ffi::OsString;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use flowgate_report::check::{display_path, plural};
use flowgate_report::escape;
use flowgate_report::runtime::{Shown, json, terminal};
use flowgate_runtime::backend::docker::Docker;
use flowgate_runtime::backend::{Image, Progress};
use flowgate_runtime::runtimes::size::{Asked, Size};
use flowgate_runtime::runtimes::{Started, State, WarmRuntime};
use flowgate_runtime::{EnvironmentPlan, RuntimeError};

use self::confirm::confirm;
use self::target::{of_flow, only, resolve};
use super::environment::{print_packages, unless_cancelled};
use super::{Failure, block_on, listen};
use crate::args::{
    EditArguments, MakingArguments, OnCompute, ReportFormat, RuntimeCommand, RuntimeTarget, StopArguments,
};
use crate::places::Places;
use crate::say::{self, Text};

mod confirm;
mod convert;
mod replace;
mod start;
mod target;
mod update;
mod watch;

pub(super) use self::confirm::ask;

pub(super) fn run(on: &OnCompute, command: &RuntimeCommand) -> Result<u8, Failure> {
    let places = Places::of_this_process()?;
    let cancel = listen()?;
    let done = block_on(unless_cancelled(&cancel, dispatch(on, command, &places)))?;
    done.map_err(|failure| match &on.compute {
        // The next step is on the same compute.
        Some(name) => Failure {
            hint: failure
                .hint
                .map(|hint| hint.replace("`flowgate runtime ", &format!("`flowgate runtime --compute {name} "))),
            ..failure
        },
        None => failure,
    })
}

async fn dispatch(on: &OnCompute, command: &RuntimeCommand, places: &Places) -> Result<u8, Failure> {
    let making = |arguments: &MakingArguments| places.clone().making(arguments).on(on);
    let here = || places.clone().on(on);
    match command {
        RuntimeCommand::Start(arguments) => start::start(places, on, arguments).await,
        RuntimeCommand::Create(arguments) => start::create(places, on, arguments).await,
        RuntimeCommand::List { watch: true, format } => watch::all(&here()?, *format).await,
        RuntimeCommand::List { watch: false, format } => list(&here()?, *format).await,
        RuntimeCommand::Show { target, watch: true } => watch::one(&here()?, target).await,
        RuntimeCommand::Show { target, watch: false } => show(&here()?, target).await,
        RuntimeCommand::Packages { target } => packages(&here()?, target).await,
        RuntimeCommand::Install(arguments) => replace::install(&making(&arguments.making)?, arguments).await,
        RuntimeCommand::Reset(arguments) => replace::reset(&making(&arguments.making)?, arguments).await,
        RuntimeCommand::Update(arguments) => update::run(&making(&arguments.making)?, arguments).await,
        RuntimeCommand::Edit(arguments) => edit(&here()?, arguments).await,
        RuntimeCommand::Stop(arguments) => stop(&here()?, arguments).await,
        RuntimeCommand::Convert(arguments) => convert::run(places, arguments).await,
        RuntimeCommand::Logs { target } => logs(&here()?, target).await,
        RuntimeCommand::Prune { yes } => prune(&here()?, *yes).await,
    }
}

/// The engine, once what dead owners left in it is removed.
async fn engine(places: &Places) -> Result<Docker, Failure> {
    places.engines.docker().await.map_err(|error| only_an_engine(error, "the process backend has no warm runtimes"))
}

/// Where no engine answers, the other backend helps with a run, and not here.
pub(super) fn only_an_engine(error: RuntimeError, instead: &str) -> Failure {
    let failure = Failure::of(error);
    let hint = failure.hint.map(|hint| match hint.split_once(", or run flows with") {
        Some((start, _)) => format!("{start}; {instead}"),
        None => hint,
    });
    Failure { hint, ..failure }
}

/// Says what was started, and prints it.
async fn tell_started(places: &Places, docker: &Docker, started: Started, format: ReportFormat) -> Result<u8, Failure> {
    for note in &started.notes {
        say::note(note);
    }
    if started.was_running {
        say::note(&format!("The runtime `{}` was running.", started.runtime.name));
    }
    print_one(places, docker, started.runtime, format).await
}

/// The size that was asked for. A name that is not known is told.
fn size_of(asked: &Asked, base: Size) -> Option<Size> {
    match asked.size(base) {
        Ok(size) => Some(size),
        Err(warning) => {
            say::note(warning);
            None
        }
    }
}

/// As which identity packages are installed, where one is named: on the command line, else in flowgate.yaml.
fn identity_of(places: &Places, plan: &EnvironmentPlan) -> Option<String> {
    places.client_id().map(str::to_owned).or_else(|| plan.identity.clone())
}

async fn prepare(docker: &Docker, plan: &EnvironmentPlan, progress: Progress<'_>) -> Result<Image, Failure> {
    let image = docker.image(plan, progress).await.map_err(Failure::of)?;
    if let Some(changed) = &image.changed {
        progress.0(flowgate_runtime::backend::Said::Note(changed));
    }
    Ok(image)
}

async fn list(places: &Places, format: ReportFormat) -> Result<u8, Failure> {
    let docker = engine(places).await?;
    let mut shown = Vec::new();
    for runtime in docker.runtimes().await.map_err(Failure::of)? {
        shown.push(shown_as(places, &docker, runtime).await);
    }
    say::report(format, || terminal::list(&shown), || json::render(&shown))?;
    Ok(0)
}

async fn show(places: &Places, arguments: &RuntimeTarget) -> Result<u8, Failure> {
    let docker = engine(places).await?;
    let runtime = only(resolve(places, &docker, &arguments.target).await?, &arguments.target)?;
    print_one(places, &docker, runtime, arguments.format).await
}

async fn print_one(
    places: &Places,
    docker: &Docker,
    runtime: WarmRuntime,
    format: ReportFormat,
) -> Result<u8, Failure> {
    let shown = [shown_as(places, docker, runtime).await];
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    say::report(format, || terminal::show(&shown[0], now), || json::render(&shown))?;
    Ok(0)
}

/// A runtime, with whether its flow needs another environment by now.
async fn shown_as(places: &Places, docker: &Docker, runtime: WarmRuntime) -> Shown {
    let flow = display_path(&runtime.flow, &places.working_directory);
    let is_behind = match planned(places, &runtime.flow) {
        Ok((_, plan)) => match docker.inspect(&plan).await {
            // Without a key, its base is not built yet, so that no runtime has it.
            Ok(environment) => match environment.key {
                Some(key) => Some(key != runtime.key),
                None => (environment.cached == Some(false)).then_some(true),
            },
            Err(_) => None,
        },
        Err(_) => None,
    };
    Shown { runtime, flow, is_behind }
}

async fn packages(places: &Places, target: &OsString) -> Result<u8, Failure> {
    let docker = engine(places).await?;
    let runtime = only(resolve(places, &docker, target).await?, target)?;
    let packages = docker.packages_of(&runtime.image).await.map_err(Failure::of)?;
    print_packages(packages.as_ref(), &runtime.image, &runtime.name)
}

async fn edit(places: &Places, arguments: &EditArguments) -> Result<u8, Failure> {
    let settings = &arguments.settings;
    if settings.idle.is_none() && settings.size.is_none() {
        return Err(Failure { hint: Some("give --idle or --size".to_owned()), ..Failure::usage("nothing to change") });
    }
    let docker = engine(places).await?;
    let runtime = only(resolve(places, &docker, &arguments.target.target).await?, &arguments.target.target)?;
    if runtime.state != State::Running {
        let message = format!("the runtime `{}` cannot be changed: its state is `{}`", runtime.name, runtime.state);
        return Err(Failure {
            hint: Some(format!("start it again with `flowgate runtime start {}`", runtime.name)),
            ..Failure::usage(message)
        });
    }
    if let Some(size) = settings.size.as_ref().and_then(|asked| size_of(asked, runtime.size)) {
        docker.resize(&runtime, size).await.map_err(Failure::of)?;
    }
    if let Some(idle) = settings.idle {
        docker.set_idle(&runtime, idle).await.map_err(Failure::of)?;
    }
    let name = runtime.name.clone();
    let now = resolve(places, &docker, name.as_ref()).await?;
    print_one(places, &docker, only(now, name.as_ref())?, arguments.target.format).await
}

async fn stop(places: &Places, arguments: &StopArguments) -> Result<u8, Failure> {
    let docker = engine(places).await?;
    let mut runtimes: Vec<WarmRuntime> = Vec::new();
    for target in &arguments.targets {
        for runtime in resolve(places, &docker, target).await?.found(target)? {
            if runtimes.iter().all(|other| other.container != runtime.container) {
                runtimes.push(runtime);
            }
        }
    }
    confirm(&runtimes, "stop", arguments.yes).await?;
    end_all(&docker, &runtimes, "stopped").await
}

async fn end_all(docker: &Docker, runtimes: &[WarmRuntime], done: &str) -> Result<u8, Failure> {
    for runtime in runtimes {
        docker.stop_runtime(runtime).await.map_err(Failure::of)?;
        say::print(&escape::terminal(&format!("{done} {}\n", runtime.name)), Text::People)?;
    }
    Ok(0)
}

async fn logs(places: &Places, target: &OsString) -> Result<u8, Failure> {
    let docker = engine(places).await?;
    let runtime = only(resolve(places, &docker, target).await?, target)?;
    let log = docker.runtime_log(&runtime).await.map_err(Failure::of)?;
    if log.is_empty() {
        say::note(&format!(
            "The runtime `{}` wrote nothing: what flows write is in the output of each run.",
            runtime.name
        ));
        return Ok(0);
    }
    say::print(&escape::terminal(&log), Text::People)?;
    Ok(0)
}

async fn prune(places: &Places, yes: bool) -> Result<u8, Failure> {
    let docker = engine(places).await?;
    let runtimes = docker.runtimes().await.map_err(Failure::of)?;
    let ended: Vec<WarmRuntime> = runtimes.into_iter().filter(|runtime| runtime.is_over()).collect();
    if ended.is_empty() {
        say::print("0 runtimes removed\n", Text::People)?;
        return Ok(0);
    }
    if !yes {
        for runtime in &ended {
            let reason = runtime.reason.as_deref().unwrap_or_default();
            say::line(&format!("would remove {} ({}: {reason})", runtime.name, runtime.state));
        }
        ask(&format!("Remove {}?", plural(ended.len(), "runtime")), "nothing was removed").await?;
    }
    end_all(&docker, &ended, "removed").await
}

/// The plan of the one flow at a path, with the name that messages use.
fn planned(places: &Places, flow: &Path) -> Result<(String, EnvironmentPlan), Failure> {
    let (name, _, plan) = of_flow(places, flow)?;
    Ok((name, plan?))
}
