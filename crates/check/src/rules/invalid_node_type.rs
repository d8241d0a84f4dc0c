use crate::context::Context;
use crate::finding::{Finding, Level};
use crate::rule::{Group, Rule};
use crate::suggest;

/// `ToolType` of promptflow 1.18, and `csharp`, which its C# engine adds.
const TYPES: [&str; 5] = ["python", "llm", "prompt", "custom_llm", "csharp"];

pub(super) const RULE: Rule = Rule {
    name: "invalid-node-type",
    group: Group::Flow,
    level: Level::Error,
    summary: "A node whose `type` is missing or not one of the engine's.",
    cases: &["capitalized-node-type", "node-without-type"],
    why: "The engine stops with `ValueError: 'Python' is not a valid ToolType`, or with `Tool type None is not supported yet.`. Names are lower-case only, though the documentation also shows `Python`.",
    bad: "#- flow.dag.yaml\nnodes:\n- name: fetch\n  type: Python\n  source: {type: code, path: a.py}\n#- a.py\n",
    good: "#- flow.dag.yaml\nnodes:\n- name: fetch\n  type: python\n  source: {type: code, path: a.py}\n#- a.py\n",
    fix: Some("Writes the type in lower case (safe), or the most similar one (unsafe)."),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag() else { return Vec::new() };
    let mut findings = Vec::new();
    for node in dag.bodies() {
        let Some(r#type) = &node.r#type else {
            // The type of such a node stands in its variants; a flow with an unreadable line may
            // hold it there.
            if !node.use_variants && dag.flow.complete {
                let written = node.yaml.get("type").map(|entry| &entry.value);
                let (message, class) = match written {
                    Some(value) if !value.is_null() => {
                        (format!("the `type` of node `{}` is {}, not a name", node.name(), value.kind()), "ValueError")
                    }
                    Some(_) => (format!("node `{}` has no `type`", node.name()), "ValueError"),
                    None => (format!("node `{}` has no `type`", node.name()), "NotImplementedError"),
                };
                findings.push(
                    Finding::error(dag.node_place(node), message)
                        .engine(class)
                        .help(format!("add one of {}", TYPES.join(", "))),
                );
            }
            continue;
        };
        if TYPES.contains(&r#type.value.as_str()) {
            continue;
        }
        let at = dag.place(r#type.span);
        let finding = Finding::error(at, format!("`{}` is not a node type", r#type.value)).engine("ValueError");
        let lower = r#type.value.to_ascii_lowercase();
        let same = TYPES.into_iter().find(|t| *t == lower);
        findings.push(suggest::name(finding, &r#type.value, same, &TYPES));
    }
    findings
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn nodes_and_variants() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
nodes:
- name: a
#       ^ error[invalid-node-type]: node `a` has no `type`
  inputs: {}
- name: b
  use_variants: true
- name: c
  type: pyton
#       ^^^^^ error[invalid-node-type]: `pyton` is not a node type
node_variants:
  b:
    default_variant_id: v
    variants:
      v:
        node:
          type: LLM
#               ^^^ error[invalid-node-type]: `LLM` is not a node type
",
        );
    }
}
