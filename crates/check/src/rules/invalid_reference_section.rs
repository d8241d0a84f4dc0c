use crate::context::{Context, Dag};
use crate::finding::{Applicability, Finding, Level};
use crate::rule::{Group, Rule};
use flowgate_flow::{Reference, graph, reference};

pub(super) const RULE: Rule = Rule {
    name: "invalid-reference-section",
    group: Group::Graph,
    level: Level::Error,
    summary: "A reference to a part of a node that is not its `output`.",
    cases: &["index-without-dot"],
    why: "A reference reads `${node.output.PROPERTY}`. The flow loads, and each run fails (`UnsupportedReference`) where the second part is not exactly `output`; `${node.output[0]}` counts as such, because the dot is missing. In a flow output the engine does not look at the part: it gives the node's whole output.",
    bad: "#- flow.dag.yaml\ninputs:\n  x:\n    type: list\noutputs:\n  first:\n    type: string\n    reference: ${second.output}\nnodes:\n- name: first\n  type: python\n  source: {type: code, path: a.py}\n  inputs:\n    x: ${inputs.x}\n- name: second\n  type: python\n  source: {type: code, path: a.py}\n  inputs:\n    x: ${first.output[0]}\n#- a.py\nfrom promptflow.core import tool\n\n\n@tool\ndef echo(x):\n    return x\n",
    good: "#- flow.dag.yaml\ninputs:\n  x:\n    type: list\noutputs:\n  first:\n    type: string\n    reference: ${second.output}\nnodes:\n- name: first\n  type: python\n  source: {type: code, path: a.py}\n  inputs:\n    x: ${inputs.x}\n- name: second\n  type: python\n  source: {type: code, path: a.py}\n  inputs:\n    x: ${first.output.[0]}\n#- a.py\nfrom promptflow.core import tool\n\n\n@tool\ndef echo(x):\n    return x\n",
    fix: Some(
        "Writes the dot before an index, or `output` in another case (safe); takes any other part for a property of the output (unsafe).",
    ),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag() else { return Vec::new() };
    let in_nodes =
        dag.bodies().flat_map(|node| graph::references(node, dag.text)).map(|(_, reference)| (reference, true));
    let outputs = dag.flow.outputs.iter().filter_map(|output| reference::parse(output.reference.as_ref()?, dag.text));
    in_nodes
        .chain(outputs.map(|reference| (reference, false)))
        .filter_map(|(r, fails)| judge(context, dag, &r, fails))
        .collect()
}

fn judge(context: &Context<'_>, dag: Dag<'_>, reference: &Reference, fails: bool) -> Option<Finding> {
    let Reference::Node { name, section, property } = reference else { return None };
    context.node_index(&name.value).filter(|_| section.value != "output")?;
    let written = section.value.as_str();
    // That there are two is `malformed-reference`.
    if [written, property.value.as_str()].iter().any(|part| part.contains("${")) {
        return None;
    }
    let at = dag.place(if section.span.is_empty() { name.span } else { section.span });
    let message = format!("a node has no `{written}`, only an `output`");
    let finding = if fails {
        Finding::error(at, message)
    } else {
        let message = format!("{message}: the flow output is the node's whole output");
        Finding::new(Level::Warning, at, message)
    };
    let exact = section.span.slice(dag.text) == written && !written.is_empty();
    let (applicability, text) = match written.strip_prefix("output") {
        Some(index) if index.starts_with('[') => (Applicability::Safe, format!("output.{index}")),
        _ if written.eq_ignore_ascii_case("output") => (Applicability::Safe, "output".to_owned()),
        _ if written.is_empty() => (Applicability::Unsafe, "output".to_owned()),
        _ if written.eq_ignore_ascii_case("outputs") => (Applicability::Unsafe, "output".to_owned()),
        _ => (Applicability::Unsafe, format!("output.{written}")),
    };
    // In a flow output the dot, where it was forgotten, changes what comes out.
    let applicability = if fails { applicability } else { Applicability::Unsafe };
    let rest = if property.value.is_empty() { String::new() } else { format!(".{}", property.value) };
    let finding = finding.help(format!("write `${{{}.{text}{rest}}}`", name.value));
    Some(if exact { finding.fix(applicability, format!("write `{text}`"), at, text) } else { finding })
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    const FLOW: &str = "#- flow.dag.yaml
nodes:
- {name: a, type: python, source: {path: p.py}}
- name: b
  type: python
  source: {path: p.py}
  inputs:
    fine: ${a.output.x[0]}
    whole: ${a}
    a: ${a.result}
#          ^^^^^^ error[invalid-reference-section]: a node has no `result`, only an `output`
    b: ${a.Output.x}
#          ^^^^^^ error[invalid-reference-section]: a node has no `Output`, only an `output`
    c: ${gone.result}
    two: ${a.output}${a.output}
  activate:
    when: ${a.output['x'].y}
#             ^^^^^^^^^^^ error[invalid-reference-section]: a node has no `output['x']`, only an `output`
    is: 1
outputs:
  o: {type: string, reference: '${a.outputs.x}'}
#                                   ^^^^^^^ warning[invalid-reference-section]: a node has no `outputs`, only an `output`: the flow output is the node's whole output
#- p.py
";

    #[test]
    fn everywhere_but_in_unknown_nodes() {
        fixture::raises(&super::RULE, FLOW);
    }

    #[test]
    fn the_fix_writes_what_was_meant() {
        let fixed = fixture::fixed(FLOW);
        for part in ["${a.output.result}", "b: ${a.output.x}", "${a.output.['x'].y}", "'${a.output.x}'"] {
            assert!(fixed.contains(part), "{part}\n{fixed}");
        }
    }
}
