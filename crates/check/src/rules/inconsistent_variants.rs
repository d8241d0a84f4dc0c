use std::collections::HashMap;

use crate::context::{Context, Dag};
use crate::finding::{Finding, Level};
use crate::rule::{Group, Rule};
use crate::suggest;
use flowgate_flow::model::Node;
use flowgate_flow::yaml::{Entry, Node as Yaml, Scalar};

pub(super) const RULE: Rule = Rule {
    name: "inconsistent-variants",
    group: Group::Flow,
    level: Level::Error,
    summary: "A node and its `node_variants` that do not fit together: no variants, no default, a default that is not there, or variants that no node uses.",
    cases: &["node-without-variants", "missing-default-variant", "unknown-default-variant", "unused-node-variants"],
    why: "A node with `use_variants: true` is what its default variant says. Without one the engine only says `Node fetch does not have source defined.`; without the key `variants` or `node` it stops with a bare `KeyError`. Variants without `use_variants` are never used, and nobody says so.",
    bad: "#- flow.dag.yaml\nnodes:\n- name: fetch\n  use_variants: true\nnode_variants:\n  fetch:\n    default_variant_id: variant1\n    variants:\n      variant_1:\n        node:\n          type: python\n          source: {type: code, path: a.py}\n#- a.py\n",
    good: "#- flow.dag.yaml\nnodes:\n- name: fetch\n  use_variants: true\nnode_variants:\n  fetch:\n    default_variant_id: variant_1\n    variants:\n      variant_1:\n        node:\n          type: python\n          source: {type: code, path: a.py}\n#- a.py\n",
    fix: Some("Writes the most similar variant as the default, or the only one. Unsafe: another may be meant."),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag() else { return Vec::new() };
    let Some(root) = context.flow_file().map(|file| &file.document.root) else { return Vec::new() };
    let groups = root.get("node_variants").map(|entry| &entry.value);
    // A list in its place belongs to another rule.
    let entries = match groups {
        None => &[][..],
        Some(value) if value.is_null() => &[][..],
        Some(value) => match value.mapping() {
            Some(entries) => entries,
            None => return Vec::new(),
        },
    };
    let by_name: HashMap<&str, &Entry> = entries.iter().filter_map(|entry| Some((entry.key.text()?, entry))).collect();
    let mut findings = Vec::new();
    for node in dag.flow.nodes.iter().filter(|node| node.use_variants) {
        let Some(name) = &node.name else { continue };
        if !by_name.contains_key(name.value.as_str()) && dag.flow.complete {
            let message = format!("node `{}` uses variants, and `node_variants` has none for it", name.value);
            let help = format!("add `node_variants.{}`, or remove `use_variants`", name.value);
            findings.push(engine(Finding::error(dag.node_place(node), message), node).help(help));
        }
    }
    for entry in entries {
        findings.extend(group(context, dag, entry));
    }
    findings
}

/// One entry of `node_variants`.
fn group(context: &Context<'_>, dag: Dag<'_>, entry: &Entry) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(name) = entry.key.text() else { return findings };
    let at = dag.place(entry.key.span);
    let error = |class: &'static str, message: String| Finding::error(at, message).engine(class);
    if entry.value.mapping().is_none() {
        let message = format!("the variants of `{name}` are {}, not a mapping", entry.value.kind());
        return vec![error("TypeError", message).help("write `default_variant_id` and `variants` below it")];
    }
    if let Some(node) = context.node_index(name).and_then(|index| dag.flow.nodes.get(index)) {
        if !node.use_variants {
            let message =
                format!("the variants of `{name}` are never used: the node does not say `use_variants: true`");
            findings.push(Finding::new(Level::Warning, at, message).help("add it to the node, or remove the variants"));
        }
    } else if dag.flow.complete {
        let message = format!("the variants of `{name}` are never used: there is no such node");
        findings.push(Finding::new(Level::Warning, at, message));
    }
    let variants = match entry.value.get("variants").map(|variants| &variants.value) {
        None if dag.flow.complete => {
            findings.push(error("KeyError", format!("`node_variants.{name}` has no `variants`")));
            return findings;
        }
        None => return findings,
        Some(variants) => match variants.mapping() {
            Some(entries) => entries,
            None => {
                let message = format!("`variants` of `{name}` is {}, not a mapping", variants.kind());
                findings.push(error("AttributeError", message).help("write each variant as `NAME: {node: {...}}`"));
                return findings;
            }
        },
    };
    for variant in variants {
        let at = dag.place(variant.key.span);
        let shown = variant.key.text().unwrap_or("");
        match variant.value.get("node").map(|node| &node.value) {
            Some(node) if node.mapping().is_some() => {}
            Some(node) => {
                let message = format!("`node` of variant `{shown}` is {}, not a mapping", node.kind());
                findings.push(Finding::error(at, message).engine("AttributeError"));
            }
            None if dag.flow.complete => {
                let class = if variant.value.mapping().is_some() { "KeyError" } else { "TypeError" };
                findings.push(Finding::error(at, format!("variant `{shown}` has no `node`")).engine(class));
            }
            None => {}
        }
    }
    let node = context.node_index(name).and_then(|index| dag.flow.nodes.get(index)).filter(|node| node.use_variants);
    if let Some(node) = node {
        let finding = default(context, dag, entry, name, variants);
        findings.extend(finding.map(|finding| engine(finding, node)));
    }
    findings
}

/// The engine falls back to the node itself, and fails where that has no source; the SDK refuses the
/// flow in any case.
fn engine(finding: Finding, node: &Node) -> Finding {
    if node.source.is_some() { finding } else { finding.engine("UserErrorException") }
}

/// The default variant of a node that uses it.
fn default(context: &Context<'_>, dag: Dag<'_>, entry: &Entry, name: &str, variants: &[Entry]) -> Option<Finding> {
    let ids = || variants.iter().filter_map(|variant| variant.key.text());
    let only = || if let [one] = variants { one.key.text() } else { None };
    let same = |a: &Scalar, b: &Yaml| b.scalar().is_some_and(|b| a.text == b.text && a.is_string() == b.is_string());
    let id = match entry.value.get("default_variant_id").map(|id| &id.value) {
        Some(id) if !id.is_null() => id,
        _ if !dag.flow.complete => return None,
        _ => {
            let message = format!("`node_variants.{name}` has no `default_variant_id`");
            let finding = Finding::error(dag.place(entry.key.span), message);
            let first = ids().next().unwrap_or("ID");
            return Some(finding.help(format!("add `default_variant_id: {first}`")));
        }
    };
    let scalar = id.scalar()?;
    if variants.iter().any(|variant| same(scalar, &variant.key)) || !dag.flow.complete {
        return None;
    }
    let at = dag.place(id.span);
    let finding = Finding::error(at, format!("node `{name}` has no variant `{}`", scalar.text));
    if ids().any(|id| id == scalar.text) {
        let help = "one is text and the other is not: write both with quotes, or both without";
        return Some(finding.help(help));
    }
    Some(match context.nearest(&scalar.text, ids()).or_else(only) {
        Some(near) => suggest::meant(finding, near),
        None => finding,
    })
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn nodes_without_variants_and_variants_without_nodes() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
nodes:
- {name: none, use_variants: true}
#        ^^^^ error[inconsistent-variants]: node `none` uses variants, and `node_variants` has none for it
- {name: a, use_variants: true}
- {name: b, use_variants: true}
- {name: c, type: python, source: {path: p.py}}
- {name: d, use_variants: true}
- {name: e, use_variants: true}
- {name: f, use_variants: true}
node_variants:
  a: {variants: {v: {node: {type: python, source: {path: p.py}}}}}
# ^ error[inconsistent-variants]: `node_variants.a` has no `default_variant_id`
  b: {default_variant_id: '0', variants: {0: {node: {type: python, source: {path: p.py}}}}}
#                         ^^^ error[inconsistent-variants]: node `b` has no variant `0`
  c: {default_variant_id: v, variants: {v: {node: {type: python, source: {path: p.py}}}}}
# ^ warning[inconsistent-variants]: the variants of `c` are never used: the node does not say `use_variants: true`
  d: {default_variant_id: v}
# ^ error[inconsistent-variants]: `node_variants.d` has no `variants`
  e: {default_variant_id: v, variants: {v: {}}}
#                                       ^ error[inconsistent-variants]: variant `v` has no `node`
  f:
# ^ error[inconsistent-variants]: the variants of `f` are nothing, not a mapping
  g: {default_variant_id: v, variants: {v: {node: {type: python, source: {path: p.py}}}}}
# ^ warning[inconsistent-variants]: the variants of `g` are never used: there is no such node
#- p.py
",
        );
    }
}
