//! `flowgate run`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flowgate_flow::data::{self, Remark};
use flowgate_flow::load::{self, Within};
use flowgate_flow::{Project, suggest};
use flowgate_report::check::display_path;
use flowgate_report::run::{advice, json, terminal};
use flowgate_runtime::engines::Choice;
use flowgate_runtime::outcome::ExitReason;
use flowgate_runtime::runner::run as run_cases;
use flowgate_runtime::runtimes::WarmUse;
use flowgate_runtime::{Cancel, Case, RunOptions, RunReport, Verdict};
use tokio::sync::oneshot;

use self::report::Destination;
use super::{Failure, block_on, listen, say_identity};
use crate::args::{BackendChoice, RunArguments};
use crate::places::Places;
use crate::say::{self, Text};
use crate::status::Status;

mod progress;
mod report;

pub(super) fn run(arguments: &RunArguments) -> Result<u8, Failure> {
    let cancel = listen()?;
    if arguments.on.compute.is_some() && arguments.backend == BackendChoice::Process {
        return Err(Failure {
            hint: Some("leave out one of them".to_owned()),
            ..Failure::usage("`--compute` names a Docker engine, and `--backend process` uses none")
        });
    }
    let mut places = Places::of_this_process()?.making(&arguments.making).on(&arguments.on)?;
    places.engines.warm_use = if arguments.keep { WarmUse::Start } else { WarmUse::IfRunning };
    let destination = arguments.report.as_deref().map(Destination::of).transpose()?;
    let boundary = super::within(&places.working_directory, &arguments.paths);
    let cases = match read(arguments, &places, &cancel)? {
        Read::Cancelled => Vec::new(),
        Read::Defaults => cases(arguments, &places, &boundary, None)?,
        Read::Data(data) => cases(arguments, &places, &boundary, Some(data))?,
    };
    let projects: Vec<Arc<Project>> = cases.iter().map(|case| Arc::clone(&case.project)).collect();
    let (report, written) = block_on(async {
        let mut report = execute(arguments, &places, cases, &cancel).await;
        for (flow, project) in report.flows.iter_mut().zip(projects) {
            if flow.verdict() != Verdict::Passed {
                flow.advice = advice::of_run(flow, &project, &super::findings(&boundary, &project));
            }
        }
        let written = match &destination {
            Some(destination) => match json::render(&report) {
                Ok(text) => destination.write(&text, &places.temporary, &cancel).await,
                Err(error) => Err(Failure::infrastructure(error.to_string())),
            },
            None => Ok(()),
        };
        (report, written)
    })?;
    let file = arguments.report.as_ref().map(|path| path.display().to_string());
    let text = terminal::render(&report, file.as_deref());
    let printed = match destination {
        Some(Destination::StandardOutput) => {
            say::lines(&text);
            Ok(())
        }
        _ => say::print(&text, Text::People),
    };
    let mut reason = report.exit_reason();
    for failure in [written, printed].into_iter().filter_map(Result::err) {
        say::failure(&failure);
        reason = ExitReason::worst([reason, ExitReason::Infrastructure]);
    }
    Ok(reason.code())
}

/// What `--data` gave.
enum Read {
    /// It was not given.
    Defaults,
    Data(io::Result<Vec<u8>>),
    Cancelled,
}

/// Reads the data set on a thread of its own: a pipe may never end, and a signal must.
fn read(arguments: &RunArguments, places: &Places, cancel: &Cancel) -> Result<Read, Failure> {
    let Some(path) = &arguments.data else { return Ok(Read::Defaults) };
    let standard_input = cfg!(unix) && path.as_os_str() == "-";
    let path = if standard_input { PathBuf::from("/dev/stdin") } else { places.working_directory.join(path) };
    let (send, receive) = oneshot::channel();
    let reading = std::thread::Builder::new().name("data".to_owned()).spawn(move || send.send(load::read_data(&path)));
    reading.map_err(|error| Failure::infrastructure(format!("cannot start a thread: {error}")))?;
    super::block_on_this_thread(async {
        tokio::select! {
            biased;
            () = cancel.cancelled() => Read::Cancelled,
            read = receive => Read::Data(read.unwrap_or_else(|error| Err(io::Error::other(error)))),
        }
    })
}

/// The flows to run, each with its rows.
fn cases(
    arguments: &RunArguments,
    places: &Places,
    boundary: &Within,
    mut data: Option<io::Result<Vec<u8>>>,
) -> Result<Vec<Case>, Failure> {
    let mut flows: Vec<PathBuf> = Vec::new();
    for path in &arguments.paths {
        flows.extend(super::flows(&places.working_directory.join(path), &path.display().to_string())?);
    }
    flows.sort();
    flows.dedup();
    if arguments.data.is_some() && flows.len() > 1 {
        return Err(Failure::usage(format!("--data belongs to one flow, and there are {}; name one", flows.len())));
    }
    flows.iter().map(|flow| case(arguments, places, boundary, flow, data.take())).collect()
}

fn case(
    arguments: &RunArguments,
    places: &Places,
    boundary: &Within,
    flow: &Path,
    data: Option<io::Result<Vec<u8>>>,
) -> Result<Case, Failure> {
    let project = load::load_project(boundary, flow);
    let name = display_path(flow, &places.working_directory);
    super::say_if_not_text(flow, &places.working_directory);
    let has = project.flow.iter().flat_map(|file| &file.flow.inputs).map(|input| input.name.value.as_str());
    let has: Vec<&str> = has.collect();
    for (input, _) in &arguments.inputs {
        if !has.contains(&input.as_str()) && !project.flow.as_ref().is_some_and(|file| file.flow.flex) {
            let meant = suggest::nearest(input, has.iter().copied());
            let failure = Failure::usage(format!("--inputs {input}: {name} has no input of that name"));
            return Err(Failure { hint: meant.map(|meant| format!("did you mean `{meant}`?")), ..failure });
        }
    }
    let given: Vec<&str> = arguments.inputs.iter().map(|(input, _)| input.as_str()).collect();
    let load::Sample { mut rows, remarks } = match data {
        Some(read) => {
            let name = arguments.data.as_deref().unwrap_or(Path::new("-")).display().to_string();
            load::data_rows(&name, read, &project, &given).map_err(Failure::usage)?
        }
        None if given.is_empty() => match load::sample_rows(boundary, &project) {
            Ok(sample) => sample,
            Err(cause) => return Ok(Case::unusable(name, Arc::new(project), cause)),
        },
        None => load::Sample { rows: vec![data::Row::new()], ..load::Sample::default() },
    };
    for remark in remarks {
        match remark {
            Remark::Note(text) => say::note(&format!("{name}: {text}")),
            Remark::Warning(text) => say::line(&format!("warning: {name}: {text}")),
        }
    }
    for barred in project.barred.iter().filter(|barred| !barred.keeps_from_running()) {
        say::note(&format!("{name}: {}, and is not sent into the runtime", barred.message()));
    }
    for row in &mut rows {
        for (input, value) in &arguments.inputs {
            row.insert(input.clone(), serde_json::Value::String(value.clone()));
        }
    }
    Ok(match places.settings(boundary, &project.folder) {
        Ok(settings) => Case { name, project: Arc::new(project), rows, settings, unusable: None },
        Err(failure) => Case::unusable(name, Arc::new(project), failure.message),
    })
}

async fn execute(arguments: &RunArguments, places: &Places, cases: Vec<Case>, cancel: &Cancel) -> RunReport {
    let choice = match arguments.backend {
        BackendChoice::Auto => Choice::Auto,
        BackendChoice::Docker => Choice::Docker,
        BackendChoice::Process => Choice::Process,
    };
    // The report is written also when no line ran.
    if let Some(error) = cases.iter().map(|case| case.unusable.as_ref()).collect::<Option<Vec<_>>>() {
        return RunReport::never_began(&cases, choice, error.first().copied());
    }
    let connected = tokio::select! {
        biased;
        () = cancel.cancelled() => return RunReport::never_began(&cases, choice, None),
        connected = places.engines.connect(choice) => match connected {
            Ok(connected) => connected,
            Err(error) => return RunReport::never_began(&cases, choice, Some(&error)),
        },
    };
    if let Some(notice) = &connected.notice {
        say::note(notice);
    }
    let options = RunOptions {
        line_timeout: Duration::from_secs(arguments.line_timeout),
        concurrency: arguments.concurrency,
        limits: flowgate_runtime::Limits::default(),
    };
    let names: Vec<String> = cases.iter().map(|case| case.name.clone()).collect();
    let progress = progress::Progress::new(names, Status::new(Places::is_live()));
    let report =
        run_cases(connected.backend.as_ref(), cases, &options, &|event| progress.event(&event), cancel.clone()).await;
    drop(progress);
    say_identity(&places.engines.environments.packages.identity);
    report
}
