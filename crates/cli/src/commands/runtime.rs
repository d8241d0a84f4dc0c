//! `flowgate runtime`.

use std::ffi::OsString;
use std::io::{BufRead, IsTerminal};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use flowgate_report::check::{display_path, plural};
use flowgate_report::escape;
use flowgate_report::runtime::{Shown, json, terminal};
use flowgate_runtime::EnvironmentPlan;
use flowgate_runtime::backend::docker::Docker;
use flowgate_runtime::backend::{Backend, Image, Limits, Progress};
use flowgate_runtime::runtimes::size::{self, Size};
use flowgate_runtime::runtimes::{Started, State, Wanted, WarmRuntime};

use self::target::{of_flow, only, resolve};
use super::environment::{print_packages, unless_cancelled};
use super::{Failure, block_on, listen, say_identity};
use crate::args::{
    EditArguments, InstallArguments, ReportFormat, ResetArguments, RuntimeCommand, RuntimeSettings, RuntimeTarget,
    StartArguments, StopArguments,
};
use crate::places::Places;
use crate::say::{self, Text};
use crate::status::Status;

mod convert;
mod target;

pub(super) fn run(command: &RuntimeCommand) -> Result<u8, Failure> {
    let places = Places::of_this_process()?;
    let cancel = listen()?;
    block_on(unless_cancelled(&cancel, dispatch(command, &places)))?
}

async fn dispatch(command: &RuntimeCommand, places: &Places) -> Result<u8, Failure> {
    match command {
        RuntimeCommand::Start(arguments) => start(&places.clone().making(&arguments.making), arguments).await,
        RuntimeCommand::List { format } => list(places, *format).await,
        RuntimeCommand::Show(target) => show(places, target).await,
        RuntimeCommand::Packages { target } => packages(places, target).await,
        RuntimeCommand::Install(arguments) => install(&places.clone().making(&arguments.making), arguments).await,
        RuntimeCommand::Reset(arguments) => reset(&places.clone().making(&arguments.making), arguments).await,
        RuntimeCommand::Edit(arguments) => edit(places, arguments).await,
        RuntimeCommand::Stop(arguments) => stop(places, arguments).await,
        RuntimeCommand::Convert(arguments) => convert::run(places, arguments).await,
        RuntimeCommand::Logs { target } => logs(places, target).await,
        RuntimeCommand::Prune { yes } => prune(places, *yes).await,
    }
}

/// The engine, once what dead owners left in it is removed.
async fn engine(places: &Places) -> Result<Docker, Failure> {
    places.engines.docker().await.map_err(|error| {
        let failure = Failure::of(error);
        // The other backend helps with a run, and not here.
        let hint = failure.hint.map(|hint| match hint.split_once(", or run flows with") {
            Some((start, _)) => format!("{start}; the process backend has no warm runtimes"),
            None => hint,
        });
        Failure { hint, ..failure }
    })
}

async fn start(places: &Places, arguments: &StartArguments) -> Result<u8, Failure> {
    let (name, plan) = planned(places, &arguments.flow)?;
    let size = size(&arguments.settings, size::DEFAULT);
    let docker = engine(places).await?;
    let status = Status::new(Places::is_live());
    let progress = Progress(&|said| status.tell(&name, said));
    let wanted = Wanted {
        name: arguments.name.clone(),
        idle: arguments.settings.idle,
        size,
        flow: plan.flow.clone(),
        identity: plan.identity.clone(),
    };
    let image = prepare(&docker, &plan, progress).await?;
    let timeout = Limits::default().start_timeout;
    let started = docker.start_runtime(&image, &wanted, timeout, progress).await.map_err(Failure::of)?;
    drop(status);
    say_identity(&places.engines.environments.packages.identity);
    tell_started(places, &docker, started, arguments.format).await
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
fn size(settings: &RuntimeSettings, base: Size) -> Option<Size> {
    match settings.size.as_ref()?.size(base) {
        Ok(size) => Some(size),
        Err(warning) => {
            say::note(warning);
            None
        }
    }
}

async fn prepare(docker: &Docker, plan: &EnvironmentPlan, progress: Progress<'_>) -> Result<Image, Failure> {
    let image = docker.prepare(plan, progress).await.map_err(Failure::of)?;
    if let Image::Container { changed: Some(changed), .. } = &image {
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

async fn install(places: &Places, arguments: &InstallArguments) -> Result<u8, Failure> {
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

async fn replace(
    docker: &Docker,
    old: &WarmRuntime,
    image: &Image,
    plan: &EnvironmentPlan,
    progress: Progress<'_>,
) -> Result<Started, Failure> {
    let timeout = Limits::default().start_timeout;
    docker.replace_runtime(old, image, plan.identity.clone(), timeout, progress).await.map_err(Failure::of)
}

async fn reset(places: &Places, arguments: &ResetArguments) -> Result<u8, Failure> {
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
            hint: Some("start it again with `flowgate runtime start`".to_owned()),
            ..Failure::usage(message)
        });
    }
    if let Some(size) = size(settings, runtime.size) {
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
    let ended: Vec<WarmRuntime> = runtimes.into_iter().filter(|runtime| runtime.is_over).collect();
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

/// Asks before something that runs is lost.
async fn confirm(runtimes: &[WarmRuntime], what: &str, yes: bool) -> Result<(), Failure> {
    let busy: Vec<String> = runtimes.iter().filter_map(lost).collect();
    if busy.is_empty() || yes {
        return Ok(());
    }
    for line in &busy {
        say::line(line);
    }
    ask(&format!("Really {what}?"), "flows are running, and nothing was changed").await
}

/// What would be lost with a runtime.
fn lost(runtime: &WarmRuntime) -> Option<String> {
    if runtime.is_over {
        return None;
    }
    let Some(usage) = runtime.usage else {
        return Some(format!("{}: it does not answer, so that flows may be running in it", runtime.name));
    };
    if usage.jobs == 0 {
        return None;
    }
    let processes = if usage.jobs == 1 {
        "1 process of a flow is".to_owned()
    } else {
        format!("{} processes of flows are", usage.jobs)
    };
    let clients = if usage.clients == 1 { "1 client".to_owned() } else { format!("{} clients", usage.clients) };
    Some(format!("{}: {processes} running for {clients}", runtime.name))
}

/// A question that is answered on a terminal. Without one, `why` is the reason to end with 2.
async fn ask(question: &str, why: &str) -> Result<(), Failure> {
    let refused = |message: String, hint: &str| Failure { hint: Some(hint.to_owned()), ..Failure::usage(message) };
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(refused(
            format!("cannot ask for confirmation without a terminal: {why}"),
            "use `--yes` to confirm",
        ));
    }
    say::line(&format!("{question} [y/N]"));
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    match answer.await {
        Ok(Ok(line)) if matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes") => Ok(()),
        _ => Err(refused("not confirmed".to_owned(), "nothing was changed")),
    }
}

/// The plan of the one flow at a path, with the name that messages use.
fn planned(places: &Places, flow: &Path) -> Result<(String, EnvironmentPlan), Failure> {
    let (name, _, plan) = of_flow(places, flow)?;
    Ok((name, plan?))
}
