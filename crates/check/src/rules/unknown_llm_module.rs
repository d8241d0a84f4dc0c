use crate::context::Context;
use crate::finding::{Applicability, Finding, Level};
use crate::package_tools::BUILT_IN;
use crate::prompts;
use crate::rule::{Group, Rule};
use crate::suggest;

/// The modules of promptflow-tools 1.6.
const MODULES: [&str; 14] = [
    "promptflow.tools.aoai",
    "promptflow.tools.openai",
    "promptflow.tools.aoai_gpt4v",
    "promptflow.tools.azure_content_safety",
    "promptflow.tools.common",
    "promptflow.tools.embedding",
    "promptflow.tools.exception",
    "promptflow.tools.list",
    "promptflow.tools.llm",
    "promptflow.tools.llm_vision",
    "promptflow.tools.open_model_llm",
    "promptflow.tools.openai_gpt4v",
    "promptflow.tools.serpapi",
    "promptflow.tools.template_rendering",
];

pub(super) const RULE: Rule = Rule {
    name: "unknown-llm-module",
    group: Group::Prompts,
    level: Level::Error,
    summary: "A node whose `module` promptflow-tools does not have.",
    cases: &[],
    why: "The engine imports the module of every node when it loads the flow, whether it needs it or not: `FailedToImportModule: ... No module named 'promptflow.tools.aoai2'`. LLM nodes need none. Nothing is said of modules of other packages.",
    bad: "#- flow.dag.yaml\ninputs:\n  text: {type: string}\nnodes:\n- name: ask\n  type: llm\n  source: {type: code, path: ask.jinja2}\n  inputs:\n    deployment_name: gpt-4\n    text: ${inputs.text}\n  api: chat\n  module: promptflow.tools.aoia\n  connection: aoai\noutputs:\n  answer: {type: string, reference: '${ask.output}'}\n#- ask.jinja2\nuser:\n{{ text }}\n",
    good: "#- flow.dag.yaml\ninputs:\n  text: {type: string}\nnodes:\n- name: ask\n  type: llm\n  source: {type: code, path: ask.jinja2}\n  inputs:\n    deployment_name: gpt-4\n    text: ${inputs.text}\n  api: chat\n  module: promptflow.tools.aoai\n  connection: aoai\noutputs:\n  answer: {type: string, reference: '${ask.output}'}\n#- ask.jinja2\nuser:\n{{ text }}\n",
    fix: Some("Writes the most similar module. Unsafe: another may be meant."),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag() else { return Vec::new() };
    let mut findings = Vec::new();
    for node in prompts::python_nodes(dag) {
        let Some(module) = node.module.as_ref().filter(|module| module.value.starts_with(BUILT_IN)) else { continue };
        if MODULES.contains(&module.value.as_str()) {
            continue;
        }
        let at = dag.place(module.span);
        let message = format!("promptflow-tools has no module `{}`", module.value);
        let finding = Finding::error(at, message).engine("FailedToImportModule");
        // The common prefix would make everything similar.
        let typed = module.value.strip_prefix(BUILT_IN).unwrap_or("");
        let names = MODULES.iter().filter_map(|known| known.strip_prefix(BUILT_IN));
        findings.push(match context.nearest(typed, names) {
            Some(near) => {
                let near = format!("{BUILT_IN}{near}");
                let help = suggest::did_you_mean(&near);
                finding.help(help).fix(Applicability::Unsafe, format!("write `{near}`"), at, near)
            }
            None => finding.help("remove `module`: the engine finds the provider by the connection"),
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn by_name() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
nodes:
- {name: a, type: llm, module: promptflow.tools.openai}
- {name: b, type: prompt, module: promptflow.tools.azure_translator}
#                                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ error[unknown-llm-module]: promptflow-tools has no module `promptflow.tools.azure_translator`
- {name: c, type: llm, module: my.own}
",
        );
    }
}
