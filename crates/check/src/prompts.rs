//! Nodes that render a prompt template, and who takes what from their inputs.

use std::collections::HashMap;

use flowgate_flow::model::Node;
use flowgate_flow::project::{FileId, PromptyFile, TemplateFile};

use crate::context::{Context, Dag};
use crate::package_tools::{self, Accepts, PackageTool};

/// Parameters of the chat API of every provider in promptflow-tools 1.6.
const CHAT: [&str; 16] = [
    "connection",
    "prompt",
    "temperature",
    "top_p",
    "stream",
    "stop",
    "max_tokens",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "user",
    "function_call",
    "functions",
    "tool_choice",
    "tools",
    "response_format",
];
/// The same of the completion API.
const COMPLETION: [&str; 16] = [
    "connection",
    "prompt",
    "suffix",
    "max_tokens",
    "temperature",
    "top_p",
    "n",
    "stream",
    "logprobs",
    "echo",
    "stop",
    "presence_penalty",
    "frequency_penalty",
    "best_of",
    "logit_bias",
    "user",
];
/// What a chat API takes out of the names that are left for the template.
const IMAGES: [&str; 2] = ["images", "image_detail"];

/// A flow with more names in its prompts is checked in part: every node is compared with every name
/// of its template, and many nodes may share one.
const MAX_NAMES: usize = 200_000;

/// What renders a template.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Renderer {
    /// A prompt node.
    Prompt,
    /// An LLM node with that API.
    Llm(Api),
    /// A tool of promptflow-tools.
    Tool(&'static PackageTool),
    /// An API or a tool that is not known.
    Unknown,
}

/// An API of an LLM node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    /// `chat`
    Chat,
    /// `completion`
    Completion,
}

/// Where a name belongs to the renderer, so that a template cannot use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reserved {
    /// Always.
    Always,
    /// With a connection of that kind.
    With(&'static str),
}

/// A node with the template that it renders.
#[derive(Clone, Copy)]
pub(crate) struct Prompt<'p> {
    /// The node, or the node of a variant.
    pub(crate) node: &'p Node,
    /// Its template.
    pub(crate) file: &'p TemplateFile,
    /// What renders it.
    pub(crate) renderer: Renderer,
}

/// Every node with a template, the variants' included.
pub(crate) fn prompts<'p>(context: &Context<'p>, dag: Dag<'p>) -> impl Iterator<Item = Prompt<'p>> + use<'p> {
    let templates = &context.project.templates;
    let mut left = MAX_NAMES;
    dag.flow.live_nodes().filter_map(move |node| {
        let file = templates.get(&node.source.as_ref()?.path.as_ref()?.value)?;
        left = left.checked_sub(1 + file.template.variables.len() + node.inputs.len())?;
        Some(Prompt { node, file, renderer: renderer(node)? })
    })
}

/// A prompty that could be read, with its template, and whether that is a chat.
pub(crate) fn prompty<'p>(context: &Context<'p>) -> Option<(&'p PromptyFile, &'p TemplateFile, bool)> {
    let file = context.project.prompty.as_ref()?;
    if file.prompty.fault.is_some() || !file.prompty.document.is_complete() {
        return None;
    }
    let template = context.project.templates.values().find(|template| template.file == file.file)?;
    let model = file.prompty.document.root.get("model");
    let api = model.and_then(|model| model.value.get("api")?.value.text());
    // What is resolved when the prompty is loaded may be either.
    let is_chat = api.is_none_or(|api| api != "completion" && !api.starts_with("${"));
    Some((file, template, is_chat))
}

/// How many nodes render each file.
pub(crate) fn uses<'p>(prompts: impl Iterator<Item = Prompt<'p>>) -> HashMap<FileId, usize> {
    let mut uses = HashMap::new();
    for prompt in prompts {
        *uses.entry(prompt.file.file).or_default() += 1;
    }
    uses
}

/// The nodes, those of variants included, of a flow that Python runs.
pub(crate) fn python_nodes<'p>(dag: Dag<'p>) -> impl Iterator<Item = &'p Node> {
    let python = dag.flow.language.as_ref().is_none_or(|language| language.value != "csharp");
    dag.flow.live_nodes().filter(move |_| python)
}

/// The LLM nodes among them.
pub(crate) fn llm_nodes<'p>(dag: Dag<'p>) -> impl Iterator<Item = &'p Node> {
    let is_llm = |node: &&Node| node.r#type.as_ref().is_some_and(|r#type| r#type.value == "llm");
    python_nodes(dag).filter(is_llm)
}

/// Those whose source the engine may look for in a package; of LLM and prompt nodes it reads the template, whatever
/// the source's type and tool say.
pub(crate) fn package_nodes<'p>(dag: Dag<'p>) -> impl Iterator<Item = &'p Node> {
    let reads_template =
        |node: &&Node| node.r#type.as_ref().is_some_and(|r#type| matches!(r#type.value.as_str(), "llm" | "prompt"));
    python_nodes(dag).filter(move |node| !reads_template(node))
}

/// True for a module that may register APIs of its own.
pub(crate) fn has_own_api(node: &Node) -> bool {
    node.module.as_ref().is_some_and(|module| !module.value.starts_with(package_tools::BUILT_IN))
}

/// What renders the node's template; `None` where it has none.
pub(crate) fn renderer(node: &Node) -> Option<Renderer> {
    Some(match node.r#type.as_ref()?.value.as_str() {
        "prompt" => Renderer::Prompt,
        "llm" if has_own_api(node) => Renderer::Unknown,
        "llm" => match node.api.as_ref().map(|api| api.value.as_str()) {
            Some("chat") => Renderer::Llm(Api::Chat),
            Some("completion") => Renderer::Llm(Api::Completion),
            _ => Renderer::Unknown,
        },
        "custom_llm" => {
            let id = node.source.as_ref()?.tool.as_ref()?.value.as_str();
            package_tools::find(id).filter(|tool| tool.prompt).map_or(Renderer::Unknown, Renderer::Tool)
        }
        _ => return None,
    })
}

fn of_some_api(name: &str) -> bool {
    CHAT.contains(&name) || COMPLETION.contains(&name) || IMAGES.contains(&name) || name == "seed"
}

impl Prompt<'_> {
    /// True where an input of the node takes the template's place.
    pub(crate) fn is_replaced(&self) -> bool {
        let name = if matches!(self.renderer, Renderer::Prompt) { "template" } else { "prompt" };
        self.gives(name)
    }

    /// True where the node has an input of that name.
    pub(crate) fn gives(&self, name: &str) -> bool {
        self.node.inputs.iter().any(|(input, _)| input.value == name)
    }

    /// Whether the engine refuses a template that uses that name.
    pub(crate) fn reserved(&self, name: &str) -> Option<Reserved> {
        let always = |is: bool| is.then_some(Reserved::Always);
        match self.renderer {
            Renderer::Prompt => always(name == "template"),
            Renderer::Llm(Api::Chat) => match name {
                "deployment_name" | "n" => Some(Reserved::With("an Azure OpenAI connection")),
                "model" => Some(Reserved::With("an OpenAI connection")),
                "seed" => Some(Reserved::Always),
                _ => always(CHAT.contains(&name)),
            },
            Renderer::Llm(Api::Completion) => match name {
                "deployment_name" => Some(Reserved::With("an Azure OpenAI connection")),
                "model" => Some(Reserved::With("an OpenAI connection")),
                _ => always(COMPLETION.contains(&name)),
            },
            Renderer::Tool(tool) => {
                let listed = |p: &&package_tools::Parameter| p.accepts != Accepts::Unchecked;
                always(tool.parameters.iter().filter(listed).any(|parameter| parameter.name == name))
            }
            Renderer::Unknown => None,
        }
    }

    /// True where an input of that name may be for the renderer, not for the template.
    pub(crate) fn may_take(&self, name: &str) -> bool {
        self.reserved(name).is_some()
            || match self.renderer {
                Renderer::Prompt => false,
                // The authoring page writes the parameters of both APIs.
                Renderer::Llm(_) => of_some_api(name),
                // It hands on what it does not know to the API behind it.
                Renderer::Tool(tool) => {
                    of_some_api(name) || tool.parameters.iter().any(|parameter| parameter.name == name)
                }
                Renderer::Unknown => true,
            }
    }

    /// The renderer, as a message calls it.
    pub(crate) fn renderer_name(&self) -> &'static str {
        match self.renderer {
            Renderer::Prompt => "the prompt tool",
            Renderer::Llm(Api::Chat) => "the chat API",
            Renderer::Llm(Api::Completion) => "the completion API",
            Renderer::Tool(tool) => tool.id,
            Renderer::Unknown => "the tool",
        }
    }
}
