//! `flowgate environment plan|build|show|packages --format json`: version 1, schema in
//! `docs/environment.schema.json`. Fields may be added; none is renamed or removed.

use std::collections::BTreeMap;

use flowgate_runtime::environment::packages::Packages;
use flowgate_runtime::environment::show::Environment;
use schemars::JsonSchema;
use serde::Serialize;

use crate::check::display_path;

/// One environment.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "flowgate environment --format json")]
pub struct WireEnvironment {
    /// The version of this format: 1.
    pub version: u32,
    /// The flow's folder, relative to the working directory, with `/`.
    pub flow: String,
    /// The environment's content address; null where the base is not in the engine, so that nobody knows what it holds.
    pub key: Option<String>,
    /// The base image.
    pub base: String,
    /// The requirement lines, nested files inlined.
    pub requirements: Vec<WireRequirement>,
    /// The hosts that packages come from; empty where none are installed.
    pub index_hosts: Vec<String>,
    /// The Python of flowgate's own base image. Another base has its own.
    pub python: String,
    /// `linux/amd64`, ...
    pub platform: String,
    /// The image that the flow runs in.
    pub image: String,
    /// Whether the engine has it; null where no engine was asked.
    pub cached: Option<bool>,
    /// What is installed; null where the image is not there, or does not say.
    pub packages: Option<WirePackages>,
    /// What may make two builds differ.
    pub warnings: Vec<String>,
    /// Why it is not built, also where the engine could; null where it is.
    pub refused: Option<String>,
}

/// A requirement line.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WireRequirement {
    /// As pip gets it.
    pub line: String,
    /// `path:line`.
    pub place: String,
}

/// Versions by normalised name, by where the packages come from.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WirePackages {
    /// The base image.
    pub base: BTreeMap<String, String>,
    /// Named by the requirements.
    pub requirements: BTreeMap<String, String>,
    /// Came along with those.
    pub transitive: BTreeMap<String, String>,
}

/// One JSON object, with a newline.
///
/// # Errors
/// None in practice.
pub fn render(environment: &Environment, base: &std::path::Path) -> Result<String, serde_json::Error> {
    let wire = WireEnvironment {
        version: 1,
        flow: display_path(&environment.flow, base),
        key: environment.key.clone(),
        base: environment.base.clone(),
        requirements: environment
            .requirements
            .iter()
            .map(|(line, place)| WireRequirement {
                line: flowgate_flow::credential::mask(line).into_owned(),
                place: place.clone(),
            })
            .collect(),
        index_hosts: environment.index_hosts.clone(),
        python: environment.python.clone(),
        platform: environment.platform.clone(),
        image: environment.image.clone(),
        cached: environment.cached,
        packages: environment.packages.as_ref().map(packages),
        warnings: environment.warnings.clone(),
        refused: environment.refused.clone(),
    };
    Ok(serde_json::to_string_pretty(&wire)? + "\n")
}

fn packages(packages: &Packages) -> WirePackages {
    let Packages { base, requirements, transitive } = packages.clone();
    WirePackages { base, requirements, transitive }
}
