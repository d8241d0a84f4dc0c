//! `flowgate check --format sarif`: SARIF 2.1.0 (OASIS), as GitHub's code scanning and other viewers read it.
//!
//! One run, worst findings first: GitHub shows 5,000 of a run and refuses more than 25,000.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use flowgate_check::{Level, Rule, rules};
use flowgate_flow::Position;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::check::{CheckReport, LocatedFinding, LocatedFix, with_help};
use crate::docs;
use crate::escape::sarif as escape;

/// Where the schema of the format is published.
const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");
/// What a path in a URI need not quote: RFC 3986's unreserved characters, and the separator.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');
/// The base of relative URIs, by the name that GitHub gives the root of a repository.
const BASE: &str = "%SRCROOT%";

/// The report as one JSON text with a final line break.
///
/// # Errors
/// None in practice: it holds nothing that JSON cannot say.
pub fn render(report: &CheckReport) -> Result<String, serde_json::Error> {
    let mut fingerprints = Fingerprints { report, seen: HashMap::new() };
    // In the order of the text, so that what is the first of two equal lines stays the first.
    let mut results: Vec<(Level, Value)> =
        report.findings().map(|finding| (finding.level, result(finding, &fingerprints.next(finding)))).collect();
    results.sort_by_key(|(level, _)| std::cmp::Reverse(*level));
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "flowgate",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "informationUri": REPOSITORY,
                "rules": rules::ALL.iter().map(descriptor).collect::<Vec<_>>(),
            }},
            // Where that is on this machine concerns nobody else.
            "originalUriBaseIds": {BASE: {"description": {"text": "The working directory of flowgate."}}},
            "columnKind": "unicodeCodePoints",
            "results": results.into_iter().map(|(_, result)| result).collect::<Vec<_>>(),
        }],
    });
    Ok(serde_json::to_string_pretty(&log)? + "\n")
}

fn descriptor(rule: &Rule) -> Value {
    let uri = format!("{REPOSITORY}/blob/main/docs/rules/{}.md", rule.name);
    json!({
        "id": rule.name,
        "shortDescription": {"text": escape(rule.summary)},
        "fullDescription": {"text": escape(rule.why)},
        "help": {"text": format!("See {uri}"), "markdown": docs::page(rule)},
        "helpUri": uri,
        "defaultConfiguration": {"level": level(rule.level), "enabled": !rule.is_notice()},
        "properties": {"tags": [rule.group.title()]},
    })
}

fn result(finding: &LocatedFinding, fingerprint: &str) -> Value {
    let mut result = json!({
        "ruleId": finding.rule,
        "level": level(finding.level),
        "message": {"text": escape(&with_help(finding))},
        "locations": [{"physicalLocation": location(&finding.path, finding.start, finding.end)}],
        "partialFingerprints": {Fingerprints::NAME: fingerprint},
    });
    if let Some(index) = rules::ALL.iter().position(|rule| rule.name == finding.rule) {
        result["ruleIndex"] = index.into();
    }
    if !finding.related.is_empty() {
        let related = finding.related.iter().enumerate().map(|(id, related)| {
            json!({
                "id": id,
                "physicalLocation": location(&related.path, related.start, related.end),
                "message": {"text": escape(&related.message)},
            })
        });
        result["relatedLocations"] = related.collect();
    }
    if let Some(repair) = &finding.fix {
        result["fixes"] = json!([fix(repair)]);
    }
    result
}

fn fix(fix: &LocatedFix) -> Value {
    let mut files: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for edit in &fix.edits {
        let mut replacement = json!({"deletedRegion": region(edit.start, edit.end)});
        if !edit.text.is_empty() {
            replacement["insertedContent"] = json!({"text": edit.text});
        }
        files.entry(&edit.path).or_default().push(replacement);
    }
    let changes = files
        .into_iter()
        .map(|(path, replacements)| json!({"artifactLocation": artifact(path), "replacements": replacements}));
    json!({
        "description": {"text": escape(&fix.title)},
        "artifactChanges": changes.collect::<Vec<_>>(),
        "properties": {"applicability": if fix.safe { "safe" } else { "unsafe" }},
    })
}

fn location(path: &str, start: Position, end: Position) -> Value {
    json!({"artifactLocation": artifact(path), "region": region(start, end)})
}

/// A file below the working directory relative to it, any other by its whole path.
fn artifact(path: &str) -> Value {
    let uri = utf8_percent_encode(path, PATH).to_string();
    if path.starts_with('/') { json!({"uri": format!("file://{uri}")}) } else { json!({"uri": uri, "uriBaseId": BASE}) }
}

fn region(start: Position, end: Position) -> Value {
    json!({
        "startLine": start.line + 1,
        "startColumn": start.column + 1,
        "endLine": end.line + 1,
        "endColumn": end.column + 1,
    })
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Hint => "note",
    }
}

/// What tells a finding from the others of its file, wherever its line moves to.
struct Fingerprints<'r> {
    report: &'r CheckReport,
    /// How often a rule has found something on a line of that text.
    seen: HashMap<(&'r str, &'static str, &'r str), usize>,
}

impl<'r> Fingerprints<'r> {
    /// Not `primaryLocationLineHash`: GitHub's uploader computes that itself, and warns of any other value.
    const NAME: &'static str = "flowgateLine/v1";

    /// The rule, the text of the line without the space around it, and a number that tells equal ones apart.
    fn next(&mut self, finding: &'r LocatedFinding) -> String {
        let line = self.report.text(&finding.path).map_or("", |file| file.lines.line(&file.text, finding.start.line));
        let line = line.trim();
        let number = self.seen.entry((&finding.path, finding.rule, line)).or_default();
        *number += 1;
        let hash = Sha256::digest(format!("{}\n{line}\n{number}", finding.rule));
        let mut hex = String::new();
        for byte in hash.iter().take(8) {
            let _ = write!(hex, "{byte:02x}");
        }
        hex
    }
}
