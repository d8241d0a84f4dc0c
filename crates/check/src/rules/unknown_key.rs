use crate::context::{Context, Dag};
use crate::finding::{Applicability, Finding, Level};
use crate::rule::{Group, Rule};
use crate::suggest;
use flowgate_flow::yaml::{Entry, Node as Yaml};

pub(super) const RULE: Rule = Rule {
    name: "unknown-key",
    group: Group::Flow,
    level: Level::Hint,
    summary: "A key that nothing reads.",
    cases: &["dead-skip-key", "older-name-reduce", "misspelt-key"],
    why: "The engine takes the keys that it knows and ignores all others, without a word: a mistyped `actvate` lets the node run always. `skip` is read no more, and `reduce` is the older name of `aggregation`.",
    bad: "#- flow.dag.yaml\ninputs:\n  x:\n    type: string\n    defualt: a\noutputs:\n  out:\n    type: string\n    reference: ${inputs.x}\n",
    good: "#- flow.dag.yaml\ninputs:\n  x:\n    type: string\n    default: a\noutputs:\n  out:\n    type: string\n    reference: ${inputs.x}\n",
    fix: Some("Writes `aggregation` for `reduce` (safe), or the most similar key (unsafe)."),
    check,
};

/// What the engine, the SDK or the portal reads or writes.
const FLOW: [&str; 17] = [
    "inputs",
    "outputs",
    "nodes",
    "node_variants",
    "environment",
    "environment_variables",
    "additional_includes",
    "type",
    "language",
    "description",
    "display_name",
    "tags",
    "id",
    "name",
    "message_format",
    "version",
    "tools",
];
const INPUT: [&str; 6] = ["type", "default", "description", "enum", "is_chat_input", "is_chat_history"];
const OUTPUT: [&str; 5] = ["type", "reference", "description", "evaluation_only", "is_chat_output"];
const NODE: [&str; 15] = [
    "name",
    "type",
    "source",
    "inputs",
    "comment",
    "description",
    "api",
    "provider",
    "module",
    "connection",
    "aggregation",
    "enable_cache",
    "use_variants",
    "activate",
    "tool",
];
const SOURCE: [&str; 3] = ["type", "path", "tool"];
const ACTIVATE: [&str; 2] = ["when", "is"];
const VARIANTS: [&str; 2] = ["default_variant_id", "variants"];
const VARIANT: [&str; 2] = ["node", "description"];

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag() else { return Vec::new() };
    let Some(root) = context.flow_file().map(|file| &file.document.root) else { return Vec::new() };
    let mut look = Look { context, dag, findings: Vec::new() };
    look.at(root, "a flow", &FLOW);
    dag.flow.inputs.iter().for_each(|input| look.at(&input.yaml, "an input", &INPUT));
    dag.flow.outputs.iter().for_each(|output| look.at(&output.yaml, "an output", &OUTPUT));
    for node in dag.bodies() {
        look.at(&node.yaml, "a node", &NODE);
        for (key, owner, known) in [("source", "a source", &SOURCE[..]), ("activate", "an `activate`", &ACTIVATE)] {
            if let Some(entry) = node.yaml.get(key) {
                look.at(&entry.value, owner, known);
            }
        }
    }
    let groups = root.get("node_variants").and_then(|entry| entry.value.mapping()).unwrap_or(&[]);
    for group in groups {
        look.at(&group.value, "an entry of `node_variants`", &VARIANTS);
        let variants = group.value.get("variants").and_then(|entry| entry.value.mapping()).unwrap_or(&[]);
        variants.iter().for_each(|variant| look.at(&variant.value, "a variant", &VARIANT));
    }
    look.findings
}

struct Look<'c, 'p> {
    context: &'c Context<'p>,
    dag: Dag<'p>,
    findings: Vec<Finding>,
}

impl Look<'_, '_> {
    fn at(&mut self, yaml: &Yaml, owner: &str, known: &[&'static str]) {
        // An alias's keys are looked at where its anchor stands.
        let entries = yaml.mapping().filter(|_| !yaml.alias).unwrap_or(&[]);
        let mut unknown = entries.iter().filter_map(|entry| Some((entry, unknown(entry, known)?))).peekable();
        if unknown.peek().is_none() {
            return;
        }
        let absent: Vec<&str> = known.iter().copied().filter(|name| yaml.get(name).is_none()).collect();
        for (entry, key) in unknown {
            let finding = self.judge(entry, key, owner, &absent);
            self.findings.push(finding);
        }
    }

    /// `absent` are the keys that could stand there and do not.
    fn judge(&self, entry: &Entry, key: &str, owner: &str, absent: &[&'static str]) -> Finding {
        let at = self.dag.place(entry.key.span);
        let hint = |message: String| Finding::new(Level::Hint, at, message);
        if owner == "a node" {
            match key {
                "skip" => {
                    let message = "`skip` is read no more: the node runs always".to_owned();
                    return hint(message).help("use `activate`, which says when the node runs");
                }
                "reduce" => {
                    let finding = hint("`reduce` is the older name of `aggregation`".to_owned());
                    if !absent.contains(&"aggregation") {
                        return finding.help("remove it");
                    }
                    let write = "write `aggregation`";
                    return finding.help(write).fix(Applicability::Safe, write, at, "aggregation");
                }
                _ => {}
            }
        }
        let finding = hint(format!("`{key}` is not a key of {owner}: nothing reads it"));
        match self.context.nearest(key, absent.iter().copied()) {
            Some(near) => suggest::meant(finding, near),
            None if owner == "a node" => finding.help("arguments of the tool go under `inputs`"),
            None => finding,
        }
    }
}

/// The key of an entry that nothing reads.
fn unknown<'y>(entry: &'y Entry, known: &[&str]) -> Option<&'y str> {
    let key = entry.key.text()?;
    // `$schema`, `x-...` and `_...` are where people put what is not for the engine.
    let free = entry.is_merge() || key.starts_with(['$', '_', '.']) || key.starts_with("x-");
    (!free && !known.contains(&key)).then_some(key)
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn at_every_level() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
$schema: x
version: 2
x-note: fine
node_variant: {}
#^^^^^^^^^^^ hint[unknown-key]: `node_variant` is not a key of a flow: nothing reads it
nodes:
- name: a
  type: python
  source: {path: p.py, function: f}
#                      ^^^^^^^^ hint[unknown-key]: `function` is not a key of a source: nothing reads it
  deployment_name: gpt
# ^^^^^^^^^^^^^^^ hint[unknown-key]: `deployment_name` is not a key of a node: nothing reads it
  skip: {when: a, is: b}
# ^^^^ hint[unknown-key]: `skip` is read no more: the node runs always
  reduce: true
# ^^^^^^ hint[unknown-key]: `reduce` is the older name of `aggregation`
  inputs: {anything: 1}
  activate: {when: '${a}', is: 1, not: 2}
#                                 ^^^ hint[unknown-key]: `not` is not a key of an `activate`: nothing reads it
#- p.py
",
        );
    }
}
