//! The GitHub Action: inputs and event in; annotations, a job summary, outputs and an exit code
//! out.
//!
//! Invariants:
//! - the only crate that names octocrab, or `GITHUB_*`, `ACTIONS_*` and `INPUT_*`; the variables come in as
//!   data;
//! - what a flow wrote is escaped before it reaches the log: it cannot become a workflow command;
//! - what a pull request wrote is read within the workspace only, whatever its paths and links say: findings go into
//!   a public log;
//! - an untrusted pull request never runs outside a sandbox, whatever the inputs say, and has no identity: no token is
//!   asked for or used on its behalf.

mod environment;
mod event;
mod inputs;
mod outputs;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flowgate_check::workspace::{self, Target, TargetError, Unit};
use flowgate_flow::load::{self, FileSystem, Within};
use flowgate_report::check::{CheckReport, Checked, display_path, plural};
use flowgate_report::escape::{workflow_log, workflow_message};
use flowgate_report::{check, run};
use flowgate_runtime::engines::{Choice, Engines};
use flowgate_runtime::outcome::ExitReason;
use flowgate_runtime::runner::{self, Cancel};
use flowgate_runtime::{Case, RunEvent, RunOptions, RunReport};

pub use inputs::InputError;

/// What the Action knows about the machine that it runs on.
pub struct Host {
    /// Every environment variable that is text.
    pub variables: HashMap<String, String>,
    /// The working directory, for what the workflow does not say.
    pub working_directory: PathBuf,
    /// The engines of this machine.
    pub engines: Engines,
    /// How many checks and lines run at the same time.
    pub parallelism: usize,
    /// Writes to the log that GitHub reads. What it gets is escaped already.
    pub print: Box<dyn Fn(&str) + Send + Sync>,
}

/// Runs the Action and gives its exit code.
pub async fn main(host: &Host) -> u8 {
    match act(host).await {
        Ok(code) => code,
        Err(error) => {
            (host.print)(&format!("::error title=flowgate::{}\n", workflow_message(&error.to_string())));
            ExitReason::Usage.code()
        }
    }
}

async fn act(host: &Host) -> Result<u8, InputError> {
    let inputs = inputs::read(&host.variables, &host.working_directory)?;
    let event = event::read(&host.variables);
    if let Some(note) = &event.note {
        (host.print)(&format!("::notice title=flowgate::{}\n", workflow_message(note)));
    }
    if event.untrusted && inputs.backend == Choice::Process {
        return Err(InputError(
            "this code is untrusted, and the process backend has no sandbox; use `backend: docker`".to_owned(),
        ));
    }

    let fs = Within::new(&inputs.workspace).map_err(|error| {
        InputError(format!("GITHUB_WORKSPACE: cannot read {}: {error}", inputs.workspace.display()))
    })?;
    let (checked, targets) = check_all(host, &inputs, &fs)?;
    (host.print)(&check::github::render(&checked));
    let ran = if targets.is_empty() {
        (host.print)("::notice title=flowgate::no flow.dag.yaml or flow.flex.yaml was found\n");
        None
    } else {
        Some(run_all(host, &inputs, &event, &fs, &targets).await?)
    };
    if let Some(ran) = &ran {
        (host.print)(&run::terminal::render(ran, run::terminal::Sink::WorkflowLog));
        (host.print)(&run::github::render(ran));
    }

    let findings = inputs.fail_on.is_some_and(|level| checked.worst() >= Some(level)).then_some(ExitReason::Findings);
    let reason = ExitReason::worst(ran.as_ref().map(RunReport::exit_reason).into_iter().chain(findings));
    let written = outputs::write(&inputs, reason, &checked, ran.as_ref());
    Ok(match written {
        Ok(()) => reason.code(),
        Err(error) => {
            (host.print)(&format!("::error title=flowgate::{}\n", workflow_message(&error)));
            ExitReason::worst([reason, ExitReason::Infrastructure]).code()
        }
    })
}

/// Checks what the input `flows` names; gives the flows to run.
fn check_all(host: &Host, inputs: &inputs::Inputs, fs: &Within) -> Result<(CheckReport, Vec<PathBuf>), InputError> {
    let mut targets: Vec<Target> = Vec::new();
    for path in &inputs.flows {
        let at = inputs.workspace.join(path);
        if !fs.reaches(&at) {
            return Err(InputError(format!("input `flows`: {path}: it is outside the repository")));
        }
        let found = workspace::targets(fs, &at).map_err(|error| match error {
            TargetError::Path(_) => InputError(format!("input `flows`: {}", error.with_path(path))),
            TargetError::Config(error) => InputError(error.to_string()),
        })?;
        targets.extend(found.targets);
    }
    let mut checked = CheckReport::default();
    let options = workspace::Options { threads: host.parallelism, ..workspace::Options::default() };
    let made = |_, project, findings: Vec<_>| Checked::new(&project, &findings, &inputs.workspace);
    workspace::check_all(fs, &targets, &options, made, |one| checked.add(one));
    let mut flows: Vec<PathBuf> = targets
        .into_iter()
        .filter_map(|target| if let Unit::Flow(flow) = target.unit { Some(flow) } else { None })
        .collect();
    flows.sort();
    flows.dedup();
    Ok((checked, flows))
}

async fn run_all(
    host: &Host,
    inputs: &inputs::Inputs,
    event: &event::Event,
    fs: &Within,
    flows: &[PathBuf],
) -> Result<RunReport, InputError> {
    let mut cases = Vec::new();
    let mut notes = BTreeSet::new();
    for flow in flows {
        let project = load::load_project(fs, flow);
        let name = display_path(flow, &inputs.workspace);
        let (rows, note) = load::sample_rows(fs, &project).map_err(|error| InputError(format!("{name}: {error}")))?;
        if let Some(note) = note {
            (host.print)(&(workflow_log(&format!("{name}: {note}")) + "\n"));
        }
        let (settings, note) = environment::settings(host, inputs, event, fs, &project.folder)?;
        notes.extend(note);
        cases.push(Case { name, project: Arc::new(project), rows, settings });
    }
    notes.extend(environment::held_back(inputs, event).map(str::to_owned));
    for note in notes {
        (host.print)(&format!("::notice title=flowgate::{}\n", workflow_message(&note)));
    }
    let engines = Engines { environments: environment::environments(host, inputs, event), ..host.engines.clone() };
    let connected = match engines.connect(inputs.backend).await {
        Ok(connected) => connected,
        Err(error) => return Ok(RunReport::without_backend(&cases, inputs.backend, &error)),
    };
    if let Some(notice) = &connected.notice {
        (host.print)(&format!("::notice title=flowgate::{}\n", workflow_message(notice)));
    }
    let options = RunOptions {
        line_timeout: Duration::from_secs(600),
        concurrency: host.parallelism,
        limits: flowgate_runtime::Limits::default(),
        boundary: Some(inputs.workspace.clone()),
    };
    let cancel = Cancel::new();
    let listener = cancel.on_signals();
    let names: Vec<String> = cases.iter().map(|case| case.name.clone()).collect();
    let show = |event: RunEvent| {
        let name = |flow: usize| names.get(flow).map_or("", String::as_str);
        let line = match event {
            RunEvent::Preparing { part: true, .. } => return,
            RunEvent::Preparing { flow, what, part: false } => format!("{}: {what}", name(flow)),
            RunEvent::Notice { flow, message } => format!("{}: {message}", name(flow)),
            RunEvent::Started { flow, lines, after } => {
                format!("{}: running {} (ready after {:.1} s)", name(flow), plural(lines, "line"), after.as_secs_f64())
            }
            RunEvent::LineFinished { .. } => return,
            RunEvent::Finished { flow, outcome } => format!("{}: {}", name(flow), run::verdict_name(outcome.verdict())),
        };
        (host.print)(&(workflow_log(&line) + "\n"));
    };
    let report = runner::run(connected.backend.as_ref(), cases, &options, &show, cancel).await;
    listener.abort();
    for (resource, source) in engines.environments.packages.identity.used() {
        (host.print)(&format!("{resource} were asked with {source}\n"));
    }
    Ok(report)
}
