use crate::context::Context;
use crate::finding::{Finding, Level, Place};
use crate::prompts::{self, Reserved};
use crate::rule::{Group, Rule};

pub(super) const RULE: Rule = Rule {
    name: "reserved-prompt-variable",
    group: Group::Prompts,
    level: Level::Error,
    summary: "A variable of a prompt template with the name of a parameter of what renders it.",
    cases: &[],
    why: "The engine refuses the flow (`NodeInputValidationError: Invalid inputs {'functions'} in prompt template of node ask. These inputs are duplicated with the parameters of AzureOpenAI.chat.`). A warning where only one provider has such a parameter: the connection tells.",
    bad: "#- flow.dag.yaml\ninputs:\n  name: {type: string}\nnodes:\n- name: ask\n  type: llm\n  source: {type: code, path: ask.jinja2}\n  inputs:\n    deployment_name: gpt-4\n    user: ${inputs.name}\n  api: chat\n  connection: aoai\noutputs:\n  answer: {type: string, reference: '${ask.output}'}\n#- ask.jinja2\nsystem:\nGreet {{ user }}.\n",
    good: "#- flow.dag.yaml\ninputs:\n  name: {type: string}\nnodes:\n- name: ask\n  type: llm\n  source: {type: code, path: ask.jinja2}\n  inputs:\n    deployment_name: gpt-4\n    user_name: ${inputs.name}\n  api: chat\n  connection: aoai\noutputs:\n  answer: {type: string, reference: '${ask.output}'}\n#- ask.jinja2\nsystem:\nGreet {{ user_name }}.\n",
    fix: None,
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag() else { return Vec::new() };
    let mut findings = Vec::new();
    for prompt in prompts::prompts(context, dag).filter(|prompt| prompt.file.template.complete) {
        for variable in &prompt.file.template.variables {
            let name = &variable.name;
            let Some(reserved) = prompt.reserved(name) else { continue };
            let at = Place { file: prompt.file.file, span: variable.span() };
            let owner = prompt.renderer_name();
            let finding = match reserved {
                Reserved::Always => {
                    Finding::error(at, format!("`{name}` is a parameter of {owner}")).engine("NodeInputValidationError")
                }
                Reserved::With(connection) => {
                    Finding::new(Level::Warning, at, format!("`{name}` is a parameter of {owner} with {connection}"))
                }
            };
            findings.push(
                finding
                    .help("rename the variable, here and in the node's `inputs`")
                    .related(dag.node_place(prompt.node), "the node that renders it"),
            );
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn by_renderer() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
nodes:
- {name: a, type: prompt, source: {path: a.jinja2}}
- {name: b, type: llm, source: {path: b.jinja2}, api: chat, connection: c}
- {name: c, type: llm, source: {path: c.jinja2}, api: completion, connection: c}
- {name: d, type: custom_llm, source: {type: package_with_prompt, path: d.jinja2, tool: promptflow.tools.llm.llm}}
- {name: e, type: custom_llm, source: {type: package_with_prompt, path: c.jinja2, tool: my.tool}}
#- a.jinja2
{{ template }} {{ tools }} {{ model }}
#  ^^^^^^^^ error[reserved-prompt-variable]: `template` is a parameter of the prompt tool
#- b.jinja2
system:
{{ template }} {{ tools }} {{ model }} {{ n }} {{ suffix }}
#                 ^^^^^ error[reserved-prompt-variable]: `tools` is a parameter of the chat API
#                             ^^^^^ warning[reserved-prompt-variable]: `model` is a parameter of the chat API with an OpenAI connection
#                                         ^ warning[reserved-prompt-variable]: `n` is a parameter of the chat API with an Azure OpenAI connection
#- c.jinja2
{{ tools }} {{ n }}
#              ^ error[reserved-prompt-variable]: `n` is a parameter of the completion API
#- d.jinja2
user:
{{ model }} {{ stream }}
#  ^^^^^ error[reserved-prompt-variable]: `model` is a parameter of promptflow.tools.llm.llm
",
        );
    }
}
