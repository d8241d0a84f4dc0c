use crate::context::{Context, Dag};
use crate::finding::{Applicability, Finding, Level};
use crate::rule::{Group, Rule};
use crate::suggest;
use flowgate_flow::yaml::Node as Yaml;
use flowgate_flow::{Reference, graph, reference};

pub(super) const RULE: Rule = Rule {
    name: "unknown-node-reference",
    group: Group::Graph,
    level: Level::Error,
    summary: "A reference to a node that is not in the flow.",
    cases: &[],
    why: "The engine refuses the flow (`NodeReferenceNotFound`, or `OutputReferenceNotFound` for an output), but only if nothing before it fails.",
    bad: "#- flow.dag.yaml\nnodes:\n- name: fetch_text\n  type: python\n  source: {type: code, path: a.py}\noutputs:\n  text:\n    type: string\n    reference: ${fetch_txt.output}\n#- a.py\n",
    good: "#- flow.dag.yaml\nnodes:\n- name: fetch_text\n  type: python\n  source: {type: code, path: a.py}\noutputs:\n  text:\n    type: string\n    reference: ${fetch_text.output}\n#- a.py\n",
    fix: Some("Writes the most similar node name. Unsafe: another node may be meant."),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    // A node that could not be read may be the one that is meant.
    let Some(dag) = context.dag().filter(|dag| dag.flow.complete) else { return Vec::new() };
    let mut findings = Vec::new();
    for node in dag.bodies() {
        for (_, reference) in graph::references(node, dag.text) {
            findings.extend(unknown(context, dag, &reference, "NodeReferenceNotFound"));
        }
    }
    for value in dag.flow.outputs.iter().filter_map(|output| output.reference.as_ref()) {
        findings.extend(
            parse(value, dag).and_then(|reference| unknown(context, dag, &reference, "OutputReferenceNotFound")),
        );
    }
    findings
}

fn parse(value: &Yaml, dag: Dag<'_>) -> Option<Reference> {
    reference::parse(value, dag.text)
}

fn unknown(context: &Context<'_>, dag: Dag<'_>, reference: &Reference, engine: &'static str) -> Option<Finding> {
    let Reference::Node { name, .. } = reference else { return None };
    // Two references in one, and templates of other tools, belong to malformed-reference.
    if context.node_index(&name.value).is_some() || name.value.contains(['{', '}', '$']) {
        return None;
    }
    let at = dag.place(name.span);
    let finding = Finding::error(at, format!("there is no node `{}`", name.value)).engine(engine);
    let names = dag.flow.nodes.iter().map(|node| node.name()).filter(|n| !n.is_empty());
    Some(match context.nearest(&name.value, names) {
        Some(near) => suggest::meant(finding, near),
        None if context.has_input(&name.value) => {
            let text = format!("inputs.{}", name.value);
            finding.help(format!("`{}` is a flow input: write `${{{text}}}`", name.value)).fix(
                Applicability::Unsafe,
                format!("write `{text}`"),
                at,
                text,
            )
        }
        None => finding,
    })
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn in_inputs_conditions_variants_and_outputs() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
inputs:
  x: {type: string}
nodes:
- name: a
  type: python
  inputs:
    p: ${b}
    q: ${nope.output.f[0]}
#        ^^^^ error[unknown-node-reference]: there is no node `nope`
    r: text ${nope}
  activate:
    when: ${gone.output}
#           ^^^^ error[unknown-node-reference]: there is no node `gone`
    is: true
- name: b
  use_variants: true
node_variants:
  b:
    default_variant_id: v
    variants:
      v: {node: {type: python, inputs: {p: '${x}'}}}
#                                             ^ error[unknown-node-reference]: there is no node `x`
outputs:
  o: {type: string, reference: '${nowhere.output}'}
#                                 ^^^^^^^ error[unknown-node-reference]: there is no node `nowhere`
",
        );
    }
}
