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
mod log;
mod outputs;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flowgate_check::workspace::{self, Target, TargetError, Unit};
use flowgate_flow::data::Remark;
use flowgate_flow::load::{self, FileSystem, Within};
use flowgate_report::check::{CheckReport, Checked, display_path, plural};
use flowgate_report::{check, run};
use flowgate_runtime::engines::{Choice, Engines};
use flowgate_runtime::outcome::ExitReason;
use flowgate_runtime::runner;
use flowgate_runtime::runtimes::WarmUse;
use flowgate_runtime::{Cancel, Case, RunEvent, RunOptions, RunReport};

pub use inputs::InputError;

/// What the Action knows about the machine that it runs on.
pub struct Host {
    /// Every environment variable that is text.
    pub variables: HashMap<String, String>,
    /// The working directory, for what the workflow does not say.
    pub working_directory: PathBuf,
    /// The engines of this machine.
    pub engines: Engines,
    /// Stops the run.
    pub cancel: Cancel,
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
            host.error(&error.to_string());
            ExitReason::Usage.code()
        }
    }
}

async fn act(host: &Host) -> Result<u8, InputError> {
    let inputs = inputs::read(&host.variables, &host.working_directory)?;
    let event = event::read(&host.variables);
    if let Some(note) = &event.note {
        host.notice(note);
    }
    if event.untrusted && inputs.backend == Choice::Process {
        return Err(InputError(
            "this code is untrusted, and the process backend has no sandbox; use `backend: docker`".to_owned(),
        ));
    }

    let fs = Within::new(&inputs.workspace, "the repository").map_err(|error| {
        InputError(format!("GITHUB_WORKSPACE: cannot read {}: {error}", inputs.workspace.display()))
    })?;
    if let Err(error) = outputs::probe(&inputs) {
        host.error(&error);
        return Ok(ExitReason::Infrastructure.code());
    }
    let (checked, targets) = check_all(host, &inputs, &fs)?;
    host.commands(&check::github::render(&checked));
    let ran = if targets.is_empty() {
        host.notice("there is no flow to run");
        None
    } else {
        Some(run_all(host, &inputs, &event, &fs, &targets).await)
    };
    if let Some(ran) = &ran {
        let file = inputs.report.display().to_string();
        host.say(run::terminal::render(ran, Some(&file)).trim_end_matches('\n'));
        host.commands(&run::github::render(ran));
    }

    let findings = inputs.fail_on.is_some_and(|level| checked.worst() >= Some(level)).then_some(ExitReason::Findings);
    let reason = ExitReason::worst(ran.as_ref().map(RunReport::exit_reason).into_iter().chain(findings));
    let written = outputs::write(&inputs, reason, &checked, ran.as_ref());
    Ok(match written {
        Ok(()) => reason.code(),
        Err(failed) => {
            failed.iter().for_each(|error| host.error(error));
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
        // Flows that moved must not turn a workflow green for ever.
        if found.targets.is_empty() && found.excluded.is_empty() {
            return Err(InputError(format!("input `flows`: {path}: no flow.dag.yaml or flow.flex.yaml was found")));
        }
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
) -> RunReport {
    let mut cases = Vec::new();
    let mut notes = BTreeSet::new();
    for flow in flows {
        let project = load::load_project(fs, flow);
        let name = display_path(flow, &inputs.workspace);
        for barred in project.barred.iter().filter(|barred| !barred.keeps_from_running()) {
            host.say(&format!("{name}: {}, and is not sent into the runtime", barred.message()));
        }
        let settings = environment::settings(host, inputs, event, fs, &project.folder);
        let sampled = load::sample_rows(fs, &project);
        let project = Arc::new(project);
        cases.push(match (sampled, settings) {
            (Ok(sample), Ok((settings, note))) => {
                for remark in &sample.remarks {
                    match remark {
                        Remark::Note(text) => host.say(&format!("{name}: {text}")),
                        Remark::Warning(text) => host.warning(&format!("{name}: {text}")),
                    }
                }
                notes.extend(note);
                Case { name, project, rows: sample.rows, settings, unusable: None }
            }
            (Err(cause), _) => Case::unusable(name, project, cause),
            (_, Err(error)) => Case::unusable(name, project, error.to_string()),
        });
    }
    notes.extend(environment::held_back(inputs, event).map(str::to_owned));
    for note in notes {
        host.notice(&note);
    }
    // Each run starts its own runtime, also where a self-hosted runner has a warm one.
    let environments = environment::environments(host, inputs, event);
    let engines = Engines { environments, warm_use: WarmUse::Never, ..host.engines.clone() };
    if let Some(error) = cases.iter().map(|case| case.unusable.as_ref()).collect::<Option<Vec<_>>>() {
        return RunReport::never_began(&cases, inputs.backend, error.first().copied());
    }
    let connected = tokio::select! {
        biased;
        () = host.cancel.cancelled() => return RunReport::never_began(&cases, inputs.backend, None),
        connected = engines.connect(inputs.backend) => match connected {
            Ok(connected) => connected,
            Err(error) => return RunReport::never_began(&cases, inputs.backend, Some(&error)),
        },
    };
    if let Some(notice) = &connected.notice {
        host.notice(notice);
    }
    let options = RunOptions {
        line_timeout: Duration::from_secs(600),
        concurrency: None,
        limits: flowgate_runtime::Limits::default(),
    };
    let names: Vec<String> = cases.iter().map(|case| case.name.clone()).collect();
    let show = |event: RunEvent| {
        let name = |flow: usize| names.get(flow).map_or("", String::as_str);
        let line = match event {
            RunEvent::Preparing { part: true, .. } => return,
            RunEvent::Preparing { flow, what, part: false } => format!("{}: {what}", name(flow)),
            RunEvent::Notice { flow, message } => format!("{}: {message}", name(flow)),
            RunEvent::Started { flow, lines, after } => {
                format!("{}: running {} (ready after {:.1} s)", name(flow), plural(lines, "row"), after.as_secs_f64())
            }
            RunEvent::LineFinished { .. } => return,
            RunEvent::Finished { flow, outcome } => format!("{}: {}", name(flow), run::verdict_name(outcome.verdict())),
        };
        host.say(&line);
    };
    let report = runner::run(connected.backend.as_ref(), cases, &options, &show, host.cancel.clone()).await;
    for (resource, source) in engines.environments.packages.identity.used() {
        host.say(&format!("{resource} were asked with {source}"));
    }
    report
}
