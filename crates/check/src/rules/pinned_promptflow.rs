use crate::context::Context;
use crate::finding::{Applicability, Finding, Level, Place};
use crate::rule::{Group, Rule};
use crate::versions::{SPLIT, excludes};
use flowgate_flow::Span;
use flowgate_flow::base_image;
use flowgate_flow::config::RuntimeTarget;
use pep508_rs::VersionOrUrl;

/// The packages of the promptflow family that the base image holds.
const PACKAGES: [&str; 7] = [
    "promptflow",
    "promptflow-tools",
    "promptflow-core",
    "promptflow-devkit",
    "promptflow-azure",
    "promptflow-tracing",
    "promptflow-vectordb",
];

/// Versions of `promptflow` that install without an error and then cannot be imported, with
/// today's versions of what they depend on (seen on Python 3.11).
const BROKEN: [&str; 9] = ["1.4.1", "1.7.0", "1.11.0", "1.12.0", "1.15.0", "1.16.2", "1.17.1", "1.17.2", "1.18.1"];

pub(super) const RULE: Rule = Rule {
    name: "pinned-promptflow",
    group: Group::Environment,
    level: Level::Warning,
    summary: "A requirements file that fixes the version of `promptflow` or of one of its parts.",
    cases: &[
        "broken-promptflow-version",
        "promptflow-below-split",
        "promptflow-lower-bound",
        "pinned-promptflow-tools",
    ],
    why: "The base image already holds a matching set. A pinned version replaces a part of it: pip reports success, and then the engine cannot be imported. Going back does not mend the image. A lower bound (`>=`) is only a hint; a version that is known to break is an error, and so is one below 1.8 over a newer image.",
    bad: "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirements.txt\n#- requirements.txt\npromptflow[azure]==1.10.0\nrequests\n",
    good: "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirements.txt\n#- requirements.txt\npromptflow[azure]\nrequests\n",
    fix: Some(
        "Removes the version and keeps the extras and the marker. Safe: the base image's version is the one that runs.",
    ),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    // Since 1.8 promptflow comes in parts, and going back takes their files away.
    let image = context.flow_file().and_then(|flow| flow.flow.environment.as_ref()?.image.as_ref());
    let splits = context.target == RuntimeTarget::HostedRuntime
        && context.flow_file().is_some()
        && image
            .is_none_or(|image| base_image::is_microsofts(&image.value) && !base_image::may_precede_core(&image.value));
    for file in context.requirements() {
        for requirement in file.requirements.requirements() {
            let (Some(name), Some(specifier)) = (&requirement.name, &requirement.specifier) else { continue };
            let normal = requirement.normalized_name().unwrap_or_default();
            if !PACKAGES.contains(&normal.as_str()) {
                continue;
            }
            let parsed = requirement.parsed.as_ref().ok().and_then(|parsed| parsed.version_or_url.as_ref());
            let is_older = normal == "promptflow"
                && splits
                && matches!(parsed, Some(VersionOrUrl::VersionSpecifier(wanted)) if excludes(wanted, SPLIT, None));
            let level = if is_older { Level::Error } else { level(&normal, &specifier.value) };
            let at = Place { file: file.file, span: Span::new(name.span.start, specifier.span.end) };
            let written = specifier.value.split_whitespace().collect::<Vec<_>>().join(" ");
            let message = match level {
                Level::Error if is_older && !is_broken(&specifier.value) => {
                    format!(
                        "`{normal}` is pinned below 1.8 (`{written}`): over the base image's newer one it cannot be imported"
                    )
                }
                Level::Hint if normal == "promptflow-vectordb" => {
                    format!("`{normal}` is pinned (`{written}`), and the base image brings its own version")
                }
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

fn clauses(specifier: &str) -> Vec<&str> {
    specifier.trim_start_matches('(').trim_end_matches(')').split(',').map(str::trim).collect()
}

fn is_broken(specifier: &str) -> bool {
    let clauses = clauses(specifier);
    let exact = clauses.iter().find_map(|clause| clause.strip_prefix("===").or_else(|| clause.strip_prefix("==")));
    exact.is_some_and(|version| BROKEN.contains(&version.trim()))
}

fn level(name: &str, specifier: &str) -> Level {
    if name == "promptflow" && is_broken(specifier) {
        Level::Error
    } else if name == "promptflow-vectordb"
        || clauses(specifier).iter().all(|clause| clause.starts_with('>') || clause.starts_with("!="))
    {
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
    fn below_the_split() {
        let flow = |image: &str, found: &str| {
            format!(
                "#- flow.dag.yaml\nenvironment:\n  image: {image}\n#- requirements.txt\npromptflow<1.8\n#^^^^^^^^^^^^^ {found}\npromptflow-vectordb==0.2\n#^^^^^^^^^^^^^^^^^^^^^^^ hint[pinned-promptflow]: `promptflow-vectordb` is pinned (`==0.2`), and the base image brings its own version\n"
            )
        };
        let warning =
            "warning[pinned-promptflow]: `promptflow` is pinned (`<1.8`), and the base image brings its own version";
        let runtime = "mcr.microsoft.com/azureml/promptflow/promptflow-runtime";
        fixture::raises(
            &super::RULE,
            &flow(
                &format!("{runtime}:20251211.v2"),
                "error[pinned-promptflow]: `promptflow` is pinned below 1.8 (`<1.8`): over the base image's newer one it cannot be imported",
            ),
        );
        fixture::raises(&super::RULE, &flow(&format!("{runtime}:20240116.v1"), warning));
        fixture::raises(&super::RULE, &flow("contoso.azurecr.io/flows:1", warning));
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
