use std::collections::HashSet;

use crate::context::Context;
use crate::finding::{Finding, Level};
use crate::rule::{Group, Rule};
use flowgate_flow::yaml::{Node as Yaml, Value};

pub(super) const RULE: Rule = Rule {
    name: "unused-flow-input",
    group: Group::Graph,
    level: Level::Hint,
    summary: "A flow input that nothing refers to.",
    cases: &[],
    why: "Whoever runs the flow has to give it a value, or gets `InputNotFound` where it has no default, and the value changes nothing.",
    bad: "#- flow.dag.yaml\ninputs:\n  question:\n    type: string\n  style:\n    type: string\nnodes:\n- name: ask\n  type: python\n  source: {type: code, path: a.py}\n  inputs:\n    x: ${inputs.question}\n#- a.py\nfrom promptflow.core import tool\n\n\n@tool\ndef echo(x: str):\n    return x\n",
    good: "#- flow.dag.yaml\ninputs:\n  question:\n    type: string\nnodes:\n- name: ask\n  type: python\n  source: {type: code, path: a.py}\n  inputs:\n    x: ${inputs.question}\n#- a.py\nfrom promptflow.core import tool\n\n\n@tool\ndef echo(x: str):\n    return x\n",
    fix: None,
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    // A flow without nodes is being written.
    let Some(dag) = context.dag().filter(|dag| dag.flow.complete && !dag.flow.nodes.is_empty()) else {
        return Vec::new();
    };
    let mut used = HashSet::new();
    for node in dag.bodies() {
        node.inputs.iter().for_each(|(_, value)| names(value, &mut used));
        node.activate.iter().for_each(|activate| names(&activate.yaml, &mut used));
    }
    dag.flow.outputs.iter().filter_map(|output| output.reference.as_ref()).for_each(|value| names(value, &mut used));
    // A name that is not there may be a misspelling of one that then is not used.
    if used.iter().any(|name| !context.has_input(name)) {
        return Vec::new();
    }
    let unused = dag.flow.inputs.iter().filter(|input| {
        let name = input.name.value.as_str();
        // A chat needs its history, whether a node reads it or not.
        let history =
            name == "chat_history" || input.yaml.get("is_chat_history").is_some_and(|entry| entry.value.is_truthy());
        !history && !used.contains(name)
    });
    unused
        .map(|input| {
            let message = format!("nothing refers to the input `{}`", input.name.value);
            Finding::new(Level::Hint, dag.place(input.name.span), message)
        })
        .collect()
}

/// Every name that a text gives to a flow input, also in what was only meant as a reference.
fn names<'y>(value: &'y Yaml, used: &mut HashSet<&'y str>) {
    let mut left = vec![value];
    while let Some(value) = left.pop() {
        match &*value.value {
            Value::Scalar(scalar) => {
                for prefix in ["inputs.", "flow."] {
                    for (at, _) in scalar.text.match_indices(prefix) {
                        let rest = scalar.text.get(at + prefix.len()..).unwrap_or("");
                        used.insert(rest.split(['}', ')', ']', '>']).next().unwrap_or("").trim());
                    }
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
    fn any_mention_is_a_use() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
inputs:
  a: {type: string}
  b: {type: string}
  c: {type: string}
  d: {type: string}
  e: {type: string}
# ^ hint[unused-flow-input]: nothing refers to the input `e`
  f.g: {type: string}
  chat_history: {type: list}
nodes:
- {name: n, type: python, source: {path: p.py}, inputs: {x: '${inputs.a}', y: ['${flow.b}'], z: '{{inputs.c}}'}}
- {name: v, use_variants: true}
node_variants:
  v: {default_variant_id: x, variants: {x: {node: {type: python, source: {path: p.py}}}, y: {node: {type: python, source: {path: p.py}, inputs: {x: '${inputs.d}'}}}}}
outputs:
  o: {type: string, reference: '${inputs.f.g}'}
#- p.py
",
        );
    }
}
