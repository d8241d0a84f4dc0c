//! `flowgate environment`.

use std::cell::Cell;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use flowgate_flow::Project;
use flowgate_flow::load::{self, Within};
use flowgate_report::check::{display_path, plural};
use flowgate_report::environment::{json, terminal};
use flowgate_report::escape;
use flowgate_report::run::advice;
use flowgate_runtime::backend::process::Process;
use flowgate_runtime::backend::{Progress, Pruned};
use flowgate_runtime::environment::packages::Packages;
use flowgate_runtime::environment::show::Environment;
use flowgate_runtime::{Cancel, EnvironmentPlan, RuntimeError, Stage, plan};

use super::{Failure, block_on, block_on_this_thread, findings, flows, listen, one_flow, say_identity};
use crate::args::{BuildArguments, EnvironmentCommand, EnvironmentFlow, OnCompute, ReportFormat};
use crate::places::Places;
use crate::say::{self, Text};
use crate::status::Status;

mod check_version;

pub(super) fn run(on: &OnCompute, command: &EnvironmentCommand) -> Result<u8, Failure> {
    let places = Places::of_this_process()?.on(on)?;
    match command {
        EnvironmentCommand::Plan(flow) => block_on_this_thread(show_plan(&places, flow))?,
        EnvironmentCommand::Build(arguments) => build(&listen()?, &places.making(&arguments.making), arguments),
        EnvironmentCommand::Show(flow) => block_on_this_thread(show(&places, flow))?,
        EnvironmentCommand::Packages(flow) => block_on_this_thread(packages(&places, flow))?,
        EnvironmentCommand::Prune { all } => block_on_this_thread(prune(&places, *all))?,
        EnvironmentCommand::Base { from, python } => block_on(base(&listen()?, &places, from.as_deref(), python))?,
        EnvironmentCommand::CheckVersion(arguments) => check_version::run(arguments),
    }
}

async fn show_plan(places: &Places, flow: &EnvironmentFlow) -> Result<u8, Failure> {
    let (name, plan) = planned(places, &flow.flow)?;
    let asked = match places.engines.engine() {
        Ok(docker) => docker.inspect(&plan).await,
        Err(error) => Err(error),
    };
    let environment = match asked {
        Ok(environment) => environment,
        // flowgate's own base is known by its recipe; of another nobody knows what it holds.
        Err(error) => {
            let known = Environment::without_engine(&plan, &places.engines.environments.scope);
            let Some(mut environment) = known.filter(|_| error.stage == Stage::Infrastructure) else {
                return Err(Failure::of(error));
            };
            if places.engines.has_engine() {
                environment.warnings.push(error.message);
            }
            environment
        }
    };
    output(places, &name, &environment, flow.format, terminal::plan)
}

/// What is there is found on this thread alone, as threads take longer to start; what is to be built gets them.
fn build(cancel: &Cancel, places: &Places, arguments: &BuildArguments) -> Result<u8, Failure> {
    let files = all_flows(places, &arguments.flows)?;
    let boundary = super::within(&places.working_directory, &arguments.flows);
    let of_several = files.len() > 1;
    let code = Cell::new(0);
    let leave_out = |name: &str, project: &Project, error: RuntimeError| {
        // Where the machine is at fault, the next one would fail like this one.
        let ends_all = !of_several || error.stage == Stage::Infrastructure;
        let failure = advised(&boundary, name, project, error);
        if ends_all {
            return Err(failure);
        }
        code.set(failure.code);
        say::failure(&failure.within(name));
        Ok(())
    };
    let mut planned = VecDeque::new();
    for file in files {
        let (name, project, plan) = plan_of(places, &boundary, &file)?;
        match plan {
            Ok(plan) => planned.push_back((name, project, plan)),
            Err(error) => leave_out(&name, &project, error)?,
        }
    }
    let looked_up = block_on_this_thread(unless_cancelled(cancel, async {
        let docker = places.engines.engine().map_err(Failure::of)?;
        while let Some((name, _, plan)) = planned.front() {
            let Some(environment) = docker.have(plan).await.map_err(Failure::of)? else { break };
            tell(places, name, &environment, arguments.format, Status::new(false))?;
            planned.pop_front();
        }
        Ok(code.get())
    }))??;
    if planned.is_empty() || cancel.is_cancelled() {
        return Ok(looked_up);
    }
    let made = block_on(unless_cancelled(cancel, async {
        let docker = places.engines.engine().map_err(Failure::of)?;
        for (name, project, plan) in &planned {
            let status = Status::new(Places::is_live());
            match docker.make(plan, Progress(&|said| status.tell(name, said))).await {
                Ok(made) => tell(places, name, &made, arguments.format, status)?,
                Err(error) => {
                    drop(status);
                    leave_out(name, project, error)?;
                }
            }
        }
        Ok(code.get())
    }))?;
    say_identity(&places.engines.environments.packages.identity);
    made
}

/// Says what changed, and prints an environment that is there now.
fn tell(
    places: &Places,
    name: &str,
    environment: &Environment,
    format: ReportFormat,
    status: Status,
) -> Result<(), Failure> {
    if let Some(changed) = &environment.changed {
        status.note(&format!("{name}: {changed}"));
    }
    drop(status);
    output(places, name, environment, format, terminal::show).map(drop)
}

/// Exit code 130 where it was cancelled first; what the work began is removed where it is dropped.
pub(super) async fn unless_cancelled(
    cancel: &Cancel,
    work: impl Future<Output = Result<u8, Failure>>,
) -> Result<u8, Failure> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Ok(130),
        done = work => done,
    }
}

async fn show(places: &Places, flow: &EnvironmentFlow) -> Result<u8, Failure> {
    let (name, environment) = built(places, &flow.flow).await?;
    output(places, &name, &environment, flow.format, terminal::show)
}

async fn packages(places: &Places, flow: &EnvironmentFlow) -> Result<u8, Failure> {
    let (name, environment) = built(places, &flow.flow).await?;
    match flow.format {
        ReportFormat::Json => output(places, &name, &environment, flow.format, terminal::show),
        ReportFormat::Text => print_packages(environment.packages.as_ref(), &environment.image, &name),
    }
}

/// Prints the packages of an image, where that says them.
pub(super) fn print_packages(packages: Option<&Packages>, image: &str, name: &str) -> Result<u8, Failure> {
    match packages {
        Some(packages) => say::print(&terminal::packages(packages), Text::People).map(|()| 0),
        None => Err(Failure {
            code: 4,
            message: format!("{name}: the image {image} does not say what is installed in it"),
            hint: Some("only images that flowgate built say it".to_owned()),
        }),
    }
}

async fn prune(places: &Places, all: bool) -> Result<u8, Failure> {
    // They need no engine.
    let process = Process::new(places.engines.process.clone());
    show_pruned(&process.prune(all).map_err(Failure::of)?, "virtual environment")?;
    let docker = places.engines.docker().await.map_err(Failure::of)?;
    show_pruned(&docker.prune(all).await.map_err(Failure::of)?, "image")?;
    Ok(0)
}

fn show_pruned(pruned: &[Pruned], noun: &str) -> Result<(), Failure> {
    let mut out = String::new();
    for one in pruned {
        out += &match &one.stays {
            None => format!("removed {}\n", one.name),
            Some(why) => format!("kept {}: {why}\n", one.name),
        };
    }
    let removed = pruned.iter().filter(|one| one.stays.is_none()).count();
    out += &format!("{} removed\n", plural(removed, noun));
    say::print(&escape::terminal(&out), Text::People)
}

async fn base(cancel: &Cancel, places: &Places, from: Option<&str>, python: &str) -> Result<u8, Failure> {
    unless_cancelled(cancel, async {
        let docker = places.engines.docker().await.map_err(Failure::of)?;
        let status = Status::new(Places::is_live());
        let progress = Progress(&|said| status.tell("base image", said));
        let name = docker.own_base(python, from, progress).await.map_err(Failure::of)?;
        drop(status);
        say::print(&format!("{name}\n"), Text::People).map(|()| 0)
    })
    .await
}

/// The plan of the one flow at a path, with the name that messages use.
pub(super) fn planned(places: &Places, flow: &Path) -> Result<(String, EnvironmentPlan), Failure> {
    let file = one_flow(&places.working_directory.join(flow), &flow.display().to_string())?;
    let boundary = super::within(&places.working_directory, &[flow.to_owned()]);
    let (name, project, plan) = plan_of(places, &boundary, &file)?;
    let plan = plan.map_err(|error| advised(&boundary, &name, &project, error))?;
    Ok((name, plan))
}

/// A failure, with what the checker knows of it.
pub(super) fn advised(boundary: &Within, name: &str, project: &Project, error: RuntimeError) -> Failure {
    let advice = advice::of_error(&error, name, project, &findings(boundary, project));
    let failure = Failure::of(error);
    let hint = failure.hint.iter().cloned().chain(advice).collect::<Vec<_>>().join("\n  help: ");
    Failure { hint: (!hint.is_empty()).then_some(hint), ..failure }
}

/// Every flow at or below those paths, once.
fn all_flows(places: &Places, paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        files.extend(flows(&places.working_directory.join(path), &path.display().to_string())?);
    }
    files.sort();
    files.dedup();
    Ok(files)
}

/// A flow's name in messages, the flow, and its plan.
pub(super) fn plan_of(
    places: &Places,
    boundary: &Within,
    file: &Path,
) -> Result<(String, Project, Result<EnvironmentPlan, RuntimeError>), Failure> {
    let name = display_path(file, &places.working_directory);
    let project = load::load_project(boundary, file);
    let settings = places.settings(boundary, &project.folder)?;
    let plan = plan(&project, &settings);
    Ok((name, project, plan))
}

/// A flow's environment that the engine has.
async fn built(places: &Places, flow: &Path) -> Result<(String, Environment), Failure> {
    let (name, plan) = planned(places, flow)?;
    let docker = places.engines.engine().map_err(Failure::of)?;
    let environment = docker.inspect(&plan).await.map_err(Failure::of)?;
    if environment.cached == Some(true) {
        return Ok((name, environment));
    }
    Err(Failure {
        code: 4,
        message: format!("{name}: its environment is not built"),
        hint: Some(format!("build it with `flowgate environment build {}`", flow.display())),
    })
}

fn output(
    places: &Places,
    name: &str,
    environment: &Environment,
    format: ReportFormat,
    text: impl Fn(&Environment, &str) -> String,
) -> Result<u8, Failure> {
    say::report(format, || text(environment, name), || json::render(environment, &places.working_directory))?;
    Ok(0)
}
