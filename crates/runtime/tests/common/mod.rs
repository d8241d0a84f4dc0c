//! Flows on the disk and cases for them.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flowgate_flow::load::{Within, load_project};
use flowgate_runtime::backend::Limits;
use flowgate_runtime::plan::Settings;
use flowgate_runtime::{
    Backend, Cancel, Case, FlowOutcome, LineResult, Outcome, RunEvent, RunOptions, RunReport, runner,
};
use serde_json::{Value, json};

/// A folder of its own for one test, removed at its end.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    /// An empty one.
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("flowgate-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = Self(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name));
        std::fs::create_dir_all(&folder.0).unwrap();
        folder
    }

    /// Writes files, given by path and text.
    pub(crate) fn with(self, files: &[(&str, &str)]) -> Self {
        for (name, text) in files {
            let path = self.0.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        self
    }

    /// A case of the flow in one of its folders.
    pub(crate) fn case(&self, flow: &str, rows: Value) -> Case {
        let rows = rows.as_array().unwrap().iter().map(|row| row.as_object().unwrap().clone()).collect();
        // Flows include what is beside them.
        let within = Within::of_named([self.0.as_path()]);
        let project = load_project(&within, &self.0.join(flow).join("flow.dag.yaml"));
        let settings = Settings { boundary: Some(within), ..Settings::default() };
        Case { name: flow.to_owned(), project: Arc::new(project), rows, settings, unusable: None }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Options for a run with that many lines at a time.
pub(crate) fn options(line_timeout: Duration, concurrency: usize) -> RunOptions {
    RunOptions { line_timeout, concurrency: NonZeroUsize::new(concurrency), limits: Limits::default() }
}

/// Runs, and keeps the events.
pub(crate) async fn run(
    backend: &dyn Backend,
    cases: Vec<Case>,
    options: &RunOptions,
    cancel: &Cancel,
) -> (RunReport, Vec<RunEvent>) {
    let events = Mutex::new(Vec::new());
    let keep = |event: RunEvent| events.lock().unwrap().push(event);
    let report = runner::run(backend, cases, options, &keep, cancel.clone()).await;
    (report, events.into_inner().unwrap())
}

/// The outcomes of a flow's lines; the counts must add up.
pub(crate) fn outcomes(flow: &FlowOutcome) -> Vec<Outcome> {
    let lines: Vec<usize> = flow.lines.iter().map(|line| line.line).collect();
    assert_eq!(lines, (0..lines.len()).collect::<Vec<_>>());
    flow.lines.iter().map(|line| line.outcome).collect()
}

/// The type of a line's error, or `""`.
pub(crate) fn error(line: &LineResult) -> &str {
    line.error.as_ref().map_or("", |fault| fault.r#type.as_str())
}

/// That many rows: `{"x": 0}`, `{"x": 1}`, ...
pub(crate) fn rows(count: usize) -> Value {
    (0..count).map(|x| json!({ "x": x })).collect()
}
