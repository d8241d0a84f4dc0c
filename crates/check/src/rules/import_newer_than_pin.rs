use flowgate_flow::Span;
use pep508_rs::VersionOrUrl;

use crate::context::Context;
use crate::finding::{Finding, Level, Place};
use crate::rule::{Group, Rule};
use crate::versions::{SPLIT, excludes};

pub(super) const RULE: Rule = Rule {
    name: "import-newer-than-pin",
    group: Group::Environment,
    level: Level::Warning,
    summary: "An import from `promptflow.core` or `promptflow.client`, where the requirements keep promptflow below 1.8.",
    cases: &["promptflow-core-needs-newer"],
    why: "These modules came with promptflow 1.8. With an older one the file cannot be loaded: `No module named 'promptflow.core'`.",
    bad: "#- flow.dag.yaml\nnodes:\n- name: a\n  type: python\n  source:\n    type: code\n    path: a.py\n  inputs: {}\noutputs:\n  a:\n    type: string\n    reference: ${a.output}\nenvironment:\n  python_requirements_txt: requirements.txt\n#- a.py\nfrom promptflow.core import tool\n\n\n@tool\ndef a() -> str:\n    return \"a\"\n#- requirements.txt\n# flowgate: ignore[pinned-promptflow] until the next release\npromptflow==1.6.0\n",
    good: "#- flow.dag.yaml\nnodes:\n- name: a\n  type: python\n  source:\n    type: code\n    path: a.py\n  inputs: {}\noutputs:\n  a:\n    type: string\n    reference: ${a.output}\nenvironment:\n  python_requirements_txt: requirements.txt\n#- a.py\nfrom promptflow import tool\n\n\n@tool\ndef a() -> str:\n    return \"a\"\n#- requirements.txt\n# flowgate: ignore[pinned-promptflow] until the next release\npromptflow==1.6.0\n",
    fix: None,
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some((pin, written)) = old_pin(context) else { return Vec::new() };
    let mut findings = Vec::new();
    for file in context.project.python_files() {
        for import in file.module.imports.iter().filter(|import| import.required && import.level == 0) {
            let module = import.module.value.as_str();
            let is_new = ["promptflow.core", "promptflow.client"]
                .iter()
                .any(|new| module.strip_prefix(new).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')));
            if is_new {
                let at = Place { file: file.file, span: import.module.span };
                let message =
                    format!("`{module}` came with promptflow 1.8, and the requirements say `promptflow{written}`");
                let finding =
                    Finding::new(Level::Warning, at, message).related(pin, "an older promptflow is asked for here");
                findings.push(finding.help("remove the version; or import from `promptflow`"));
            }
        }
    }
    findings
}

/// The requirement that keeps promptflow below 1.8, and what it says of the version.
pub(super) fn old_pin<'c>(context: &'c Context<'_>) -> Option<(Place, &'c str)> {
    context.requirements().iter().find_map(|file| {
        file.requirements.requirements().find_map(|requirement| {
            let (Ok(parsed), Some(name), Some(written)) =
                (&requirement.parsed, &requirement.name, &requirement.specifier)
            else {
                return None;
            };
            let Some(VersionOrUrl::VersionSpecifier(wanted)) = &parsed.version_or_url else { return None };
            let is_old = requirement.normalized_name()? == "promptflow" && excludes(wanted, SPLIT, None);
            let span = Span::new(name.span.start, written.span.end);
            is_old.then_some((Place { file: file.file, span }, written.value.as_str()))
        })
    })
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn by_pin() {
        let flow = "#- flow.dag.yaml\nnodes:\n- {name: a, type: python, source: {path: a.py}}\n";
        for pin in ["promptflow==1.8.0", "promptflow<2", "promptflow", "promptflow-core==1.0", "promptflow>1"] {
            fixture::raises(
                &super::RULE,
                &format!("{flow}#- a.py\nfrom promptflow.core import tool\n#- requirements.txt\n{pin}\n"),
            );
        }
        fixture::raises(
            &super::RULE,
            &format!(
                "{flow}#- a.py
from promptflow.core import tool
#    ^^^^^^^^^^^^^^^ warning[import-newer-than-pin]: `promptflow.core` came with promptflow 1.8, and the requirements say `promptflow<1.8`
from promptflow.client import PFClient
#    ^^^^^^^^^^^^^^^^^ warning[import-newer-than-pin]: `promptflow.client` came with promptflow 1.8, and the requirements say `promptflow<1.8`
from promptflow.connections import CustomConnection
try:
    from promptflow.core import log_metric
except ImportError:
    from promptflow import log_metric
#- requirements.txt
promptflow<1.8
"
            ),
        );
    }
}
