//! A prompt flow as nouns. Every field keeps its place; nothing here is judged.

use crate::span::{Span, Spanned};
use crate::yaml::Node as Yaml;

/// One `flow.dag.yaml` (or a flex flow, whose nodes are Python code and not listed).
#[derive(Debug, Clone, Default)]
pub struct Flow {
    /// True for a flex flow: a file with a top-level `entry`, whatever its name.
    pub flex: bool,
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
