//! `flowgate compute`.

use std::fs::File;
use std::io;
use std::path::Path;

use flowgate_report::check::plural;
use flowgate_report::compute::{Shown, json, terminal};
use flowgate_report::file;
use flowgate_runtime::backend::docker::Docker;
use flowgate_runtime::computes::{self, About, Compute, Computes, Origin};
use flowgate_runtime::endpoint::{Address, Endpoint};
use flowgate_runtime::{RuntimeError, Stage};
use tokio::task::JoinSet;

use super::runtime::{ask, only_an_engine};
use super::{Failure, block_on, listen};
use crate::args::{ComputeCommand, ReportFormat};
use crate::commands::environment::unless_cancelled;
use crate::places::Places;
use crate::say::{self, Text};

/// What is said last where a compute does not answer.
const NOT_ADDED: &str = "it was not added";

pub(super) fn run(command: &ComputeCommand) -> Result<u8, Failure> {
    let places = Places::of_this_process()?;
    let cancel = listen()?;
    block_on(unless_cancelled(&cancel, async {
        match command {
            ComputeCommand::List { format } => list(&places, *format).await,
            ComputeCommand::Show { name, format } => show(&places, name.as_deref(), *format).await,
            ComputeCommand::Add { name, host, tls } => add(&places, name, host, tls.as_deref()).await,
            ComputeCommand::Remove { name, yes } => remove(&places, name, *yes).await,
        }
    }))?
}

/// Asks all of them at once: one that does not answer takes its time.
async fn list(places: &Places, format: ReportFormat) -> Result<u8, Failure> {
    let Computes { all, current, .. } = places.computes()?;
    let mut asked = JoinSet::new();
    for (number, compute) in all.into_iter().enumerate() {
        let (places, is_current) = (places.clone(), compute.name == current);
        asked.spawn(async move { (number, shown(&places, compute, is_current).await) });
    }
    let mut answers = asked.join_all().await;
    answers.sort_by_key(|(number, _)| *number);
    let answers: Vec<Shown> = answers.into_iter().map(|(_, shown)| shown).collect();
    say::report(format, || terminal::list(&answers), || json::render(&answers))?;
    Ok(0)
}

/// Shows an engine that does not answer, too; the exit code says it.
async fn show(places: &Places, name: Option<&str>, format: ReportFormat) -> Result<u8, Failure> {
    let computes = places.computes()?;
    let name = name.unwrap_or(&computes.current);
    let compute = computes.named(name).map_err(Failure::of)?.clone();
    let shown = [shown(places, compute, name == computes.current).await];
    say::report(format, || terminal::show(&shown[0]), || json::render(&shown))?;
    Ok(if shown[0].answer.is_ok() { 0 } else { 8 })
}

async fn add(places: &Places, name: &str, host: &str, tls: Option<&Path>) -> Result<u8, Failure> {
    let computes = places.computes()?;
    if let Some(known) = computes.all.iter().find(|compute| compute.name == name) {
        let (what, hint) = match known.origin {
            Origin::Default => ("is reserved for Docker's default engine", None),
            Origin::Context => ("is a Docker context, and a compute already", None),
            Origin::File => ("is the name of a compute already", Some(format!("flowgate compute remove {name}"))),
        };
        let hint = hint.map_or_else(|| "choose another name".to_owned(), |it| format!("`{it}` forgets that one"));
        return Err(Failure { hint: Some(hint), ..Failure::usage(format!("`{name}` {what}")) });
    }
    // Kept as a whole path: another command may be run elsewhere.
    let tls = tls.map(|folder| places.working_directory.join(folder));
    let address = Address::parse(host, tls.as_deref()).map_err(Failure::usage)?;
    if tls.is_some() && !matches!(address, Address::Tcp { .. }) {
        return Err(Failure::usage("`--tls` is for `tcp://` alone"));
    }
    let changed = computes::with(&computes.path, &computes.text, name, host, tls.as_deref()).map_err(Failure::of)?;
    let is_socket = matches!(address, Address::Socket(_));
    let endpoint = Endpoint { source: format!("the compute `{name}`"), address: Ok(address) };
    let compute = Compute { name: name.to_owned(), origin: Origin::File, endpoint };
    let about = about(places, &compute).await.map_err(|error| {
        let failure = only_an_engine(error, NOT_ADDED);
        let hint = failure.hint.filter(|hint| hint.ends_with(NOT_ADDED) && !is_socket);
        Failure { hint: hint.or(Some(format!("see that an engine listens there; {NOT_ADDED}"))), ..failure }
    })?;
    write(&computes, &changed)?;
    let shown = Shown { compute, is_current: false, answer: Ok(about) };
    say::print(&terminal::show(&shown), Text::People)?;
    Ok(0)
}

async fn remove(places: &Places, name: &str, yes: bool) -> Result<u8, Failure> {
    let computes = places.computes()?;
    let compute = computes.named(name).map_err(Failure::of)?;
    match compute.origin {
        Origin::File => {}
        Origin::Context => {
            return Err(Failure {
                hint: Some(format!("`docker context rm {name}` removes it")),
                ..Failure::usage(format!("`{name}` is a Docker context"))
            });
        }
        Origin::Default => {
            return Err(Failure::usage(format!(
                "`{name}` cannot be removed: it is DOCKER_HOST, else the usual socket"
            )));
        }
    }
    let changed = computes::without(&computes.path, &computes.text, name).map_err(Failure::of)?;
    match about(places, compute).await {
        Ok(about) if about.runtimes > 0 && !yes => {
            let runtimes = plural(about.runtimes, "runtime");
            say::line(&format!("{name} has {runtimes}, which would stay: `flowgate runtime list --compute {name}`"));
            ask(&format!("Forget {name}?"), "it has runtimes, and nothing was changed").await?;
        }
        Ok(_) => {}
        Err(error) => say::note(&format!("Runtimes on `{name}`, if any, stay: {}.", error.message)),
    }
    write(&computes, &changed)?;
    say::print(&flowgate_report::escape::terminal(&format!("removed {name}\n")), Text::People)?;
    Ok(0)
}

async fn shown(places: &Places, compute: Compute, is_current: bool) -> Shown {
    let answer = about(places, &compute).await.map_err(|error| error.message);
    Shown { compute, is_current, answer }
}

async fn about(places: &Places, compute: &Compute) -> Result<About, RuntimeError> {
    if let Err(cause) = &compute.endpoint.address {
        return Err(RuntimeError::new(Stage::Infrastructure, cause.clone()));
    }
    Docker::at(Some(&compute.endpoint), places.engines.environments.clone())?.about().await
}

/// Writes the file, unless somebody else changed it meanwhile.
fn write(computes: &Computes, after: &str) -> Result<(), Failure> {
    let (path, before) = (&computes.path, &computes.text);
    let failed = |error: io::Error| Failure::of_file(path, &error);
    if before.is_empty() && !path.exists() {
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(failed)?;
        // Empty, as it was read: of two that make it, one finds it changed.
        match File::create_new(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
            _ => {}
        }
    }
    file::replace(path, before.as_bytes(), after.as_bytes()).map_err(failed)
}
