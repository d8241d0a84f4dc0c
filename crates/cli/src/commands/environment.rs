//! `flowgate environment`.

use std::path::Path;
use std::time::Duration;

use flowgate_flow::load::{self, Disk};
use flowgate_report::check::{display_path, plural};
use flowgate_report::environment::{json, terminal};
use flowgate_report::escape;
use flowgate_runtime::environment::show::Environment;
use flowgate_runtime::runner::Cancel;
use flowgate_runtime::{EnvironmentPlan, Stage, plan};

use super::{Failure, block_on, one_flow, print};
use crate::args::{BuildArguments, EnvironmentCommand, EnvironmentFlow, ReportFormat};
use crate::places::Places;

mod check_version;

pub(super) fn run(command: &EnvironmentCommand) -> Result<u8, Failure> {
    let mut places = Places::of_this_process()?;
    match command {
        EnvironmentCommand::Plan(flow) => block_on(show_plan(&places, flow))?,
        EnvironmentCommand::Build(arguments) => {
            places.engines.environments.timeout = Duration::from_secs(arguments.build_timeout);
            places.with_identity(arguments.identity.client_id.clone());
            block_on(build(&places, arguments))?
        }
        EnvironmentCommand::Show(flow) => block_on(show(&places, flow))?,
        EnvironmentCommand::Packages(flow) => block_on(packages(&places, flow))?,
        EnvironmentCommand::Prune { all } => block_on(prune(&places, *all))?,
        EnvironmentCommand::Base { from, python } => block_on(base(&places, from.as_deref(), python))?,
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
        Err(error) => Environment::without_engine(&plan, &places.engines.environments.scope)
            .filter(|_| error.stage == Stage::Infrastructure)
            .ok_or_else(|| Failure::of(error))?,
    };
    output(places, &name, &environment, flow.format)
}

async fn build(places: &Places, arguments: &BuildArguments) -> Result<u8, Failure> {
    let docker = places.engines.engine().map_err(Failure::of)?;
    let cancel = Cancel::new();
    let listener = cancel.on_signals();
    for flow in &arguments.flows {
        let (name, plan) = planned(places, flow)?;
        let progress = |what: &str| anstream::eprintln!("{}", escape::terminal(&format!("{name}: {what}")));
        let made = tokio::select! {
            biased;
            () = cancel.cancelled() => return Ok(130),
            made = docker.make(&plan, &progress) => made.map_err(Failure::of)?,
        };
        output(places, &name, &made, arguments.format)?;
    }
    listener.abort();
    Ok(0)
}

async fn show(places: &Places, flow: &EnvironmentFlow) -> Result<u8, Failure> {
    let (name, environment) = built(places, &flow.flow).await?;
    output(places, &name, &environment, flow.format)
}

async fn packages(places: &Places, flow: &EnvironmentFlow) -> Result<u8, Failure> {
    let (name, environment) = built(places, &flow.flow).await?;
    match (&environment.packages, flow.format) {
        (_, ReportFormat::Json) => output(places, &name, &environment, flow.format),
        (Some(packages), ReportFormat::Text) => print(&terminal::packages(packages)).map(|()| 0),
        (None, ReportFormat::Text) => Err(Failure {
            code: 4,
            message: format!("{name}: the image {} does not say what is installed in it", environment.image),
            hint: Some("only images that flowgate built say it".to_owned()),
        }),
    }
}

async fn prune(places: &Places, all: bool) -> Result<u8, Failure> {
    let docker = places.engines.docker().await.map_err(Failure::of)?;
    let pruned = docker.prune(all).await.map_err(Failure::of)?;
    let mut out = String::new();
    for image in &pruned {
        out += &match &image.stays {
            None => format!("removed {}\n", image.image),
            Some(why) => format!("kept {}: {why}\n", image.image),
        };
    }
    let removed = pruned.iter().filter(|image| image.stays.is_none()).count();
    out += &format!("{} removed\n", plural(removed, "image"));
    print(&escape::terminal(&out)).map(|()| 0)
}

async fn base(places: &Places, from: Option<&str>, python: &str) -> Result<u8, Failure> {
    let docker = places.engines.docker().await.map_err(Failure::of)?;
    let progress = |what: &str| anstream::eprintln!("{}", escape::terminal(what));
    let name = docker.own_base(python, from, &progress).await.map_err(Failure::of)?;
    print(&format!("{name}\n")).map(|()| 0)
}

/// A flow's plan, with the name that messages use.
fn planned(places: &Places, flow: &Path) -> Result<(String, EnvironmentPlan), Failure> {
    let file = one_flow(&places.working_directory.join(flow), &flow.display().to_string())?;
    let name = display_path(&file, &places.working_directory);
    let project = load::load_project(&Disk, &file);
    let settings = places.settings(&project.folder)?;
    plan(&project, &settings).map(|plan| (name, plan)).map_err(Failure::of)
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

fn output(places: &Places, name: &str, environment: &Environment, format: ReportFormat) -> Result<u8, Failure> {
    print(&match format {
        ReportFormat::Text => terminal::plan(environment, name),
        ReportFormat::Json => json::render(environment, &places.working_directory)
            .map_err(|error| Failure::infrastructure(error.to_string()))?,
    })?;
    Ok(0)
}
