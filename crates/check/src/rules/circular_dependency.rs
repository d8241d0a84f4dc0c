use crate::context::Context;
use crate::finding::{Finding, Level};
use crate::rule::{Group, Rule};
use flowgate_flow::graph;

pub(super) const RULE: Rule = Rule {
    name: "circular-dependency",
    group: Group::Graph,
    level: Level::Error,
    summary: "Nodes that wait for each other.",
    cases: &[],
    why: "The engine refuses the flow (`NodeCircularDependency`) and names the nodes, but not the references; any fault before it hides it.",
    bad: "#- flow.dag.yaml\nnodes:\n- name: a\n  type: python\n  source: {type: code, path: a.py}\n  inputs:\n    x: ${b.output}\n- name: b\n  type: python\n  source: {type: code, path: a.py}\n  inputs:\n    x: ${a.output}\n#- a.py\n",
    good: "#- flow.dag.yaml\nnodes:\n- name: a\n  type: python\n  source: {type: code, path: a.py}\n  inputs:\n    x: text\n- name: b\n  type: python\n  source: {type: code, path: a.py}\n  inputs:\n    x: ${a.output}\n#- a.py\n",
    fix: None,
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag() else { return Vec::new() };
    let name = |index: usize| dag.flow.nodes.get(index).map_or("", |node| node.name());
    graph::cycles(dag.flow.nodes.len(), &graph::edges(dag.flow, dag.text))
        .into_iter()
        .filter_map(|cycle| {
            let (first, rest) = cycle.split_first()?;
            let mut way = format!("`{}`", name(first.from));
            for edge in &cycle {
                way += &format!(" waits for `{}`", name(edge.to));
            }
            let message = if rest.is_empty() {
                format!("node `{}` waits for itself", name(first.from))
            } else {
                format!("nodes wait for each other: {way}")
            };
            let finding = Finding::error(dag.place(first.span), message)
                .engine("NodeCircularDependency")
                .help("break one of the references");
            Some(rest.iter().fold(finding, |finding, edge| {
                finding
                    .related(dag.place(edge.span), format!("`{}` waits for `{}` here", name(edge.from), name(edge.to)))
            }))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn conditions_and_variants_count() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
nodes:
- {name: a, type: python, inputs: {x: '${c}'}}
#                                        ^ error[circular-dependency]: nodes wait for each other: `a` waits for `c` waits for `b` waits for `a`
- {name: b, type: python, activate: {when: '${a.output}', is: 1}}
- {name: c, use_variants: true}
- {name: d, type: python, inputs: {x: '${d.output}'}}
#                                        ^ error[circular-dependency]: node `d` waits for itself
node_variants:
  c:
    default_variant_id: two
    variants:
      one: {node: {type: python, inputs: {x: 1}}}
      two: {node: {type: python, inputs: {x: '${b.output}'}}}
",
        );
    }
}
