use crate::context::Context;
use crate::finding::{Finding, Level};
use crate::prompts::{self, Renderer};
use crate::rule::{Group, Rule};
use flowgate_flow::template::LookupKind;
use std::collections::HashSet;

pub(super) const RULE: Rule = Rule {
    name: "unused-prompt-input",
    group: Group::Prompts,
    level: Level::Hint,
    summary: "An input of a prompt or LLM node that neither its template nor its API takes.",
    cases: &[],
    why: "The engine drops it without a word. It is left over, or the template misspells it.",
    bad: "#- flow.dag.yaml\ninputs:\n  text: {type: string}\nnodes:\n- name: ask\n  type: prompt\n  source: {type: code, path: ask.jinja2}\n  inputs:\n    text: ${inputs.text}\n    language: English\noutputs:\n  prompt: {type: string, reference: '${ask.output}'}\n#- ask.jinja2\nSummarize: {{ text }}\n",
    good: "#- flow.dag.yaml\ninputs:\n  text: {type: string}\nnodes:\n- name: ask\n  type: prompt\n  source: {type: code, path: ask.jinja2}\n  inputs:\n    text: ${inputs.text}\n    language: English\noutputs:\n  prompt: {type: string, reference: '${ask.output}'}\n#- ask.jinja2\nSummarize in {{ language }}: {{ text }}\n",
    fix: None,
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag() else { return Vec::new() };
    let mut findings = Vec::new();
    for prompt in prompts::prompts(context, dag) {
        let template = &prompt.file.template;
        let whole = template.complete && template.lookups.iter().all(|lookup| lookup.kind != LookupKind::Template);
        if !whole || prompt.is_replaced() || matches!(prompt.renderer, Renderer::Unknown) {
            continue;
        }
        let used: HashSet<&str> = template.variables.iter().map(|variable| variable.name.as_str()).collect();
        for (name, _) in &prompt.node.inputs {
            if used.contains(name.value.as_str()) || prompt.may_take(&name.value) {
                continue;
            }
            let message = match prompt.renderer {
                Renderer::Prompt => format!("the template has no variable `{}`", name.value),
                _ => format!("neither the template nor {} takes `{}`", prompt.renderer_name(), name.value),
            };
            let finding = Finding::new(Level::Hint, dag.place(name.span), message);
            findings.push(finding.help("remove it, or use it in the template"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn parameters_of_any_api_are_taken() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
nodes:
- name: ask
  type: llm
  source: {type: code, path: ask.jinja2}
  inputs:
    deployment_name: gpt
    model: gpt
    seed: 1
    images: []
    suffix: x
    suffx: x
#   ^^^^^ hint[unused-prompt-input]: neither the template nor the chat API takes `suffx`
    question: hi
  api: chat
  connection: aoai
- name: vision
  type: custom_llm
  source: {type: package_with_prompt, path: ask.jinja2, tool: promptflow.tools.llm_vision.llm_vision}
  inputs: {detail: low, question: x, other: y}
#                                    ^^^^^ hint[unused-prompt-input]: neither the template nor promptflow.tools.llm_vision.llm_vision takes `other`
- name: own
  type: llm
  source: {type: code, path: ask.jinja2}
  module: my.module
  inputs: {other: y}
  api: chat
- name: replaced
  type: llm
  source: {type: code, path: ask.jinja2}
  inputs: {prompt: '${ask.output}', other: y}
  api: chat
#- ask.jinja2
user:
{{ question }}
",
        );
    }
}
