//! What the checker knows of a flow that did not run.

use std::collections::BTreeSet;

use flowgate_check::{Applicability, Finding, Group, Level, rules};
use flowgate_flow::{Project, classify};
use flowgate_runtime::outcome::FlowError;
use flowgate_runtime::{Fault, FlowOutcome, RuntimeError, Stage, Verdict};

use crate::check::{display_path, plural};

/// Of more rules than these, `flowgate check` tells.
const MAX_RULES: usize = 5;

/// The findings that may explain why a flow did not pass, with what would mend them: one text for each rule. `flow` is
/// its file as messages name it.
pub fn of_run(outcome: &FlowOutcome, project: &Project, findings: &[Finding]) -> Vec<String> {
    let failed = Failed { flow: &outcome.flow, project, findings };
    if outcome.verdict() == Verdict::Passed {
        return Vec::new();
    }
    match &outcome.error {
        Some(FlowError::Runtime(error)) => of_error(error, &outcome.flow, project, findings),
        // It was not loaded, so what else is wrong with it is known by the checker alone.
        Some(error) if error.needs_connection() => {
            let errors = failed.errors(|_| true).len();
            let told = || {
                format!("`flowgate check {}` finds {} in it", shell_word(path(failed.flow)), plural(errors, "error"))
            };
            (errors > 0).then(told).into_iter().collect()
        }
        // The engine refuses at the first error that it meets, and its words may name another place.
        Some(FlowError::Refused(fault)) => match failed.named(&said(fault)) {
            named if named.is_empty() => failed.texts(failed.errors(|_| true)),
            named => failed.texts(named),
        },
        None => {
            let faults = outcome.lines.iter().filter_map(|line| line.error.as_ref());
            let text = faults.chain(&outcome.aggregation_error).map(said).collect::<Vec<_>>().join("\n");
            failed.texts(failed.named(&text))
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
    let failed = Failed { flow, project, findings };
    let explaining = failed.named(&said).into_iter().chain(failed.errors(is_of_environment));
    let mut texts = failed.texts(explaining.collect());
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

/// What did not run, and what the checker found in it.
struct Failed<'f> {
    /// Its file, as messages name it.
    flow: &'f str,
    project: &'f Project,
    findings: &'f [Finding],
}

impl<'f> Failed<'f> {
    /// What is found at a place that the failure itself names, as messages or as tracebacks write it.
    fn named(&self, said: &str) -> Vec<&'f Finding> {
        let is_named = |finding: &&Finding| {
            let Some((path, line)) = self.place(finding) else { return false };
            finding.level != Level::Hint
                && (names(said, &format!("{path}:{line}")) || names(said, &format!("{path}\", line {line}")))
        };
        self.findings.iter().filter(is_named).collect()
    }

    fn errors(&self, is_near: impl Fn(&Finding) -> bool) -> Vec<&'f Finding> {
        self.findings.iter().filter(|finding| finding.level == Level::Error && is_near(finding)).collect()
    }

    /// The file, from the flow's folder, and the line.
    fn place(&self, finding: &Finding) -> Option<(String, usize)> {
        let file = self.project.file(finding.at.file)?;
        let line = file.lines.line_of(finding.at.span.start) + 1;
        Some((display_path(&file.path, &self.project.folder), line))
    }

    /// One text for each rule: of its first finding.
    fn texts(&self, findings: Vec<&Finding>) -> Vec<String> {
        let mut rules = BTreeSet::new();
        let mut texts = Vec::new();
        for finding in findings {
            let Some((path, line)) = self.place(finding) else { continue };
            if !rules.insert(finding.rule) || texts.len() >= MAX_RULES {
                continue;
            }
            let folder = self.flow.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
            let level = crate::check::level_name(finding.level);
            let what = format!("{level}[{}] at {folder}{path}:{line}", finding.rule);
            let at = shell_word(self::path(self.flow));
            texts.push(match finding.fix.as_ref().map(|fix| fix.applicability) {
                Some(Applicability::Safe) => format!("{what}: `flowgate check --fix {at}` fixes this"),
                Some(Applicability::Unsafe) => {
                    format!("{what}: `flowgate check --fix --unsafe-fixes {at}` may fix this")
                }
                None => format!("{what}: {}", finding.help.as_ref().unwrap_or(&finding.message)),
            });
        }
        texts
    }
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
            warning[untrusted-index] at it's/f/requirements.txt:4: `flowgate check --fix --unsafe-fixes 'it'\''s/f'` may fix this
            error[pinned-promptflow] at it's/f/requirements.txt:2: `flowgate check --fix 'it'\''s/f'` fixes this
            error[dropped-by-pip] at it's/f/requirements.txt:3: `flowgate check --fix --unsafe-fixes 'it'\''s/f'` may fix this"#]].assert_eq(&of(Stage::Environment, "requirements.txt:4: refused, or requirements.txt:33"));
        assert_eq!(of(Stage::Infrastructure, "requirements.txt:4: the disk is full"), "");
        assert_eq!(of(Stage::Usage, "requirements.txt:4: unusable"), "");
        assert!(
            !names("x/requirements.txt:4", "requirements.txt:4") && !names("requirements.txt:44", "requirements.txt:4")
        );
        let traced = of(Stage::Environment, "  File \"requirements.txt\", line 4, in <module>");
        assert!(traced.starts_with("warning[untrusted-index] at it's/f/requirements.txt:4"), "{traced}");
        assert_eq!((path("a/b/flow.dag.yaml"), path("flow.flex.yaml"), path("a/x.yaml")), ("a/b", ".", "a/x.yaml"));
    }
}
