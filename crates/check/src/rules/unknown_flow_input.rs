use crate::context::{Context, Dag};
use crate::finding::{Finding, Level};
use crate::rule::{Group, Rule};
use crate::suggest;
use flowgate_flow::{Reference, graph, reference};

pub(super) const RULE: Rule = Rule {
    name: "unknown-flow-input",
    group: Group::Graph,
    level: Level::Error,
    summary: "A reference to a flow input that is not declared.",
    cases: &[],
    why: "The engine refuses the flow (`InputReferenceNotFound`); in `activate.when` it notices only when a line runs (`InputNotFound`).",
    bad: "#- flow.dag.yaml\ninputs:\n  question:\n    type: string\noutputs:\n  answer:\n    type: string\n    reference: ${inputs.qestion}\n",
    good: "#- flow.dag.yaml\ninputs:\n  question:\n    type: string\noutputs:\n  answer:\n    type: string\n    reference: ${inputs.question}\n",
    fix: Some("Writes the most similar input name. Unsafe: another input may be meant."),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    // An input that could not be read may be the one that is meant.
    let Some(dag) = context.dag().filter(|dag| dag.flow.complete) else { return Vec::new() };
    let mut findings = Vec::new();
    for node in dag.bodies() {
        let condition = node.activate.as_ref().and_then(|a| a.when.as_ref()).map(|when| when.span);
        for (span, reference) in graph::references(node, dag.text) {
            let engine = if condition == Some(span) { "InputNotFound" } else { "InputReferenceNotFound" };
            findings.extend(unknown(context, dag, &reference, engine));
        }
    }
    for value in dag.flow.outputs.iter().filter_map(|output| output.reference.as_ref()) {
        findings.extend(
            reference::parse(value, dag.text)
                .and_then(|reference| unknown(context, dag, &reference, "OutputReferenceNotFound")),
        );
    }
    findings
}

fn unknown(context: &Context<'_>, dag: Dag<'_>, reference: &Reference, engine: &'static str) -> Option<Finding> {
    let Reference::FlowInput { name } = reference else { return None };
    let names = || dag.flow.inputs.iter().map(|input| input.name.value.as_str());
    // Two references in one belong to malformed-reference.
    if context.has_input(&name.value) || name.value.contains(['{', '}', '$']) {
        return None;
    }
    let at = dag.place(name.span);
    let finding = Finding::error(at, format!("there is no flow input `{}`", name.value)).engine(engine);
    Some(match context.nearest(&name.value, names()) {
        Some(near) => suggest::meant(finding, near),
        None => finding.help("declare it under `inputs`"),
    })
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn everything_after_the_dot_is_the_name() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
inputs:
  a: {type: object}
nodes:
- name: n
  type: python
  inputs:
    p: ${inputs.a}
    q: ${inputs.a.b}
#               ^^^ error[unknown-flow-input]: there is no flow input `a.b`
    r: ${flow.c}
#             ^ error[unknown-flow-input]: there is no flow input `c`
  activate:
    when: ${inputs.d}
#                  ^ error[unknown-flow-input]: there is no flow input `d`
    is: 1
",
        );
    }
}
