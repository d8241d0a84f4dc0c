use super::invalid_type_name::TYPES;
use crate::context::{Context, Dag};
use crate::finding::{Applicability, Finding, Level};
use crate::rule::{Group, Rule};
use flowgate_flow::model::Node;
use flowgate_flow::yaml::{Entry, Node as Yaml};

pub(super) const RULE: Rule = Rule {
    name: "wrong-shape",
    group: Group::Flow,
    level: Level::Error,
    summary: "A list where the engine needs a mapping, text where it needs a list, and the like.",
    cases: &["list-instead-of-mapping", "empty-value", "top-level-list"],
    why: "The engine does not check shapes: it stops with a bare `AttributeError: 'CommentedSeq' object has no attribute 'items'` or `TypeError: string indices must be integers`, without a place.",
    bad: "#- flow.dag.yaml\ninputs:\n  question: string\noutputs:\n  answer:\n    type: string\n    reference: ${inputs.question}\n",
    good: "#- flow.dag.yaml\ninputs:\n  question: {type: string}\noutputs:\n  answer:\n    type: string\n    reference: ${inputs.question}\n",
    fix: Some(
        "Writes a type that stands in the place of an input as its `type`. Unsafe: it may be meant as its default.",
    ),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    // Beside a part that could not be read, what is left has the shape that the rest gives it.
    let Some(dag) = context.dag().filter(|dag| dag.flow.complete) else { return Vec::new() };
    let Some(root) = context.flow_file().map(|file| &file.document.root) else { return Vec::new() };
    let Some(entries) = root.mapping() else {
        if root.is_null() {
            return Vec::new();
        }
        let message = format!("the flow is {}, not a mapping", root.kind());
        let help = "write the keys `inputs`, `outputs` and `nodes`";
        let line = root.span.slice(dag.text).lines().next().map_or(0, str::len);
        let at = dag.place(flowgate_flow::Span::new(root.span.start, root.span.start + line));
        return vec![Finding::error(at, message).engine("AttributeError").help(help)];
    };
    let mut findings: Vec<Finding> = entries.iter().filter_map(|entry| top_level(dag, entry)).collect();
    for key in ["inputs", "outputs"] {
        let items = root.get(key).and_then(|entry| entry.value.mapping()).unwrap_or(&[]);
        findings.extend(items.iter().filter_map(|entry| item(dag, key, entry)));
    }
    let nodes = root.get("nodes").and_then(|entry| entry.value.sequence()).unwrap_or(&[]);
    findings.extend(nodes.iter().filter_map(|value| {
        let needed = "a node is a mapping: `- name: NAME`";
        (value.mapping().is_none()).then(|| shape(dag, "a node", value, None, "a mapping", "AttributeError", needed))
    }));
    for node in dag.bodies() {
        findings.extend(body(dag, node));
    }
    findings
}

/// A section of the flow. The engine takes what is empty for absent, whatever its shape.
fn top_level(dag: Dag<'_>, entry: &Entry) -> Option<Finding> {
    let value = &entry.value;
    let key = entry.key.text()?;
    let name = format!("`{key}`");
    // The engine does not mind, but the SDK counts the nodes.
    if key == "nodes" && value.is_null() {
        let message = "`nodes` is nothing, not a list: `pf flow test` stops with a `TypeError`";
        return Some(Finding::error(dag.place(entry.key.span), message).help("write each node as `- name: NAME`"));
    }
    if !value.is_truthy() {
        return None;
    }
    let finding = |needed: &str, class: &'static str, help: &str| {
        Some(shape(dag, &name, value, Some(entry), needed, class, help))
    };
    match key {
        "inputs" if value.mapping().is_none() => finding("a mapping", "AttributeError", "write `NAME: {type: TYPE}`"),
        "outputs" if value.mapping().is_none() => {
            finding("a mapping", "AttributeError", "write `NAME: {type: TYPE, reference: REFERENCE}`")
        }
        "node_variants" if value.mapping().is_none() => {
            finding("a mapping", "AttributeError", "write `NODE: {default_variant_id: ID, variants: {...}}`")
        }
        "nodes" if value.sequence().is_none() => {
            let walked = value.mapping().is_some() || value.scalar().is_some_and(|scalar| scalar.is_string());
            let class = if walked { "AttributeError" } else { "TypeError" };
            finding("a list", class, "write each node as `- name: NAME`")
        }
        "tools" if value.sequence().is_none() => finding("a list", "TypeError", "remove it: nodes name their source"),
        // The engine does not look at it; what starts a flow does.
        "environment_variables" if value.mapping().is_none() => finding("a mapping", "", "write `NAME: VALUE`"),
        _ => None,
    }
}

/// An input or an output.
fn item(dag: Dag<'_>, section: &str, entry: &Entry) -> Option<Finding> {
    let value = &entry.value;
    if value.mapping().is_some() || entry.is_merge() {
        return None;
    }
    let (noun, help) = match section {
        "inputs" => ("input", "write its type below it: `type: string`"),
        _ => ("output", "write `type` and `reference` below it"),
    };
    let name = format!("{noun} `{}`", entry.key.text().unwrap_or(""));
    let finding = shape(dag, &name, value, Some(entry), "a mapping", "TypeError", help);
    Some(match value.text().and_then(|text| TYPES.into_iter().find(|t| *t == text)) {
        Some(r#type) if noun == "input" && value.span.slice(dag.text) == r#type => {
            let text = format!("{{type: {type}}}");
            finding.fix(Applicability::Unsafe, format!("write `{text}`"), dag.place(value.span), text)
        }
        _ => finding,
    })
}

/// What a node holds.
fn body(dag: Dag<'_>, node: &Node) -> Vec<Finding> {
    let mut findings = Vec::new();
    let get = |yaml: &Yaml, key: &str| yaml.get(key).cloned();
    let is_text = |value: &Yaml| value.is_null() || value.scalar().is_some_and(|scalar| scalar.is_string());
    if let Some(entry) = get(&node.yaml, "name").filter(|entry| entry.value.scalar().is_none()) {
        findings.push(shape(dag, "`name`", &entry.value, Some(&entry), "text", "TypeError", "write a name"));
    }
    if let Some(entry) =
        get(&node.yaml, "inputs").filter(|entry| entry.value.is_truthy() && entry.value.mapping().is_none())
    {
        let help = "write `NAME: VALUE`";
        findings.push(shape(dag, "`inputs`", &entry.value, Some(&entry), "a mapping", "AttributeError", help));
    }
    let Some(source) = node.yaml.get("source").map(|entry| &entry.value).filter(|_| !node.use_variants) else {
        return findings;
    };
    if let Some(entry) = get(source, "path").filter(|entry| !is_text(&entry.value)) {
        let help = "write the path of a file, relative to the flow's folder";
        findings.push(shape(dag, "`path`", &entry.value, Some(&entry), "text", "TypeError", help));
    }
    if let Some(entry) = get(source, "tool").filter(|entry| entry.value.scalar().is_none()) {
        let help = "write the name of a package's tool";
        findings.push(shape(dag, "`tool`", &entry.value, Some(&entry), "text", "TypeError", help));
    }
    findings
}

/// `what` has the shape of `value`, and needs another one. The place is the value, or its key where the
/// value is more than the rest of the key's line.
fn shape(
    dag: Dag<'_>,
    what: &str,
    value: &Yaml,
    entry: Option<&Entry>,
    needed: &str,
    class: &'static str,
    help: &str,
) -> Finding {
    let line = value.span.slice(dag.text).lines().next().map_or(0, str::len);
    let beside = |entry: &Entry| {
        let between = flowgate_flow::Span::new(entry.key.span.end, value.span.end);
        line > 0 && !between.slice(dag.text).contains('\n')
    };
    let span = match entry {
        Some(entry) if !beside(entry) => entry.key.span,
        _ => flowgate_flow::Span::new(value.span.start, value.span.start + line),
    };
    let message = format!("{what} is {}, not {needed}", value.kind());
    let finding = Finding::error(dag.place(span), message).help(help);
    if class.is_empty() { finding } else { finding.engine(class) }
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn sections_items_and_nodes() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
inputs:
  a: string
#    ^^^^^^ error[wrong-shape]: input `a` is a single value, not a mapping
  b:
# ^ error[wrong-shape]: input `b` is nothing, not a mapping
  c: {type: string}
outputs:
#^^^^^^ error[wrong-shape]: `outputs` is a list, not a mapping
- name: x
  type: string
nodes:
- text
# ^^^^ error[wrong-shape]: a node is a single value, not a mapping
- name: n
  type: python
  source: {path: [a.py], tool: {}}
#                ^^^^^^ error[wrong-shape]: `path` is a list, not text
#                              ^^ error[wrong-shape]: `tool` is a mapping, not text
  inputs: [a]
#         ^^^ error[wrong-shape]: `inputs` is a list, not a mapping
environment_variables: text
#                      ^^^^ error[wrong-shape]: `environment_variables` is a single value, not a mapping
",
        );
    }

    #[test]
    fn what_is_empty_is_absent() {
        fixture::raises(&super::RULE, "#- flow.dag.yaml\ninputs: []\noutputs:\nnodes: {}\nnode_variants: ''\n");
        fixture::raises(&super::RULE, "#- flow.dag.yaml\n");
    }

    #[test]
    fn the_whole_flow_and_its_nodes() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
- a
#^^ error[wrong-shape]: the flow is a list, not a mapping
",
        );
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
nodes:
#^^^^ error[wrong-shape]: `nodes` is a mapping, not a list
  a: {type: python}
node_variants: 3
#              ^ error[wrong-shape]: `node_variants` is a single value, not a mapping
",
        );
    }
}
