use std::collections::BTreeSet;

use flowgate_flow::config::RuntimeTarget;
use ruff_python_stdlib::sys::is_known_standard_library;

use crate::context::Context;
use crate::finding::{Finding, Level, Place};
use crate::rule::{Group, Rule};
use flowgate_flow::base_image;

pub(super) const RULE: Rule = Rule {
    name: "newer-python-needed",
    group: Group::Environment,
    level: Level::Hint,
    summary: "Syntax, or a module of the standard library, that the Python of the base image does not have yet.",
    cases: &["newer-syntax", "newer-standard-library"],
    why: "The flow works on the machine where it was written, and in the image its file cannot be loaded: `SyntaxError`, or `No module named 'tomllib'`. Microsoft's images hold Python 3.9 until the end of 2024 and 3.10 since; `pf flow build` makes an environment with 3.9, whatever the image holds. The Python of another image is not known.",
    bad: "#- flow.dag.yaml\nenvironment:\n  image: mcr.microsoft.com/azureml/promptflow/promptflow-runtime:20241126.v3\nnodes:\n- name: route\n  type: python\n  source:\n    type: code\n    path: route.py\n  inputs:\n    kind: a\noutputs:\n  way:\n    type: string\n    reference: ${route.output}\n#- route.py\nfrom promptflow.core import tool\n\n\n@tool\ndef route(kind: str) -> str:\n    match kind:\n        case \"a\":\n            return \"left\"\n    return \"right\"\n",
    good: "#- flow.dag.yaml\nenvironment:\n  image: mcr.microsoft.com/azureml/promptflow/promptflow-runtime:20241126.v3\nnodes:\n- name: route\n  type: python\n  source:\n    type: code\n    path: route.py\n  inputs:\n    kind: a\noutputs:\n  way:\n    type: string\n    reference: ${route.output}\n#- route.py\nfrom promptflow.core import tool\n\n\n@tool\ndef route(kind: str) -> str:\n    if kind == \"a\":\n        return \"left\"\n    return \"right\"\n",
    fix: None,
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(minor) = python(context) else { return Vec::new() };
    let mut findings = Vec::new();
    for file in context.project.python_files() {
        let place = |span| Place { file: file.file, span };
        for newer in file.module.newer.iter().filter(|newer| newer.since > minor) {
            let message =
                format!("{} before Python 3.{}, and the image holds Python 3.{minor}", newer.message, newer.since);
            findings.push(Finding::new(Level::Hint, place(newer.span), message));
        }
        let mut seen = BTreeSet::new();
        for import in file.module.imports.iter().filter(|import| import.required && import.level == 0) {
            let root = import.module.value.split('.').next().unwrap_or("");
            let has = |minor| is_known_standard_library(minor, root);
            // Without the requirements it is not known whether a package of that name fills in.
            let Some(since) = (minor + 1..=NEWEST).find(|later| has(*later)).filter(|_| !has(minor)) else { continue };
            if !context.project.local_modules.contains(root) && !is_required(context, root) && seen.insert(root) {
                let message = format!("`{root}` came with Python 3.{since}, and the image holds Python 3.{minor}");
                findings.push(Finding::new(Level::Hint, place(import.module.span), message));
            }
        }
    }
    findings
}

/// The newest Python 3 whose standard library is known.
const NEWEST: u8 = 14;

fn is_required(context: &Context<'_>, module: &str) -> bool {
    let mut requirements = context.requirements().iter().flat_map(|file| file.requirements.requirements());
    requirements.any(|requirement| requirement.normalized_name().is_none_or(|name| name.replace('-', "_") == module))
}

/// The minor version of the image's Python 3.
fn python(context: &Context<'_>) -> Option<u8> {
    let flow = context.flow_file().filter(|flow| flow.flow.complete)?;
    let image = flow.flow.environment.as_ref().and_then(|environment| environment.image.as_ref());
    match (context.target, image) {
        (RuntimeTarget::FlowBuild, _) => Some(9),
        (RuntimeTarget::OwnBaseImage, _) => None,
        (RuntimeTarget::HostedRuntime, None) => Some(10),
        (RuntimeTarget::HostedRuntime, Some(image)) => base_image::python(&image.value),
    }
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn by_image() {
        let fixture = |image: &str, a: &str| {
            format!(
                "#- flow.dag.yaml\n{image}nodes:\n- {{name: a, type: python, source: {{path: a.py}}}}\n#- a.py\n{a}"
            )
        };
        let old = "environment: {image: 'mcr.microsoft.com/azureml/promptflow/promptflow-runtime:20240411.v4'}\n";
        let all = "import tomllib\nimport b\ntry:\n    import annotationlib\nexcept ImportError:\n    pass\nmatch b:\n    case 1: pass\ntry:\n    pass\nexcept* ValueError:\n    pass\n";
        fixture::raises(
            &super::RULE,
            &fixture(
                old,
                "import tomllib
#      ^^^^^^^ hint[newer-python-needed]: `tomllib` came with Python 3.11, and the image holds Python 3.9
match tomllib:
#^^^^ hint[newer-python-needed]: cannot use `match` statement before Python 3.10, and the image holds Python 3.9
    case 1: pass
",
            ),
        );
        fixture::raises(
            &super::RULE,
            &fixture(
                "",
                "match 1:
    case 1: pass
try:
    pass
except* ValueError:
#     ^ hint[newer-python-needed]: cannot use `except*` before Python 3.11, and the image holds Python 3.10
    pass
",
            ),
        );
        fixture::raises(&super::RULE, &fixture("environment: {image: 'python:3.13'}\n", all));
        fixture::raises(&super::RULE, &format!("{}#- requirements.txt\ntomllib\n", fixture("", "import tomllib\n")));
    }
}
