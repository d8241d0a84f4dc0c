use crate::context::Context;
use crate::finding::{Applicability, Finding, Level};
use crate::package_tools::{self, RENAMED};
use crate::prompts;
use crate::rule::{Group, Rule};

pub(super) const RULE: Rule = Rule {
    name: "deprecated-tool-id",
    group: Group::Prompts,
    level: Level::Warning,
    summary: "The id of a package tool that has another id today.",
    cases: &[],
    why: "For one of its own tools, the engine takes the new id and warns: `Tool ID '...' is deprecated. Please use '...' instead.` The others are gone with the packages that had them: `Package tool 'embeddingstore.tool.faiss_index_lookup.search' is not found in the current environment.`",
    bad: "#- flow.dag.yaml\ninputs:\n  text: {type: string}\nnodes:\n- name: screen\n  type: python\n  source: {type: package, tool: content_safety_text.tools.content_safety_text_tool.analyze_text}\n  inputs:\n    connection: safety\n    text: ${inputs.text}\noutputs:\n  result: {type: object, reference: '${screen.output}'}\n",
    good: "#- flow.dag.yaml\ninputs:\n  text: {type: string}\nnodes:\n- name: screen\n  type: python\n  source: {type: package, tool: promptflow.tools.azure_content_safety.analyze_text}\n  inputs:\n    connection: safety\n    text: ${inputs.text}\noutputs:\n  result: {type: object, reference: '${screen.output}'}\n",
    fix: Some(
        "Writes the new id: safe where the engine does so itself, else unsafe, for the tool may take other inputs.",
    ),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag() else { return Vec::new() };
    let mut findings = Vec::new();
    for node in prompts::package_nodes(dag) {
        let Some(tool) = node.source.as_ref().and_then(|source| source.tool.as_ref()) else { continue };
        let id = tool.value.as_str();
        let at = dag.place(tool.span);
        let finding =
            |what: &str, applicability, new: &str| {
                Finding::new(Level::Warning, at, format!("package tool `{id}` {what}"))
                    .help(format!("use `{new}`"))
                    .fix(applicability, format!("write `{new}`"), at, new)
            };
        if let Some(known) = package_tools::find(id).filter(|known| known.id != id) {
            findings.push(finding("has another id today", Applicability::Safe, known.id));
        } else if let Some((_, new)) = RENAMED.iter().find(|(old, _)| *old == id) {
            findings.push(finding("is gone", Applicability::Unsafe, new));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn what_is_gone() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
nodes:
- name: a
  type: python
  source: {type: package, tool: embeddingstore.tool.vector_db_lookup.search}
#                               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning[deprecated-tool-id]: package tool `embeddingstore.tool.vector_db_lookup.search` is gone
",
        );
    }
}
