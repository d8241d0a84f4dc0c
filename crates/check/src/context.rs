//! What a rule may look at.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};

use flowgate_flow::config::RuntimeTarget;
use flowgate_flow::model::Node;
use flowgate_flow::project::{FileId, FlowFile, RequirementsFile};
use flowgate_flow::{Flow, Project, Span};

use crate::finding::{Finding, Place};
use crate::suggest;

/// Facts that cannot be read in the files: about an engine, a registry or an identity. A door that
/// knows them passes them in; a rule whose fact is absent is silent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Facts {
    /// Whether the runtime has an identity of its own, for which `{private}` stands in the URL of a
    /// feed.
    pub has_identity: Option<bool>,
    /// The newest tag of Microsoft's base image in its registry, such as `20251211.v2`.
    pub newest_base_image: Option<String>,
}

/// A project with the look-ups that rules share.
pub struct Context<'p> {
    /// The snapshot.
    pub project: &'p Project,
    /// The facts.
    pub facts: &'p Facts,
    /// Where the flow is meant to run.
    pub target: RuntimeTarget,
    nodes: HashMap<&'p str, usize>,
    inputs: HashSet<&'p str>,
    /// How many more names may be compared for "did you mean".
    comparisons: Cell<usize>,
}

/// Keys of `environment` that bring what the files do not tell.
pub(crate) const OPAQUE: [&str; 3] = ["conda_file", "setup_sh", "runtime_image"];

/// A flow with as many mistakes as this allows comparisons is not mended by suggestions, and one
/// that is made to be slow must not be.
const MAX_COMPARISONS: usize = 200_000;

impl<'p> Context<'p> {
    /// Prepares the look-ups.
    pub fn new(project: &'p Project, facts: &'p Facts, target: RuntimeTarget) -> Self {
        let mut nodes = HashMap::new();
        for (index, node) in project.flow.iter().flat_map(|f| f.flow.nodes.iter().enumerate()) {
            if let Some(name) = &node.name {
                nodes.entry(name.value.as_str()).or_insert(index);
            }
        }
        let inputs =
            project.flow.iter().flat_map(|f| f.flow.inputs.iter().map(|input| input.name.value.as_str())).collect();
        Self { project, facts, target, nodes, inputs, comparisons: Cell::new(MAX_COMPARISONS) }
    }

    /// The DAG flow with its text; `None` for a flex flow or a lone requirements file.
    pub fn dag(&self) -> Option<Dag<'p>> {
        let file = self.project.flow.as_ref().filter(|file| !file.flow.flex)?;
        Some(Dag { flow: &file.flow, file: file.file, text: self.project.text(file.file) })
    }

    /// The flow's file, DAG or flex.
    pub fn flow_file(&self) -> Option<&'p FlowFile> {
        self.project.flow.as_ref()
    }

    /// True where the flow runs on flowgate's own base image, whose packages are known: it names no image, and describes
    /// its environment in no way that only Azure understands.
    pub fn is_on_own_base(&self) -> bool {
        let Some(file) = self.flow_file().filter(|file| file.flow.complete) else { return false };
        let environment = file.document.root.get("environment");
        self.target == RuntimeTarget::HostedRuntime
            && !environment.is_some_and(|e| OPAQUE.iter().any(|key| e.value.get(key).is_some()))
            && file.flow.environment.as_ref().is_none_or(|environment| environment.image.is_none())
    }

    /// The requirements file and what it includes.
    pub fn requirements(&self) -> &'p [RequirementsFile] {
        &self.project.requirements
    }

    /// True for a finding, other than the syntax error itself, on a line of which a part could not
    /// be read: what is left of the line does not say what was meant.
    pub(crate) fn is_beside_broken_part(&self, finding: &Finding) -> bool {
        let Some((id, document)) = self.project.documents().find(|(id, _)| *id == finding.at.file) else {
            return false;
        };
        let Some(file) = self.project.file(id) else { return false };
        let line = file.lines.line_of(finding.at.span.start);
        finding.engine != Some("YAMLError")
            && document.blanked.iter().any(|part| file.lines.line_of(part.start) == line)
    }

    /// The first node of that name.
    pub fn node_index(&self, name: &str) -> Option<usize> {
        self.nodes.get(name).copied()
    }

    /// True where the flow declares an input of that name.
    pub fn has_input(&self, name: &str) -> bool {
        self.inputs.contains(name)
    }

    /// The candidate that a typing mistake most likely stood for, if one is near enough.
    pub(crate) fn nearest<'c>(&self, typed: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
        suggest::nearest(
            typed,
            candidates.take_while(|_| {
                let left = self.comparisons.get();
                self.comparisons.set(left.saturating_sub(1));
                left > 0
            }),
        )
    }

    /// The text at a place.
    pub fn slice(&self, at: Place) -> &'p str {
        at.span.slice(self.project.text(at.file))
    }
}

/// A DAG flow with its text.
#[derive(Clone, Copy)]
pub struct Dag<'p> {
    /// The nouns.
    pub flow: &'p Flow,
    /// Their file.
    pub file: FileId,
    /// Its text.
    pub text: &'p str,
}

impl<'p> Dag<'p> {
    /// A place in the flow's file.
    pub fn place(&self, span: Span) -> Place {
        Place { file: self.file, span }
    }

    /// Every node body: the nodes', then the variants'.
    pub fn bodies(&self) -> impl Iterator<Item = &'p Node> + use<'p> {
        let flow = self.flow;
        flow.nodes.iter().chain(flow.variants.iter().map(|variant| &variant.node))
    }

    /// Where a message about a node points: its name, else its first line.
    pub fn node_place(&self, node: &Node) -> Place {
        match &node.name {
            Some(name) if node.span.contains(name.span.start) => self.place(name.span),
            _ => {
                let line = node.span.slice(self.text).lines().next().map_or(0, str::len);
                self.place(Span::new(node.span.start, node.span.start + line))
            }
        }
    }
}
