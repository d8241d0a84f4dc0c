use crate::context::Context;
use crate::finding::{Finding, Level};
use crate::rule::{Group, Rule};
use flowgate_flow::graph;

pub(super) const RULE: Rule = Rule {
    name: "node-order-drops-message-format",
    group: Group::Graph,
    level: Level::Warning,
    summary: "Nodes out of order in a flow with a `message_format`.",
    cases: &[],
    why: "Where a node stands above one that it refers to, promptflow 1.18 sorts the nodes into a new flow and forgets its `message_format`: images are then handed on in the format `basic`, and nobody says so.",
    bad: "#- flow.dag.yaml\nmessage_format: openai-vision\ninputs:\n  x:\n    type: string\nnodes:\n- name: second\n  type: python\n  source: {type: code, path: a.py}\n  inputs:\n    x: ${first.output}\n- name: first\n  type: python\n  source: {type: code, path: a.py}\n  inputs:\n    x: ${inputs.x}\n#- a.py\nfrom promptflow.core import tool\n\n\n@tool\ndef echo(x: str):\n    return x\n",
    good: "#- flow.dag.yaml\nmessage_format: openai-vision\ninputs:\n  x:\n    type: string\nnodes:\n- name: first\n  type: python\n  source: {type: code, path: a.py}\n  inputs:\n    x: ${inputs.x}\n- name: second\n  type: python\n  source: {type: code, path: a.py}\n  inputs:\n    x: ${first.output}\n#- a.py\nfrom promptflow.core import tool\n\n\n@tool\ndef echo(x: str):\n    return x\n",
    fix: None,
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag() else { return Vec::new() };
    let root = context.flow_file().map(|file| &file.document.root);
    let format = root.and_then(|root| root.get("message_format")).map(|entry| &entry.value);
    let lost = format.filter(|format| format.text().is_some_and(|text| text.eq_ignore_ascii_case("openai-vision")));
    let Some(format) = lost else { return Vec::new() };
    let edges = graph::edges(dag.flow, dag.text);
    // A flow with a cycle is not sorted but refused.
    if !graph::cycles(dag.flow.nodes.len(), &edges).is_empty() {
        return Vec::new();
    }
    let early = edges.iter().filter(|edge| edge.from < edge.to).min_by_key(|edge| edge.span.start);
    let Some((edge, needed)) = early.and_then(|edge| Some((edge, dag.flow.nodes.get(edge.to)?))) else {
        return Vec::new();
    };
    let message =
        format!("`message_format` is dropped: node `{}` stands below a node that refers to it", needed.name());
    let finding = Finding::new(Level::Warning, dag.place(format.span), message)
        .related(dag.place(edge.span), "refers to a node further down")
        .help(format!("move `{}` above the nodes that refer to it", needed.name()));
    vec![finding]
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn only_where_there_is_something_to_lose() {
        for format in ["", "message_format: basic\n"] {
            let flow = format!(
                "#- flow.dag.yaml\n{format}nodes:\n- {{name: a, inputs: {{x: '${{b.output}}'}}}}\n- {{name: b}}\n"
            );
            fixture::raises(&super::RULE, &flow);
        }
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
message_format: openai-vision
#               ^^^^^^^^^^^^^ warning[node-order-drops-message-format]: `message_format` is dropped: node `b` stands below a node that refers to it
nodes:
- {name: a, activate: {when: '${b.output}', is: 1}}
- {name: b}
",
        );
    }
}
