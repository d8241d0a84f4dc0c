//! One flow through one session: load it, run its lines, aggregate.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flowgate_flow::data::Row;
use futures_util::future::join_all;
use serde_json::{Map, Value};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, timeout};

use super::judge::{self, Judged};
use super::{Indexed, Room, Run};
use crate::backend::{BackendKind, Image};
use crate::error::{RuntimeError, Stage};
use crate::event::RunEvent;
use crate::log::LOG_BYTES;
use crate::outcome::{Fault, FlowError, FlowOutcome, LineResult, Outcome};
use crate::pack::{self, Archive};
use crate::plan::EnvironmentPlan;
use crate::session::{Captured, Channel, ChannelError, Session};
use crate::wire::{Ended, JobLimits, LineBody, Loaded};

/// What a job may send: one answer, and all of its output. The latter is above [`LOG_BYTES`], so
/// that the count of dropped bytes is right for all but the loudest.
const JOB_LIMITS: JobLimits = JobLimits { result_bytes: 8 << 20, output_bytes: 1 << 20 };
/// The least time that a flow has to load: imports take long on a cold disk. `--line-timeout` can only give it more.
const LOAD_TIMEOUT: Duration = Duration::from_secs(60);
/// The least time that an aggregation has: it works on all lines at once.
pub(super) const AGGREGATION_TIMEOUT: Duration = Duration::from_secs(600);

/// Where one flow runs.
#[derive(Clone, Copy)]
pub(super) struct Inside<'r> {
    pub(super) index: usize,
    pub(super) session: &'r Session,
    pub(super) room: &'r Room,
}

/// Why nothing further runs in a flow.
pub(super) enum Halt {
    Cancelled,
    /// This run has all places of the runtime.
    Full,
    Error(FlowError),
}

/// A job that has loaded the flow.
pub(super) struct Job {
    pub(super) channel: Channel,
    /// How many lines it completed.
    pub(super) completed: usize,
    /// That it has a place in the runtime.
    _place: OwnedSemaphorePermit,
}

/// What the lanes of one flow share.
pub(super) struct Lines<'c> {
    pub(super) rows: &'c [Row],
    backend: BackendKind,
    next: usize,
    /// How many lanes there are still to run lines.
    pub(super) lanes: usize,
    /// The job of a lane that has no more to do, for the aggregation: the one that completed most lines.
    pub(super) kept: Option<Job>,
    /// Whether no line is left to take: who waits for a place waits for nothing then.
    pub(super) exhausted: watch::Sender<bool>,
    pub(super) results: Vec<Option<LineResult>>,
    pub(super) keeps_aggregation_inputs: bool,
    /// By line, for the completed ones.
    pub(super) aggregation_inputs: Vec<(usize, Map<String, Value>)>,
    pub(super) halted: Option<Halt>,
    log: Captured,
}

pub(super) type Shared<'c> = Mutex<Lines<'c>>;

pub(super) fn lock<'l, 'c>(lines: &'l Shared<'c>) -> MutexGuard<'l, Lines<'c>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lines<'_> {
    pub(super) fn take(&mut self) -> Option<usize> {
        let line = self.next;
        if self.halted.is_some() || line >= self.rows.len() {
            return None;
        }
        self.next += 1;
        if self.next == self.rows.len() {
            self.exhausted.send_replace(true);
        }
        Some(line)
    }

    pub(super) fn halt(&mut self, halt: Halt) {
        self.halted.get_or_insert(halt);
        self.exhausted.send_replace(true);
    }

    /// Whether the lines ran to their end and one completed.
    fn can_aggregate(&self) -> bool {
        self.halted.is_none() && !self.aggregation_inputs.is_empty()
    }

    pub(super) fn hear(&mut self, text: &[u8], dropped: u64) {
        let room = LOG_BYTES.saturating_sub(self.log.bytes.len()).min(text.len());
        self.log.bytes.extend(&text[..room]);
        self.log.dropped = self.log.dropped.saturating_add((text.len() - room) as u64).saturating_add(dropped);
    }

    /// What nodes print is in their records.
    pub(super) fn hear_nodes(&mut self, nodes: &Map<String, Value>) {
        for node in nodes.values() {
            for stream in ["stdout", "stderr"] {
                if let Some(text) = node.get(stream).and_then(Value::as_str) {
                    self.hear(text.as_bytes(), 0);
                }
            }
        }
    }

    pub(super) fn hear_job(&mut self, channel: &Channel) {
        let captured = channel.output().take();
        self.hear(&captured.bytes, captured.dropped);
    }

    /// Judges an answer and keeps what the aggregation needs of it.
    pub(super) fn keep(&mut self, line: usize, mut body: LineBody) -> Judged {
        let aggregation_inputs = std::mem::take(&mut body.aggregation_inputs);
        let judged = judge::line(body, self.backend);
        if judged.outcome == Outcome::Passed && self.keeps_aggregation_inputs {
            self.aggregation_inputs.push((line, aggregation_inputs));
        }
        judged
    }

    pub(super) fn hear_end(&mut self, ended: &Ended) {
        self.hear(&[], ended.output_dropped);
    }
}

impl Run<'_> {
    pub(super) async fn flow(
        &self,
        index: usize,
        session: &Session,
        room: &Room,
        plan: &EnvironmentPlan,
        image: Option<&Image>,
    ) -> Indexed {
        let inside = Inside { index, session, room };
        let mut outcome = self.blank(index, Some(plan), image);
        let rows = self.cases.get(index).map_or(&[][..], |case| &case.rows);
        let lines = Mutex::new(Lines {
            rows,
            backend: self.backend.kind(),
            next: 0,
            lanes: 0,
            kept: None,
            exhausted: watch::Sender::new(false),
            results: vec![None; rows.len()],
            keeps_aggregation_inputs: false,
            aggregation_inputs: Vec::new(),
            halted: None,
            log: Captured::default(),
        });
        let begun = match self.begin(inside, &lines).await {
            Err(halt) => {
                lock(&lines).halt(halt);
                false
            }
            Ok((archive, job, loaded)) => {
                (self.events)(RunEvent::Started { flow: index, lines: rows.len(), after: self.began.elapsed() });
                lock(&lines).keeps_aggregation_inputs = loaded.has_aggregation;
                let started = Instant::now();
                let count = room.how_many.clamp(1, rows.len().max(1));
                lock(&lines).lanes = count;
                let mut first = Some(job);
                let lanes = (0..count).map(|_| self.lane(inside, &archive, first.take(), &lines));
                join_all(lanes).await;
                outcome.elapsed = started.elapsed();
                let mut job = lock(&lines).kept.take();
                if loaded.has_aggregation && lock(&lines).can_aggregate() {
                    if job.is_none() {
                        match self.open(inside, &archive, &lines, true).await {
                            Ok((opened, _)) => job = Some(opened),
                            Err(halt) => lock(&lines).halt(halt),
                        }
                    }
                    if let Some(job) = &mut job {
                        self.aggregate(job, &loaded, &lines, &mut outcome).await;
                    }
                }
                if let Some(job) = job {
                    self.close(job, &lines).await;
                }
                true
            }
        };
        let lines = lines.into_inner().unwrap_or_else(PoisonError::into_inner);
        outcome.log = String::from_utf8_lossy(&lines.log.bytes).into_owned();
        outcome.log_dropped = lines.log.dropped;
        outcome.error = match lines.halted {
            Some(Halt::Error(error)) => Some(error),
            Some(Halt::Cancelled | Halt::Full) | None => None,
        };
        self.finish(index, outcome, lines.results, begun)
    }

    /// Gives every row a result, and tells that the flow has ended.
    pub(super) fn finish(
        &self,
        index: usize,
        mut outcome: FlowOutcome,
        results: Vec<Option<LineResult>>,
        begun: bool,
    ) -> Indexed {
        let rows = self.cases.get(index).map_or(&[][..], |case| &case.rows);
        let rest = match &outcome.error {
            Some(FlowError::Runtime(_)) if begun => Outcome::Skipped,
            Some(error) if error.needs_connection() => Outcome::Skipped,
            Some(_) => Outcome::Errored,
            None => Outcome::Skipped,
        };
        let why = outcome.error.as_ref().map(judge::of_flow);
        let mut results = results.into_iter();
        outcome.lines = rows
            .iter()
            .enumerate()
            .map(|(line, inputs)| {
                results.next().flatten().unwrap_or_else(|| LineResult {
                    line,
                    outcome: rest,
                    inputs: inputs.clone(),
                    output: None,
                    error: why.clone(),
                    duration: Duration::ZERO,
                })
            })
            .collect();
        (self.events)(RunEvent::Finished { flow: index, outcome: Box::new(outcome.clone()) });
        (index, outcome)
    }

    async fn begin(&self, inside: Inside<'_>, lines: &Shared<'_>) -> Result<(Arc<Archive>, Job, Loaded), Halt> {
        let Some(case) = self.cases.get(inside.index) else { return Err(Halt::Cancelled) };
        let (project, boundary) = (Arc::clone(&case.project), case.settings.boundary.clone());
        let pack = move || pack::pack(&project, boundary.as_ref()).map(Archive::new);
        let packing = tokio::task::spawn_blocking(pack);
        let archive = match self.unless_cancelled(packing).await {
            None => return Err(Halt::Cancelled),
            Some(Ok(packed)) => Arc::new(packed.map_err(Halt::Error)?),
            Some(Err(error)) => {
                let error = RuntimeError::new(Stage::Infrastructure, format!("packing the flow broke off: {error}"));
                return Err(Halt::Error(FlowError::Runtime(error)));
            }
        };
        let (job, loaded) = self.open(inside, &archive, lines, true).await?;
        Ok((archive, job, loaded))
    }

    /// Opens a job and waits until it has loaded the flow. Where this runtime's places are taken by this run, it waits
    /// for one, or else gives up without an error.
    pub(super) async fn open(
        &self,
        inside: Inside<'_>,
        archive: &Archive,
        lines: &Shared<'_>,
        waits: bool,
    ) -> Result<(Job, Loaded), Halt> {
        let Inside { index, session, room } = inside;
        let places = Arc::clone(&room.places);
        let place = match waits {
            true => self.unless_cancelled(places.acquire_owned()).await.and_then(Result::ok).ok_or(Halt::Cancelled)?,
            false => places.try_acquire_owned().map_err(|_| Halt::Full)?,
        };
        let refused = |fault: Fault| Halt::Error(FlowError::Refused(fault));
        let file = self.cases.get(index).and_then(|case| case.project.flow_file_name()).unwrap_or("flow.dag.yaml");
        let limit = self.options.line_timeout.max(LOAD_TIMEOUT);
        let load = async {
            let mut channel = match session.open(file, archive, JOB_LIMITS, None).await {
                Ok(channel) => channel,
                Err(error) => return (None, Some(Err(error))),
            };
            let waits = || {
                let message = "All places of the runtime are taken: waiting for one.".to_owned();
                (self.events)(RunEvent::Notice { flow: index, message });
            };
            let loaded = match channel.opened(archive, limit, waits).await {
                Ok(()) => timeout(limit, channel.loaded()).await.ok(),
                Err(error) => Some(Err(error)),
            };
            (Some(channel), loaded)
        };
        let Some((channel, loaded)) = self.unless_cancelled(load).await else { return Err(Halt::Cancelled) };
        if let Some(channel) = &channel {
            lock(lines).hear_job(channel);
        }
        match (channel, loaded) {
            (Some(channel), Some(Ok(loaded))) => match loaded.error {
                Some(error) => Err(refused(judge::told(error, self.backend.kind()))),
                None => Ok((Job { channel, completed: 0, _place: place }, loaded)),
            },
            (_, Some(Err(ChannelError::Worker(error)))) => Err(Halt::Error(FlowError::Runtime(error))),
            (_, Some(Err(ChannelError::Ended(ended)))) if ended.reason == "refused" => {
                let message = format!("the runtime has no room for another process of a flow: {}", ended.detail);
                let hint = match ended.detail.contains("cannot be started") {
                    true => "a flow may start too many processes; run fewer flows at once",
                    false => "its disk may be full: a flow may be too large, or have left too much",
                };
                Err(Halt::Error(FlowError::Runtime(RuntimeError::new(Stage::Runtime, message).with_hint(hint))))
            }
            (_, Some(Err(ChannelError::Ended(ended)))) => {
                lock(lines).hear_end(&ended);
                Err(refused(judge::ended_early(&ended, "while it loaded the flow")))
            }
            (_, Some(Err(ChannelError::Protocol(what)))) => Err(refused(judge::violation(&what))),
            (_, Some(Err(ChannelError::TooHeavy(weight)))) => Err(refused(judge::too_heavy(weight))),
            (_, Some(Err(ChannelError::TooLarge(_)))) | (None, _) => {
                Err(refused(judge::fault("FlowTooLarge", "the flow file's name does not fit into a frame")))
            }
            (Some(_), None) => Err(refused(judge::fault(
                "FlowLoadTimeoutError",
                format!(
                    "the flow did not load within {}; a longer --line-timeout gives it longer",
                    judge::seconds(limit)
                ),
            ))),
        }
    }
}
