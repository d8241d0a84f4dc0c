//! One lane of a flow: a process that runs one line after the other.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::Run;
use super::flow::{Halt, Inside, Job, Shared, lock};
use super::judge::{self, Judged};
use crate::event::RunEvent;
use crate::outcome::{FlowError, LineResult, Outcome};
use crate::pack::Archive;
use crate::session::ChannelError;

/// How long a job may take to leave by itself.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

impl Run<'_> {
    /// Runs lines one at a time until none is left. It has a job before it takes a line, so that no line waits for a
    /// place in the runtime.
    pub(super) async fn lane(&self, inside: Inside<'_>, archive: &Archive, mut job: Option<Job>, lines: &Shared<'_>) {
        loop {
            let open = match job.take() {
                Some(job) => job,
                None => match self.next_job(inside, archive, lines).await {
                    Some(job) => job,
                    None => return,
                },
            };
            let taken = lock(lines).take();
            let Some(line) = taken else { return self.leave(open, lines).await };
            match self.line(inside, open, line, lines).await {
                Ok(still) => job = still,
                Err(halt) => return lock(lines).halt(halt),
            }
        }
    }

    /// A job for a lane that has none; `None` where the lane ends.
    async fn next_job(&self, inside: Inside<'_>, archive: &Archive, lines: &Shared<'_>) -> Option<Job> {
        loop {
            let (is_last, mut exhausted) = {
                let mut shared = lock(lines);
                let is_last = shared.lanes == 1;
                if let Some(kept) = shared.kept.take_if(|_| is_last) {
                    return Some(kept);
                }
                (is_last, shared.exhausted.subscribe())
            };
            let opened = tokio::select! {
                biased;
                _ = exhausted.wait_for(|exhausted| *exhausted) => {
                    lock(lines).lanes -= 1;
                    return None;
                }
                opened = self.open(inside, archive, lines, is_last) => opened,
            };
            match opened {
                Ok((job, _)) => return Some(job),
                Err(halt) => {
                    if !self.goes_on_without_job(inside, halt, lines) {
                        return None;
                    }
                    // The last lane waits for a place now.
                }
            }
        }
    }

    /// What becomes of a lane that can have no job: the flow's other lanes run its lines. Where there is none, the flow
    /// ends, unless it has only to wait: then the lane goes on.
    fn goes_on_without_job(&self, inside: Inside<'_>, halt: Halt, lines: &Shared<'_>) -> bool {
        let mut shared = lock(lines);
        let is_last = shared.lanes == 1;
        let why = match &halt {
            Halt::Full if is_last => return true,
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
        shared.lanes -= 1;
        drop(shared);
        if let Some(why) = why {
            let message = format!("The flow's rows run with one process fewer, as it could not load the flow: {why}.");
            (self.events)(RunEvent::Notice { flow: inside.index, message });
        }
        false
    }

    /// Ends a lane: its job is kept where the aggregation may need it, and else gives its place to others.
    async fn leave(&self, job: Job, lines: &Shared<'_>) {
        let surplus = {
            let mut shared = lock(lines);
            shared.lanes -= 1;
            let has_better = shared.kept.as_ref().is_some_and(|kept| kept.completed >= job.completed);
            match shared.keeps_aggregation_inputs && !has_better {
                true => shared.kept.replace(job),
                false => Some(job),
            }
        };
        if let Some(job) = surplus {
            self.close(job, lines).await;
        }
    }

    /// Runs one line. Gives back its job, if that still lives.
    async fn line(
        &self,
        inside: Inside<'_>,
        mut open: Job,
        line: usize,
        lines: &Shared<'_>,
    ) -> Result<Option<Job>, Halt> {
        let Inside { index, session, room } = inside;
        let slot = self.unless_cancelled(room.slots.acquire()).await.ok_or(Halt::Cancelled)?;
        let Some(inputs) = lock(lines).rows.get(line) else { return Ok(Some(open)) };
        let started = Instant::now();
        let answer = timeout(self.options.line_timeout, open.channel.line(line, inputs));
        let answer = self.unless_cancelled(answer).await.ok_or(Halt::Cancelled)?;
        let duration = started.elapsed();
        drop(slot);
        let died = session.dead().filter(|_| matches!(answer, Ok(Err(ChannelError::Worker(_)))));
        let ended = matches!(answer, Ok(Err(ChannelError::Ended(_))));
        let spoilt = matches!(answer, Err(_) | Ok(Err(ChannelError::Protocol(_))));
        let judged = match answer {
            Err(_) => judge::timed_out(line, self.options.line_timeout),
            Ok(Ok((body, weight))) => {
                let mut shared = lock(lines);
                shared.hear_nodes(&body.nodes);
                match self.keep(weight) {
                    Ok(()) => shared.keep(line, body),
                    Err(fault) => Judged::wrong(Outcome::Failed, fault),
                }
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
        }
        if let Some(error) = died {
            return Err(Halt::Error(FlowError::Runtime(error)));
        }
        if spoilt {
            self.end(open, lines).await;
            return Ok(None);
        }
        Ok((!ended).then_some(open))
    }

    /// Kills a job whose line is lost, and waits until nothing of it is left.
    async fn end(&self, job: Job, lines: &Shared<'_>) {
        if let Some(Ok(ended)) = self.unless_cancelled(job.channel.kill()).await {
            lock(lines).hear_end(&ended);
        }
    }

    /// Lets a job end by itself. One that does not is killed: its lines are done.
    pub(super) async fn close(&self, job: Job, lines: &Shared<'_>) {
        let output = job.channel.output();
        let ended = self.unless_cancelled(timeout(CLOSE_TIMEOUT, job.channel.close())).await;
        let mut shared = lock(lines);
        let rest = output.take();
        shared.hear(&rest.bytes, rest.dropped);
        if let Some(Ok(Ok(ended))) = ended {
            shared.hear_end(&ended);
        }
    }
}
