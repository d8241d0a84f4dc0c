use crate::context::Context;
use crate::finding::{Finding, Level};
use crate::rule::{Group, Rule};
use flowgate_flow::yaml::Entry;

pub(super) const RULE: Rule = Rule {
    name: "incomplete-activate",
    group: Group::Graph,
    level: Level::Error,
    summary: "An `activate` without `when` or without `is`.",
    cases: &["activate-without-when", "activate-without-is"],
    why: "The engine refuses the flow (`FlowDefinitionError`), and does not say which key is missing. A key without a value passes: the node then runs only where the other one is null, too.",
    bad: "#- flow.dag.yaml\ninputs:\n  x:\n    type: bool\nnodes:\n- name: a\n  type: python\n  source: {type: code, path: a.py}\n  inputs:\n    x: ${inputs.x}\n  activate:\n    when: ${inputs.x}\n#- a.py\n",
    good: "#- flow.dag.yaml\ninputs:\n  x:\n    type: bool\nnodes:\n- name: a\n  type: python\n  source: {type: code, path: a.py}\n  inputs:\n    x: ${inputs.x}\n  activate:\n    when: ${inputs.x}\n    is: true\n#- a.py\n",
    fix: None,
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag() else { return Vec::new() };
    let mut findings = Vec::new();
    for node in dag.bodies() {
        let Some(key) = node.yaml.get("activate").map(|entry| dag.place(entry.key.span)) else { continue };
        let Some(activate) = &node.activate else { continue };
        let help = "write `activate: {when: REFERENCE, is: VALUE}`, or leave it out";
        if activate.yaml.mapping().is_none() {
            // Text is searched for both words, a number or nothing cannot be.
            let searchable =
                activate.yaml.sequence().is_some() || activate.yaml.scalar().is_some_and(|scalar| scalar.is_string());
            let class = if searchable { "FlowDefinitionError" } else { "TypeError" };
            let message = format!("`activate` is {}, not a mapping", activate.yaml.kind());
            findings.push(Finding::error(key, message).engine(class).help(help));
            continue;
        }
        for (name, value) in [("when", &activate.when), ("is", &activate.is)] {
            match value {
                None if dag.flow.complete => {
                    let message = format!("`activate` has no `{name}`");
                    findings.push(Finding::error(key, message).engine("FlowDefinitionError").help(help));
                }
                // `is: null` may be meant: a node can return None.
                Some(value) if value.is_null() && (name == "when" || value.span.is_empty()) => {
                    let at = |entry: &Entry| dag.place(entry.key.span);
                    let at = activate.yaml.get(name).map_or(key, at);
                    let message = format!("`{name}` has no value: it is compared as null");
                    findings.push(Finding::new(Level::Warning, at, message).help(help));
                }
                _ => {}
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn both_keys_are_needed() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
inputs:
  x: {type: string}
nodes:
- {name: a, type: python, source: {path: p.py}, activate: }
#                                               ^^^^^^^^ error[incomplete-activate]: `activate` is nothing, not a mapping
- {name: b, type: python, source: {path: p.py}, activate: {}}
#                                               ^^^^^^^^ error[incomplete-activate]: `activate` has no `when`
#                                               ^^^^^^^^ error[incomplete-activate]: `activate` has no `is`
- {name: c, type: python, source: {path: p.py}, activate: {when: '${inputs.x}', is: null}}
- {name: d, type: python, source: {path: p.py}, activate: {when: '${inputs.x}', is: }}
#                                                                               ^^ warning[incomplete-activate]: `is` has no value: it is compared as null
#- p.py
",
        );
    }
}
