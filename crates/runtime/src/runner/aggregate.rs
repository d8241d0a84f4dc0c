//! Aggregation: once, after all lines, over the ones that completed, as the engine's own batch
//! run does it.

use serde_json::{Map, Value};
use tokio::time::timeout;

use super::Run;
use super::flow::{AGGREGATION_TIMEOUT, Halt, Job, Shared, lock};
use super::judge;
use crate::outcome::{FlowError, FlowOutcome};
use crate::session::ChannelError;
use crate::wire::{Aggregate, AggregatedBody, Loaded};

impl Run<'_> {
    /// Aggregates in the job that completed most lines. Without a completed line there is nothing
    /// to aggregate, and the flow has failed already.
    pub(super) async fn aggregate(
        &self,
        job: &mut Job,
        loaded: &Loaded,
        lines: &Shared<'_>,
        outcome: &mut FlowOutcome,
    ) {
        let Some(mut request) = request(loaded, lines) else { return };
        let ran_all = request.lines.len() == job.completed;
        let limit = self.options.line_timeout.max(AGGREGATION_TIMEOUT);
        let work = async {
            match job.channel.aggregate(&request).await {
                // It has the values itself.
                Err(ChannelError::TooLarge(_)) if ran_all => {
                    (request.inputs, request.aggregation_inputs) = (Map::new(), Map::new());
                    job.channel.aggregate(&request).await
                }
                other => other,
            }
        };
        let answer = self.unless_cancelled(timeout(limit, work)).await;
        let mut shared = lock(lines);
        shared.hear_job(&job.channel);
        let fault = match answer {
            None => {
                shared.halt(Halt::Cancelled);
                judge::fault("Cancelled", "the run was stopped before the aggregation ended")
            }
            Some(Err(_)) => judge::fault(
                "AggregationTimeoutError",
                format!("the aggregation took longer than {}", judge::seconds(limit)),
            ),
            Some(Ok(Ok((AggregatedBody { metrics, error, nodes }, weight)))) => {
                shared.hear_nodes(&nodes);
                match self.keep(weight) {
                    Ok(()) => {
                        outcome.metrics = metrics;
                        outcome.aggregation_error = error.map(|error| judge::told(error, self.backend.kind()));
                        return;
                    }
                    Err(fault) => fault,
                }
            }
            Some(Ok(Err(ChannelError::TooHeavy(weight)))) => judge::too_heavy(weight),
            Some(Ok(Err(ChannelError::Ended(ended)))) => {
                shared.hear_end(&ended);
                judge::ended_early(&ended, "during the aggregation")
            }
            Some(Ok(Err(ChannelError::Protocol(what)))) => judge::violation(&what),
            Some(Ok(Err(ChannelError::TooLarge(bytes)))) => {
                let message = format!(
                    "the values to aggregate are {bytes} bytes of JSON, and 16 MiB is the most that a runtime takes; with `--concurrency 1` they stay inside"
                );
                judge::fault("AggregationTooLarge", message)
            }
            Some(Ok(Err(ChannelError::Worker(error)))) => {
                shared.halt(Halt::Error(FlowError::Runtime(error)));
                return;
            }
        };
        outcome.aggregation_error = Some(fault);
    }
}

/// The values of the completed lines, in the order of the rows; `None` where no line completed.
fn request(loaded: &Loaded, lines: &Shared<'_>) -> Option<Aggregate> {
    let mut shared = lock(lines);
    let mut completed = std::mem::take(&mut shared.aggregation_inputs);
    completed.sort_by_key(|(line, _)| *line);
    let (_, first) = completed.first()?;
    let names: Vec<String> = first.keys().cloned().collect();
    let mut request = Aggregate { lines: completed.iter().map(|(line, _)| *line).collect(), ..Aggregate::default() };
    for (name, definition) in &loaded.inputs {
        let default = definition.get("default").unwrap_or(&Value::Null);
        let value = |line: &usize| shared.rows.get(*line).and_then(|row| row.get(name)).unwrap_or(default).clone();
        request.inputs.insert(name.clone(), request.lines.iter().map(value).collect());
    }
    for name in names {
        let values = completed.iter_mut().map(|(_, values)| values.get_mut(&name).map_or(Value::Null, Value::take));
        request.aggregation_inputs.insert(name.clone(), values.collect());
    }
    Some(request)
}
