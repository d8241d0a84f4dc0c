use flowgate_flow::Span;
use flowgate_flow::config::RuntimeTarget;

use crate::context::Context;
use crate::finding::{Applicability, Finding, Level, Place};
use crate::rule::{Group, Rule};
use flowgate_flow::base_image;

pub(super) const RULE: Rule = Rule {
    name: "missing-promptflow-tools",
    group: Group::Environment,
    level: Level::Warning,
    summary: "A flow with prompts or built-in tools whose requirements do not name `promptflow-tools`, for an image that need not hold it.",
    cases: &[],
    why: "`llm` and `prompt` nodes and the built-in tools are code of the package `promptflow-tools`. Microsoft's base image holds it; another image, or the one that `pf flow build` writes where there is a requirements file, does not, and the engine stops with `LLM api mapping is empty`. A hint where the flow runs on Microsoft's image today.",
    bad: "#- flow.dag.yaml\nenvironment:\n  image: contoso.azurecr.io/flows:1.2\n  python_requirements_txt: requirements.txt\nnodes:\n- name: ask\n  type: prompt\n  source:\n    type: code\n    path: ask.jinja2\n  inputs: {}\noutputs:\n  answer:\n    type: string\n    reference: ${ask.output}\n#- ask.jinja2\nHello\n#- requirements.txt\nrequests\n",
    good: "#- flow.dag.yaml\nenvironment:\n  image: contoso.azurecr.io/flows:1.2\n  python_requirements_txt: requirements.txt\nnodes:\n- name: ask\n  type: prompt\n  source:\n    type: code\n    path: ask.jinja2\n  inputs: {}\noutputs:\n  answer:\n    type: string\n    reference: ${ask.output}\n#- ask.jinja2\nHello\n#- requirements.txt\nrequests\npromptflow-tools\n",
    fix: Some("Adds the package at the end of the requirements. Safe: it is what the nodes need."),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag().filter(|dag| dag.flow.complete) else { return Vec::new() };
    let Some(file) = context.requirements().first() else { return Vec::new() };
    let Some(source) = context.project.file(file.file).filter(|source| source.unreadable.is_none()) else {
        return Vec::new();
    };
    let named =
        context.requirements().iter().filter(|file| !file.constraint).flat_map(|f| f.requirements.requirements());
    // A package that is named by no name may bring it.
    let mut named = named.map(|requirement| requirement.normalized_name());
    if named.any(|name| name.is_none_or(|name| name == "promptflow-tools" || name.ends_with("-bundle"))) {
        return Vec::new();
    }
    let needs = |node: &&flowgate_flow::model::Node| {
        matches!(node.r#type.as_ref().map(|t| t.value.as_str()), Some("llm" | "prompt" | "custom_llm"))
            || node
                .source
                .as_ref()
                .and_then(|s| s.tool.as_ref())
                .is_some_and(|t| t.value.starts_with("promptflow.tools."))
    };
    let Some(node) = dag.bodies().find(needs) else { return Vec::new() };
    let image = dag.flow.environment.as_ref().and_then(|e| e.image.as_ref());
    let own_image = image.is_some_and(|image| !base_image::is_microsofts(&image.value));
    let level = match context.target {
        RuntimeTarget::HostedRuntime if !own_image => Level::Hint,
        _ => Level::Warning,
    };
    let at = dag.node_place(node);
    let what = if level == Level::Hint {
        "Microsoft's base image holds it, an image of `pf flow build` does not"
    } else {
        "the image need not hold it"
    };
    let message =
        format!("node `{}` needs `promptflow-tools`, which the requirements do not name: {what}", node.name());
    let finding = Finding::new(level, at, message).help("add the line `promptflow-tools`");
    let end = Place { file: file.file, span: Span::empty(source.text.len()) };
    let line = if source.text.is_empty() || source.text.ends_with('\n') { "" } else { "\n" };
    vec![finding.fix(Applicability::Safe, "add the line", end, format!("{line}promptflow-tools\n"))]
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn by_image_and_node() {
        let flow = |image: &str, node: &str| {
            format!(
                "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirements.txt\n{image}nodes:\n- name: ask\n{node}#- requirements.txt\nrequests\n"
            )
        };
        let found = |image: &str, node: &str| {
            let (_, findings) = fixture::findings(&fixture::files(&flow(image, node)));
            findings.into_iter().find(|f| f.rule == super::RULE.name).map(|f| f.level)
        };
        let (llm, python) = ("  type: llm\n", "  type: python\n");
        let package = "  type: python\n  source: {type: package, tool: promptflow.tools.embedding.embedding}\n";
        assert_eq!(found("", llm), Some(crate::Level::Hint));
        assert_eq!(found("", package), Some(crate::Level::Hint));
        assert_eq!(found("", python), None);
        assert_eq!(
            found("  image: mcr.microsoft.com/azureml/promptflow/promptflow-runtime:20251211.v2\n", llm),
            Some(crate::Level::Hint)
        );
        assert_eq!(found("  image: python:3.11\n", llm), Some(crate::Level::Warning));
    }
}
