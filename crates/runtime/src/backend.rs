//! Places where a runtime can live.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;

use crate::error::RuntimeError;
pub use crate::outcome::BackendKind;
use crate::plan::EnvironmentPlan;
use crate::session::Session;

#[cfg(feature = "docker")]
pub mod docker;
mod explain;
mod folders;
pub mod process;
#[cfg(feature = "test-support")]
pub mod scripted;

/// What a runtime may use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Memory in bytes; the container is killed above it. Not enforced by the process backend.
    pub memory: u64,
    /// Processors. Not enforced by the process backend.
    pub cpus: f64,
    /// Processes and threads. Not enforced by the process backend.
    pub pids: i64,
    /// How long a runtime may live before another flowgate may sweep it away.
    pub deadline: Duration,
    /// How long it may take until the worker answers.
    pub start_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 4 << 30,
            cpus: 2.0,
            pids: 1024,
            deadline: Duration::from_secs(6 * 3600),
            start_timeout: Duration::from_secs(120),
        }
    }
}

/// What a backend says while it prepares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said<'s> {
    /// What it is doing, until it does something else: a lower-case fragment such as "installing packages".
    Step(&'s str),
    /// A part of the step, of which there may be hundreds: nothing for a log.
    Part(&'s str),
    /// What is to stay: a full sentence.
    Note(&'s str),
}

/// Who hears what a backend says.
#[derive(Clone, Copy)]
pub struct Progress<'p>(pub &'p (dyn Fn(Said<'_>) + Send + Sync));

impl Progress<'_> {
    pub(crate) fn step(self, what: &str) {
        (self.0)(Said::Step(what));
    }

    pub(crate) fn part(self, what: &str) {
        (self.0)(Said::Part(what));
    }

    pub(crate) fn note(self, message: &str) {
        (self.0)(Said::Note(message));
    }
}

/// What became of one environment that was to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruned {
    /// Its name, or its id where it has none.
    pub name: String,
    /// Why it stays, where it could not be removed.
    pub stays: Option<String>,
}

/// A place where runtimes live.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Which kind it is.
    fn kind(&self) -> BackendKind;

    /// Makes sure that the environment is there; what exists already costs a look-up.
    ///
    /// # Errors
    /// [`crate::Stage::Environment`] with what is missing, or [`crate::Stage::Infrastructure`].
    async fn prepare(&self, plan: &EnvironmentPlan, progress: Progress<'_>) -> Result<Box<dyn Prepared>, RuntimeError>;
}

/// An environment that is there.
#[async_trait]
pub trait Prepared: Send + Sync {
    /// Its image, where it is one.
    fn image(&self) -> Option<&Image>;

    /// Starts a runtime and waits until its worker answers.
    ///
    /// # Errors
    /// [`crate::Stage::Runtime`] with the end of the worker's log, or
    /// [`crate::Stage::Infrastructure`].
    async fn start(&self, limits: &Limits) -> Result<Runtime, RuntimeError>;
}

/// An environment as an image of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its name, for people.
    pub name: String,
    /// `sha256:...`.
    pub id: String,
    /// The environment's content address.
    pub key: String,
    /// Which packages changed since the flow's last environment: a fragment.
    pub changed: Option<String>,
    /// The folder of the flow that it was made for.
    pub flow: PathBuf,
}

/// A started runtime. Its stream is its lease: when the session is dropped, or this process dies,
/// the worker reads the end of its input and ends, and the backend removes what held it.
pub struct Runtime {
    /// The worker's stream.
    pub session: Session,
    /// What the user should know about it: a full sentence.
    pub notice: Option<String>,
    /// Its processors, where they are not those of the limits that it was asked for with.
    pub cpus: Option<f64>,
    /// Removes the runtime at once.
    pub stop: Box<dyn Stop>,
}

/// Removes a runtime.
#[async_trait]
pub trait Stop: Send + Sync {
    /// Ends the runtime and waits until nothing of it is left.
    ///
    /// # Errors
    /// What could not be removed, and how to remove it by hand.
    async fn stop(self: Box<Self>) -> Result<(), RuntimeError>;
}
