//! `flowgate run`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flowgate_flow::load::{self, Disk};
use flowgate_flow::{Project, data};
use flowgate_report::check::display_path;
use flowgate_report::escape;
use flowgate_report::run::{advice, json, terminal};
use flowgate_runtime::engines::Choice;
use flowgate_runtime::runner::{Cancel, run as run_cases};
use flowgate_runtime::{Case, RunOptions, RunReport, Verdict};

use super::{Failure, block_on, print, say_identity};
use crate::args::{BackendChoice, RunArguments};
use crate::places::Places;
use crate::status::Status;

mod progress;

pub(super) fn run(arguments: &RunArguments) -> Result<u8, Failure> {
    let places = Places::of_this_process()?.making(&arguments.making);
    let cases = cases(arguments, &places)?;
    if let Some(report) = &arguments.report {
        // A run of an hour must not end with "no such folder".
        let folder = report.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            return Err(Failure::usage(format!(
                "--report {}: there is no folder {}",
                report.display(),
                folder.display()
            )));
        }
    }
    let projects: Vec<Arc<Project>> = cases.iter().map(|case| Arc::clone(&case.project)).collect();
    let mut report = block_on(execute(arguments, &places, cases))??;
    for (flow, project) in report.flows.iter_mut().zip(projects) {
        if flow.verdict() != Verdict::Passed {
            flow.advice = advice::of_run(flow, &project, &super::findings(&project));
        }
    }
    if let Some(path) = &arguments.report {
        let text = json::render(&report).map_err(|error| Failure::infrastructure(error.to_string()))?;
        write(path, &text)
            .map_err(|error| Failure::infrastructure(format!("cannot write {}: {error}", path.display())))?;
    }
    print(&terminal::render(&report, terminal::Sink::Terminal))?;
    Ok(report.exit_reason().code())
}

/// The flows to run, each with its rows.
fn cases(arguments: &RunArguments, places: &Places) -> Result<Vec<Case>, Failure> {
    let mut flows: Vec<PathBuf> = Vec::new();
    for path in &arguments.paths {
        flows.extend(super::flows(&places.working_directory.join(path), &path.display().to_string())?);
    }
    flows.sort();
    flows.dedup();
    if arguments.data.is_some() && flows.len() > 1 {
        return Err(Failure::usage(format!("--data belongs to one flow, and there are {}; name one", flows.len())));
    }
    flows.iter().map(|flow| case(arguments, places, flow)).collect()
}

fn case(arguments: &RunArguments, places: &Places, flow: &Path) -> Result<Case, Failure> {
    let project = load::load_project(&Disk, flow);
    let name = display_path(flow, &places.working_directory);
    for (input, _) in &arguments.inputs {
        let known =
            |f: &flowgate_flow::project::FlowFile| f.flow.flex || f.flow.inputs.iter().any(|i| i.name.value == *input);
        if !project.flow.as_ref().is_some_and(known) {
            return Err(Failure::usage(format!("--inputs {input}: {name} has no input of that name")));
        }
    }
    let (mut rows, notice) = match &arguments.data {
        Some(path) => (load::read_rows(&places.working_directory.join(path)).map_err(Failure::usage)?, None),
        None if arguments.inputs.is_empty() => load::sample_rows(&Disk, &project).map_err(Failure::usage)?,
        None => (vec![data::Row::new()], None),
    };
    if rows.is_empty() {
        let path = arguments.data.as_ref().map_or(String::new(), |path| path.display().to_string());
        return Err(Failure::usage(format!("{path}: there is no row to run")));
    }
    if let Some(notice) = notice {
        anstream::eprintln!("note: {name}: {}", escape::terminal(&notice));
    }
    for row in &mut rows {
        for (input, value) in &arguments.inputs {
            row.insert(input.clone(), serde_json::Value::String(value.clone()));
        }
    }
    let settings = places.settings(&project.folder)?;
    Ok(Case { name, project: Arc::new(project), rows, settings })
}

async fn execute(arguments: &RunArguments, places: &Places, cases: Vec<Case>) -> Result<RunReport, Failure> {
    let choice = match arguments.backend {
        BackendChoice::Auto => Choice::Auto,
        BackendChoice::Docker => Choice::Docker,
        BackendChoice::Process => Choice::Process,
    };
    let connected = match places.engines.connect(choice).await {
        Ok(connected) => connected,
        // The report is written also when no line ran.
        Err(error) => return Ok(RunReport::without_backend(&cases, choice, &error)),
    };
    if let Some(notice) = &connected.notice {
        anstream::eprintln!("note: {}", escape::terminal(notice));
    }
    let options = RunOptions {
        line_timeout: Duration::from_secs(arguments.line_timeout),
        concurrency: std::thread::available_parallelism().map_or(1, usize::from),
        limits: flowgate_runtime::Limits::default(),
        boundary: None,
    };
    let cancel = Cancel::new();
    let listener = cancel.on_signals();
    let names: Vec<String> = cases.iter().map(|case| case.name.clone()).collect();
    let progress = progress::Progress::new(names, Status::new(Places::is_live()));
    let report = run_cases(connected.backend.as_ref(), cases, &options, &|event| progress.event(&event), cancel).await;
    listener.abort();
    drop(progress);
    say_identity(&places.engines.environments.packages.identity);
    Ok(report)
}

/// Writes a file whole or not at all.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let written = std::fs::write(&temporary, text).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}
