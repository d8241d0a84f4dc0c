use std::collections::HashMap;

use crate::context::{Context, Dag};
use crate::finding::{Applicability, Finding, Level};
use crate::rule::{Group, Rule};
use flowgate_flow::model::Node;
use flowgate_flow::{Reference, graph, reference};

pub(super) const RULE: Rule = Rule {
    name: "unreferencable-node-name",
    group: Group::Graph,
    level: Level::Warning,
    summary: "A node that no reference can name: no name, `inputs`, `flow`, a name with a dot, a number.",
    cases: &["node-name-with-dot", "node-named-inputs", "node-without-name"],
    why: "`${inputs.x}` and `${flow.x}` are flow inputs; the name in a reference ends at the first dot; a name such as 3 or `true` is no text, and a reference is. Nothing can use the node's output. Where something tries to, the engine refuses the flow.",
    bad: "#- flow.dag.yaml\ninputs:\n  x:\n    type: string\nnodes:\n- name: load.text\n  type: python\n  source: {type: code, path: a.py}\n  inputs:\n    x: ${inputs.x}\n#- a.py\nfrom promptflow.core import tool\n\n\n@tool\ndef echo(x: str):\n    return x\n",
    good: "#- flow.dag.yaml\ninputs:\n  x:\n    type: string\nnodes:\n- name: load_text\n  type: python\n  source: {type: code, path: a.py}\n  inputs:\n    x: ${inputs.x}\n#- a.py\nfrom promptflow.core import tool\n\n\n@tool\ndef echo(x: str):\n    return x\n",
    fix: Some("Writes `_` for the dots (unsafe: `node_variants` may name the node), or quotes around a number (safe)."),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag() else { return Vec::new() };
    let referenced = referenced(dag);
    dag.flow.nodes.iter().filter_map(|node| judge(dag, node, &referenced)).collect()
}

/// What references name as a node, with the class that the engine raises where it is not there.
fn referenced(dag: Dag<'_>) -> HashMap<String, &'static str> {
    let outputs = dag.flow.outputs.iter().filter_map(|output| reference::parse(output.reference.as_ref()?, dag.text));
    let outputs = outputs.map(|reference| (reference, "OutputReferenceNotFound"));
    let nodes = graph::effective(dag.flow).into_iter().flat_map(|node| graph::references(node, dag.text));
    let nodes = nodes.map(|(_, reference)| (reference, "NodeReferenceNotFound"));
    outputs
        .chain(nodes)
        .filter_map(|(reference, class)| match reference {
            Reference::Node { name, .. } => Some((name.value, class)),
            Reference::FlowInput { .. } => None,
        })
        .collect()
}

fn judge(dag: Dag<'_>, node: &Node, referenced: &HashMap<String, &'static str>) -> Option<Finding> {
    let at = dag.node_place(node);
    let entry = node.yaml.get("name");
    if entry.is_none_or(|entry| entry.value.is_null()) {
        let message = "the node has no `name`: nothing can use its output, and `pf flow test` stops with a `KeyError`";
        return dag.flow.complete.then(|| Finding::error(at, message).help("add `name: NAME`"));
    }
    let name = node.name();
    let scalar = entry?.value.scalar()?;
    let quoted = format!("'{name}'");
    if !scalar.is_string() {
        let message = format!("the name `{name}` is no text: no reference can name the node");
        let finding = match referenced.get(name) {
            Some(class) => Finding::error(at, message).engine(class),
            None => Finding::new(Level::Warning, at, message),
        };
        let help = format!("write `{quoted}`");
        return Some(finding.help(help.clone()).fix(Applicability::Safe, help, at, quoted));
    }
    if name.is_empty() {
        return Some(Finding::new(Level::Warning, at, "the name is empty: nothing can use the node's output"));
    }
    if name == "inputs" || name == "flow" {
        let message = format!("no reference can name the node: `${{{name}.output}}` is a flow input");
        return Some(Finding::new(Level::Warning, at, message).help("give it another name"));
    }
    if !name.contains('.') {
        return None;
    }
    let message = format!("no reference can name `{name}`: what follows the dot is taken for a part of the node");
    let finding = Finding::new(Level::Warning, at, message);
    let text = name.replace('.', "_");
    let exact = scalar.plain && at.span.slice(dag.text) == name;
    Some(if exact {
        finding.help(format!("write `{text}`")).fix(Applicability::Unsafe, format!("write `{text}`"), at, text)
    } else {
        finding
    })
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn names_that_a_reference_cannot_hold() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
nodes:
- {name: inputs, type: python, source: {path: p.py}}
#        ^^^^^^ warning[unreferencable-node-name]: no reference can name the node: `${inputs.output}` is a flow input
- {name: '1.5', type: python, source: {path: p.py}}
#        ^^^^^ warning[unreferencable-node-name]: no reference can name `1.5`: what follows the dot is taken for a part of the node
- {name: 3, type: python, source: {path: p.py}}
#        ^ error[unreferencable-node-name]: the name `3` is no text: no reference can name the node
- {name: true, type: python, source: {path: p.py}}
#        ^^^^ warning[unreferencable-node-name]: the name `true` is no text: no reference can name the node
- {type: python, source: {path: p.py}}
# ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ error[unreferencable-node-name]: the node has no `name`: nothing can use its output, and `pf flow test` stops with a `KeyError`
- {name: a-b c, type: python, source: {path: p.py}}
outputs:
  o: {type: string, reference: '${3.output}'}
#- p.py
",
        );
    }
}
