use std::collections::HashSet;

use crate::context::Context;
use crate::finding::{Finding, Level};
use crate::rule::{Group, Rule};
use flowgate_flow::model::Node;
use flowgate_flow::{Reference, graph, reference};

pub(super) const RULE: Rule = Rule {
    name: "invalid-aggregation-reference",
    group: Group::Graph,
    level: Level::Error,
    summary: "A node that runs for each line and waits for an aggregation node, or an aggregation node whose `activate` looks at a node of one line.",
    cases: &["non-aggregation-references-aggregation", "aggregation-activate-on-line"],
    why: "An aggregation node runs once, after all lines. The engine refuses the flow (`InvalidNodeReference`).",
    bad: "#- flow.dag.yaml\ninputs:\n  x:\n    type: string\nnodes:\n- name: total\n  type: python\n  source: {type: code, path: a.py}\n  aggregation: true\n  inputs:\n    x: ${inputs.x}\n- name: line\n  type: python\n  source: {type: code, path: a.py}\n  inputs:\n    x: ${total.output}\n#- a.py\n",
    good: "#- flow.dag.yaml\ninputs:\n  x:\n    type: string\nnodes:\n- name: total\n  type: python\n  source: {type: code, path: a.py}\n  aggregation: true\n  inputs:\n    x: ${inputs.x}\n- name: line\n  type: python\n  source: {type: code, path: a.py}\n  inputs:\n    x: ${inputs.x}\n#- a.py\n",
    fix: None,
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag() else { return Vec::new() };
    let nodes = graph::effective(dag.flow);
    let aggregations: HashSet<&str> = nodes.iter().filter(|node| node.aggregation).map(|node| node.name()).collect();
    let names: HashSet<&str> = nodes.iter().map(|node| node.name()).collect();
    let mut findings = Vec::new();
    let error = |name: &flowgate_flow::Spanned<String>, message: String, help: &str| {
        Finding::error(dag.place(name.span), message).engine("InvalidNodeReference").help(help)
    };
    for node in &nodes {
        if node.aggregation {
            let Some(Reference::Node { name, .. }) = condition(node, dag.text) else { continue };
            if names.contains(name.value.as_str()) && !aggregations.contains(name.value.as_str()) {
                let message = format!(
                    "aggregation node `{}` cannot depend on `{}`, which runs for each line",
                    node.name(),
                    name.value
                );
                findings.push(error(
                    &name,
                    message,
                    "a condition of an aggregation node may use flow inputs and aggregation nodes",
                ));
            }
            continue;
        }
        for (_, reference) in graph::references(node, dag.text) {
            let Reference::Node { name, .. } = reference else { continue };
            if aggregations.contains(name.value.as_str()) {
                let message =
                    format!("node `{}` runs for each line, `{}` once after all lines", node.name(), name.value);
                findings.push(error(
                    &name,
                    message,
                    "mark this node `aggregation: true`, too, or take the value from another node",
                ));
            }
        }
    }
    findings
}

fn condition(node: &Node, text: &str) -> Option<Reference> {
    reference::parse(node.activate.as_ref()?.when.as_ref()?, text)
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn inputs_conditions_and_default_variants() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
inputs:
  x: {type: string}
nodes:
- {name: line, type: python, source: {path: p.py}, inputs: {x: '${inputs.x}'}}
- {name: total, use_variants: true}
- {name: more, type: python, source: {path: p.py}, aggregation: true, inputs: {x: '${total.output}', y: '${line.output}'}}
- {name: wait, type: python, source: {path: p.py}, activate: {when: '${total.output}', is: 1}}
#                                                                      ^^^^^ error[invalid-aggregation-reference]: node `wait` runs for each line, `total` once after all lines
- {name: late, type: python, source: {path: p.py}, reduce: true, activate: {when: '${line.output}', is: 1}}
#                                                                                    ^^^^ error[invalid-aggregation-reference]: aggregation node `late` cannot depend on `line`, which runs for each line
node_variants:
  total:
    default_variant_id: v
    variants:
      v: {node: {type: python, source: {path: p.py}, aggregation: true, inputs: {x: '${line.output}'}}}
#- p.py
",
        );
    }
}
