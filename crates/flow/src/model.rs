//! A prompt flow as nouns. Every field keeps its place; nothing here is judged.

use std::collections::HashSet;

use crate::span::{Span, Spanned};
use crate::yaml::Node as Yaml;

/// One `flow.dag.yaml` (or a flex flow, whose nodes are Python code and not listed).
#[derive(Debug, Clone, Default)]
pub struct Flow {
    /// True for a flex flow: a file with a top-level `entry`, whatever its name.
    pub flex: bool,
    /// `entry` of a flex flow, as written: `package.module:name`.
    pub entry: Option<Spanned<String>>,
    /// `inputs`, in the order of the text.
    pub inputs: Vec<Input>,
    /// `outputs`, in the order of the text.
    pub outputs: Vec<Output>,
    /// `nodes`, in the order of the text.
    pub nodes: Vec<Node>,
    /// `node_variants`, in the order of the text.
    pub variants: Vec<Variant>,
    /// `environment`.
    pub environment: Option<Environment>,
    /// `additional_includes`.
    pub additional_includes: Vec<Spanned<String>>,
    /// `language`, lower-case as the engine compares it; Python where absent.
    pub language: Option<Spanned<String>>,
    /// False where the document had parts that could not be read: then what is not here may exist.
    pub complete: bool,
}

impl Flow {
    /// The node bodies that may run: those of nodes that use no variants, and the variants of those
    /// that do.
    pub fn live_nodes(&self) -> impl Iterator<Item = &Node> {
        let varied: HashSet<&str> = self.nodes.iter().filter(|node| node.use_variants).map(Node::name).collect();
        let variants =
            self.variants.iter().map(|variant| &variant.node).filter(move |node| varied.contains(node.name()));
        self.nodes.iter().filter(|node| !node.use_variants).chain(variants)
    }

    /// The files where the module of `entry` may stand, relative to the flow's folder: a module, or
    /// a package.
    pub fn entry_modules(&self) -> Vec<String> {
        let module = self.entry.as_ref().and_then(|entry| entry.value.split_once(':')).map(|(module, _)| module);
        let is_name = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_');
        let Some(module) = module.filter(|module| module.split('.').all(is_name)) else { return Vec::new() };
        let path = module.replace('.', "/");
        vec![format!("{path}.py"), format!("{path}/__init__.py")]
    }
}

/// A flow input.
#[derive(Debug, Clone)]
pub struct Input {
    /// Its name; the span is the key's.
    pub name: Spanned<String>,
    /// `type` as written.
    pub r#type: Option<Spanned<String>>,
    /// `default`.
    pub default: Option<Yaml>,
    /// Where its mapping ends (where a missing key could be added).
    pub span: Span,
    /// The value itself, for keys that have no field here.
    pub yaml: Yaml,
    /// True where the value is a mapping, as it must be.
    pub well_formed: bool,
}

impl Input {
    /// True where the engine has a value for it that nobody gave; to the engine, `null` is none.
    pub fn has_default(&self) -> bool {
        self.default.as_ref().is_some_and(|default| !default.scalar().is_some_and(crate::yaml::Scalar::is_null))
    }
}

/// A flow output.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its name; the span is the key's.
    pub name: Spanned<String>,
    /// `type` as written.
    pub r#type: Option<Spanned<String>>,
    /// `reference`: `None` where the key is absent.
    pub reference: Option<Yaml>,
    /// The place of the whole value.
    pub span: Span,
    /// The value itself, for keys that have no field here.
    pub yaml: Yaml,
    /// True where the value is a mapping, as it must be.
    pub well_formed: bool,
}

/// A node, or the node of one variant.
#[derive(Debug, Clone)]
pub struct Node {
    /// `name`; a variant's node has the name of the node that it stands for.
    pub name: Option<Spanned<String>>,
    /// `type` as written.
    pub r#type: Option<Spanned<String>>,
    /// `source`, where it is a mapping.
    pub source: Option<Source>,
    /// `inputs`, in the order of the text.
    pub inputs: Vec<(Spanned<String>, Yaml)>,
    /// `activate`.
    pub activate: Option<Activate>,
    /// `aggregation`, or its older name `reduce`, with a value that Python takes for true.
    pub aggregation: bool,
    /// `use_variants`, with a value that Python takes for true: the engine takes everything but the name from `node_variants`.
    pub use_variants: bool,
    /// `connection` as written.
    pub connection: Option<Spanned<String>>,
    /// `api` as written.
    pub api: Option<Spanned<String>>,
    /// `provider` as written; the engine takes the connection's instead.
    pub provider: Option<Spanned<String>>,
    /// `module` as written: what the engine imports for the API of an LLM node.
    pub module: Option<Spanned<String>>,
    /// The place of the whole node.
    pub span: Span,
    /// The mapping itself, for keys that have no field here.
    pub yaml: Yaml,
}

impl Node {
    /// The name, or `""`.
    pub fn name(&self) -> &str {
        self.name.as_ref().map_or("", |name| name.value.as_str())
    }

    /// The Python file that the node runs; `None` for nodes of another kind.
    pub fn python_source(&self) -> Option<&Spanned<String>> {
        let source = self.source.as_ref()?;
        let code = source.r#type.as_ref().is_none_or(|kind| kind.value == "code");
        let python = self.r#type.as_ref().is_some_and(|kind| kind.value == "python");
        if code && python { source.path.as_ref() } else { None }
    }
}

/// One variant of a node.
#[derive(Debug, Clone)]
pub struct Variant {
    /// The node that it stands for; the span is the key's.
    pub node_name: Spanned<String>,
    /// Its own name; the span is the key's.
    pub name: Spanned<String>,
    /// True where `default_variant_id` names it.
    pub default: bool,
    /// What it puts in the node's place.
    pub node: Node,
}

/// Where a node's code or prompt comes from.
#[derive(Debug, Clone)]
pub struct Source {
    /// `code` (default), `package` or `package_with_prompt`.
    pub r#type: Option<Spanned<String>>,
    /// `path`, relative to the flow's folder.
    pub path: Option<Spanned<String>>,
    /// `tool`: the id of a package tool.
    pub tool: Option<Spanned<String>>,
    /// The place of the whole value.
    pub span: Span,
}

/// The condition under which a node runs.
#[derive(Debug, Clone)]
pub struct Activate {
    /// `when`.
    pub when: Option<Yaml>,
    /// `is`.
    pub is: Option<Yaml>,
    /// The whole value, which need not be a mapping.
    pub yaml: Yaml,
}

/// `environment`: what the flow needs to run.
#[derive(Debug, Clone)]
pub struct Environment {
    /// `image`: the base image.
    pub image: Option<Spanned<String>>,
    /// `python_requirements_txt`: relative to the flow's folder.
    pub python_requirements_txt: Option<Spanned<String>>,
    /// The place of the whole value.
    pub span: Span,
}
