use std::collections::HashMap;

use crate::context::Context;
use crate::finding::{Finding, Level};
use crate::rule::{Group, Rule};

pub(super) const RULE: Rule = Rule {
    name: "duplicate-node-name",
    group: Group::Flow,
    level: Level::Error,
    summary: "Two nodes of one name.",
    cases: &[],
    why: "The engine refuses the flow (`DuplicateNodeName`), but only if nothing before it fails; references to the name mean either of the two.",
    bad: "#- flow.dag.yaml\nnodes:\n- {name: fetch, type: python, source: {type: code, path: a.py}}\n- {name: fetch, type: python, source: {type: code, path: a.py}}\n#- a.py\n",
    good: "#- flow.dag.yaml\nnodes:\n- {name: fetch, type: python, source: {type: code, path: a.py}}\n- {name: fetch_again, type: python, source: {type: code, path: a.py}}\n#- a.py\n",
    fix: None,
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag() else { return Vec::new() };
    let mut seen = HashMap::new();
    let mut findings = Vec::new();
    for name in dag.flow.nodes.iter().filter_map(|node| node.name.as_ref()) {
        let at = dag.place(name.span);
        match seen.get(name.value.as_str()) {
            Some(first) => {
                let message = format!("node name `{}` is used twice", name.value);
                findings.push(
                    Finding::error(at, message)
                        .engine("DuplicateNodeName")
                        .related(*first, "first here")
                        .help("give each node a name of its own"),
                );
            }
            None => {
                seen.insert(name.value.as_str(), at);
            }
        }
    }
    // To the engine, a node without a name has the name `None`.
    let nameless = dag.flow.nodes.iter().filter(|node| node.yaml.get("name").is_none_or(|name| name.value.is_null()));
    for node in nameless.skip(1).filter(|_| dag.flow.complete) {
        let message = "another node has no name either";
        let finding = Finding::error(dag.node_place(node), message).engine("DuplicateNodeName");
        findings.push(finding.help("give each node a name of its own"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn each_further_one() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
nodes:
- {name: a, type: python}
- {name: b, type: python}
- {name: \"a\", type: python}
#        ^^^ error[duplicate-node-name]: node name `a` is used twice
- {name: a, type: python}
#        ^ error[duplicate-node-name]: node name `a` is used twice
- {type: python}
- {type: python}
# ^^^^^^^^^^^^^^ error[duplicate-node-name]: another node has no name either
",
        );
    }
}
