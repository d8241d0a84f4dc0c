use std::collections::HashSet;

use crate::context::Context;
use crate::finding::{Finding, Level};
use crate::rule::{Group, Rule};
use flowgate_flow::yaml::{Node as Yaml, Value};
use flowgate_flow::{Reference, graph, reference};

pub(super) const RULE: Rule = Rule {
    name: "unused-node",
    group: Group::Graph,
    level: Level::Hint,
    summary: "A node whose output nothing uses, in a flow with outputs.",
    cases: &[],
    why: "The node runs in every line, and costs its time and its tokens. A node that is there for what it does, such as writing a log, is fine. An aggregation node is used by being there.",
    bad: "#- flow.dag.yaml\ninputs:\n  x:\n    type: string\noutputs:\n  out:\n    type: string\n    reference: ${a.output}\nnodes:\n- name: a\n  type: python\n  source: {type: code, path: a.py}\n  inputs:\n    x: ${inputs.x}\n- name: b\n  type: python\n  source: {type: code, path: a.py}\n  inputs:\n    x: ${inputs.x}\n#- a.py\nfrom promptflow.core import tool\n\n\n@tool\ndef echo(x: str):\n    return x\n",
    good: "#- flow.dag.yaml\ninputs:\n  x:\n    type: string\noutputs:\n  out:\n    type: string\n    reference: ${b.output}\nnodes:\n- name: a\n  type: python\n  source: {type: code, path: a.py}\n  inputs:\n    x: ${inputs.x}\n- name: b\n  type: python\n  source: {type: code, path: a.py}\n  inputs:\n    x: ${a.output}\n#- a.py\nfrom promptflow.core import tool\n\n\n@tool\ndef echo(x: str):\n    return x\n",
    fix: None,
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    // A flow without outputs runs for what its nodes do.
    let dag = context.dag().filter(|dag| {
        dag.flow.complete
            && dag.flow.outputs.iter().any(|output| output.reference.as_ref().is_some_and(Yaml::is_truthy))
    });
    let Some(dag) = dag else { return Vec::new() };
    let mut used = HashSet::new();
    for node in dag.bodies() {
        node.inputs.iter().for_each(|(_, value)| words(value, &mut used));
        node.activate.iter().for_each(|activate| words(&activate.yaml, &mut used));
    }
    dag.flow.outputs.iter().filter_map(|output| output.reference.as_ref()).for_each(|value| words(value, &mut used));
    // A reference to a node that is not there may be a misspelling of one that then is not used.
    let outputs = dag.flow.outputs.iter().filter_map(|output| reference::parse(output.reference.as_ref()?, dag.text));
    let nodes = dag.bodies().flat_map(|node| graph::references(node, dag.text)).map(|(_, reference)| reference);
    let dangling =
        |reference| matches!(reference, Reference::Node { name, .. } if context.node_index(&name.value).is_none());
    if outputs.chain(nodes).any(dangling) {
        return Vec::new();
    }
    let aggregates = |name: &str| {
        dag.flow.variants.iter().any(|variant| variant.node_name.value == name && variant.node.aggregation)
    };
    dag.flow
        .nodes
        .iter()
        .filter(|node| node.name.is_some() && !used.contains(node.name()))
        .filter(|node| !(node.aggregation || node.use_variants && aggregates(node.name())))
        .map(|node| {
            let message = format!("nothing uses the output of node `{}`", node.name());
            Finding::new(Level::Hint, dag.node_place(node), message)
        })
        .collect()
}

/// Every name that a text could give to a node, also in what was only meant as a reference.
fn words<'y>(value: &'y Yaml, used: &mut HashSet<&'y str>) {
    let mut left = vec![value];
    while let Some(value) = left.pop() {
        match &*value.value {
            Value::Scalar(scalar) => {
                // What follows `${`, `{{`, `$` or nothing, up to the dot or the end.
                for part in scalar.text.split(['$', '{', '}']) {
                    used.insert(part.split('.').next().unwrap_or("").trim());
                }
            }
            Value::Sequence(items) if !value.alias => left.extend(items),
            Value::Mapping(entries) if !value.alias => left.extend(entries.iter().map(|entry| &entry.value)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn variants_conditions_and_aggregations() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
nodes:
- {name: a, type: python, source: {path: p.py}}
- {name: b, type: python, source: {path: p.py}}
- {name: c d, type: python, source: {path: p.py}}
- {name: e, type: python, source: {path: p.py}}
#        ^ hint[unused-node]: nothing uses the output of node `e`
- {name: f, type: python, source: {path: p.py}, aggregation: true, inputs: {x: '${c d}'}}
- {name: v, use_variants: true}
node_variants:
  v: {default_variant_id: x, variants: {x: {node: {type: python, source: {path: p.py}}}, y: {node: {type: python, source: {path: p.py}, activate: {when: '${a.output}', is: 1}}}}}
outputs:
  o: {type: string, reference: '${v.output}'}
  p: {type: string, reference: '${b'}
#- p.py
",
        );
    }

    #[test]
    fn a_flow_without_outputs_is_for_what_it_does() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml\nnodes:\n- {name: a, type: python, source: {path: p.py}}\n#- p.py\n",
        );
    }
}
