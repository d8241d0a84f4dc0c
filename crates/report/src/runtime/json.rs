//! `flowgate runtime list|show|start|install|reset|edit --format json`: version 1, schema in
//! `docs/runtime.schema.json`. Fields may be added; none is renamed or removed.

use flowgate_runtime::runtimes::{Phase, State, Transition, WarmRuntime};
use schemars::JsonSchema;
use serde::Serialize;

use super::Shown;

/// Runtimes: those of the engine, or the one that was asked for.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "flowgate runtime --format json")]
pub struct WireRuntimes {
    /// The version of this format: 1.
    pub version: u32,
    /// By name.
    pub runtimes: Vec<WireRuntime>,
}

/// One runtime.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WireRuntime {
    /// Its name, which commands take.
    pub name: String,
    /// `automatic` ends when it is not used; `named` stays.
    pub r#type: String,
    /// `Not available`, `Running`, `Failed` or `Stopping`: the names of the hosted product.
    pub state: String,
    /// How far it is, where it is not running: `starting`, `paused`, `silent` or `ended`.
    pub stage: Option<&'static str>,
    /// Why, where it is not running.
    pub reason: Option<String>,
    /// The content address of its environment.
    pub key: String,
    /// The folder of the flow that it was started for, relative to the working directory, with `/`.
    pub flow: String,
    /// Whether the flow needs another environment by now; null where that is not known.
    pub behind: Option<bool>,
    /// Its image.
    pub image: String,
    /// Processors.
    pub cpus: f64,
    /// Memory in bytes.
    pub memory: u64,
    /// After how many seconds without a run it ends; null is never.
    pub idle_seconds: Option<u64>,
    /// When it was created, in seconds since 1970.
    pub created: u64,
    /// As which identity packages were installed, where one was used.
    pub identity: Option<String>,
    /// How much it has to do; null where it does not run.
    pub usage: Option<WireUsage>,
}

/// How much a runtime has to do.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WireUsage {
    /// Flowgates that are attached, the asking one not counted.
    pub clients: u64,
    /// Processes of flows.
    pub jobs: u64,
    /// Lines, aggregations and nodes since the start.
    pub lines: u64,
    /// For how many seconds no flow has used it.
    pub unused_seconds: u64,
    /// For how many seconds it has been running.
    pub up_seconds: u64,
}

/// A change of a runtime's state: a line of `flowgate runtime list|show --watch --format json`, schema in
/// `docs/runtime-transition.schema.json`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "flowgate runtime --watch --format json")]
pub struct WireTransition<'t> {
    /// The version of this format: 1.
    pub version: u32,
    /// When it was seen, in seconds since 1970.
    pub time: u64,
    /// The runtime's name.
    pub runtime: &'t str,
    /// What its state was; null where it was not there, or was not known.
    pub from: Option<&'static str>,
    /// What its state is: `Not available`, `Running`, `Failed` or `Stopping`; null where it is gone.
    pub state: Option<&'static str>,
    /// How far it is, where it is not running: `starting`, `paused`, `silent` or `ended`.
    pub stage: Option<&'static str>,
    /// Why, where it is not running.
    pub reason: Option<&'t str>,
}

/// One line of JSON.
///
/// # Errors
/// None in practice.
pub fn transition(transition: &Transition) -> Result<String, serde_json::Error> {
    let wire = WireTransition {
        version: 1,
        time: transition.time,
        runtime: &transition.runtime,
        from: transition.from.map(State::name),
        state: transition.to.map(State::name),
        stage: transition.stage.map(Phase::name),
        reason: transition.reason.as_deref(),
    };
    Ok(serde_json::to_string(&wire)? + "\n")
}

/// One JSON object, with a newline.
///
/// # Errors
/// None in practice.
pub fn render(shown: &[Shown]) -> Result<String, serde_json::Error> {
    let wire = WireRuntimes { version: 1, runtimes: shown.iter().map(wire).collect() };
    Ok(serde_json::to_string_pretty(&wire)? + "\n")
}

fn wire(shown: &Shown) -> WireRuntime {
    let runtime: &WarmRuntime = &shown.runtime;
    WireRuntime {
        name: runtime.name.clone(),
        r#type: runtime.kind.to_string(),
        state: runtime.state.name().to_owned(),
        stage: runtime.stage.map(Phase::name),
        reason: runtime.reason.clone(),
        key: runtime.key.clone(),
        flow: shown.flow.clone(),
        behind: shown.is_behind,
        image: runtime.image.clone(),
        cpus: runtime.size.cpus,
        memory: runtime.size.memory,
        idle_seconds: runtime.idle().0.map(|idle| idle.as_secs()),
        created: runtime.created,
        identity: runtime.identity.clone(),
        usage: runtime.usage.map(|usage| WireUsage {
            clients: usage.clients,
            jobs: usage.jobs,
            lines: usage.lines,
            unused_seconds: usage.unused.as_secs(),
            up_seconds: usage.up.as_secs(),
        }),
    }
}
