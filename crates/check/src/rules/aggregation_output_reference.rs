use std::collections::HashSet;

use crate::context::Context;
use crate::finding::{Finding, Level};
use crate::rule::{Group, Rule};
use flowgate_flow::{Reference, graph, reference};

pub(super) const RULE: Rule = Rule {
    name: "aggregation-output-reference",
    group: Group::Graph,
    level: Level::Warning,
    summary: "A flow output that takes its value from an aggregation node.",
    cases: &[],
    why: "An aggregation node has no value for a line. The engine writes one line to its log and drops the output: results lack the column.",
    bad: "#- flow.dag.yaml\ninputs:\n  x:\n    type: string\noutputs:\n  score:\n    type: string\n    reference: ${total.output}\nnodes:\n- name: total\n  type: python\n  source: {type: code, path: a.py}\n  aggregation: true\n  inputs:\n    x: ${inputs.x}\n#- a.py\n",
    good: "#- flow.dag.yaml\ninputs:\n  x:\n    type: string\noutputs:\n  score:\n    type: string\n    reference: ${inputs.x}\nnodes:\n- name: total\n  type: python\n  source: {type: code, path: a.py}\n  aggregation: true\n  inputs:\n    x: ${inputs.x}\n#- a.py\n",
    fix: None,
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag() else { return Vec::new() };
    let nodes = graph::effective(dag.flow);
    let aggregations: HashSet<&str> = nodes.iter().filter(|node| node.aggregation).map(|node| node.name()).collect();
    let mut findings = Vec::new();
    for output in &dag.flow.outputs {
        let value = output.reference.as_ref().and_then(|value| reference::parse(value, dag.text));
        let Some(Reference::Node { name, .. }) = value else { continue };
        if aggregations.contains(name.value.as_str()) {
            let message = format!("output `{}` is dropped: `{}` is an aggregation node", output.name.value, name.value);
            findings.push(
                Finding::new(Level::Warning, dag.place(name.span), message)
                    .help("log it as a metric with `log_metric`, or take the value of a node that runs for each line"),
            );
        }
    }
    findings
}
