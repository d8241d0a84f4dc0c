//! `flowgate doctor feed --format json`: version 1, schema in `docs/doctor-feed.schema.json`. Fields
//! may be added; none is renamed or removed.

use flowgate_runtime::feed::{Diagnosis, Ended};
use schemars::JsonSchema;
use serde::Serialize;

use super::{ended_name, fault_name};

/// The whole report.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "flowgate doctor feed --format json")]
pub struct Report {
    /// The version of this format: 1.
    pub version: u32,
    /// One entry a feed, in the order of the requirements file.
    pub feeds: Vec<WireFeed>,
}

/// What was found on the way to one feed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WireFeed {
    /// The URL, without any user but the placeholder.
    pub url: String,
    /// True where packages can be had.
    pub usable: bool,
    /// The steps that were made; where one failed, it is the last.
    pub steps: Vec<WireStep>,
}

/// One step.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WireStep {
    /// `url`, `allowed`, `dns`, `tls`, `identity`, `index` or `package`.
    pub step: String,
    /// How it ended.
    #[schemars(with = "WireEnded")]
    pub ended: &'static str,
    /// Why it failed: `malformed`, `not-allowed`, `unknown-host`, `address`, `unreachable`, `certificate`,
    /// `no-identity`, `unauthorized`, `forbidden`, `no-feed`, `no-package` or `unexpected`.
    pub fault: Option<&'static str>,
    /// What was seen.
    pub message: String,
    /// The next step.
    pub help: Option<String>,
}

/// How a step ends.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "stands for the text in the schema only")]
enum WireEnded {
    Passed,
    /// It holds, and is worth a look.
    Noted,
    Failed,
}

/// The report as JSON.
///
/// # Errors
/// None in practice: it holds nothing that JSON cannot say.
pub fn render(diagnoses: &[Diagnosis]) -> Result<String, serde_json::Error> {
    let feeds = diagnoses.iter().map(|diagnosis| WireFeed {
        url: diagnosis.url.clone(),
        usable: diagnosis.is_usable(),
        steps: diagnosis.steps.iter().map(step).collect(),
    });
    Ok(serde_json::to_string_pretty(&Report { version: 1, feeds: feeds.collect() })? + "\n")
}

fn step(step: &flowgate_runtime::feed::Step) -> WireStep {
    let fault = if let Ended::Failed(fault) = step.ended { Some(fault_name(fault)) } else { None };
    WireStep {
        step: step.place.to_string(),
        ended: ended_name(step.ended),
        fault,
        message: step.said.clone(),
        help: step.next.clone(),
    }
}
