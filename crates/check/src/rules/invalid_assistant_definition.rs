use crate::context::{Context, Dag};
use crate::finding::{Finding, Level, Place};
use crate::package_tools::{self, BUILT_IN};
use crate::paths::NamedPath;
use crate::rule::{Group, Rule};
use crate::suggest;
use flowgate_flow::project::{AssistantFile, FileId};
use flowgate_flow::yaml::Node as Yaml;

use super::unknown_package_tool::unknown_built_in;

/// What the engine resolves by itself, and what it loads a function for.
const TYPES: [&str; 4] = ["function", "code_interpreter", "retrieval", "file_search"];
const SOURCES: [&str; 2] = ["code", "package"];
/// The engine wraps whatever goes wrong in a definition.
const CLASS: &str = "NodeInputValidationError";

pub(super) const RULE: Rule = Rule {
    name: "invalid-assistant-definition",
    group: Group::Flow,
    level: Level::Error,
    summary: "An assistant definition that is not there, or whose tools the engine cannot load.",
    cases: &[],
    why: "A parameter of type `AssistantDefinition` takes the path of a YAML file. The engine loads its function tools with the flow, and refuses the flow (`NodeInputValidationError`) where the file, a tool's type or its source is wrong.",
    bad: "#- flow.dag.yaml\nnodes:\n- name: ask\n  type: python\n  source: {type: code, path: ask.py}\n  inputs:\n    definition: assistant.yaml\n#- ask.py\nfrom promptflow.core import tool\nfrom promptflow.contracts.types import AssistantDefinition\n\n\n@tool\ndef ask(definition: AssistantDefinition):\n    return definition.model\n#- assistant.yaml\nmodel: gpt-4\ninstructions: Help.\ntools:\n- type: function\n  tool_type: python\n  source: {type: code, path: wether.py}\n#- weather.py\n",
    good: "#- flow.dag.yaml\nnodes:\n- name: ask\n  type: python\n  source: {type: code, path: ask.py}\n  inputs:\n    definition: assistant.yaml\n#- ask.py\nfrom promptflow.core import tool\nfrom promptflow.contracts.types import AssistantDefinition\n\n\n@tool\ndef ask(definition: AssistantDefinition):\n    return definition.model\n#- assistant.yaml\nmodel: gpt-4\ninstructions: Help.\ntools:\n- type: function\n  tool_type: python\n  source: {type: code, path: weather.py}\n#- weather.py\n",
    fix: Some("Writes the path as the file is spelled (safe), or the most similar path or name (unsafe)."),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag() else { return Vec::new() };
    let mut findings = missing(context, dag);
    for definition in context.project.assistants.values() {
        findings.extend(judge(context, dag, definition));
    }
    findings
}

/// Definitions that are named and not there.
fn missing(context: &Context<'_>, dag: Dag<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, value) in flowgate_flow::load::assistant_inputs(context.project, dag.flow, dag.text) {
        let Some(fact) = context.project.paths.get(path) else { continue };
        let named = NamedPath {
            noun: "assistant definition",
            written: path,
            at: dag.place(value.span),
            fact,
            otherwise: None,
            help: "create it, or add it to `additional_includes`",
        };
        let is_yaml = |candidate: &str| candidate.ends_with(".yaml") || candidate.ends_with(".yml");
        findings.extend(named.finding(context, is_yaml).map(|finding| finding.engine(CLASS)));
    }
    findings
}

fn judge(context: &Context<'_>, dag: Dag<'_>, definition: &AssistantFile) -> Vec<Finding> {
    let (file, document) = (definition.file, &definition.document);
    let place = |value: &Yaml| Place { file, span: value.span };
    if let Some(error) = document.errors.first() {
        let at = Place { file, span: error.span };
        return vec![Finding::error(at, format!("this is not YAML: {}", error.message)).engine(CLASS)];
    }
    let Some(tools) = document.root.get("tools").and_then(|tools| tools.value.sequence()) else { return Vec::new() };
    let mut findings = Vec::new();
    for tool in tools.iter().filter(|tool| tool.mapping().is_some()) {
        let start = Place { file, span: flowgate_flow::Span::empty(tool.span.start) };
        let Some(kind) = tool.get("type").map(|entry| &entry.value) else {
            findings.push(
                Finding::error(start, "the tool has no `type`")
                    .engine(CLASS)
                    .help(format!("use one of {}", TYPES.join(", "))),
            );
            continue;
        };
        let Some(name) = kind.text() else { continue };
        if !TYPES.contains(&name) {
            let finding =
                Finding::error(place(kind), format!("`{name}` is not a type of assistant tools")).engine(CLASS);
            findings.push(suggest::name(finding, name, None, &TYPES));
            continue;
        }
        if name == "function" {
            findings.extend(function(context, dag, file, tool, start));
        }
    }
    findings
}

/// A tool that the engine loads.
fn function(context: &Context<'_>, dag: Dag<'_>, file: FileId, tool: &Yaml, start: Place) -> Vec<Finding> {
    let place = |value: &Yaml| Place { file, span: value.span };
    let mut findings = Vec::new();
    match tool.get("tool_type").map(|entry| &entry.value) {
        Some(value) if value.text() == Some("python") => {}
        Some(value) => {
            let message = format!("`{}` is not a `tool_type` of assistant tools", value.text().unwrap_or(""));
            findings.push(Finding::error(place(value), message).engine(CLASS).help("write `python`"));
        }
        None => findings
            .push(Finding::error(start, "the tool has no `tool_type`").engine(CLASS).help("add `tool_type: python`")),
    }
    let Some(source) = tool.get("source").map(|entry| &entry.value) else {
        findings.push(
            Finding::error(start, "the tool has no `source`")
                .engine(CLASS)
                .help("add `source: {type: code, path: FILE}`"),
        );
        return findings;
    };
    let kind = source.get("type").map(|entry| &entry.value);
    let name = kind.and_then(Yaml::text).unwrap_or("code");
    if let Some(kind) = kind.filter(|_| !SOURCES.contains(&name)) {
        let finding = Finding::error(place(kind), format!("`{name}` is not a source of assistant tools")).engine(CLASS);
        findings.push(suggest::name(finding, name, None, &SOURCES));
        return findings;
    }
    let key = if name == "package" { "tool" } else { "path" };
    match source.get(key).map(|entry| &entry.value).filter(|value| value.text().is_some_and(|text| !text.is_empty())) {
        None => {
            findings.push(Finding::error(place(source), format!("the source of the tool has no `{key}`")).engine(CLASS))
        }
        Some(path) if key == "path" => {
            let written = path.text().unwrap_or("");
            let Some(fact) = context.project.paths.get(written) else { return findings };
            let named = NamedPath {
                noun: "source file",
                written,
                at: place(path),
                fact,
                otherwise: None,
                help: "create it; the path starts at the flow's folder",
            };
            let is_python = |candidate: &str| candidate.ends_with(".py");
            findings.extend(named.finding(context, is_python).map(|finding| finding.engine(CLASS)));
        }
        Some(tool) => {
            let id = tool.text().unwrap_or("");
            if id.starts_with(BUILT_IN) && !package_tools::is_known(id) {
                let finding = unknown_built_in(context, dag, place(tool), id).engine(CLASS);
                findings.push(suggest::name(finding, id, None, &package_tools::TOOLS.map(|tool| tool.id)));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    const TOOL: &str = "#- ask.py
from promptflow.core import tool
from promptflow.contracts.types import AssistantDefinition


@tool
def ask(definition: AssistantDefinition):
    return definition.model
";

    #[test]
    fn each_tool_is_checked() {
        let flow = "#- flow.dag.yaml
nodes:
- {name: a, type: python, source: {path: ask.py}, inputs: {definition: a.yaml}}
- {name: b, type: python, source: {path: ask.py}, inputs: {definition: sub/b.yml}}
#                                                                      ^^^^^^^^^ error[invalid-assistant-definition]: assistant definition `sub/b.yml` is not there
- {name: c, type: python, source: {path: ask.py}, inputs: {definition: '${a.output}'}}
";
        let definition = "#- a.yaml
tools:
- {type: code_interpreter}
- {type: funktion}
#        ^^^^^^^^ error[invalid-assistant-definition]: `funktion` is not a type of assistant tools
- {type: function, source: {type: code, path: ask.py}}
# ^ error[invalid-assistant-definition]: the tool has no `tool_type`
- {type: function, tool_type: python, source: {type: package1, tool: a.b}}
#                                                    ^^^^^^^^ error[invalid-assistant-definition]: `package1` is not a source of assistant tools
- {type: function, tool_type: python, source: {type: package}}
#                                             ^^^^^^^^^^^^^^^ error[invalid-assistant-definition]: the source of the tool has no `tool`
- {type: function, tool_type: python, source: {type: package, tool: promptflow.tools.embedding.embed}}
#                                                                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ error[invalid-assistant-definition]: promptflow-tools has no tool `promptflow.tools.embedding.embed`
- {type: function, tool_type: python, source: {type: package, tool: promptflow.tools.embedding.embedding}}
- {type: function, tool_type: python, source: {type: package, tool: my_tools.tool.run}}
- {type: function, tool_type: python, source: {path: gone.py}}
#                                                    ^^^^^^^ error[invalid-assistant-definition]: source file `gone.py` is not there
";
        fixture::raises(&super::RULE, &format!("{flow}{TOOL}{definition}"));
    }
}
