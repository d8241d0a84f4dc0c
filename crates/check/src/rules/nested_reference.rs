use crate::context::{Context, Dag};
use crate::finding::{Finding, Level};
use crate::rule::{Group, Rule};
use flowgate_flow::yaml::{Node as Yaml, Value};
use flowgate_flow::{Reference, reference};

pub(super) const RULE: Rule = Rule {
    name: "nested-reference",
    group: Group::Graph,
    level: Level::Warning,
    summary: "A reference inside a list or a mapping.",
    cases: &[],
    why: "Only a whole input value is a reference. Inside a list or a mapping the engine leaves the text `${inputs.question}` as it is: the node gets those characters, nobody says so, and the node does not wait for the other one.",
    bad: "#- flow.dag.yaml\ninputs:\n  question:\n    type: string\nnodes:\n- name: ask\n  type: python\n  source: {type: code, path: a.py}\n  inputs:\n    x: ['${inputs.question}']\n#- a.py\nfrom promptflow.core import tool\n\n\n@tool\ndef echo(x: list):\n    return x\n",
    good: "#- flow.dag.yaml\ninputs:\n  question:\n    type: string\nnodes:\n- name: ask\n  type: python\n  source: {type: code, path: a.py}\n  inputs:\n    x: ${inputs.question}\n#- a.py\nfrom promptflow.core import tool\n\n\n@tool\ndef echo(x: str):\n    return [x]\n",
    fix: None,
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag() else { return Vec::new() };
    let values = dag.bodies().flat_map(|node| node.inputs.iter().map(|(_, value)| value));
    let outputs = dag.flow.outputs.iter().filter_map(|output| output.reference.as_ref());
    let mut findings = Vec::new();
    for value in values.chain(outputs) {
        let mut left = children(value);
        while let Some(value) = left.pop() {
            findings.extend(judge(context, dag, value));
            left.extend(children(value));
        }
    }
    findings
}

/// What a list or a mapping holds; an alias is looked at where its anchor stands.
fn children(value: &Yaml) -> Vec<&Yaml> {
    match &*value.value {
        _ if value.alias => Vec::new(),
        Value::Sequence(items) => items.iter().collect(),
        Value::Mapping(entries) => entries.iter().map(|entry| &entry.value).collect(),
        Value::Scalar(_) => Vec::new(),
    }
}

fn judge(context: &Context<'_>, dag: Dag<'_>, value: &Yaml) -> Option<Finding> {
    let known = match reference::parse(value, dag.text)? {
        Reference::FlowInput { name } => context.has_input(&name.value),
        Reference::Node { name, .. } => context.node_index(&name.value).is_some(),
    };
    let text = value.text().unwrap_or("");
    known.then(|| {
        Finding::new(
            Level::Warning,
            dag.place(value.span),
            format!("`{text}` is a literal: references inside a list or a mapping are not replaced"),
        )
        .help("pass it as an input of its own, and put the list or the mapping together in the node")
    })
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn at_any_depth_and_only_what_is_there() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
inputs:
  x: {type: string}
nodes:
- name: a
  type: python
  source: {path: p.py}
  inputs:
    y: ${inputs.x}
    z: {b: [1, '${inputs.x}', '${inputs.other}', '${HOME}'], c: '${a.output}'}
#              ^^^^^^^^^^^^^ warning[nested-reference]: `${inputs.x}` is a literal: references inside a list or a mapping are not replaced
#                                                               ^^^^^^^^^^^^^ warning[nested-reference]: `${a.output}` is a literal: references inside a list or a mapping are not replaced
#- p.py
",
        );
    }
}
