//! `flowgate environment check-version --format json`: version 1, schema in
//! `docs/check-version.schema.json`. Fields may be added; none is renamed or removed.

use schemars::JsonSchema;
use serde::Serialize;

use super::VersionReport;
use crate::check::level_name;

/// The whole report.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "flowgate environment check-version --format json")]
pub struct Report<'r> {
    /// The version of this format: 1.
    pub version: u32,
    /// The image, as the flow names it.
    pub image: &'r str,
    /// The digest that its tag has now; null where it is not known.
    pub digest: Option<&'r str>,
    /// The newest version in its repository; null where there is none, or it is not known.
    pub newest: Option<&'r str>,
    /// All of them (`YYYYMMDD.vN`), newest first; null where they are not known.
    pub versions: Option<&'r [String]>,
    /// Why something is not known.
    pub unknown: Option<&'r str>,
    /// True for an image that its maker no longer updates.
    pub frozen: bool,
    /// What the rules say about the image, with these facts.
    pub findings: Vec<WireFinding<'r>>,
}

/// One finding.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WireFinding<'r> {
    /// The rule's name.
    pub rule: &'static str,
    /// `error`, `warning` or `hint`.
    pub level: &'static str,
    /// What is wrong.
    pub message: &'r str,
    /// The next step.
    pub help: Option<&'r str>,
}

/// The report as JSON.
///
/// # Errors
/// None in practice: it holds nothing that JSON cannot say.
pub fn render(report: &VersionReport) -> Result<String, serde_json::Error> {
    let findings = report.findings.iter().map(|finding| WireFinding {
        rule: finding.rule,
        level: level_name(finding.level),
        message: &finding.message,
        help: finding.help.as_deref(),
    });
    let wire = Report {
        version: 1,
        image: &report.image,
        digest: report.digest.as_deref(),
        newest: report.newest(),
        versions: report.versions.as_deref(),
        unknown: report.unknown.as_deref(),
        frozen: report.frozen,
        findings: findings.collect(),
    };
    Ok(serde_json::to_string_pretty(&wire)? + "\n")
}
