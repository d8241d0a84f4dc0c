//! The tools of packages that flows name by their id: those of promptflow-tools 1.6, with what they
//! take, and the ids of other packages of the hosted runtime.

/// A tool of promptflow-tools.
#[derive(Debug)]
pub(crate) struct PackageTool {
    /// Its id: what `source.tool` says.
    pub(crate) id: &'static str,
    /// True for a `custom_llm` tool, which also takes a prompt template, and any name for its variables.
    pub(crate) prompt: bool,
    /// Older ids, which the engine still accepts.
    pub(crate) deprecated: &'static [&'static str],
    /// What its function takes, without the template.
    pub(crate) parameters: &'static [Parameter],
}

/// A parameter of a [`PackageTool`].
#[derive(Debug)]
pub(crate) struct Parameter {
    /// Its name.
    pub(crate) name: &'static str,
    /// What a literal is converted to.
    pub(crate) accepts: Accepts,
    /// True where its function has no default for it.
    pub(crate) required: bool,
    /// True where its class takes it, before the function runs.
    pub(crate) init: bool,
}

/// What a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accepts {
    /// A value of that type, by the engine's name for it.
    Value(&'static str),
    /// The name of a connection of one of these classes.
    Connections(&'static [&'static str]),
    /// Anything: its definition does not list the parameter.
    Unchecked,
}

use Accepts::{Connections, Unchecked, Value};

const fn required(name: &'static str, accepts: Accepts) -> Parameter {
    Parameter { name, accepts, required: true, init: false }
}

const fn init(name: &'static str, accepts: Accepts) -> Parameter {
    Parameter { name, accepts, required: true, init: true }
}

const fn optional(name: &'static str, accepts: Accepts) -> Parameter {
    Parameter { name, accepts, required: false, init: false }
}

/// The prefix of every id of promptflow-tools.
pub(crate) const BUILT_IN: &str = "promptflow.tools.";

/// The tools of promptflow-tools 1.6.1.
pub(crate) const TOOLS: [PackageTool; 8] = [
    PackageTool {
        id: "promptflow.tools.aoai_gpt4v.AzureOpenAI.chat",
        prompt: true,
        deprecated: &[],
        parameters: &[
            init("connection", Connections(&["AzureOpenAIConnection"])),
            required("deployment_name", Value("string")),
            optional("temperature", Value("double")),
            optional("top_p", Value("double")),
            optional("max_tokens", Value("int")),
            optional("stop", Value("list")),
            optional("presence_penalty", Value("double")),
            optional("frequency_penalty", Value("double")),
            optional("seed", Value("int")),
            optional("detail", Value("string")),
            optional("stream", Unchecked),
        ],
    },
    PackageTool {
        id: "promptflow.tools.azure_content_safety.analyze_text",
        prompt: false,
        deprecated: &["content_safety_text.tools.content_safety_text_tool.analyze_text"],
        parameters: &[
            required("connection", Connections(&["AzureContentSafetyConnection"])),
            optional("hate_category", Value("string")),
            optional("self_harm_category", Value("string")),
            optional("sexual_category", Value("string")),
            required("text", Value("string")),
            optional("violence_category", Value("string")),
        ],
    },
    PackageTool {
        id: "promptflow.tools.embedding.embedding",
        prompt: false,
        deprecated: &[],
        parameters: &[
            required("connection", Connections(&["AzureOpenAIConnection", "OpenAIConnection", "ServerlessConnection"])),
            optional("deployment_name", Value("string")),
            optional("model", Value("string")),
            required("input", Value("string")),
        ],
    },
    PackageTool {
        id: "promptflow.tools.llm.llm",
        prompt: true,
        deprecated: &[],
        parameters: &[
            required("connection", Connections(&["AzureOpenAIConnection", "OpenAIConnection", "ServerlessConnection"])),
            optional("api", Value("string")),
            optional("deployment_name", Value("string")),
            optional("model", Value("string")),
            optional("temperature", Value("double")),
            optional("top_p", Value("double")),
            optional("stop", Value("list")),
            optional("max_tokens", Value("int")),
            optional("presence_penalty", Value("double")),
            optional("response_format", Value("object")),
            optional("frequency_penalty", Value("int")),
            optional("logit_bias", Value("object")),
            optional("seed", Value("int")),
            optional("suffix", Value("string")),
            optional("logprobs", Value("int")),
            optional("echo", Value("bool")),
            optional("best_of", Value("int")),
            optional("tools", Value("list")),
            optional("tool_choice", Value("object")),
            optional("stream", Unchecked),
        ],
    },
    PackageTool {
        id: "promptflow.tools.llm_vision.llm_vision",
        prompt: true,
        deprecated: &[],
        parameters: &[
            required("connection", Connections(&["AzureOpenAIConnection", "OpenAIConnection"])),
            optional("deployment_name", Value("string")),
            optional("model", Value("string")),
            optional("temperature", Value("double")),
            optional("top_p", Value("double")),
            optional("stop", Value("list")),
            optional("max_tokens", Value("int")),
            optional("presence_penalty", Value("double")),
            optional("frequency_penalty", Value("int")),
            optional("seed", Value("int")),
            optional("detail", Value("string")),
            optional("stream", Unchecked),
        ],
    },
    PackageTool {
        id: "promptflow.tools.open_model_llm.OpenModelLLM.call",
        prompt: true,
        deprecated: &[],
        parameters: &[
            required("endpoint_name", Value("string")),
            optional("deployment_name", Value("string")),
            required("api", Value("string")),
            optional("temperature", Value("double")),
            optional("max_new_tokens", Value("int")),
            optional("top_p", Value("double")),
            optional("model_kwargs", Value("object")),
        ],
    },
    PackageTool {
        id: "promptflow.tools.openai_gpt4v.OpenAI.chat",
        prompt: true,
        deprecated: &[],
        parameters: &[
            init("connection", Connections(&["OpenAIConnection"])),
            optional("model", Value("string")),
            optional("temperature", Value("double")),
            optional("top_p", Value("double")),
            optional("max_tokens", Value("int")),
            optional("stop", Value("list")),
            optional("presence_penalty", Value("double")),
            optional("frequency_penalty", Value("double")),
            optional("seed", Value("int")),
            optional("detail", Value("string")),
            optional("stream", Unchecked),
        ],
    },
    PackageTool {
        id: "promptflow.tools.serpapi.SerpAPI.search",
        prompt: false,
        deprecated: &[],
        parameters: &[
            init("connection", Connections(&["SerpConnection"])),
            optional("engine", Value("string")),
            optional("location", Value("string")),
            optional("num", Value("int")),
            required("query", Value("string")),
            optional("safe", Value("string")),
        ],
    },
];

/// Tools of packages that the hosted runtime has beside it.
pub(crate) const OTHERS: [&str; 16] = [
    "language_tools.tools.abstractive_summarization.get_abstractive_summarization",
    "language_tools.tools.conversation_summarization.get_conversation_summarization",
    "language_tools.tools.conversational_language_understanding.get_conversational_language_understanding",
    "language_tools.tools.conversational_pii.get_conversational_pii",
    "language_tools.tools.entity_recognition.get_entity_recognition",
    "language_tools.tools.extractive_summarization.get_extractive_summarization",
    "language_tools.tools.key_phrase_extraction.get_key_phrase_extraction",
    "language_tools.tools.language_detection.get_language_detection",
    "language_tools.tools.pii_entity_recognition.get_pii_entity_recognition",
    "language_tools.tools.sentiment_analysis.get_sentiment_analysis",
    "language_tools.tools.translator.get_translation",
    "llmlingua_promptflow.tools.llmlingua.prompt_compress",
    "promptflow_vectordb.tool.common_index_lookup.search",
    "promptflow_vectordb.tool.faiss_index_lookup.FaissIndexLookup.search",
    "promptflow_vectordb.tool.vector_db_lookup.VectorDBLookup.search",
    "promptflow_vectordb.tool.vector_index_lookup.VectorIndexLookup.search",
];

/// Ids that no package has any more, with those that took their place.
pub(crate) const RENAMED: [(&str, &str); 4] = [
    (
        "embeddingstore.tool.faiss_index_lookup.search",
        "promptflow_vectordb.tool.faiss_index_lookup.FaissIndexLookup.search",
    ),
    (
        "embeddingstore.tool.vector_index_lookup.search",
        "promptflow_vectordb.tool.vector_index_lookup.VectorIndexLookup.search",
    ),
    ("embeddingstore.tool.vector_db_lookup.search", "promptflow_vectordb.tool.vector_db_lookup.VectorDBLookup.search"),
    ("promptflow.tools.open_source_llm.OpenSourceLLM.call", "promptflow.tools.open_model_llm.OpenModelLLM.call"),
];

/// The tool of that id, or of that older id.
pub(crate) fn find(id: &str) -> Option<&'static PackageTool> {
    TOOLS.iter().find(|tool| tool.id == id || tool.deprecated.contains(&id))
}

/// True for an id of a package that is known, today's or an older one.
pub(crate) fn is_known(id: &str) -> bool {
    find(id).is_some() || ids().any(|known| known == id) || RENAMED.iter().any(|(old, _)| *old == id)
}

/// Every id that can be written today.
pub(crate) fn ids() -> impl Iterator<Item = &'static str> {
    TOOLS.iter().map(|tool| tool.id).chain(OTHERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed() {
        assert!(TOOLS.iter().all(|tool| tool.id.starts_with(BUILT_IN)));
        assert!(RENAMED.iter().all(|(_, new)| ids().any(|id| id == *new)));
        let embedding = find("promptflow.tools.embedding.embedding").unwrap();
        let required = embedding.parameters.iter().filter(|parameter| parameter.required);
        assert!(required.map(|parameter| parameter.name).eq(["connection", "input"]));
    }
}
