//! One flow through one session: load it, run its lines, aggregate.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flowgate_flow::data::Row;
use futures_util::future::join_all;
use serde_json::{Map, Value};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};

use super::judge::{self, Judged};
use super::{Indexed, RESULTS_BYTES, Room, Run};
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

/// How long a job may take to leave by itself.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Where one flow runs.
#[derive(Clone, Copy)]
pub(super) struct Inside<'r> {
    index: usize,
    session: &'r Session,
    room: &'r Room,
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
    /// Lines that were taken and given back.
    returned: Vec<usize>,
    /// How many lanes there are still to run lines.
    lanes: usize,
    results: Vec<Option<LineResult>>,
    room: usize,
    keeps_aggregation_inputs: bool,
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
    fn take(&mut self) -> Option<usize> {
        if self.halted.is_some() {
            return None;
        }
        if let Some(line) = self.returned.pop() {
            return Some(line);
        }
        let line = self.next;
        self.next += usize::from(line < self.rows.len());
        Some(line).filter(|line| *line < self.rows.len())
    }

    pub(super) fn halt(&mut self, halt: Halt) {
        self.halted.get_or_insert(halt);
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
    fn keep(&mut self, line: usize, mut body: LineBody, size: usize) -> Judged {
        let Some(room) = self.room.checked_sub(size) else {
            let message = format!(
                "the results of the flow are more than {} MiB of JSON, which is the most that a run keeps",
                RESULTS_BYTES >> 20
            );
            return Judged::wrong(Outcome::Failed, judge::fault("OutputTooLarge", message));
        };
        self.room = room;
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
        image: &Image,
    ) -> Indexed {
        let place = Inside { index, session, room };
        let mut outcome = self.blank(index, Some(plan), Some(image));
        let rows = self.cases.get(index).map_or(&[][..], |case| &case.rows);
        let lines = Mutex::new(Lines {
            rows,
            backend: self.backend.kind(),
            next: 0,
            returned: Vec::new(),
            lanes: 0,
            results: vec![None; rows.len()],
            room: RESULTS_BYTES,
            keeps_aggregation_inputs: false,
            aggregation_inputs: Vec::new(),
            halted: None,
            log: Captured::default(),
        });
        let begun = match self.begin(place, &lines).await {
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
                let lanes = (0..count).map(|_| self.lane(place, &archive, first.take(), &lines));
                let mut jobs: Vec<Job> = join_all(lanes).await.into_iter().flatten().collect();
                outcome.elapsed = started.elapsed();
                if loaded.has_aggregation && lock(&lines).can_aggregate() {
                    if jobs.is_empty() {
                        match self.open(place, &archive, &lines, true).await {
                            Ok((job, _)) => jobs.push(job),
                            Err(halt) => lock(&lines).halt(halt),
                        }
                    }
                    if let Some(job) = jobs.iter_mut().max_by_key(|job| job.completed) {
                        self.aggregate(job, &loaded, &lines, &mut outcome).await;
                    }
                }
                let ends = join_all(jobs.into_iter().map(|job| self.close(job, &lines)));
                self.unless_cancelled(ends).await;
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

    async fn begin(&self, place: Inside<'_>, lines: &Shared<'_>) -> Result<(Arc<Archive>, Job, Loaded), Halt> {
        let Some(case) = self.cases.get(place.index) else { return Err(Halt::Cancelled) };
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
        let (job, loaded) = self.open(place, &archive, lines, true).await?;
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
            let mut channel = match session.open(file, archive, JOB_LIMITS).await {
                Ok(channel) => channel,
                Err(error) => return (None, Some(Err(error))),
            };
            let waits = || {
                let message = "The runtime has no free place: others use all of them. Waiting for one.".to_owned();
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
                let error = RuntimeError::new(Stage::Runtime, message)
                    .with_hint("a flow may start too many processes; run fewer flows at once");
                Err(Halt::Error(FlowError::Runtime(error)))
            }
            (_, Some(Err(ChannelError::Ended(ended)))) => {
                lock(lines).hear_end(&ended);
                Err(refused(judge::ended_early(&ended, "while it loaded the flow")))
            }
            (_, Some(Err(ChannelError::Protocol(what)))) => Err(refused(judge::violation(&what))),
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
    /// Runs lines one at a time until none is left. Gives back its job, if that still lives.
    async fn lane(
        &self,
        inside: Inside<'_>,
        archive: &Archive,
        mut job: Option<Job>,
        lines: &Shared<'_>,
    ) -> Option<Job> {
        let Inside { index, session, room } = inside;
        while let Some(line) = { lock(lines).take() } {
            let mut open = match job.take() {
                Some(job) => job,
                None => {
                    let is_last = lock(lines).lanes == 1;
                    match self.open(inside, archive, lines, is_last).await {
                        Ok((job, _)) => job,
                        Err(halt) => match self.without_job(inside, line, halt, lines) {
                            true => continue,
                            false => return None,
                        },
                    }
                }
            };
            let Some(slot) = self.unless_cancelled(room.slots.acquire()).await else {
                lock(lines).halt(Halt::Cancelled);
                return None;
            };
            let Some(inputs) = lock(lines).rows.get(line) else { break };
            let started = Instant::now();
            let answer = timeout(self.options.line_timeout, open.channel.line(line, inputs));
            let Some(answer) = self.unless_cancelled(answer).await else {
                lock(lines).halt(Halt::Cancelled);
                return None;
            };
            let duration = started.elapsed();
            drop(slot);
            let died = session.dead().filter(|_| matches!(answer, Ok(Err(ChannelError::Worker(_)))));
            let ended = matches!(answer, Ok(Err(ChannelError::Ended(_))));
            let spoilt = matches!(answer, Err(_) | Ok(Err(ChannelError::Protocol(_))));
            let judged = match answer {
                Err(_) => judge::timed_out(line, self.options.line_timeout),
                Ok(Ok((body, size))) => {
                    let mut shared = lock(lines);
                    shared.hear_nodes(&body.nodes);
                    shared.keep(line, body, size)
                }
                Ok(Err(error)) => {
                    if let ChannelError::Ended(ended) = &error {
                        lock(lines).hear_end(ended);
                    }
                    judge::unanswered(line, error)
                }
            };
            open.completed += usize::from(judged.outcome == Outcome::Passed);
            let Judged { outcome, output, error } = judged;
            let result = LineResult { line, outcome, inputs: inputs.clone(), output, error, duration };
            (self.events)(RunEvent::LineFinished { flow: index, result: Box::new(result.clone()) });
            {
                let mut shared = lock(lines);
                shared.hear_job(&open.channel);
                if let Some(place) = shared.results.get_mut(line) {
                    *place = Some(result);
                }
                if let Some(error) = died {
                    shared.halt(Halt::Error(FlowError::Runtime(error)));
                    return None;
                }
            }
            if spoilt {
                self.end(open, lines).await;
            } else if !ended {
                job = Some(open);
            }
        }
        job
    }

    /// What becomes of a line for which no job could be had: the flow's other lanes run it. Where there is none, the
    /// flow ends. Whether this lane goes on.
    fn without_job(&self, inside: Inside<'_>, line: usize, halt: Halt, lines: &Shared<'_>) -> bool {
        let mut shared = lock(lines);
        let is_last = shared.lanes == 1;
        let why = match &halt {
            Halt::Full => None,
            Halt::Error(error) if !is_last && inside.session.dead().is_none() => Some(match error {
                FlowError::Refused(fault) => fault.message.clone(),
                FlowError::Runtime(error) => error.message.clone(),
            }),
            Halt::Error(_) | Halt::Cancelled => {
                shared.halt(halt);
                return false;
            }
        };
        shared.returned.push(line);
        if is_last {
            return true; // and waits for a place now
        }
        shared.lanes -= 1;
        drop(shared);
        if let Some(why) = why {
            let message = format!("One process less runs this flow's rows, as it could not load the flow: {why}.");
            (self.events)(RunEvent::Notice { flow: inside.index, message });
        }
        false
    }

    /// Kills a job whose line is lost, and waits until nothing of it is left.
    async fn end(&self, job: Job, lines: &Shared<'_>) {
        if let Some(Ok(ended)) = self.unless_cancelled(job.channel.kill()).await {
            lock(lines).hear_end(&ended);
        }
    }

    /// Lets a job end by itself. One that does not is killed: its lines are done.
    async fn close(&self, job: Job, lines: &Shared<'_>) {
        let output = job.channel.output();
        let ended = timeout(CLOSE_TIMEOUT, job.channel.close()).await;
        let mut shared = lock(lines);
        let rest = output.take();
        shared.hear(&rest.bytes, rest.dropped);
        if let Ok(Ok(ended)) = ended {
            shared.hear_end(&ended);
        }
    }
}
