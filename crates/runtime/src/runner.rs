//! Sends lines through runtimes and judges what comes back.

mod aggregate;
mod flow;
mod judge;
mod lane;

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use flowgate_flow::Project;
use flowgate_flow::data::Row;
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use crate::backend::{Backend, BackendKind, Image, Limits, Progress, Runtime, Said};
pub use crate::cancel::Cancel;
use crate::engines::Choice;
use crate::error::{RuntimeError, Stage};
use crate::event::RunEvent;
use crate::needs;
use crate::outcome::{Fault, FlowError, FlowOutcome, LineResult, Outcome, RunReport};
use crate::plan::{EnvironmentPlan, Settings, plan};
use crate::session::Session;

/// How many environments are made or used at the same time.
const ENVIRONMENTS_AT_ONCE: usize = 2;
/// How many flows run in one runtime at the same time.
const FLOWS_AT_ONCE: usize = 4;
/// What all answers of a run may take of this machine's memory, in bytes; lines beyond it fail.
const MAX_KEPT: usize = 1 << 30;

/// A flow and the rows to run it on.
#[derive(Debug, Clone)]
pub struct Case {
    /// The flow's path as the user named it.
    pub name: String,
    /// The flow.
    pub project: Arc<Project>,
    /// The rows. A flow whose inputs have defaults runs once on an empty row.
    pub rows: Vec<Row>,
    /// What its environment depends on beside it.
    pub settings: Settings,
    /// Why it is not run, where that is known beforehand; the other flows are.
    pub unusable: Option<RuntimeError>,
}

impl Case {
    /// A flow whose data or configuration cannot be used.
    pub fn unusable(name: String, project: Arc<Project>, cause: impl Into<String>) -> Self {
        let unusable = Some(RuntimeError::new(Stage::Usage, cause));
        Self { name, project, rows: Vec::new(), settings: Settings::default(), unusable }
    }
}

impl RunReport {
    /// A run that never began, because no backend could be had or else because it was cancelled: every row is there, as
    /// skipped.
    pub fn never_began(cases: &[Case], choice: Choice, error: Option<&RuntimeError>) -> Self {
        let backend = if choice == Choice::Process { BackendKind::Process } else { BackendKind::Docker };
        let skipped = |(line, row): (usize, &Map<String, Value>)| LineResult {
            line,
            outcome: Outcome::Skipped,
            inputs: row.clone(),
            output: None,
            error: None,
            duration: Duration::ZERO,
        };
        let flows = cases.iter().map(|case| FlowOutcome {
            flow: case.name.clone(),
            backend,
            key: None,
            image: None,
            error: case.unusable.as_ref().or(error).cloned().map(FlowError::Runtime),
            lines: case.rows.iter().enumerate().map(skipped).collect(),
            elapsed: Duration::ZERO,
            metrics: Map::new(),
            aggregation_error: None,
            log: String::new(),
            log_dropped: 0,
            advice: Vec::new(),
        });
        Self { flows: flows.collect(), cancelled: error.is_none(), ..Self::default() }
    }
}

/// How to run.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// How long one line may take.
    pub line_timeout: Duration,
    /// How many lines run in one runtime at the same time; `None` is one for each of its processors, or of this machine's
    /// for the process backend.
    pub concurrency: Option<NonZeroUsize>,
    /// What each runtime may use.
    pub limits: Limits,
}

impl RunOptions {
    /// How many lines run in one runtime at the same time.
    fn slots(&self, backend: BackendKind, cpus: Option<f64>) -> usize {
        self.concurrency.map_or_else(
            || match backend {
                BackendKind::Docker => (cpus.unwrap_or(self.limits.cpus).ceil() as usize).max(1),
                BackendKind::Process => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            },
            NonZeroUsize::get,
        )
    }
}

/// What the flows of one runtime share.
struct Room {
    /// One permit for each line that may be in flight.
    slots: Semaphore,
    how_many: usize,
    /// One permit for each job that the runtime has a place for.
    places: Arc<Semaphore>,
}

impl Room {
    fn new(session: &Session, slots: usize) -> Self {
        let places = session.places().unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS);
        let slots = slots.min(Semaphore::MAX_PERMITS);
        Self { slots: Semaphore::new(slots), how_many: slots, places: Arc::new(Semaphore::new(places)) }
    }
}

/// Takes the events of a run.
pub type Events<'e> = &'e (dyn Fn(RunEvent) + Send + Sync);

/// Runs every case: plans, prepares one runtime for each environment, runs the lines, and removes
/// what it started. Never fails as a whole: what went wrong stands in the outcome of its flow.
///
/// After `cancel`, lines that have not ended are skipped and the runtimes are removed before this
/// returns.
pub async fn run(
    backend: &dyn Backend,
    cases: Vec<Case>,
    options: &RunOptions,
    events: Events<'_>,
    cancel: Cancel,
) -> RunReport {
    let (began, kept) = (Instant::now(), AtomicUsize::new(MAX_KEPT));
    let run = Run { backend, cases: &cases, options, events, cancel, began, kept };
    let mut outcomes = Vec::new();
    let mut groups: Vec<(EnvironmentPlan, VecDeque<usize>)> = Vec::new();
    let mut by_key: HashMap<String, usize> = HashMap::new();
    for (index, case) in cases.iter().enumerate() {
        let plan = match &case.unusable {
            Some(error) => Err(error.clone()),
            None => plan(&case.project, &case.settings),
        };
        match plan {
            Err(error) => outcomes.push(run.never_ran(index, None, None, Some(FlowError::Runtime(error)))),
            Ok(plan) => {
                if let Some(unmet) = needs::unmet(&case.project) {
                    let fault = judge::told(unmet, backend.kind());
                    outcomes.push(run.never_ran(index, Some(&plan), None, Some(FlowError::Refused(fault))));
                    continue;
                }
                let group = *by_key.entry(plan.fingerprint()).or_insert(groups.len());
                if group == groups.len() {
                    groups.push((plan, VecDeque::new()));
                }
                groups[group].1.push_back(index);
            }
        }
    }
    let done =
        stream::iter(groups).map(|(plan, flows)| run.environment(plan, flows)).buffer_unordered(ENVIRONMENTS_AT_ONCE);
    outcomes.extend(done.collect::<Vec<_>>().await.into_iter().flatten());
    outcomes.sort_by_key(|(index, _)| *index);
    RunReport {
        flows: outcomes.into_iter().map(|(_, outcome)| outcome).collect(),
        elapsed: run.began.elapsed(),
        cancelled: run.cancel.is_cancelled(),
    }
}

/// What all parts of one run share.
struct Run<'r> {
    backend: &'r dyn Backend,
    cases: &'r [Case],
    options: &'r RunOptions,
    events: Events<'r>,
    cancel: Cancel,
    began: Instant,
    /// How many bytes of answers may still be kept.
    kept: AtomicUsize,
}

/// A flow's outcome with the index of its case.
type Indexed = (usize, FlowOutcome);

impl Run<'_> {
    /// Whether there is room to keep an answer of that weight; else why it is not kept.
    fn keep(&self, weight: usize) -> Result<(), Fault> {
        let taken = self.kept.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(weight));
        taken.map(drop).map_err(|_| {
            let message = format!(
                "the results of this run are more than {} MiB of memory, which is the most that a run keeps",
                MAX_KEPT >> 20
            );
            judge::fault("OutputTooLarge", message)
        })
    }

    /// Runs the flows of one environment. Where a worker dies, the flows that had not begun get a
    /// new one: each round takes at least one flow, so this ends.
    async fn environment(&self, plan: EnvironmentPlan, mut flows: VecDeque<usize>) -> Vec<Indexed> {
        let Some(&first) = flows.front() else { return Vec::new() };
        let tell = |said: Said<'_>| {
            (self.events)(match said {
                Said::Note(message) => RunEvent::Notice { flow: first, message: message.to_owned() },
                Said::Step(what) => RunEvent::Preparing { flow: first, what: what.to_owned(), part: false },
                Said::Part(what) => RunEvent::Preparing { flow: first, what: what.to_owned(), part: true },
            });
        };
        let progress = Progress(&tell);
        let prepared = match self.unless_cancelled(self.backend.prepare(&plan, progress)).await {
            Some(Ok(prepared)) => prepared,
            other => return self.none_ran(flows, &plan, None, other.and_then(Result::err)),
        };
        let image = prepared.image();
        if let Some(changed) = image.and_then(|image| image.changed.as_ref()) {
            (self.events)(RunEvent::Notice { flow: first, message: changed.clone() });
        }
        let mut done = Vec::new();
        while !flows.is_empty() {
            progress.step("starting the runtime");
            let runtime = match self.unless_cancelled(prepared.start(&self.options.limits)).await {
                Some(Ok(runtime)) => runtime,
                other => {
                    done.extend(self.none_ran(flows, &plan, image, other.and_then(Result::err)));
                    return done;
                }
            };
            let Runtime { session, notice, cpus, stop } = runtime;
            if let Some(message) = notice {
                (self.events)(RunEvent::Notice { flow: first, message });
            }
            let room = Room::new(&session, self.options.slots(self.backend.kind(), cpus));
            let queue = Mutex::new(flows);
            let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let lanes = (0..FLOWS_AT_ONCE).map(|_| async {
                let mut done = Vec::new();
                while session.dead().is_none()
                    && let Some(index) = next()
                {
                    done.push(self.flow(index, &session, &room, &plan, image).await);
                }
                done
            });
            let ran = join_all(lanes).await;
            done.extend(ran.into_iter().flatten());
            flows = queue.into_inner().unwrap_or_else(PoisonError::into_inner);
            // The end of its input is the order to stop.
            drop(session);
            if let Err(error) = stop.stop().await {
                (self.events)(RunEvent::Notice {
                    flow: first,
                    message: format!("The runtime could not be removed: {error}."),
                });
            }
        }
        done
    }

    fn none_ran(
        &self,
        flows: VecDeque<usize>,
        plan: &EnvironmentPlan,
        image: Option<&Image>,
        error: Option<RuntimeError>,
    ) -> Vec<Indexed> {
        let error = error.map(FlowError::Runtime);
        flows.into_iter().map(|index| self.never_ran(index, Some(plan), image, error.clone())).collect()
    }

    /// The outcome of a flow of which nothing ran: cancelled where there is no error.
    fn never_ran(
        &self,
        index: usize,
        plan: Option<&EnvironmentPlan>,
        image: Option<&Image>,
        error: Option<FlowError>,
    ) -> Indexed {
        let mut outcome = self.blank(index, plan, image);
        outcome.error = error;
        self.finish(index, outcome, Vec::new(), false)
    }

    fn blank(&self, index: usize, plan: Option<&EnvironmentPlan>, image: Option<&Image>) -> FlowOutcome {
        FlowOutcome {
            flow: self.cases.get(index).map(|case| case.name.clone()).unwrap_or_default(),
            backend: self.backend.kind(),
            key: image.map(|image| image.key.clone()).or_else(|| plan.map(EnvironmentPlan::fingerprint)),
            image: image.map(|image| image.name.clone()),
            error: None,
            lines: Vec::new(),
            elapsed: Duration::ZERO,
            metrics: serde_json::Map::new(),
            aggregation_error: None,
            log: String::new(),
            log_dropped: 0,
            advice: Vec::new(),
        }
    }

    /// `None` when it was cancelled first.
    async fn unless_cancelled<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => None,
            done = work => Some(done),
        }
    }
}
