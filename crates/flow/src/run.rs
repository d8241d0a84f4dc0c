//! Run specifications, as `pf run create --file` reads them.

use crate::span::{Span, Spanned};
use crate::yaml::{Document, Node as Yaml};

/// A run specification.
#[derive(Debug, Clone, Default)]
pub struct RunSpecification {
    /// `flow`: a folder, a flow's file, or `azureml:NAME`.
    pub flow: Option<Spanned<String>>,
    /// `data`: a file, a folder or a URL.
    pub data: Option<Spanned<String>>,
    /// `run`: the name of an earlier run.
    pub run: Option<Spanned<String>>,
    /// `variant` as written.
    pub variant: Option<Spanned<String>>,
    /// `column_mapping`, in the order of the text.
    pub column_mapping: Vec<(Spanned<String>, Yaml)>,
    /// `connections` by node, in the order of the text.
    pub connections: Vec<(Spanned<String>, Yaml)>,
    /// `resources.instance_type`: the name of an Azure VM size.
    pub instance_type: Option<Spanned<String>>,
    /// `resources.compute`: the name of a compute.
    pub compute: Option<Spanned<String>>,
    /// `identity.client_id`, where its `type` is `managed`.
    pub identity: Option<Spanned<String>>,
    /// The paths that the file names, relative to its folder.
    pub paths: Vec<Spanned<String>>,
    /// False where the document had parts that could not be read.
    pub complete: bool,
}

/// Lowers one document.
pub fn lower(document: &Document) -> RunSpecification {
    let root = &document.root;
    let (flow, data) = (text(root, "flow"), text(root, "data"));
    let variables = text(root, "environment_variables");
    let init = text(root, "init");
    let resource = |key: &str| root.get("resources").and_then(|resources| text(&resources.value, key));
    let identity = root.get("identity").map(|identity| &identity.value);
    let is_managed = |node: &&Yaml| text(node, "type").is_some_and(|name| name.value.eq_ignore_ascii_case("managed"));
    let local = |path: &&Spanned<String>| !is_remote(&path.value);
    RunSpecification {
        paths: [&flow, &data, &variables, &init].into_iter().flatten().filter(local).cloned().collect(),
        run: text(root, "run"),
        variant: text(root, "variant"),
        column_mapping: pairs(root, "column_mapping"),
        connections: pairs(root, "connections"),
        instance_type: resource("instance_type"),
        compute: resource("compute"),
        identity: identity.filter(is_managed).and_then(|node| text(node, "client_id")),
        complete: document.is_complete(),
        flow,
        data,
    }
}

/// True for what is not a path on this machine: a URL, or a name in a workspace.
pub fn is_remote(path: &str) -> bool {
    path.starts_with("azureml:") || path.contains("://")
}

/// The node and the variant of `variant: ${node.variant}`; the SDK looks for them at its start only,
/// in quotes or not.
pub fn variant(written: &Spanned<String>, text: &str) -> Option<(Spanned<String>, Spanned<String>)> {
    let value = written.value.as_str();
    let quoted = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
    let inner = quoted.unwrap_or(value).strip_prefix("${")?;
    let (node, rest) = inner.split_once('.').filter(|(node, _)| !node.is_empty())?;
    let (variant, _) = rest.split_once('}').filter(|(variant, _)| !variant.is_empty())?;
    let source = written.span.slice(text);
    let at = source.find(inner).map(|offset| written.span.start + offset);
    let part = |value: &str, offset: usize| {
        let span = at.map_or(written.span, |at| Span::new(at + offset, at + offset + value.len()));
        Spanned::new(value.to_owned(), span)
    };
    Some((part(node, 0), part(variant, node.len() + 1)))
}

fn text(node: &Yaml, key: &str) -> Option<Spanned<String>> {
    let value = &node.get(key)?.value;
    value.text().map(|text| Spanned::new(text.to_owned(), value.span))
}

fn pairs(node: &Yaml, key: &str) -> Vec<(Spanned<String>, Yaml)> {
    let entries = node.get(key).and_then(|entry| entry.value.mapping()).unwrap_or(&[]);
    let pair = entries.iter().filter_map(|entry| {
        let key = Spanned::new(entry.key.text()?.to_owned(), entry.key.span);
        Some((key, entry.value.clone()))
    });
    pair.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    #[test]
    fn what_it_runs_on() {
        let read = |text: &str| {
            let run = lower(&yaml::read(text));
            [run.instance_type, run.compute, run.identity].map(|value| value.map(|value| value.value))
        };
        let text = "resources: {instance_type: Standard_D2, compute: lab}\nidentity: {type: Managed, client_id: c}\n";
        assert_eq!(read(text), ["Standard_D2", "lab", "c"].map(|text| Some(text.to_owned())));
        assert_eq!(read("resources: 3\nidentity: {type: user_identity, client_id: c}\n"), [None, None, None]);
    }

    #[test]
    fn what_a_variant_names() {
        for (value, expected) in [
            ("${n.v1}", Some(("n", "v1"))),
            ("\"'${n.v1}'\"", Some(("n", "v1"))),
            ("'${n.v1} x'", Some(("n", "v1"))),
            ("${n.a.b}", Some(("n", "a.b"))),
            ("${n}", None),
            ("n.v1", None),
        ] {
            let text = format!("variant: {value}\n");
            let run = lower(&yaml::read(&text));
            let parts = variant(run.variant.as_ref().unwrap(), &text);
            if let Some((node, variant)) = &parts {
                assert_eq!((node.span.slice(&text), variant.span.slice(&text)), (&*node.value, &*variant.value));
            }
            assert_eq!(parts.as_ref().map(|(n, v)| (n.value.as_str(), v.value.as_str())), expected, "{value}");
        }
    }
}
