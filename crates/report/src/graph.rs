//! A flow as a graph: what waits for what, under which condition, and where the findings are.
//!
//! [`Graph::of`] gathers plain data; [`mermaid`] and [`svg`] draw it.

use std::collections::{BTreeMap, HashMap};

use flowgate_check::{Finding, Level};
use flowgate_flow::model::{Flow, Node};
use flowgate_flow::{Project, Reference, graph, reference};

use crate::check::level_name;

mod layout;
pub mod mermaid;
pub mod svg;

/// A flow's graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    /// The flow's name: its folder's.
    pub title: String,
    /// The flow's inputs, then its nodes in the order of the text, then its outputs. A flow
    /// without inputs or outputs has no box for them.
    pub boxes: Vec<GraphBox>,
    /// What waits for what, each pair once for each kind.
    pub edges: Vec<GraphEdge>,
    /// Findings that belong to no box: of the environment, the requirements, the file itself.
    pub elsewhere: Vec<Mark>,
}

/// One box of the picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphBox {
    /// What it stands for.
    pub kind: BoxKind,
    /// The node's name; `inputs` or `outputs`.
    pub name: String,
    /// Further lines: type and source, variants, condition; or the names of inputs or outputs.
    pub lines: Vec<String>,
    /// The findings in it, worst first.
    pub marks: Vec<Mark>,
}

/// What a box stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BoxKind {
    /// The flow's inputs.
    Inputs,
    /// A node that calls a model.
    Llm,
    /// A node that runs code, or fills a prompt.
    Code,
    /// A node that runs once, after all lines.
    Aggregation,
    /// The flow's outputs.
    Outputs,
}

/// An arrow: `to` waits for `from`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GraphEdge {
    /// Index in [`Graph::boxes`].
    pub from: usize,
    /// Index in [`Graph::boxes`].
    pub to: usize,
    /// Why it waits.
    pub kind: EdgeKind,
}

/// Why a box waits for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EdgeKind {
    /// It takes a value.
    Value,
    /// Its condition looks at a value.
    Condition,
    /// A variant that is not the default takes a value.
    Variant,
}

/// A finding, short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// How bad it is.
    pub level: Level,
    /// `error[rule]: message`, not escaped.
    pub text: String,
}

impl GraphBox {
    /// The worst level of its findings.
    pub fn worst(&self) -> Option<Level> {
        self.marks.iter().map(|mark| mark.level).max()
    }
}

impl Graph {
    /// The graph of a DAG flow; `None` for a flex flow, whose graph is Python code, and for what
    /// is no flow.
    pub fn of(project: &Project, findings: &[Finding]) -> Option<Self> {
        let file = project.flow.as_ref().filter(|file| !file.flow.flex)?;
        let (flow, text) = (&file.flow, project.text(file.file));
        let mut builder = Builder::new(flow);
        builder.edges(flow, text);
        let mut graph = Self {
            title: title(project),
            boxes: builder.boxes,
            edges: builder.edges.into_keys().collect(),
            elsewhere: Vec::new(),
        };
        for finding in findings {
            let mark = Mark {
                level: finding.level,
                text: format!("{}[{}]: {}", level_name(finding.level), finding.rule, finding.message),
            };
            let owners = owners(project, finding);
            match owners.is_empty() {
                true => graph.elsewhere.push(mark),
                false => {
                    for owner in owners {
                        if let Some(index) = builder.index.get(&owner) {
                            graph.boxes[*index].marks.push(mark.clone());
                        }
                    }
                }
            }
        }
        for marks in graph.boxes.iter_mut().map(|b| &mut b.marks).chain([&mut graph.elsewhere]) {
            marks.sort_by_key(|mark| std::cmp::Reverse(mark.level));
        }
        Some(graph)
    }
}

fn title(project: &Project) -> String {
    let folder = project.folder.file_name().map(|name| name.to_string_lossy().into_owned());
    folder.unwrap_or_else(|| "flow".to_owned())
}

/// What a finding or a reference belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Owner {
    Inputs,
    /// By the node's index in the flow.
    Node(usize),
    Outputs,
}

/// The boxes that a finding belongs to: by its place in the flow's file, or by the source file.
fn owners(project: &Project, finding: &Finding) -> Vec<Owner> {
    let Some(file) = &project.flow else { return Vec::new() };
    let flow = &file.flow;
    let at = finding.at.span.start;
    let named = |name: &str| flow.nodes.iter().position(|node| node.name() == name).map(Owner::Node);
    if finding.at.file == file.file {
        let inside = |span: flowgate_flow::Span| span.start <= at && at < span.end.max(span.start + 1);
        if flow.inputs.iter().any(|input| inside(input.span)) {
            return vec![Owner::Inputs];
        }
        if flow.outputs.iter().any(|output| inside(output.span)) {
            return vec![Owner::Outputs];
        }
        if let Some(index) = flow.nodes.iter().position(|node| inside(node.span)) {
            return vec![Owner::Node(index)];
        }
        let variant = flow.variants.iter().find(|variant| inside(variant.node.span) || inside(variant.node_name.span));
        return variant.and_then(|variant| named(&variant.node_name.value)).into_iter().collect();
    }
    let Some(path) = project.file(finding.at.file).map(|file| file.path.as_path()) else { return Vec::new() };
    let from_here = |node: &Node| {
        let source = node.source.as_ref().and_then(|source| source.path.as_ref());
        source.and_then(|source| project.paths.get(&source.value)).is_some_and(|fact| fact.path == path)
    };
    let own = (0..flow.nodes.len()).filter(|index| from_here(&flow.nodes[*index])).map(Owner::Node);
    let variants = flow.variants.iter().filter(|v| from_here(&v.node)).filter_map(|v| named(&v.node_name.value));
    let mut found: Vec<Owner> = own.chain(variants).collect();
    found.dedup();
    found
}

struct Builder {
    boxes: Vec<GraphBox>,
    index: HashMap<Owner, usize>,
    edges: BTreeMap<GraphEdge, ()>,
}

impl Builder {
    fn new(flow: &Flow) -> Self {
        let mut builder = Self { boxes: Vec::new(), index: HashMap::new(), edges: BTreeMap::new() };
        let typed = |name: &str, r#type: Option<&str>| match r#type {
            Some(r#type) => format!("{name}: {}", r#type),
            None => name.to_owned(),
        };
        if !flow.inputs.is_empty() {
            let lines = flow.inputs.iter().map(|i| typed(&i.name.value, i.r#type.as_ref().map(|t| t.value.as_str())));
            builder.add(Owner::Inputs, BoxKind::Inputs, "inputs".to_owned(), lines.collect());
        }
        let effective = graph::effective(flow);
        for (index, (node, written)) in effective.iter().zip(&flow.nodes).enumerate() {
            let is_llm = node.r#type.as_ref().is_some_and(|t| matches!(t.value.as_str(), "llm" | "custom_llm"));
            let kind = match (node.aggregation, is_llm) {
                (true, _) => BoxKind::Aggregation,
                (false, true) => BoxKind::Llm,
                (false, false) => BoxKind::Code,
            };
            builder.add(Owner::Node(index), kind, written.name().to_owned(), describe(flow, node, written));
        }
        if !flow.outputs.is_empty() {
            let lines = flow.outputs.iter().map(|o| typed(&o.name.value, o.r#type.as_ref().map(|t| t.value.as_str())));
            builder.add(Owner::Outputs, BoxKind::Outputs, "outputs".to_owned(), lines.collect());
        }
        builder
    }

    fn add(&mut self, owner: Owner, kind: BoxKind, name: String, lines: Vec<String>) {
        self.index.insert(owner, self.boxes.len());
        self.boxes.push(GraphBox { kind, name, lines, marks: Vec::new() });
    }

    fn edges(&mut self, flow: &Flow, text: &str) {
        let mut by_name = HashMap::new();
        for (index, node) in flow.nodes.iter().enumerate() {
            by_name.entry(node.name()).or_insert(Owner::Node(index));
        }
        let target = |reference: Reference| match reference {
            Reference::FlowInput { .. } => Some(Owner::Inputs),
            Reference::Node { name, .. } => by_name.get(name.value.as_str()).copied(),
        };
        let mut found = Vec::new();
        let mut body = |owner: Owner, node: &Node, value: EdgeKind, condition: EdgeKind| {
            let condition = node.activate.iter().filter_map(|a| a.when.as_ref()).map(|when| (when, condition));
            for (value, kind) in node.inputs.iter().map(|(_, input)| (input, value)).chain(condition) {
                found.extend(reference::parse(value, text).and_then(target).map(|from| (from, owner, kind)));
            }
        };
        for (index, node) in graph::effective(flow).into_iter().enumerate() {
            body(Owner::Node(index), node, EdgeKind::Value, EdgeKind::Condition);
        }
        for variant in flow.variants.iter().filter(|variant| !variant.default) {
            if let Some(owner) = by_name.get(variant.node_name.value.as_str()) {
                body(*owner, &variant.node, EdgeKind::Variant, EdgeKind::Variant);
            }
        }
        for value in flow.outputs.iter().filter_map(|output| output.reference.as_ref()) {
            found.extend(
                reference::parse(value, text).and_then(target).map(|from| (from, Owner::Outputs, EdgeKind::Value)),
            );
        }
        for (from, to, kind) in found {
            let (Some(&from), Some(&to)) = (self.index.get(&from), self.index.get(&to)) else { continue };
            // A variant that waits for the same as the default adds nothing to the picture.
            let known =
                kind == EdgeKind::Variant && self.edges.contains_key(&GraphEdge { from, to, kind: EdgeKind::Value });
            if !known {
                self.edges.insert(GraphEdge { from, to, kind }, ());
            }
        }
    }
}

/// The characters of a condition that a line of every picture has room for.
const MAX_CONDITION: usize = 36;

/// The lines below a node's name.
fn describe(flow: &Flow, node: &Node, written: &Node) -> Vec<String> {
    let value = |part: &Option<flowgate_flow::Spanned<String>>| part.as_ref().map(|part| part.value.clone());
    let source = node.source.as_ref().and_then(|source| value(&source.path).or_else(|| value(&source.tool)));
    let mut lines = vec![[value(&node.r#type), source].into_iter().flatten().collect::<Vec<_>>().join(" · ")];
    if written.use_variants {
        let own = || flow.variants.iter().filter(|variant| variant.node_name.value == written.name());
        let names: Vec<String> = own()
            .map(|v| if v.default { format!("{} (default)", v.name.value) } else { v.name.value.clone() })
            .collect();
        lines.push(format!("variants: {}", names.join(", ")));
    }
    if let Some(activate) = &node.activate {
        let show = |value: &Option<flowgate_flow::yaml::Node>| match value {
            Some(value) => value.scalar().map_or_else(|| value.kind().to_owned(), |scalar| scalar.text.clone()),
            None => "?".to_owned(),
        };
        let (when, is) = (show(&activate.when), show(&activate.is));
        // A line may be cut at its end, and the value says most.
        if when.chars().count() + is.chars().count() > MAX_CONDITION {
            lines.extend([format!("if {when}"), format!("is {is}")]);
        } else {
            lines.push(format!("if {when} is {is}"));
        }
    }
    if node.aggregation {
        lines.push("once, after all lines".to_owned());
    }
    lines.retain(|line| !line.is_empty());
    lines
}

#[cfg(test)]
mod tests;
