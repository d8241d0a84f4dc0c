//! What the checker knows of a flow that did not run.

use std::collections::BTreeSet;

use flowgate_check::{Applicability, Finding, Group, Level, rules};
use flowgate_flow::{Project, classify};
use flowgate_runtime::outcome::FlowError;
use flowgate_runtime::{Fault, FlowOutcome, RuntimeError, Stage, Verdict};

use crate::check::display_path;

/// Of more rules than these, `flowgate check` tells.
const MAX_RULES: usize = 5;

/// The findings that may explain why a flow did not pass, with what would mend them: one text for each rule. `flow` is
/// its file as messages name it.
pub fn of_run(outcome: &FlowOutcome, project: &Project, findings: &[Finding]) -> Vec<String> {
    if outcome.verdict() == Verdict::Passed {
        return Vec::new();
    }
    match &outcome.error {
        Some(FlowError::Runtime(error)) => of_error(error, &outcome.flow, project, findings),
        Some(FlowError::Refused(fault)) => advice(&said(fault), &outcome.flow, project, findings, |_| true),
        None => {
            let faults = outcome.lines.iter().filter_map(|line| line.error.as_ref());
            let text = faults.chain(&outcome.aggregation_error).map(said).collect::<Vec<_>>().join("\n");
            // A line that was only skipped tells nothing of the flow.
            if text.is_empty() { Vec::new() } else { advice(&text, &outcome.flow, project, findings, |_| true) }
        }
    }
}

/// The same for an environment or a runtime that could not be had.
pub fn of_error(error: &RuntimeError, flow: &str, project: &Project, findings: &[Finding]) -> Vec<String> {
    if !matches!(error.stage, Stage::Environment | Stage::Runtime) {
        return Vec::new();
    }
    let said = format!("{}\n{}", error.message, error.log.as_deref().unwrap_or_default());
    let is_of_environment = |finding: &Finding| {
        rules::find(finding.rule).is_some_and(|rule| matches!(rule.group, Group::Environment | Group::Files))
    };
    let mut texts = advice(&said, flow, project, findings, is_of_environment);
    // The error's own next step is there already.
    if let Some(hint) = &error.hint {
        let ending = format!(": {hint}");
        for text in &mut texts {
            let length = text.strip_suffix(&ending).unwrap_or(text).len();
            text.truncate(length);
        }
    }
    texts
}

fn said(fault: &Fault) -> String {
    format!("{}\n{}", fault.message, fault.traceback.as_deref().unwrap_or_default())
}

/// Errors that are of that kind, and whatever is found at a place that the failure itself names, as messages or as
/// tracebacks write it.
fn advice(
    said: &str,
    flow: &str,
    project: &Project,
    findings: &[Finding],
    is_near: impl Fn(&Finding) -> bool,
) -> Vec<String> {
    let mut rules = BTreeSet::new();
    let mut texts = Vec::new();
    for finding in findings {
        let Some(file) = project.file(finding.at.file) else { continue };
        let line = file.lines.line_of(finding.at.span.start) + 1;
        let shown = display_path(&file.path, &project.folder);
        let place = format!("{shown}:{line}");
        let traced = format!("{shown}\", line {line}");
        let is_named = finding.level != Level::Hint && (names(said, &place) || names(said, &traced));
        let is_error = finding.level == Level::Error && is_near(finding);
        if !(is_named || is_error) || !rules.insert(finding.rule) || texts.len() >= MAX_RULES {
            continue;
        }
        let what = format!("{}[{}] at {place}", crate::check::level_name(finding.level), finding.rule);
        let at = shell_word(path(flow));
        texts.push(match finding.fix.as_ref().map(|fix| fix.applicability) {
            Some(Applicability::Safe) => format!("{what}: `flowgate check --fix {at}` mends it"),
            Some(Applicability::Unsafe) => format!("{what}: `flowgate check --fix --unsafe-fixes {at}` may mend it"),
            None => format!("{what}: {}", finding.help.as_ref().unwrap_or(&finding.message)),
        });
    }
    texts
}

/// Whether a text names a place, and not only one that starts like it.
fn names(text: &str, place: &str) -> bool {
    text.match_indices(place).any(|(at, _)| {
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let after = text.get(at + place.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '/' | '-' | '_'))
            && !after.is_some_and(|c| c.is_ascii_digit())
    })
}

/// The folder of a flow that `check` finds there by itself, else its file.
fn path(flow: &str) -> &str {
    let (folder, name) = flow.rsplit_once('/').unwrap_or((".", flow));
    let is_usual = classify::classify(std::path::Path::new(name)) == flowgate_flow::FileKind::Flow;
    if is_usual { folder } else { flow }
}

/// A path as a shell takes it.
fn shell_word(path: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_');
    match path.chars().all(is_plain) && !path.starts_with('-') {
        true => path.to_owned(),
        false => format!("'{}'", path.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use expect_test::expect;
    use flowgate_flow::load::{self, Memory};

    use super::*;

    #[test]
    fn what_explains_a_failure_and_nothing_else() {
        let files = [
            ("/f/flow.dag.yaml", "inputs: {}\nnodes:\n- {name: a, type: python, source: {path: gone.py}}\n"),
            ("/f/requirements.txt", "# why\npromptflow==1.11.0\n--pre six\n-i http://pypi.example.com/simple/\n"),
        ];
        let files = files.map(|(path, text)| (path.into(), text.as_bytes().to_vec())).into();
        let project = load::load_project(&Memory { files }, Path::new("/f/flow.dag.yaml"));
        let findings = flowgate_check::check(&project, &Default::default(), &Default::default());
        let of = |stage, message: &str| {
            of_error(&RuntimeError::new(stage, message), "it's/f/flow.dag.yaml", &project, &findings).join("\n")
        };
        expect![[r#"
            error[pinned-promptflow] at requirements.txt:2: `flowgate check --fix 'it'\''s/f'` mends it
            error[dropped-by-pip] at requirements.txt:3: `flowgate check --fix --unsafe-fixes 'it'\''s/f'` may mend it
            warning[untrusted-index] at requirements.txt:4: `flowgate check --fix --unsafe-fixes 'it'\''s/f'` may mend it"#]].assert_eq(&of(Stage::Environment, "requirements.txt:4: refused, or requirements.txt:33"));
        assert_eq!(of(Stage::Infrastructure, "requirements.txt:4: the disk is full"), "");
        assert_eq!(of(Stage::Usage, "requirements.txt:4: unusable"), "");
        assert!(
            !names("x/requirements.txt:4", "requirements.txt:4") && !names("requirements.txt:44", "requirements.txt:4")
        );
        let traced = of(Stage::Environment, "  File \"requirements.txt\", line 4, in <module>");
        assert!(traced.contains("warning[untrusted-index] at requirements.txt:4"), "{traced}");
        assert_eq!((path("a/b/flow.dag.yaml"), path("flow.flex.yaml"), path("a/x.yaml")), ("a/b", ".", "a/x.yaml"));
    }
}
