//! Sends lines through a runtime and judges what comes back.

use std::time::Duration;

use flowgate_flow::Project;
use flowgate_flow::data::Row;

/// A flow and the rows to run it on.
#[derive(Debug, Clone)]
pub struct Case {
    /// The flow's path as the user named it.
    pub name: String,
    /// The flow.
    pub project: std::sync::Arc<Project>,
    /// The rows. A flow without inputs runs once on an empty row.
    pub rows: Vec<Row>,
}

/// How to run.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// How long one line may take.
    pub line_timeout: Duration,
    /// How many lines of one flow run at the same time.
    pub concurrency: usize,
    /// What each runtime may use.
    pub limits: crate::Limits,
    /// Files outside this folder are not packed, wherever includes or links lead; `None` packs
    /// whatever the flow names.
    pub boundary: Option<std::path::PathBuf>,
}
