use crate::context::Context;
use crate::finding::{Finding, Level};
use crate::prompts;
use crate::rule::{Group, Rule};

pub(super) const RULE: Rule = Rule {
    name: "llm-missing-connection",
    group: Group::Prompts,
    level: Level::Error,
    summary: "An LLM node without a `connection`.",
    cases: &[],
    why: "The engine asks for the connection when it loads the flow: `GetConnectionError: Get connection 'None' for node 'ask' error: ...`.",
    bad: "#- flow.dag.yaml\ninputs:\n  text: {type: string}\nnodes:\n- name: ask\n  type: llm\n  source: {type: code, path: ask.jinja2}\n  inputs:\n    deployment_name: gpt-4\n    text: ${inputs.text}\n  api: chat\noutputs:\n  answer: {type: string, reference: '${ask.output}'}\n#- ask.jinja2\nuser:\n{{ text }}\n",
    good: "#- flow.dag.yaml\ninputs:\n  text: {type: string}\nnodes:\n- name: ask\n  type: llm\n  source: {type: code, path: ask.jinja2}\n  inputs:\n    deployment_name: gpt-4\n    text: ${inputs.text}\n  api: chat\n  connection: aoai\noutputs:\n  answer: {type: string, reference: '${ask.output}'}\n#- ask.jinja2\nuser:\n{{ text }}\n",
    fix: None,
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    // A connection that could not be read may stand there.
    let Some(dag) = context.dag().filter(|dag| dag.flow.complete) else { return Vec::new() };
    let mut findings = Vec::new();
    for node in prompts::llm_nodes(dag) {
        let written = node.yaml.get("connection");
        let empty = written.is_none_or(|entry| entry.value.is_null() || entry.value.text() == Some(""));
        if empty {
            let at = written.map_or(dag.node_place(node), |entry| dag.place(entry.key.span));
            findings.push(
                Finding::error(at, format!("LLM node `{}` has no `connection`", node.name()))
                    .engine("GetConnectionError")
                    .help("add `connection: NAME`, the name of an Azure OpenAI, OpenAI or serverless connection"),
            );
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn missing_null_and_empty() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
nodes:
- name: a
#       ^ error[llm-missing-connection]: LLM node `a` has no `connection`
  type: llm
- name: b
  type: llm
  connection:
# ^^^^^^^^^^ error[llm-missing-connection]: LLM node `b` has no `connection`
- name: c
  type: llm
  connection: ''
# ^^^^^^^^^^ error[llm-missing-connection]: LLM node `c` has no `connection`
- {name: d, type: llm, connection: x}
- {name: e, type: llm, use_variants: true}
- {name: f, type: prompt}
",
        );
    }
}
