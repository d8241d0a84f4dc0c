use flowgate_flow::Span;
use flowgate_flow::config::RuntimeTarget;
use pep508_rs::VersionOrUrl;

use crate::context::Context;
use crate::finding::{Applicability, Finding, Level, Place};
use crate::rule::{Group, Rule};
use crate::versions::{exclude_each_other, excludes};
use flowgate_flow::{base_image, lock};

pub(super) const RULE: Rule = Rule {
    name: "conflicting-base-pin",
    group: Group::Environment,
    level: Level::Warning,
    summary: "A version of a package that promptflow itself needs in another version.",
    cases: &["old-openai-pin", "marshmallow-pin"],
    why: "A flow that names no image runs on flowgate's own base image; there the environment cannot be built, which is an error. On Microsoft's, pip replaces the package under the engine's feet and only prints a line about it. The session then does not start, or its first import fails: `No module named 'openai.error'`, `cannot import name ... from 'marshmallow'`.",
    bad: "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirements.txt\n#- requirements.txt\nopenai==0.28.1\nrequests\n",
    good: "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirements.txt\n#- requirements.txt\nopenai\nrequests\n",
    fix: Some("Removes the version. Unsafe: the flow's own code may have been written for it."),
    check,
};

/// What promptflow needs: the package, the first version that it takes, the first that it no longer
/// takes, and which part of it asks. Taken from the metadata of promptflow 1.18.5 and
/// promptflow-tools 1.6.1, bounds that also hold for older releases since 1.8, as Microsoft's images hold them.
const NEEDED: [(&str, &str, Option<&str>, &str); 12] = [
    ("openai", "1.0.0", None, "promptflow-tools"),
    ("marshmallow", "3.5", Some("4.0.0"), "promptflow-devkit"),
    ("flask", "2.2.3", Some("4.0.0"), "promptflow-core"),
    ("fastapi", "0.109.0", Some("1.0.0"), "promptflow-core"),
    ("jsonschema", "4.0.0", Some("5.0.0"), "promptflow-core"),
    ("ruamel-yaml", "0.17.10", Some("1.0.0"), "promptflow-core"),
    ("python-dateutil", "2.1.0", Some("3.0.0"), "promptflow-core"),
    ("opentelemetry-sdk", "1.22.0", Some("2.0.0"), "promptflow-tracing"),
    ("tiktoken", "0.4.0", None, "promptflow-tracing"),
    ("sqlalchemy", "1.4.48", Some("3.0.0"), "promptflow-devkit"),
    ("pydash", "6.0.0", Some("8.0.0"), "promptflow-devkit"),
    ("pandas", "1.5.3", Some("3.0.0"), "promptflow-devkit"),
];

/// Base images before this day hold a promptflow that marshmallow 3.24 breaks.
const MARSHMALLOW_MENDED: u32 = 2025_0131;

fn check(context: &Context<'_>) -> Vec<Finding> {
    // In a container of `pf flow build`, pip resolves both in one go and says so.
    if context.target != RuntimeTarget::HostedRuntime {
        return Vec::new();
    }
    let own_base = context.is_on_own_base();
    let image = context.flow_file().and_then(|flow| flow.flow.environment.as_ref()?.image.as_ref());
    if image.is_some_and(|image| !base_image::is_microsofts(&image.value)) {
        return Vec::new();
    }
    let date = image.and_then(|image| base_image::date(image.value.rsplit_once(':')?.1));
    let mut findings = Vec::new();
    for file in context.requirements() {
        for requirement in file.requirements.requirements() {
            let Ok(parsed) = &requirement.parsed else { continue };
            let (Some(VersionOrUrl::VersionSpecifier(wanted)), Some(name), Some(written)) =
                (&parsed.version_or_url, &requirement.name, &requirement.specifier)
            else {
                continue;
            };
            let normal = requirement.normalized_name().unwrap_or_default();
            let needed = NEEDED.iter().find(|(needed, ..)| *needed == normal);
            let own = if own_base && parsed.marker.is_true() { lock::needs(&normal) } else { &[] };
            let at = Place { file: file.file, span: Span::new(name.span.start, written.span.end) };
            let mut level = Level::Warning;
            let message = if let Some(need) = own.iter().find(|need| exclude_each_other(wanted, &need.specifiers)) {
                level = Level::Error;
                let range = need.specifiers.to_string().replace(' ', "");
                format!("`{}` in the base image needs `{normal}{range}`, not `{}`", need.by, written.value)
            } else if let Some((_, from, below, asks)) =
                needed.filter(|(_, from, below, _)| excludes(wanted, from, *below))
            {
                let range = below.map_or(format!(">={from}"), |below| format!(">={from},<{below}"));
                format!("`{asks}` in the base image needs `{normal}{range}`, not `{}`", written.value)
            } else if normal == "marshmallow"
                && date.is_some_and(|date| date < MARSHMALLOW_MENDED)
                && excludes(wanted, "3.5", Some("3.24"))
            {
                format!(
                    "promptflow in this base image breaks with `marshmallow{}`: it needs a version below 3.24",
                    written.value
                )
            } else {
                continue;
            };
            let keep = requirement.extras.map_or(name.span.end, |extras| extras.end);
            let edit = Place { file: file.file, span: Span::new(keep, written.span.end) };
            findings.push(
                Finding::new(level, at, message)
                    .help("drop the version, and adapt the code; or run the flow on an image of your own")
                    .fix(Applicability::Unsafe, "remove the version", edit, ""),
            );
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn every_operator() {
        fixture::raises(
            &super::RULE,
            "#- requirements.txt
OpenAI<1
#^^^^^^^ warning[conflicting-base-pin]: `promptflow-tools` in the base image needs `openai>=1.0.0`, not `<1`
openai[datalib] ~= 0.27
#^^^^^^^^^^^^^^^^^^^^^^ warning[conflicting-base-pin]: `promptflow-tools` in the base image needs `openai>=1.0.0`, not `~= 0.27`
openai==0.*
#^^^^^^^^^^ warning[conflicting-base-pin]: `promptflow-tools` in the base image needs `openai>=1.0.0`, not `==0.*`
openai>=0.27
openai>=0.27,<2
openai~=1.3
marshmallow>=4
#^^^^^^^^^^^^^ warning[conflicting-base-pin]: `promptflow-devkit` in the base image needs `marshmallow>=3.5,<4.0.0`, not `>=4`
marshmallow==3.26.1
flask<=2.2.2
#^^^^^^^^^^^ warning[conflicting-base-pin]: `promptflow-core` in the base image needs `flask>=2.2.3,<4.0.0`, not `<=2.2.2`
flask==3.0
pandas>3
#^^^^^^^ warning[conflicting-base-pin]: `promptflow-devkit` in the base image needs `pandas>=1.5.3,<3.0.0`, not `>3`
",
        );
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
inputs: {}
#- requirements.txt
tabulate==0.8.10
#^^^^^^^^^^^^^^^ error[conflicting-base-pin]: `promptflow-devkit` in the base image needs `tabulate>=0.9.0,<1.0.0`, not `==0.8.10`
starlette>=0.50
#^^^^^^^^^^^^^^ error[conflicting-base-pin]: `promptflow-core` in the base image needs `starlette>=0.49.1,<0.50.0`, not `>=0.50`
google-search-results==2.4.2
#^^^^^^^^^^^^^^^^^^^^^^^^^^^ error[conflicting-base-pin]: `promptflow-tools` in the base image needs `google-search-results==2.4.1`, not `==2.4.2`
google-search-results>=2
tabulate~=0.9
openai<1 ; python_version < '3'
#^^^^^^^ warning[conflicting-base-pin]: `promptflow-tools` in the base image needs `openai>=1.0.0`, not `<1`
-c limits.txt
#- limits.txt
pandas==3.0
#^^^^^^^^^^ error[conflicting-base-pin]: `promptflow-devkit` in the base image needs `pandas>=1.5.3,<3.0.0`, not `==3.0`
",
        );
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
environment:
  image: mcr.microsoft.com/azureml/promptflow/promptflow-runtime:20241126.v3
  python_requirements_txt: requirements.txt
#- requirements.txt
marshmallow==3.26.1
#^^^^^^^^^^^^^^^^^^ warning[conflicting-base-pin]: promptflow in this base image breaks with `marshmallow==3.26.1`: it needs a version below 3.24
marshmallow>=3.5
",
        );
    }
}
