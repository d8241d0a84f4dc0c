use crate::context::Context;
use crate::finding::{Applicability, Finding, Level, Place};
use crate::rule::{Group, Rule};
use crate::versions::excludes;
use flowgate_flow::Span;
use flowgate_flow::base_image;
use flowgate_flow::config::RuntimeTarget;
use flowgate_flow::lock;
use flowgate_flow::requirements::Requirement;
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

/// Versions of `promptflow` that install without an error and then cannot be imported, where pip
/// takes the newest of all that they need (seen on Python 3.11): those before 1.17.1 break with
/// marshmallow 3.24, the others with a beta version of `azure-monitor-opentelemetry-exporter`.
const BROKEN: [&str; 9] = ["1.4.1", "1.7.0", "1.11.0", "1.12.0", "1.15.0", "1.16.2", "1.17.1", "1.17.2", "1.18.1"];

/// What breaks them. Who asks for a version of it is believed to have chosen one that fits.
const BREAKING: [&str; 2] = ["marshmallow", "azure-monitor-opentelemetry-exporter"];

/// The first release known to break with marshmallow 3.24, and the first that no longer does.
const FRAGILE: (&str, &str) = ("1.4.1", "1.17.1");

/// Older releases overwrite a module that `promptflow.core` of the newer ones needs.
const OVERWRITING: &str = "1.7.0";

/// The one version of Microsoft's image with a marshmallow that breaks them: all later ones hold an
/// older marshmallow, for the sake of such pins.
const BREAKING_IMAGE: &str = "20250131.v2";

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
    why: "The base image already holds a matching set. A pinned version replaces a part of it, and pip reports success whether or not the rest fits: from 1.4.1 to before 1.17.1, `import promptflow` fails beside marshmallow 3.24 or newer, and only the older marshmallow of the newest base images saves it. Releases below 1.7 also overwrite a module that `promptflow.core` of the base image needs. It is an error where it is known to fail: on flowgate's own base image, on which a flow runs that names no image, and whose build refuses every version but its own; on the base image `20250131.v2`; and in a container of `pf flow build`, which installs the newest of all that a release needs. A lower bound (`>=`) is only a hint.",
    bad: "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirements.txt\n#- requirements.txt\npromptflow[azure]==1.10.0\nrequests\n",
    good: "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirements.txt\n#- requirements.txt\npromptflow[azure]\nrequests\n",
    fix: Some(
        "Removes the version and keeps the extras and the marker. Safe: the base image's version is the one that runs.",
    ),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let image = context.flow_file().and_then(|flow| flow.flow.environment.as_ref()?.image.as_ref());
    let is_hosted = context.target == RuntimeTarget::HostedRuntime
        && image.is_none_or(|image| base_image::is_microsofts(&image.value));
    let own_base = context.is_on_own_base();
    let breaks = is_hosted && image.is_some_and(|image| image.value.ends_with(BREAKING_IMAGE));
    let is_split = is_hosted && !image.is_some_and(|image| base_image::may_precede_core(&image.value));
    let mut all = context.requirements().iter().flat_map(|file| file.requirements.requirements());
    let takes_newest = context.target == RuntimeTarget::FlowBuild
        && !all.any(|other| other.normalized_name().is_some_and(|name| BREAKING.contains(&name.as_str())));
    for file in context.requirements() {
        for requirement in file.requirements.requirements() {
            let (Some(name), Some(specifier)) = (&requirement.name, &requirement.specifier) else { continue };
            let normal = requirement.normalized_name().unwrap_or_default();
            if !PACKAGES.contains(&normal.as_str()) {
                continue;
            }
            let parsed = requirement.parsed.as_ref().ok().and_then(|parsed| parsed.version_or_url.as_ref());
            // pip takes the newest that is allowed.
            let below = |version| {
                normal == "promptflow"
                    && matches!(parsed, Some(VersionOrUrl::VersionSpecifier(wanted)) if excludes(wanted, version, None))
            };
            let is_fragile = below(FRAGILE.1) && !below(FRAGILE.0);
            let is_broken = normal == "promptflow" && takes_newest && is_broken(&specifier.value);
            let at = Place { file: file.file, span: Span::new(name.span.start, specifier.span.end) };
            let written = specifier.value.split_whitespace().collect::<Vec<_>>().join(" ");
            let brings = "and the base image brings its own version";
            let own = own_base.then(|| lock::package(&normal)).flatten();
            let held = own.and_then(|own| own.versions.first()).filter(|_| marked_for_all(requirement));
            let refused = held.filter(|held| match parsed {
                Some(VersionOrUrl::VersionSpecifier(wanted)) => !wanted.contains(held),
                _ => false,
            });
            let (level, message) = if let Some(held) = refused {
                let what = "the environment cannot be built";
                (Level::Error, format!("`{normal}` is pinned (`{written}`), and the base image holds {held}: {what}"))
            } else if is_broken {
                let what = "is pinned to a version that installs and then cannot be imported";
                (Level::Error, format!("`{normal}` {what} (`{written}`)"))
            } else if is_fragile && breaks {
                let what = "marshmallow in this base image breaks it";
                (Level::Error, format!("`{normal}` is pinned below 1.17.1 (`{written}`): {what}"))
            } else if is_split && below(OVERWRITING) {
                let what = "over the base image's newer parts, `promptflow.core` cannot be imported";
                (Level::Warning, format!("`{normal}` is pinned below 1.7 (`{written}`): {what}"))
            } else if is_fragile {
                let what = "it cannot be imported beside marshmallow 3.24 or newer";
                (Level::Warning, format!("`{normal}` is pinned below 1.17.1 (`{written}`): {what}"))
            } else if normal != "promptflow-vectordb" && is_lower_bound(&specifier.value) {
                (Level::Hint, format!("`{normal}` has a lower bound (`{written}`), {brings}"))
            } else {
                let level = if normal == "promptflow-vectordb" { Level::Hint } else { Level::Warning };
                (level, format!("`{normal}` is pinned (`{written}`), {brings}"))
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

fn marked_for_all(requirement: &Requirement) -> bool {
    requirement.parsed.as_ref().is_ok_and(|parsed| parsed.marker.is_true())
}

fn clauses(specifier: &str) -> Vec<&str> {
    specifier.trim_start_matches('(').trim_end_matches(')').split(',').map(str::trim).collect()
}

fn is_broken(specifier: &str) -> bool {
    let clauses = clauses(specifier);
    let exact = clauses.iter().find_map(|clause| clause.strip_prefix("===").or_else(|| clause.strip_prefix("==")));
    exact.is_some_and(|version| BROKEN.contains(&version.trim()))
}

fn is_lower_bound(specifier: &str) -> bool {
    clauses(specifier).iter().all(|clause| clause.starts_with('>') || clause.starts_with("!="))
}

#[cfg(test)]
mod tests {
    use flowgate_flow::config::{CheckConfig, RuntimeTarget};

    use crate::finding::Level;
    use crate::{Facts, fixture};

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
#^^^^^^^^^^^^^^^^^ warning[pinned-promptflow]: `promptflow` is pinned below 1.17.1 (`===1.7.0`): it cannot be imported beside marshmallow 3.24 or newer
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
    fn where_marshmallow_breaks_it() {
        let flow = |image: &str, found: &str| {
            let flow = format!("#- flow.dag.yaml\nenvironment:\n  image: {image}\n#- requirements.txt\n");
            let rest = "promptflow-vectordb==0.2\n#^^^^^^^^^^^^^^^^^^^^^^^ hint[pinned-promptflow]: `promptflow-vectordb` is pinned (`==0.2`), and the base image brings its own version\n";
            fixture::raises(&super::RULE, &format!("{flow}promptflow<1.8\n#^^^^^^^^^^^^^ {found}\n{rest}"));
        };
        let pinned = "[pinned-promptflow]: `promptflow` is pinned below 1.17.1 (`<1.8`): ";
        let warning = format!("warning{pinned}it cannot be imported beside marshmallow 3.24 or newer");
        let runtime = "mcr.microsoft.com/azureml/promptflow/promptflow-runtime";
        flow(&format!("{runtime}:20251211.v2"), &warning);
        flow("contoso.azurecr.io/flows:20250131.v2", &warning);
        let old = |what: &str| {
            format!(
                "#- requirements.txt\npromptflow==1.1.1\n#^^^^^^^^^^^^^^^^ warning[pinned-promptflow]: `promptflow` is pinned{what}\n"
            )
        };
        let overwrites =
            " below 1.7 (`==1.1.1`): over the base image's newer parts, `promptflow.core` cannot be imported";
        let image = format!("environment: {{image: '{runtime}:20251211.v2'}}");
        fixture::raises(&super::RULE, &format!("#- flow.dag.yaml\n{image}\n{}", old(overwrites)));
        let brings = old(" (`==1.1.1`), and the base image brings its own version");
        fixture::raises(
            &super::RULE,
            &format!("#- flow.dag.yaml\nenvironment: {{image: contoso.azurecr.io/flows:1}}\n{brings}"),
        );
        flow(&format!("{runtime}:20250131.v2"), &format!("error{pinned}marshmallow in this base image breaks it"));
    }

    #[test]
    fn on_the_own_base_image() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
inputs: {}
#- requirements.txt
promptflow==1.11.0
#^^^^^^^^^^^^^^^^^ error[pinned-promptflow]: `promptflow` is pinned (`==1.11.0`), and the base image holds 1.18.5: the environment cannot be built
promptflow-tools<1.6
#^^^^^^^^^^^^^^^^^^^ error[pinned-promptflow]: `promptflow-tools` is pinned (`<1.6`), and the base image holds 1.6.1: the environment cannot be built
promptflow-core==1.18.5
#^^^^^^^^^^^^^^^^^^^^^^ warning[pinned-promptflow]: `promptflow-core` is pinned (`==1.18.5`), and the base image brings its own version
promptflow-devkit==1.0 ; python_version < '3'
#^^^^^^^^^^^^^^^^^^^^^ warning[pinned-promptflow]: `promptflow-devkit` is pinned (`==1.0`), and the base image brings its own version
promptflow-azure==1.0
#^^^^^^^^^^^^^^^^^^^^ warning[pinned-promptflow]: `promptflow-azure` is pinned (`==1.0`), and the base image brings its own version
",
        );
    }

    #[test]
    fn in_a_container_of_its_own() {
        let shown = |requirements: &str| {
            let files =
                fixture::files(&format!("#- flow.dag.yaml\ninputs: {{}}\n#- requirements.txt\n{requirements}\n"));
            let config = CheckConfig { target: RuntimeTarget::FlowBuild, ..CheckConfig::default() };
            let findings = crate::check(&fixture::project(&files), &config, &Facts::default());
            let mut found = findings.into_iter().filter(|finding| finding.rule == super::RULE.name);
            found.next().map(|finding| (finding.level, finding.message))
        };
        let broken = "`promptflow` is pinned to a version that installs and then cannot be imported (`==1.17.2`)";
        assert_eq!(shown("promptflow==1.17.2"), Some((Level::Error, broken.to_owned())));
        for chosen in [
            "promptflow==1.17.2\nazure-monitor-opentelemetry-exporter==1.0.0b45",
            "promptflow==1.12.0\nmarshmallow<3.24",
        ] {
            assert_eq!(shown(chosen).map(|(level, _)| level), Some(Level::Warning), "{chosen}");
        }
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
