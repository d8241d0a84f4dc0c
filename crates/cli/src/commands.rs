//! One file per command.

use std::path::{Path, PathBuf};

use flowgate_check::workspace::{self, Unit};
use flowgate_flow::load::{Disk, FileSystem};
use flowgate_flow::{FileKind, classify};
use flowgate_runtime::RuntimeError;
use flowgate_runtime::identity::Identity;
use flowgate_runtime::outcome::ExitReason;

use crate::args::Command;

#[cfg(feature = "action")]
mod action;
mod check;
mod doctor;
mod environment;
mod graph;
mod rule;
mod run;

/// Why a command could not do its work; what it found is not a failure.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) code: u8,
    /// The cause, as a lower-case fragment, not yet escaped.
    pub(crate) message: String,
    /// The next step.
    pub(crate) hint: Option<String>,
}

impl Failure {
    /// Exit code 2: the user can mend it.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into(), hint: None }
    }

    /// What a runtime says, with the exit code of its stage.
    pub(crate) fn of(error: RuntimeError) -> Self {
        let code = ExitReason::of(error.stage).code();
        let log = error.log.map(|log| format!("\n{log}")).unwrap_or_default();
        Self { code, message: error.message + &log, hint: error.hint }
    }

    /// Exit code 8: the machine is at fault.
    pub(crate) fn infrastructure(message: impl Into<String>) -> Self {
        Self { code: 8, message: message.into(), hint: None }
    }
}

/// Runs a command and gives its exit code.
pub(crate) fn dispatch(command: Command) -> Result<u8, Failure> {
    match command {
        Command::Check(arguments) => check::run(&arguments),
        Command::Run(arguments) => run::run(&arguments.with_all_inputs()),
        Command::Environment { command } => environment::run(&command),
        Command::Doctor { command } => doctor::run(&command),
        Command::Graph(arguments) => graph::run(&arguments),
        Command::Rule { name } => rule::run(name.as_deref()),
        #[cfg(feature = "lsp")]
        Command::Lsp => block_on(flowgate_lsp::serve()),
        #[cfg(feature = "action")]
        Command::Action => action::run(),
    }
}

/// The one flow at a path, for a command that takes no more: the flow that a folder holds itself, else the only one
/// below it. `named` is the path as the user wrote it.
fn one_flow(path: &Path, named: &str) -> Result<PathBuf, Failure> {
    let own = Disk.list(path).unwrap_or_default().into_iter().filter(|(_, is_folder)| !is_folder);
    let mut flows: Vec<PathBuf> = own.map(|(name, _)| path.join(name)).filter(|path| is_flow(path)).collect();
    if flows.is_empty() {
        let found = workspace::targets(&Disk, path).map_err(|error| Failure::usage(error.with_path(named)))?;
        if !path.is_dir() && !found.targets.iter().any(|target| matches!(target.unit, Unit::Flow(_))) {
            return Err(Failure::usage(format!("{named}: not a flow")));
        }
        flows.extend(found.targets.into_iter().filter_map(|target| match target.unit {
            Unit::Flow(flow) => Some(flow),
            _ => None,
        }));
    }
    match flows.as_slice() {
        [flow] => Ok(flow.clone()),
        [] => Err(Failure::usage(format!("{named}: no flow.dag.yaml was found"))),
        many => {
            let hint = "name one of them, for example its flow.dag.yaml".to_owned();
            let message = format!("{named}: there are {} flows, and this takes one at a time", many.len());
            Err(Failure { hint: Some(hint), ..Failure::usage(message) })
        }
    }
}

fn is_flow(path: &Path) -> bool {
    classify::classify(path) == FileKind::Flow
}

/// Says which identity opened what, and never its token.
fn say_identity(identity: &Identity) {
    for (resource, source) in identity.used() {
        anstream::eprintln!("note: {resource} were opened with {source}");
    }
}

/// Prints to standard output; a reader that has gone away (`| head`) is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    use std::io::Write;
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::infrastructure(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Runs a future on a runtime of its own.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::infrastructure(format!("cannot start threads: {error}")))?;
    let result = runtime.block_on(future);
    // A read of standard input that never ends must not keep the process.
    runtime.shutdown_background();
    Ok(result)
}
