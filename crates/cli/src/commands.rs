//! One file per command.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use flowgate_check::{Finding, workspace};
use flowgate_flow::load::{self, Disk, Entry, FileSystem, Within};
use flowgate_flow::{FileKind, Project, classify};
use flowgate_report::check::display_path;
use flowgate_runtime::Cancel;
use flowgate_runtime::identity::Identity;

use crate::args::Command;
use crate::failure::Failure;
use crate::say::{self, Text};

#[cfg(feature = "action")]
mod action;
mod check;
mod compute;
mod doctor;
mod environment;
mod graph;
mod rule;
mod run;
mod runtime;

/// Prints what clap has to say: the help that was asked for, or what is wrong with the arguments, which are repeated.
pub(crate) fn not_parsed(error: &clap::Error) -> ExitCode {
    let text = error.render().ansi().to_string();
    if error.use_stderr() {
        say::lines(&text);
    } else if let Err(failure) = say::print(&text, Text::People) {
        say::failure(&failure);
        return ExitCode::from(failure.code);
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// Runs a command and gives its exit code.
pub(crate) fn dispatch(command: Command) -> Result<u8, Failure> {
    match command {
        Command::Check(arguments) => check::run(&arguments),
        Command::Run(arguments) => run::run(&arguments.with_all_inputs()),
        Command::Environment { on, command } => environment::run(&on, &command),
        Command::Runtime { on, command } => runtime::run(&on, &command),
        Command::Compute { command } => compute::run(&command),
        Command::Doctor { command } => doctor::run(&command),
        Command::Graph(arguments) => graph::run(&arguments),
        Command::Rule { name } => rule::run(name.as_deref()),
        #[cfg(feature = "lsp")]
        Command::Lsp => block_on(flowgate_lsp::serve()),
        #[cfg(feature = "action")]
        Command::Action => action::run(),
    }
}

/// What the checker says of a flow that failed: nothing where its configuration cannot be used, which the checker itself
/// would say.
fn findings(boundary: &Within, project: &Project) -> Vec<Finding> {
    workspace::check_project(boundary, project).unwrap_or_default()
}

/// What may be read for the paths that the user names, and for the flows that a requirements file among them is
/// checked with.
fn within(base: &Path, named: &[PathBuf]) -> Within {
    let mut paths = Vec::new();
    for path in named {
        let path = base.join(path);
        let may_be_of_flow = path.extension().is_some_and(|extension| extension == "txt");
        if may_be_of_flow && let Some(folder) = path.parent() {
            paths.extend(workspace::flows_near(&Disk, folder));
        }
        paths.push(path);
    }
    Within::of_named(paths.iter().map(PathBuf::as_path))
}

/// How many flows a message names.
const NAMED: usize = 5;

/// Every flow at or below a path, at least one. `named` is the path as the user wrote it.
fn flows(path: &Path, named: &str) -> Result<Vec<PathBuf>, Failure> {
    if !path.exists() {
        return Err(Failure::usage(format!("{named}: there is no such file or folder")));
    }
    if !path.is_dir() && !may_be_flow(path) {
        return Err(Failure::usage(format!("{named}: not a flow")));
    }
    let found = load::discover(path).map_err(|error| Failure::infrastructure(format!("{named}: {error}")))?;
    if found.is_empty() {
        return Err(no_flow(named));
    }
    Ok(found)
}

/// Says that a path is not as it is shown.
fn say_if_not_text(path: &Path, base: &Path) {
    if path.to_str().is_none() {
        let shown = display_path(path, base);
        say::note(&format!("{shown}: the path is not UTF-8; what cannot be shown of it is shown as `\u{fffd}`"));
    }
}

/// A path that was named for nothing: a typing mistake, or flows that moved, must not pass.
fn no_flow(named: &str) -> Failure {
    Failure {
        hint: Some(format!("`flowgate check --explain-why {named}` says which files are passed over, and why")),
        ..Failure::usage(format!("{named}: no flow.dag.yaml or flow.flex.yaml was found"))
    }
}

/// A flow may have any name that is YAML's, where the user names it.
fn may_be_flow(file: &Path) -> bool {
    match load::kind_of(&Disk, file) {
        FileKind::Flow => true,
        FileKind::Other => matches!(file.extension().and_then(|extension| extension.to_str()), Some("yaml" | "yml")),
        _ => false,
    }
}

/// The one flow at a path, for a command that takes no more: the flow that a folder holds itself, else the only one
/// below it.
fn one_flow(path: &Path, named: &str) -> Result<PathBuf, Failure> {
    let own = Disk.list(path).unwrap_or_default().into_iter().filter(|(_, entry)| *entry != Entry::Folder);
    let own = own.map(|(name, _)| path.join(name)).filter(|path| classify::classify(path) == FileKind::Flow);
    let mut flows = match own.collect::<Vec<PathBuf>>() {
        own if own.is_empty() => flows(path, named)?,
        own => own,
    };
    if flows.len() > 1 {
        let mut names: Vec<String> = flows
            .iter()
            .take(NAMED)
            .map(|flow| display_path(&Path::new(named).join(display_path(flow, path)), Path::new("")))
            .collect();
        if flows.len() > NAMED {
            names.push("...".to_owned());
        }
        let message = format!("{named}: there are {} flows, and this takes one at a time", flows.len());
        return Err(Failure {
            hint: Some(format!("name one of them: {}", names.join(", "))),
            ..Failure::usage(message)
        });
    }
    Ok(flows.remove(0))
}

/// Says which identity what was asked with, and never its token.
fn say_identity(identity: &Identity) {
    for (resource, source) in identity.used() {
        say::note(&format!("{resource} were asked with {source}"));
    }
}

/// Whether a file that is to be written is standard output: `-`, or another name of it, as `/dev/stdout`.
fn is_standard_output(path: &Path) -> bool {
    path == Path::new("-") || say::is_standard_output(path)
}

/// Listens to the signals that cancel, before anything is loaded: one that comes earlier would end the process with
/// nothing said.
fn listen() -> Result<Cancel, Failure> {
    Cancel::on_signals().map_err(|error| Failure::infrastructure(format!("cannot listen to signals: {error}")))
}

/// Runs a future on a runtime of its own, with a thread for each processor.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    block_on_runtime(&mut tokio::runtime::Builder::new_multi_thread(), future)
}

/// Runs a future on this thread, for what does one thing after the other: mostly there is one question to ask, and
/// threads take longer to start.
pub(crate) fn block_on_this_thread<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    block_on_runtime(&mut tokio::runtime::Builder::new_current_thread(), future)
}

fn block_on_runtime<T>(runtime: &mut tokio::runtime::Builder, future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = runtime.enable_all().build();
    let runtime = runtime.map_err(|error| Failure::infrastructure(format!("cannot start threads: {error}")))?;
    let result = runtime.block_on(future);
    // A read of standard input that never ends must not keep the process.
    runtime.shutdown_background();
    Ok(result)
}
