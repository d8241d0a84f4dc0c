//! A YAML tree to a [`Flow`]. What has the wrong shape is left out, never refused.

use crate::model::{Activate, Environment, Flow, Input, Node, Output, Source, Variant};
use crate::span::{Span, Spanned};
use crate::yaml::{Document, Entry, Node as Yaml};

/// Lowers one document.
pub fn lower(document: &Document) -> Flow {
    let root = &document.root;
    let mut flow = Flow {
        flex: root.get("entry").is_some(),
        entry: text(root, "entry"),
        complete: document.is_complete(),
        environment: root.get("environment").filter(|e| !e.value.is_null()).map(|e| environment(&e.value)),
        additional_includes: items(root, "additional_includes").iter().filter_map(spanned).collect(),
        language: text(root, "language"),
        ..Flow::default()
    };
    flow.inputs = inputs(root);
    flow.outputs = outputs(root);
    if flow.flex {
        return flow;
    }
    flow.nodes = items(root, "nodes").iter().filter(|n| n.mapping().is_some()).map(|n| node(n, None)).collect();
    flow.variants = entries(root, "node_variants").iter().flat_map(variants).collect();
    flow.complete &= !merges(root);
    flow
}

/// True where a merge key brings in inputs, outputs, nodes' inputs or variants that are not listed.
fn merges(root: &Yaml) -> bool {
    let any = |entries: &[Entry]| entries.iter().any(Entry::is_merge);
    any(root.mapping().unwrap_or(&[]))
        || ["inputs", "outputs", "node_variants"].iter().any(|key| any(entries(root, key)))
        || items(root, "nodes").iter().any(|node| any(entries(node, "inputs")))
}

/// `inputs`, in the order of the text.
pub(crate) fn inputs(root: &Yaml) -> Vec<Input> {
    entries(root, "inputs").iter().filter_map(input).collect()
}

/// `outputs`, in the order of the text.
pub(crate) fn outputs(root: &Yaml) -> Vec<Output> {
    entries(root, "outputs").iter().filter_map(output).collect()
}

fn entries<'y>(node: &'y Yaml, key: &str) -> &'y [Entry] {
    node.get(key).and_then(|entry| entry.value.mapping()).unwrap_or(&[])
}

fn items<'y>(node: &'y Yaml, key: &str) -> &'y [Yaml] {
    node.get(key).and_then(|entry| entry.value.sequence()).unwrap_or(&[])
}

fn spanned(node: &Yaml) -> Option<Spanned<String>> {
    node.text().map(|text| Spanned::new(text.to_owned(), node.span))
}

fn text(node: &Yaml, key: &str) -> Option<Spanned<String>> {
    spanned(&node.get(key)?.value)
}

fn is_true(node: &Yaml, key: &str) -> bool {
    node.get(key).is_some_and(|entry| entry.value.is_truthy())
}

fn value(node: &Yaml, key: &str) -> Option<Yaml> {
    node.get(key).map(|entry| entry.value.clone())
}

fn whole(entry: &Entry) -> Span {
    Span::new(entry.key.span.start, entry.value.span.end.max(entry.key.span.end))
}

fn input(entry: &Entry) -> Option<Input> {
    Some(Input {
        name: spanned(&entry.key)?,
        r#type: text(&entry.value, "type"),
        default: value(&entry.value, "default"),
        span: whole(entry),
        yaml: entry.value.clone(),
        well_formed: entry.value.mapping().is_some(),
    })
}

fn output(entry: &Entry) -> Option<Output> {
    Some(Output {
        name: spanned(&entry.key)?,
        r#type: text(&entry.value, "type"),
        reference: value(&entry.value, "reference"),
        span: whole(entry),
        yaml: entry.value.clone(),
        well_formed: entry.value.mapping().is_some(),
    })
}

fn node(yaml: &Yaml, variant_of: Option<&Spanned<String>>) -> Node {
    Node {
        name: variant_of.cloned().or_else(|| text(yaml, "name")),
        r#type: text(yaml, "type"),
        source: yaml.get("source").filter(|e| e.value.mapping().is_some()).map(|e| source(&e.value)),
        inputs: entries(yaml, "inputs").iter().filter_map(|e| Some((spanned(&e.key)?, e.value.clone()))).collect(),
        activate: yaml.get("activate").map(|e| activate(&e.value)),
        aggregation: is_true(yaml, "aggregation") || is_true(yaml, "reduce"),
        use_variants: is_true(yaml, "use_variants"),
        connection: text(yaml, "connection"),
        api: text(yaml, "api"),
        provider: text(yaml, "provider"),
        module: text(yaml, "module"),
        span: yaml.span,
        yaml: yaml.clone(),
    }
}

fn source(yaml: &Yaml) -> Source {
    Source { r#type: text(yaml, "type"), path: text(yaml, "path"), tool: text(yaml, "tool"), span: yaml.span }
}

fn activate(yaml: &Yaml) -> Activate {
    Activate { when: value(yaml, "when"), is: value(yaml, "is"), yaml: yaml.clone() }
}

fn environment(yaml: &Yaml) -> Environment {
    Environment {
        image: text(yaml, "image"),
        python_requirements_txt: text(yaml, "python_requirements_txt"),
        span: yaml.span,
    }
}

fn variants(entry: &Entry) -> Vec<Variant> {
    let Some(node_name) = spanned(&entry.key) else { return Vec::new() };
    let default = entry.value.get("default_variant_id").and_then(|id| id.value.scalar());
    entries(&entry.value, "variants")
        .iter()
        .filter_map(|variant| {
            let name = spanned(&variant.key)?;
            let body = variant.value.get("node").filter(|e| e.value.mapping().is_some())?;
            Some(Variant {
                // `0` and `'0'` are two keys.
                default: default.is_some_and(|id| {
                    id.text == name.value && variant.key.scalar().is_some_and(|key| key.is_string() == id.is_string())
                }),
                node: node(&body.value, Some(&node_name)),
                node_name: node_name.clone(),
                name,
            })
        })
        .collect()
}
