//! The two streams of an attached container: frames for the session, and a log for people.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::{Stream, StreamExt};
use tokio::io::{AsyncRead, ReadBuf};

use super::owner;
use crate::log::LogTail;

type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>;

/// The worker's standard output as a stream of bytes. Its standard error goes to the log on the
/// way. When it is dropped together with the input, the connection closes.
pub(super) struct WorkerOutput {
    output: Output,
    log: LogTail,
    /// Whether the end of this stream is the end of the log.
    ends_log: bool,
    /// A part of the output, and how much of it was read.
    part: Option<(LogOutput, usize)>,
}

impl WorkerOutput {
    pub(super) fn new(output: Output, log: LogTail) -> Self {
        Self { output, log, ends_log: false, part: None }
    }

    /// The output of a process that was started in a running container. The engine has no event for its end, so the end
    /// of its output finishes the log.
    pub(super) fn of_exec(output: Output, log: LogTail) -> Self {
        Self { output, log, ends_log: true, part: None }
    }
}

impl AsyncRead for WorkerOutput {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if let Some((part, read)) = &mut self.part {
                let rest = &part.as_ref()[*read..];
                let count = rest.len().min(buffer.remaining());
                buffer.put_slice(&rest[..count]);
                *read += count;
                if count == rest.len() {
                    self.part = None;
                }
                if count > 0 {
                    return Poll::Ready(Ok(()));
                }
            }
            match ready!(self.output.as_mut().poll_next(context)) {
                None => {
                    if self.ends_log {
                        self.log.finish();
                    }
                    return Poll::Ready(Ok(()));
                }
                Some(Err(error)) => {
                    self.log.push(format!("\nthe engine's stream broke: {error}\n").as_bytes());
                    return Poll::Ready(Err(io::Error::other(error)));
                }
                Some(Ok(LogOutput::StdErr { message })) => self.log.push(&message),
                Some(Ok(part)) => self.part = Some((part, 0)),
            }
        }
    }
}

/// Waits until a container ends, and then writes to the log why, where there is something to say.
pub(super) async fn watch(engine: bollard::Docker, container: String, memory: u64, log: LogTail) {
    let filters: HashMap<&str, Vec<&str>> =
        [("container", vec![container.as_str()]), ("event", vec!["die", "oom"])].into();
    // From before the subscription: a container can end at once.
    let since = owner::now().saturating_sub(5).to_string();
    let mut events =
        std::pin::pin!(engine.events(Some(EventsOptionsBuilder::new().since(&since).filters(&filters).build())));
    let mut full = false;
    while let Some(Ok(event)) = events.next().await {
        if event.action.as_deref() == Some("oom") {
            full = true;
            continue;
        }
        let attributes = event.actor.and_then(|actor| actor.attributes).unwrap_or_default();
        let code = attributes.get("exitCode").map_or("", String::as_str);
        if full {
            log.push(
                format!(
                    "\nthe container reached its memory limit of {} MiB and ended with exit code {code}\n",
                    memory >> 20
                )
                .as_bytes(),
            );
        } else if code != "0" {
            log.push(format!("\nthe container ended with exit code {code}\n").as_bytes());
        }
        break;
    }
    log.finish();
}
