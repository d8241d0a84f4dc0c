use crate::context::Context;
use crate::finding::{Applicability, Finding, Level, Place};
use crate::rule::{Group, Rule};
use crate::rules::import_newer_than_pin::old_pin;
use flowgate_flow::base_image;

pub(super) const RULE: Rule = Rule {
    name: "deprecated-import",
    group: Group::Environment,
    level: Level::Hint,
    summary: "A name that is taken from `promptflow` itself and belongs to `promptflow.core` or `promptflow.client` today.",
    cases: &["import-tool-from-promptflow"],
    why: "Since 1.8 each such import writes `'from promptflow import tool' is deprecated and will be removed in the future` into the log. Silent where the requirements keep promptflow below 1.8, or the base image is older: there the new modules do not exist.",
    bad: "#- flow.dag.yaml\nnodes:\n- name: a\n  type: python\n  source:\n    type: code\n    path: a.py\n  inputs: {}\noutputs:\n  a:\n    type: string\n    reference: ${a.output}\n#- a.py\nfrom promptflow import tool\n\n\n@tool\ndef a() -> str:\n    return \"a\"\n",
    good: "#- flow.dag.yaml\nnodes:\n- name: a\n  type: python\n  source:\n    type: code\n    path: a.py\n  inputs: {}\noutputs:\n  a:\n    type: string\n    reference: ${a.output}\n#- a.py\nfrom promptflow.core import tool\n\n\n@tool\ndef a() -> str:\n    return \"a\"\n",
    fix: Some("Names the module. Safe: it is the same object, in every promptflow since 1.8."),
    check,
};

/// The names that `promptflow` hands through with a warning, and the module that has each.
const NAMES: [(&str, &str); 7] = [
    ("tool", "promptflow.core"),
    ("ToolProvider", "promptflow.core"),
    ("log_metric", "promptflow.core"),
    ("log_flow_metric", "promptflow.core"),
    ("PFClient", "promptflow.client"),
    ("load_flow", "promptflow.client"),
    ("load_run", "promptflow.client"),
];

fn check(context: &Context<'_>) -> Vec<Finding> {
    let image = context.flow_file().and_then(|flow| flow.flow.environment.as_ref()?.image.as_ref());
    if image.is_some_and(|image| base_image::may_precede_core(&image.value)) || old_pin(context).is_some() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for file in context.project.python_files() {
        let imports =
            file.module.imports.iter().filter(|import| import.required && import.module.value == "promptflow");
        for import in imports.filter(|import| import.level == 0) {
            let homes: Vec<_> =
                import.names.iter().map(|name| NAMES.iter().find(|(old, _)| *old == name.value)).collect();
            let place = |span| Place { file: file.file, span };
            for (name, home) in import.names.iter().zip(&homes) {
                let Some((name_, module)) = home else { continue };
                let new = if *name_ == "log_flow_metric" { "log_metric" } else { name_ };
                let message = format!("`from promptflow import {name_}` is deprecated");
                let finding = Finding::new(Level::Hint, place(name.span), message)
                    .help(format!("write `from {module} import {new}`"));
                // The statement as a whole has one module.
                let together =
                    new == *name_ && homes.iter().all(|other| other.is_some_and(|(_, other)| other == module));
                let first = import.names.first().is_some_and(|first| first.span == name.span);
                findings.push(if together && first {
                    finding.fix(Applicability::Safe, format!("write `{module}`"), place(import.module.span), *module)
                } else {
                    finding
                });
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    const FLOW: &str = "#- flow.dag.yaml\nnodes:\n- {name: a, type: python, source: {path: a.py}}\n";

    #[test]
    fn each_name_by_itself() {
        fixture::raises(
            &super::RULE,
            &format!(
                "{FLOW}#- a.py
import promptflow
from promptflow import tool, log_metric as metric
#                      ^^^^ hint[deprecated-import]: `from promptflow import tool` is deprecated
#                            ^^^^^^^^^^ hint[deprecated-import]: `from promptflow import log_metric` is deprecated
from promptflow import PFClient, core
#                      ^^^^^^^^ hint[deprecated-import]: `from promptflow import PFClient` is deprecated
from promptflow.connections import CustomConnection
try:
    from promptflow.core import ToolProvider
except ImportError:
    from promptflow import ToolProvider
"
            ),
        );
        let fixed = fixture::fixed_by(
            &super::RULE,
            &format!("{FLOW}#- a.py\nfrom promptflow import tool, log_metric\nfrom promptflow import PFClient, core\n"),
        );
        assert_eq!(
            fixed,
            format!(
                "{FLOW}#- a.py\nfrom promptflow.core import tool, log_metric\nfrom promptflow import PFClient, core\n"
            )
        );
    }

    #[test]
    fn where_there_is_no_other() {
        let a = "#- a.py\nfrom promptflow import tool\n";
        fixture::raises(&super::RULE, &format!("{FLOW}{a}#- requirements.txt\npromptflow==1.7.0\n"));
        let old = "environment: {image: 'mcr.microsoft.com/azureml/promptflow/promptflow-runtime:20240111.v2'}\n";
        fixture::raises(&super::RULE, &format!("{FLOW}{old}{a}"));
    }
}
