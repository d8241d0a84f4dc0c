//! `flowgate check --format json`: version 1, schema in `docs/check-report.schema.json`. Fields
//! may be added; none is renamed or removed.

use flowgate_check::Level;
use flowgate_flow::Position;
use schemars::JsonSchema;
use serde::Serialize;

use crate::check::{CheckReport, LocatedFinding, level_name};

/// The whole report.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "flowgate check --format json")]
pub struct Report {
    /// The version of this format: 1.
    pub version: u32,
    /// The findings, sorted by path, start and rule.
    pub findings: Vec<WireFinding>,
    /// Counts.
    pub summary: Summary,
}

/// One finding.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WireFinding {
    /// The rule's name.
    pub rule: &'static str,
    /// How bad it is.
    #[schemars(with = "WireLevel")]
    pub level: &'static str,
    /// The file, relative to the working directory, with `/`.
    pub path: String,
    /// The first character.
    pub start: WirePosition,
    /// One past the last character. A finding on a whole file starts and ends at 1:1.
    pub end: WirePosition,
    /// What is wrong.
    pub message: String,
    /// The next step.
    pub help: Option<String>,
    /// The exception class that the engine raises for it, where it raises one.
    pub engine: Option<&'static str>,
    /// How to repair it.
    pub fix: Option<WireFix>,
}

/// The levels.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "stands for the level's text in the schema only")]
enum WireLevel {
    Error,
    Warning,
    Hint,
}

/// A place in a file.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WirePosition {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1, in Unicode scalar values.
    pub column: usize,
}

/// A repair.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WireFix {
    /// What it does.
    pub title: String,
    /// `safe` may be applied without looking; `unsafe` is a guess or changes behaviour.
    #[schemars(with = "WireApplicability")]
    pub applicability: &'static str,
    /// The changes; they do not overlap.
    pub edits: Vec<WireEdit>,
}

/// How sure a fix is.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "stands for the applicability's text in the schema only")]
enum WireApplicability {
    Safe,
    Unsafe,
}

/// One change of a file.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WireEdit {
    /// The file, relative to the working directory, with `/`.
    pub path: String,
    /// The first character to replace.
    pub start: WirePosition,
    /// One past the last.
    pub end: WirePosition,
    /// What to put there.
    pub text: String,
}

/// Counts.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Summary {
    /// Files that were read.
    pub files: usize,
    /// Flow files among them, DAG or flex.
    pub flows: usize,
    /// Findings of level error.
    pub errors: usize,
    /// Findings of level warning.
    pub warnings: usize,
    /// Findings of level hint.
    pub hints: usize,
}

/// The report as wire structs.
pub fn report(report: &CheckReport) -> Report {
    Report {
        version: 1,
        findings: report.findings().map(finding).collect(),
        summary: Summary {
            files: report.files(),
            flows: report.flows(),
            errors: report.count(Level::Error),
            warnings: report.count(Level::Warning),
            hints: report.count(Level::Hint),
        },
    }
}

fn finding(finding: &LocatedFinding) -> WireFinding {
    WireFinding {
        rule: finding.rule,
        level: level_name(finding.level),
        path: finding.path.clone(),
        start: position(finding.start),
        end: position(finding.end),
        message: finding.message.clone(),
        help: finding.help.clone(),
        engine: finding.engine,
        fix: finding.fix.as_ref().map(|fix| WireFix {
            title: fix.title.clone(),
            applicability: if fix.safe { "safe" } else { "unsafe" },
            edits: fix
                .edits
                .iter()
                .map(|edit| WireEdit {
                    path: edit.path.clone(),
                    start: position(edit.start),
                    end: position(edit.end),
                    text: edit.text.clone(),
                })
                .collect(),
        }),
    }
}

fn position(position: Position) -> WirePosition {
    WirePosition { line: position.line + 1, column: position.column + 1 }
}

/// The report as one JSON text with a final line break.
///
/// # Errors
/// None in practice: the structs hold nothing that JSON cannot say.
pub fn render(check_report: &CheckReport) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string_pretty(&report(check_report))? + "\n")
}
