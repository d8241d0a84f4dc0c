//! `flowgate compute list|show --format json`: version 1, schema in `docs/compute.schema.json`. Fields may be added; none
//! is renamed or removed.

use flowgate_runtime::computes::{About, Origin};
use schemars::JsonSchema;
use serde::Serialize;

use super::Shown;

/// Computes: all that are known, or the one that was asked for.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "flowgate compute --format json")]
pub struct WireComputes {
    /// The version of this format: 1.
    pub version: u32,
    /// The default one, Docker's contexts, and those that were added, each by name.
    pub computes: Vec<WireCompute>,
}

/// One compute.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WireCompute {
    /// Its name, which `--compute` takes.
    pub name: String,
    /// `default`, `context` (Docker's) or `file` (added with `flowgate compute add`).
    pub origin: &'static str,
    /// Whether commands use it without `--compute`.
    pub current: bool,
    /// Where its engine is; null where what gives it cannot be read.
    pub host: Option<String>,
    /// Why its engine says nothing; null where it answered.
    pub unreachable: Option<String>,
    /// What its engine says; null where it did not answer.
    pub engine: Option<WireEngine>,
}

/// An engine and its machine.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WireEngine {
    /// Its name and version.
    pub name: String,
    /// The newest version of its API.
    pub api_version: String,
    /// What its images run on, such as `linux/amd64`.
    pub platform: String,
    /// The machine's system.
    pub system: String,
    /// Processors of the machine.
    pub cpus: f64,
    /// Memory of the machine in bytes.
    pub memory: u64,
    /// What it does not do that a runtime counts on.
    pub lacks: Vec<String>,
    /// How many runtimes it has, in whatever state.
    pub runtimes: u64,
}

/// One JSON object, with a newline.
///
/// # Errors
/// None in practice.
pub fn render(shown: &[Shown]) -> Result<String, serde_json::Error> {
    let wire = WireComputes { version: 1, computes: shown.iter().map(wire).collect() };
    Ok(serde_json::to_string_pretty(&wire)? + "\n")
}

fn wire(shown: &Shown) -> WireCompute {
    WireCompute {
        name: shown.compute.name.clone(),
        origin: match shown.compute.origin {
            Origin::Default => "default",
            Origin::Context => "context",
            Origin::File => "file",
        },
        current: shown.is_current,
        host: shown.host(),
        unreachable: shown.answer.as_ref().err().cloned(),
        engine: shown.answer.as_ref().ok().map(engine),
    }
}

fn engine(about: &About) -> WireEngine {
    WireEngine {
        name: about.engine.clone(),
        api_version: about.api.clone(),
        platform: about.platform.clone(),
        system: about.system.clone(),
        cpus: about.size.cpus,
        memory: about.size.memory,
        lacks: about.lacks.clone(),
        runtimes: about.runtimes as u64,
    }
}
