use crate::context::{Context, Dag};
use crate::finding::{Finding, Level, Place};
use crate::package_tools::{self, BUILT_IN};
use crate::prompts;
use crate::rule::{Group, Rule};
use crate::suggest;

pub(super) const RULE: Rule = Rule {
    name: "unknown-package-tool",
    group: Group::Prompts,
    level: Level::Warning,
    summary: "A node with the id of a package tool that no known package has.",
    cases: &[],
    why: "The engine looks the id up in the packages that are installed: `PackageToolNotFoundError: Package tool 'my.tool' is not found in the current environment.` An error for an id under `promptflow.tools.`, which promptflow-tools does not have. A warning for an unknown id in a flow that says of no package or image where it could come from; flowgate cannot look into those that a flow does name, and says nothing of it.",
    bad: "#- flow.dag.yaml\ninputs:\n  text: {type: string}\nnodes:\n- name: embed\n  type: python\n  source: {type: package, tool: promptflow.tools.embeding.embedding}\n  inputs:\n    connection: aoai\n    deployment_name: ada\n    input: ${inputs.text}\noutputs:\n  vector: {type: list, reference: '${embed.output}'}\n",
    good: "#- flow.dag.yaml\ninputs:\n  text: {type: string}\nnodes:\n- name: embed\n  type: python\n  source: {type: package, tool: promptflow.tools.embedding.embedding}\n  inputs:\n    connection: aoai\n    deployment_name: ada\n    input: ${inputs.text}\noutputs:\n  vector: {type: list, reference: '${embed.output}'}\n",
    fix: Some("Writes the most similar id. Unsafe: another tool may be meant."),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag() else { return Vec::new() };
    let environment = dag.flow.environment.as_ref();
    // Packages may come with an image, a requirements file, or the files that are merged in.
    let named = environment.is_some()
        || !context.requirements().is_empty()
        || !dag.flow.additional_includes.is_empty()
        || !dag.flow.complete;
    let mut findings = Vec::new();
    for node in prompts::package_nodes(dag) {
        let Some(source) = &node.source else { continue };
        let package = source.r#type.as_ref().is_some_and(|r#type| r#type.value.starts_with("package"));
        let Some(tool) = source.tool.as_ref().filter(|tool| package && !tool.value.is_empty()) else { continue };
        let id = tool.value.as_str();
        if package_tools::is_known(id) {
            continue;
        }
        let at = dag.place(tool.span);
        let near = context.nearest(id, package_tools::ids());
        let finding = if id.starts_with(BUILT_IN) {
            unknown_built_in(context, dag, at, id).engine("PackageToolNotFoundError")
        } else if named && near.is_none() {
            continue;
        } else {
            Finding::new(Level::Warning, at, format!("no package that is known has a tool `{id}`"))
        };
        findings.push(match near {
            Some(near) => suggest::meant(finding, near),
            None => finding.help("name the package that has it in the flow's requirements"),
        });
    }
    findings
}

/// An id that promptflow-tools does not have: an error, but where the flow may bring another version.
pub(super) fn unknown_built_in(context: &Context<'_>, dag: Dag<'_>, at: Place, id: &str) -> Finding {
    let changed = dag.flow.environment.as_ref().is_some_and(|environment| environment.image.is_some())
        || context.requirements().iter().any(|file| names_promptflow_tools(context, file.file));
    let level = if changed { Level::Warning } else { Level::Error };
    Finding::new(level, at, format!("promptflow-tools has no tool `{id}`"))
}

/// True for requirements that may bring another version of promptflow-tools.
fn names_promptflow_tools(context: &Context<'_>, file: flowgate_flow::project::FileId) -> bool {
    let text = context.project.text(file).to_ascii_lowercase();
    text.contains("promptflow-tools") || text.contains("promptflow_tools") || text.contains("promptflow.tools")
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    const NODES: &str = "nodes:
- {name: a, type: python, source: {type: package, tool: promptflow.tools.azure_translator.get_translation}}
- {name: b, type: python, source: {type: package, tool: my_tools.tool.run}}
- {name: c, type: python, source: {type: package, tool: promptflow_vectordb.tool.common_index_lookup.search}}
- {name: d, type: python, source: {type: package, tool: content_safety_text.tools.content_safety_text_tool.analyze_text}}
- {name: e, type: python, source: {type: code, tool: my_tools.tool.run, path: a.py}}
- {name: f, type: prompt, source: {type: package, tool: promptflow.tools.nothing, path: p.jinja2}}
";

    #[test]
    fn by_id_and_by_what_the_flow_names() {
        let of = |files: &str| {
            let (_, findings) = fixture::findings(&fixture::files(files));
            let of = findings.iter().filter(|finding| finding.rule == "unknown-package-tool");
            of.map(|finding| format!("{:?} {}", finding.level, finding.message)).collect::<Vec<_>>()
        };
        let built_in = "promptflow-tools has no tool `promptflow.tools.azure_translator.get_translation`";
        let other = "Warning no package that is known has a tool `my_tools.tool.run`".to_owned();
        assert_eq!(of(&format!("#- flow.dag.yaml\n{NODES}")), [format!("Error {built_in}"), other]);
        let named = format!("#- flow.dag.yaml\n{NODES}#- requirements.txt\nmy-tools\n");
        assert_eq!(of(&named), [format!("Error {built_in}")]);
        assert_eq!(of(&format!("{named}promptflow-tools\n")), [format!("Warning {built_in}")]);
    }
}
