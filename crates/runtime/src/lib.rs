//! Environments, runtimes and runs of prompt flows.
//!
//! A runtime is a warm, sandboxed place that holds one environment. The engine that executes a
//! flow is `promptflow` itself, inside the runtime; this crate starts it, speaks to its worker
//! over one stream, and judges what comes back.
//!
//! The way of a run: [`plan::plan`] says what a flow needs, [`Backend::prepare`] makes it,
//! [`Backend::start`] gives a [`Runtime`], and [`runner::run`] sends the lines of a [`Case`]
//! through it and emits [`RunEvent`]s, which fold into a [`RunReport`].
//!
//! Invariants:
//! - only `backend::docker` names bollard;
//! - nothing here reads an environment variable, the home or the working directory: doors pass
//!   them in (Azure's own crate, below [`identity`], reads Azure's variables);
//! - whatever comes out of a runtime is hostile: lengths, depths, channels and totals are bounded
//!   here, and verdicts are computed here;
//! - no key, token or connection enters a runtime;
//! - nothing is reported as passed that was not run.

pub mod backend;
pub mod cancel;
pub mod computes;
pub mod endpoint;
pub mod engines;
pub mod environment;
pub mod error;
pub mod event;
pub mod feed;
pub mod gate;
mod http;
pub mod identity;
pub mod installer;
pub mod log;
mod needs;
pub mod outcome;
pub mod pack;
pub mod plan;
pub mod registry;
pub mod runner;
pub mod runtimes;
pub mod secret;
pub mod session;
mod streams;
mod sync;
mod weight;
pub mod wire;
pub mod worker;

pub use backend::{Backend, BackendKind, Image, Limits, Runtime};
pub use cancel::Cancel;
pub use error::{RuntimeError, Stage};
pub use event::RunEvent;
pub use outcome::{Fault, FlowOutcome, LineResult, Outcome, RunReport, Verdict};
pub use plan::{EnvironmentPlan, plan};
pub use runner::{Case, RunOptions};
pub use secret::Secret;
