//! What the tool behind a node takes, where that is certain.

use std::collections::HashSet;

use flowgate_flow::model::Node;
use flowgate_flow::project::PythonFile;
use flowgate_flow::python::{self, Hidden};
use flowgate_flow::value_type::ValueType;
use flowgate_flow::yaml::{Entry, Node as Yaml};
use flowgate_flow::{Reference, Spanned, reference};

use crate::context::{Context, Dag};
use crate::finding::Place;
use crate::package_tools::{self, PackageTool};
use crate::prompts::{self, Api, Renderer};

/// A flow whose nodes and tools have more inputs is checked in part: every input of a node is
/// compared with every input of its tool, and many nodes may share one.
const MAX_COMPARISONS: usize = 2_000_000;

/// What a tool takes.
pub(crate) struct Interface<'p> {
    /// The tool, as a message calls it.
    pub(crate) tool: &'p str,
    /// The inputs that it names.
    pub(crate) inputs: Vec<Input<'p>>,
    /// True where it takes any other name as well.
    pub(crate) open: bool,
}

/// One input of a tool.
pub(crate) struct Input<'p> {
    /// Its name.
    pub(crate) name: &'p str,
    /// What it takes.
    pub(crate) accepts: Accepts<'p>,
    /// True where a node must give it.
    pub(crate) required: bool,
    /// True where the tool's class takes it when it is made, which is when the flow is loaded.
    pub(crate) init: bool,
    /// The parameter's place; `None` for the tool of a package.
    pub(crate) at: Option<Place>,
    /// The connection class in its annotation that the engine does not see.
    pub(crate) hidden_connection: Option<(&'p str, Hidden)>,
}

/// What an input takes.
#[derive(PartialEq, Eq)]
pub(crate) enum Accepts<'p> {
    /// A value that the engine converts to that type.
    Value(ValueType),
    /// The name of a connection of one of these classes.
    Connections(Vec<&'p str>),
    /// What is not known.
    Unknown,
}

/// What a node gives for an input.
pub(crate) enum Given<'p> {
    /// Nothing: the engine drops what is null or an empty text before it calls a tool.
    Nothing,
    /// What another node or the flow's input has.
    Reference(Reference),
    /// What stands there.
    Literal(&'p Yaml),
}

/// What a value of `inputs` gives.
pub(crate) fn given<'p>(value: &'p Yaml, text: &str) -> Given<'p> {
    if value.is_null() || value.scalar().is_some_and(|scalar| scalar.is_string() && scalar.text.is_empty()) {
        return Given::Nothing;
    }
    reference::parse(value, text).map_or(Given::Literal(value), Given::Reference)
}

/// Every node that may run, with what its tool takes.
pub(crate) fn interfaces<'p>(context: &Context<'p>, dag: Dag<'p>) -> impl Iterator<Item = (&'p Node, Interface<'p>)> {
    let mut left = MAX_COMPARISONS;
    prompts::python_nodes(dag).filter_map(move |node| {
        if left == 0 || !lists_its_inputs(node) {
            return None;
        }
        let interface = of(context, node)?;
        let comparisons = (1 + node.inputs.len()).saturating_mul(1 + interface.inputs.len());
        let rest = left.checked_sub(comparisons);
        left = rest.unwrap_or(0);
        rest.map(|_| (node, interface))
    })
}

/// False where a merge key brings in inputs that are not listed, or where they are no mapping.
fn lists_its_inputs(node: &Node) -> bool {
    let inputs = node.yaml.get("inputs").map(|entry| &entry.value).filter(|inputs| !inputs.is_null());
    inputs.is_none_or(|inputs| inputs.mapping().is_some_and(|entries| !entries.iter().any(Entry::is_merge)))
}

/// The Python files that nodes run, each once, with the path that names it.
pub(crate) fn sources<'p>(
    context: &Context<'p>,
    dag: Dag<'p>,
) -> impl Iterator<Item = (&'p Spanned<String>, &'p PythonFile)> {
    let project = context.project;
    let mut seen = HashSet::new();
    prompts::python_nodes(dag).filter_map(move |node| {
        let path = node.python_source()?;
        let file = project.python.get(&path.value)?;
        seen.insert(file.file).then_some((path, file))
    })
}

impl<'p> Interface<'p> {
    /// The input of that name.
    pub(crate) fn input(&self, name: &str) -> Option<&Input<'p>> {
        self.inputs.iter().find(|input| input.name == name)
    }

    /// What the node gives and the tool does not take.
    pub(crate) fn unknown<'n>(&self, context: &Context<'_>, dag: Dag<'_>, node: &'n Node) -> Vec<Unknown<'n, 'p>> {
        if self.open {
            return Vec::new();
        }
        let given: HashSet<&str> = node.inputs.iter().map(|(name, _)| name.value.as_str()).collect();
        let free = || self.inputs.iter().map(|input| input.name).filter(|name| !given.contains(name));
        let unknown = node.inputs.iter().filter(|(name, value)| {
            self.input(&name.value).is_none() && !matches!(self::given(value, dag.text), Given::Nothing)
        });
        unknown.map(|(name, _)| Unknown { name, meant: context.nearest(&name.value, free()) }).collect()
    }
}

/// An input that the tool does not take.
pub(crate) struct Unknown<'n, 'p> {
    /// Its name.
    pub(crate) name: &'n Spanned<String>,
    /// The name, among those that the node does not give, that it most likely stands for.
    pub(crate) meant: Option<&'p str>,
}

fn of<'p>(context: &Context<'p>, node: &'p Node) -> Option<Interface<'p>> {
    let source = node.source.as_ref()?;
    let source_type = source.r#type.as_ref().map_or("code", |kind| kind.value.as_str());
    match (node.r#type.as_ref()?.value.as_str(), source_type) {
        ("python", "code") => of_file(context, &node.python_source()?.value),
        ("python", "package") => {
            package_tools::find(&source.tool.as_ref()?.value).filter(|t| !t.prompt).map(of_package)
        }
        ("custom_llm", "package_with_prompt") => match prompts::renderer(node)? {
            Renderer::Tool(tool) => Some(of_package(tool)),
            _ => None,
        },
        ("llm", _) => match prompts::renderer(node)? {
            Renderer::Llm(api) => Some(of_api(api)),
            _ => None,
        },
        _ => None,
    }
}

fn of_file<'p>(context: &Context<'p>, path: &str) -> Option<Interface<'p>> {
    let file = context.project.python.get(path)?;
    let tool = file.module.only_tool().filter(|_| !file.module.dynamic)?;
    if tool.duplicates().next().is_some() {
        return None;
    }
    let input = |init: bool| {
        move |parameter: &'p python::Parameter| Input {
            name: &parameter.name.value,
            accepts: match &parameter.accepts {
                python::Accepts::Value(value_type) => Accepts::Value(*value_type),
                python::Accepts::Connections(classes) => {
                    Accepts::Connections(classes.iter().map(String::as_str).collect())
                }
                python::Accepts::Unknown => Accepts::Unknown,
            },
            required: parameter.is_required(),
            init,
            at: Some(Place { file: file.file, span: parameter.span }),
            hidden_connection: parameter.hidden_connection.as_ref().map(|(class, why)| (class.as_str(), *why)),
        }
    };
    let inputs = tool.init.iter().map(input(true)).chain(tool.parameters.iter().map(input(false))).collect();
    Some(Interface { tool: &tool.name.value, inputs, open: tool.has_kwargs })
}

fn of_package<'p>(tool: &'static PackageTool) -> Interface<'p> {
    let input = |parameter: &'static package_tools::Parameter| Input {
        name: parameter.name,
        accepts: match parameter.accepts {
            package_tools::Accepts::Value(name) => ValueType::of(name).map_or(Accepts::Unknown, Accepts::Value),
            package_tools::Accepts::Connections(classes) => Accepts::Connections(classes.to_vec()),
            package_tools::Accepts::Unchecked => Accepts::Unknown,
        },
        required: parameter.required,
        init: parameter.init,
        at: None,
        hidden_connection: None,
    };
    Interface { tool: tool.id, inputs: tool.parameters.iter().map(input).collect(), open: tool.prompt }
}

/// What the engine converts for an API of every provider. It takes the provider from the
/// connection, whose type is not known here.
fn of_api<'p>(api: Api) -> Interface<'p> {
    use ValueType::{Bool, Double, Int, List};
    const BOTH: [(&str, ValueType); 7] = [
        ("temperature", Double),
        ("top_p", Double),
        ("presence_penalty", Double),
        ("frequency_penalty", Double),
        ("max_tokens", Int),
        ("stream", Bool),
        ("stop", List),
    ];
    const CHAT: [(&str, ValueType); 3] = [("functions", List), ("tools", List), ("seed", Int)];
    const COMPLETION: [(&str, ValueType); 4] = [("n", Int), ("logprobs", Int), ("best_of", Int), ("echo", Bool)];
    let (tool, own) = match api {
        Api::Chat => ("chat", &CHAT[..]),
        Api::Completion => ("completion", &COMPLETION[..]),
    };
    let input = |(name, value_type): &(&'static str, ValueType)| Input {
        name,
        accepts: Accepts::Value(*value_type),
        required: false,
        init: false,
        at: None,
        hidden_connection: None,
    };
    Interface { tool, inputs: BOTH.iter().chain(own).map(input).collect(), open: true }
}
