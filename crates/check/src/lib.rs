//! Spanned nouns to findings: pure and synchronous.
//!
//! [`check`] is the one entry for every door: a command line, an editor and a pull request get the
//! same findings from the same snapshot. A rule is one file in `rules/`, with its documentation,
//! its metadata, its check and its tests; adding one touches that file and the list in
//! [`rules::ALL`].
//!
//! Invariants:
//! - no I/O, and no panic on any snapshot;
//! - a rule whose facts are not known is silent;
//! - a finding that depends on a part of a file that could not be read is not made.

mod context;
mod finding;
mod fixes;
#[cfg(test)]
mod fixture;
mod ignores;
mod rule;
pub mod rules;
mod suggest;
pub mod workspace;

pub use context::{Context, Facts};
pub use finding::{Applicability, Edit, Finding, Fix, Level, Place, Related};
pub use fixes::apply;
pub use rule::{Group, Rule};

use flowgate_flow::Project;
use flowgate_flow::config::{CheckConfig, RuleLevel};

/// All findings of a project, in order of file, place and rule.
pub fn check(project: &Project, config: &CheckConfig, facts: &Facts) -> Vec<Finding> {
    let context = Context::new(project, facts);
    let mut findings: Vec<Finding> = Vec::new();
    for rule in rules::ALL {
        let level = match config.rules.get(rule.name) {
            Some(RuleLevel::Off) => continue,
            Some(RuleLevel::Hint) => Some(Level::Hint),
            Some(RuleLevel::Warning) => Some(Level::Warning),
            Some(RuleLevel::Error) => Some(Level::Error),
            None => None,
        };
        findings.extend((rule.check)(&context).into_iter().map(|mut finding| {
            finding.rule = rule.name;
            finding.level = level.unwrap_or(finding.level);
            finding
        }));
    }
    findings.retain(|finding| !context.is_beside_broken_part(finding) && !ignores::ignored(&context, finding));
    findings.sort_by(|a, b| (a.at, a.rule).cmp(&(b.at, b.rule)));
    findings.dedup_by(|a, b| a.at == b.at && a.rule == b.rule && a.message == b.message);
    findings
}

/// Names in `config` that are no rule, each with the nearest that is.
pub fn unknown_rules(config: &CheckConfig) -> Vec<(String, Option<&'static str>)> {
    let names = || rules::ALL.iter().map(|rule| rule.name);
    let unknown = config.rules.keys().filter(|name| names().all(|n| n != name.as_str()));
    unknown.map(|name| (name.clone(), suggest::nearest(name, names()))).collect()
}
