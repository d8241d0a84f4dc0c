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

mod coercion;
pub mod config;
mod context;
mod finding;
mod fixes;
#[cfg(test)]
mod fixture;
mod ignores;
mod interface;
mod look_alike;
mod package_tools;
mod packages;
mod paths;
mod prompts;
pub mod repair;
mod rule;
pub mod rules;
mod schema;
mod suggest;
mod versions;
pub mod workspace;

pub use config::Selection;
pub use context::{Context, Facts};
pub use finding::{Applicability, Edit, Finding, Fix, Level, Place, Related};
pub use fixes::apply;
pub use rule::{Group, Rule};

use std::collections::HashMap;

use flowgate_flow::Project;
use flowgate_flow::config::{CheckConfig, RuleLevel};
use flowgate_flow::project::FileId;

/// All findings of a project, in order of file, place and rule.
pub fn check(project: &Project, config: &CheckConfig, facts: &Facts) -> Vec<Finding> {
    let context = Context::new(project, facts, config.target);
    let mut findings: Vec<Finding> = Vec::new();
    for rule in rules::ALL.iter().filter(|rule| rule.is_on(config)) {
        findings.extend((rule.check)(&context).into_iter().map(|finding| Finding { rule: rule.name, ..finding }));
    }
    let ignores = ignores::Ignores::of(&context);
    findings.retain(|finding| !context.is_beside_broken_part(finding) && !ignores.silence(&context, finding));
    if rules::unused_ignore::RULE.is_on(config) {
        let unused = ignores.unused(&context, config);
        findings.extend(unused.into_iter().filter(|finding| !ignores.silence(&context, finding)));
    }
    for finding in &mut findings {
        finding.level = match config.rules.get(finding.rule) {
            Some(RuleLevel::Hint) => Level::Hint,
            Some(RuleLevel::Warning) => Level::Warning,
            Some(RuleLevel::Error) => Level::Error,
            Some(RuleLevel::Off) | None => finding.level,
        };
    }
    findings.sort_by(|a, b| (a.at, a.rule).cmp(&(b.at, b.rule)));
    findings.dedup_by(|a, b| a.at == b.at && a.rule == b.rule && a.message == b.message);
    summarize(findings)
}

/// How many findings of one rule are told apart in one file. An editor, or a person, is not helped
/// by more, and a file that is made to have millions must not fill their memory.
const MAX_PER_RULE: usize = 1000;

/// Replaces what exceeds [`MAX_PER_RULE`] by one finding that counts it.
fn summarize(findings: Vec<Finding>) -> Vec<Finding> {
    let mut counts: HashMap<(FileId, &str), usize> = HashMap::new();
    for finding in &findings {
        *counts.entry((finding.at.file, finding.rule)).or_default() += 1;
    }
    let mut seen: HashMap<(FileId, &str), usize> = HashMap::new();
    let shorten = |mut finding: Finding| {
        let key = (finding.at.file, finding.rule);
        let seen = seen.entry(key).or_default();
        *seen += 1;
        let rest = counts.get(&key).map_or(0, |count| count.saturating_sub(MAX_PER_RULE));
        if *seen <= MAX_PER_RULE || rest == 0 {
            return Some(finding);
        }
        if *seen > MAX_PER_RULE + 1 {
            return None;
        }
        let message = format!("{} (and {} more findings of this rule in this file)", finding.message, rest - 1);
        finding.message = message;
        Some(finding)
    };
    findings.into_iter().filter_map(shorten).collect()
}

#[cfg(test)]
mod tests {
    use super::MAX_PER_RULE;
    use crate::fixture;

    #[test]
    fn a_flood_of_findings_is_counted() {
        let lines: String = (0..MAX_PER_RULE + 5).map(|n| format!("  i{n}: {{}}\n")).collect();
        let (_, findings) = fixture::findings(&[("flow.dag.yaml".to_owned(), format!("inputs:\n{lines}"))]);
        assert_eq!(findings.len(), MAX_PER_RULE + 1);
        let last = &findings[MAX_PER_RULE].message;
        assert!(last.ends_with("has no `type` (and 4 more findings of this rule in this file)"), "{last}");
    }
}
