//! One job's part of a session.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Answer, ChannelError, Output, Shared, json, parse, parse_weighed};
use crate::pack::Archive;
use crate::wire::{self, Aggregate, AggregatedBody, Ended, Frame, Kind, LineBody, Loaded, Opened};

/// How long a worker may take to bury a job that was killed or closed.
const BURIAL: Duration = Duration::from_secs(30);

/// One job. When it is dropped, the job is killed.
pub struct Channel {
    pub(super) number: u32,
    pub(super) shared: Arc<Shared>,
    pub(super) outgoing: mpsc::Sender<Frame>,
    pub(super) inbox: mpsc::Receiver<Answer>,
    pub(super) output: Output,
    /// Whether the job has ended, so that there is nothing to kill.
    pub(super) over: bool,
}

impl Drop for Channel {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let kill = Frame { kind: Kind::Kill, channel: self.number, payload: Vec::new() };
        if let Err(mpsc::error::TrySendError::Full(kill)) = self.outgoing.try_send(kill)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let outgoing = self.outgoing.clone();
            runtime.spawn(async move { outgoing.send(kill).await });
        }
    }
}

impl Channel {
    /// Waits until the runtime has a place for the job, and sends the archive where it lacks it. `limit` is how long the
    /// worker may take to answer; while it says that others have all places, which `waits` is told, there is none.
    ///
    /// # Errors
    /// See [`ChannelError`]; a worker that does not answer has gone.
    pub async fn opened(
        &mut self,
        archive: &Archive,
        limit: Duration,
        waits: impl FnOnce(),
    ) -> Result<(), ChannelError> {
        let answer = match timeout(limit, self.next()).await {
            Ok(Ok(None)) => {
                waits();
                loop {
                    if let Some(payload) = self.next().await? {
                        break payload;
                    }
                }
            }
            Ok(answer) => answer?.unwrap_or_default(),
            Err(_) => {
                let message = format!("the worker did not answer within {} s", limit.as_secs());
                self.shared.die(self.shared.error(message));
                return Err(ChannelError::Worker(self.shared.died().await));
            }
        };
        let opened: Opened = parse(&answer)?;
        if let Some(entry) = self.shared.table().open.get_mut(&self.number) {
            entry.due = Some(Kind::Loaded);
        }
        if !opened.need {
            return Ok(());
        }
        let upload = async {
            for part in archive.bytes().chunks(wire::MAX_DATA) {
                self.send(Kind::Data, part.to_vec()).await?;
            }
            Ok(())
        };
        match timeout(limit, upload).await {
            Ok(sent) => sent,
            Err(_) => {
                let message = format!("the worker did not take the flow within {} s", limit.as_secs());
                self.shared.die(self.shared.error(message));
                Err(ChannelError::Worker(self.shared.died().await))
            }
        }
    }

    /// Waits for what the engine makes of the flow.
    ///
    /// # Errors
    /// See [`ChannelError`].
    pub async fn loaded(&mut self) -> Result<Loaded, ChannelError> {
        let payload = self.answer().await?;
        parse(&payload)
    }

    /// Runs one line; also says how much memory its answer takes at most, in bytes.
    ///
    /// # Errors
    /// See [`ChannelError`]; an answer for another line is [`ChannelError::Protocol`].
    pub async fn line(&mut self, line: usize, inputs: &Map<String, Value>) -> Result<(LineBody, usize), ChannelError> {
        let payload = self.ask(Kind::Line, Kind::Result, &wire::Line { line, inputs }).await?;
        let (body, weight): (LineBody, usize) = parse_weighed(&payload)?;
        if body.line != line as u64 {
            return Err(ChannelError::Protocol(format!(
                "the job answered for row {} where row {} was asked for",
                body.line.saturating_add(1),
                line + 1
            )));
        }
        Ok((body, weight))
    }

    /// Runs the aggregation; also says how much memory its answer takes at most, in bytes.
    ///
    /// # Errors
    /// See [`ChannelError`].
    pub async fn aggregate(&mut self, request: &Aggregate) -> Result<(AggregatedBody, usize), ChannelError> {
        let payload = self.ask(Kind::Aggregate, Kind::Aggregated, request).await?;
        parse_weighed(&payload)
    }

    /// Lets the job end by itself and waits until nothing of it is left.
    ///
    /// # Errors
    /// [`ChannelError::Worker`] where the worker has gone.
    pub async fn close(self) -> Result<Ended, ChannelError> {
        self.finish(Kind::Close).await
    }

    /// Kills the job and waits until nothing of it is left.
    ///
    /// # Errors
    /// [`ChannelError::Worker`] where the worker has gone.
    pub async fn kill(self) -> Result<Ended, ChannelError> {
        self.finish(Kind::Kill).await
    }

    /// What user code writes; it outlives the channel.
    pub fn output(&self) -> Output {
        self.output.clone()
    }

    async fn finish(mut self, how: Kind) -> Result<Ended, ChannelError> {
        let end = async {
            self.send(how, Vec::new()).await?;
            loop {
                match self.inbox.recv().await {
                    Some(Answer::Ended(ended)) => return Ok(ended),
                    Some(Answer::Payload(_) | Answer::Waiting | Answer::Fault(_)) => {}
                    None => return Err(ChannelError::Worker(self.shared.died().await)),
                }
            }
        };
        match timeout(BURIAL, end).await {
            Ok(end) => {
                self.over = true;
                end
            }
            // It keeps its place there until it is buried.
            Err(_) => {
                let detail = format!("it was not buried within {} s", BURIAL.as_secs());
                Ok(Ended { reason: "killed".to_owned(), detail, ..Ended::default() })
            }
        }
    }

    async fn ask(&mut self, kind: Kind, due: Kind, request: &impl serde::Serialize) -> Result<Vec<u8>, ChannelError> {
        let payload = json(request)?;
        if let Some(entry) = self.shared.table().open.get_mut(&self.number) {
            entry.due = Some(due);
        }
        self.send(kind, payload).await?;
        self.answer().await
    }

    async fn send(&self, kind: Kind, payload: Vec<u8>) -> Result<(), ChannelError> {
        match self.outgoing.send(Frame { kind, channel: self.number, payload }).await {
            Ok(()) => Ok(()),
            Err(_) => Err(ChannelError::Worker(self.shared.died().await)),
        }
    }

    async fn answer(&mut self) -> Result<Vec<u8>, ChannelError> {
        loop {
            if let Some(payload) = self.next().await? {
                return Ok(payload);
            }
        }
    }

    /// The next answer; `None` where it is that the job waits for a place.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, ChannelError> {
        match self.inbox.recv().await {
            Some(Answer::Payload(payload)) => Ok(Some(payload)),
            Some(Answer::Waiting) => Ok(None),
            Some(Answer::Fault(what)) => Err(ChannelError::Protocol(what)),
            Some(Answer::Ended(ended)) => {
                self.over = true;
                Err(ChannelError::Ended(ended))
            }
            // The entry goes when the worker dies or when the job has ended, which was told before.
            None => match self.shared.dead.borrow().clone() {
                Some(error) => Err(ChannelError::Worker(error)),
                None => Err(ChannelError::Ended(Ended::default())),
            },
        }
    }
}
