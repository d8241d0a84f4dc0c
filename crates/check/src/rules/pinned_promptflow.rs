use crate::context::Context;
use crate::finding::{Applicability, Finding, Level, Place};
use crate::rule::{Group, Rule};
use flowgate_flow::Span;

/// The packages of the promptflow family that the base image holds.
const PACKAGES: [&str; 6] = [
    "promptflow",
    "promptflow-tools",
    "promptflow-core",
    "promptflow-devkit",
    "promptflow-azure",
    "promptflow-tracing",
];

/// Versions of `promptflow` that install without an error and then cannot be imported, with
/// today's versions of what they depend on (seen on Python 3.11).
const BROKEN: [&str; 9] = ["1.4.1", "1.7.0", "1.11.0", "1.12.0", "1.15.0", "1.16.2", "1.17.1", "1.17.2", "1.18.1"];

pub(super) const RULE: Rule = Rule {
    name: "pinned-promptflow",
    group: Group::Environment,
    level: Level::Warning,
    summary: "A requirements file that fixes the version of `promptflow` or of one of its parts.",
    why: "The base image already holds a matching set. A pinned version replaces a part of it: pip reports success, and then the engine cannot be imported. Going back does not mend the image. A lower bound (`>=`) is only a hint; a version that is known to break is an error.",
    bad: "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirements.txt\n#- requirements.txt\npromptflow[azure]==1.10.0\nrequests\n",
    good: "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirements.txt\n#- requirements.txt\npromptflow[azure]\nrequests\n",
    fix: Some(
        "Removes the version and keeps the extras and the marker. Safe: the base image's version is the one that runs.",
    ),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in context.requirements() {
        for requirement in file.requirements.requirements() {
            let (Some(name), Some(specifier)) = (&requirement.name, &requirement.specifier) else { continue };
            let normal = requirement.normalized_name().unwrap_or_default();
            if !PACKAGES.contains(&normal.as_str()) {
                continue;
            }
            let level = level(&normal, &specifier.value);
            let at = Place { file: file.file, span: Span::new(name.span.start, specifier.span.end) };
            let written = specifier.value.split_whitespace().collect::<Vec<_>>().join(" ");
            let message = match level {
                Level::Hint => {
                    format!("`{normal}` has a lower bound (`{written}`), and the base image brings its own version")
                }
                Level::Warning => {
                    format!("`{normal}` is pinned (`{written}`), and the base image brings its own version")
                }
                Level::Error => {
                    format!("`{normal}` is pinned to a version that installs and then cannot be imported (`{written}`)")
                }
            };
            let keep = requirement.extras.map_or(name.span.end, |extras| extras.end);
            let edit = Place { file: file.file, span: Span::new(keep, specifier.span.end) };
            let bare = context.slice(Place { file: file.file, span: Span::new(name.span.start, keep) });
            findings.push(Finding::new(level, at, message).help(format!("write `{bare}` without a version")).fix(
                Applicability::Safe,
                "remove the version",
                edit,
                "",
            ));
        }
    }
    findings
}

fn level(name: &str, specifier: &str) -> Level {
    let clauses: Vec<&str> =
        specifier.trim_start_matches('(').trim_end_matches(')').split(',').map(str::trim).collect();
    let exact = clauses.iter().find_map(|clause| clause.strip_prefix("===").or_else(|| clause.strip_prefix("==")));
    if name == "promptflow" && exact.is_some_and(|version| BROKEN.contains(&version.trim())) {
        Level::Error
    } else if clauses.iter().all(|clause| clause.starts_with('>') || clause.starts_with("!=")) {
        Level::Hint
    } else {
        Level::Warning
    }
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn every_spelling_in_every_file() {
        fixture::raises(
            &super::RULE,
            "#- requirements.txt
Prompt_Flow
Promptflow_Tools ~= 1.4 ; python_version > '3'
#^^^^^^^^^^^^^^^^^^^^^^ warning[pinned-promptflow]: `promptflow-tools` is pinned (`~= 1.4`), and the base image brings its own version
promptflow >=1.0, !=1.2
#^^^^^^^^^^^^^^^^^^^^^^ hint[pinned-promptflow]: `promptflow` has a lower bound (`>=1.0, !=1.2`), and the base image brings its own version
promptflow>=1.0,<2
#^^^^^^^^^^^^^^^^^ warning[pinned-promptflow]: `promptflow` is pinned (`>=1.0,<2`), and the base image brings its own version
promptflow===1.7.0
#^^^^^^^^^^^^^^^^^ error[pinned-promptflow]: `promptflow` is pinned to a version that installs and then cannot be imported (`===1.7.0`)
promptflow @ https://example.com/promptflow.whl
#^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning[pinned-promptflow]: `promptflow` is pinned (`@ https://example.com/promptflow.whl`), and the base image brings its own version
promptflow-evals==0.3
-r more.txt
-c limits.txt
#- more.txt
promptflow-core==1.0 # why
#^^^^^^^^^^^^^^^^^^^ warning[pinned-promptflow]: `promptflow-core` is pinned (`==1.0`), and the base image brings its own version
#- limits.txt
promptflow<2
#^^^^^^^^^^^ warning[pinned-promptflow]: `promptflow` is pinned (`<2`), and the base image brings its own version
",
        );
    }

    #[test]
    fn the_fix_keeps_extras_marker_and_comment() {
        let fixed = fixture::fixed(
            "#- requirements.txt\npromptflow[azure] == 1.0 ; python_version > '3'  # why\npromptflow-tools \\\n  ==1.0\nx==1\n",
        );
        assert_eq!(
            fixed,
            "#- requirements.txt\npromptflow[azure] ; python_version > '3'  # why\npromptflow-tools\nx==1\n"
        );
    }
}
