use crate::context::Context;
use crate::finding::{Finding, Level};
use crate::prompts;
use crate::rule::{Group, Rule};
use crate::suggest;

/// What `AzureOpenAI` and `OpenAI` of promptflow-tools 1.6 have.
const APIS: [&str; 2] = ["chat", "completion"];

pub(super) const RULE: Rule = Rule {
    name: "unknown-llm-api",
    group: Group::Prompts,
    level: Level::Error,
    summary: "An LLM node whose `api` is missing, or neither `chat` nor `completion`.",
    cases: &["llm-without-api"],
    why: "The engine refuses the flow: `APINotFound: The API 'AzureOpenAI.Chat' is not found.` Nothing is said of a node with a `module` of its own, which may bring other APIs.",
    bad: "#- flow.dag.yaml\ninputs:\n  text: {type: string}\nnodes:\n- name: ask\n  type: llm\n  source: {type: code, path: ask.jinja2}\n  inputs:\n    deployment_name: gpt-4\n    text: ${inputs.text}\n  api: Chat\n  connection: aoai\noutputs:\n  answer: {type: string, reference: '${ask.output}'}\n#- ask.jinja2\nuser:\n{{ text }}\n",
    good: "#- flow.dag.yaml\ninputs:\n  text: {type: string}\nnodes:\n- name: ask\n  type: llm\n  source: {type: code, path: ask.jinja2}\n  inputs:\n    deployment_name: gpt-4\n    text: ${inputs.text}\n  api: chat\n  connection: aoai\noutputs:\n  answer: {type: string, reference: '${ask.output}'}\n#- ask.jinja2\nuser:\n{{ text }}\n",
    fix: Some("Writes the API in lower case (safe), or the most similar one (unsafe)."),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag() else { return Vec::new() };
    let mut findings = Vec::new();
    for node in prompts::llm_nodes(dag).filter(|node| !prompts::has_own_api(node)) {
        let Some(api) = &node.api else {
            // With a line that could not be read, it may stand there.
            let empty = node.yaml.get("api").is_none_or(|entry| entry.value.is_null());
            if empty && dag.flow.complete {
                let message = format!("LLM node `{}` has no `api`", node.name());
                let finding = Finding::error(dag.node_place(node), message).engine("APINotFound");
                findings.push(finding.help("add `api: chat` or `api: completion`"));
            }
            continue;
        };
        if APIS.contains(&api.value.as_str()) || is_placeholder(&api.value) {
            continue;
        }
        let at = dag.place(api.span);
        let finding = Finding::error(at, format!("there is no API `{}`", api.value)).engine("APINotFound");
        let lower = api.value.to_ascii_lowercase();
        // The full name is what the engine makes of provider and API.
        let bare = lower.rsplit('.').next().unwrap_or(&lower);
        let same = APIS.into_iter().find(|known| *known == bare);
        findings.push(suggest::name(finding, &api.value, same, &APIS));
    }
    findings
}

/// True for what a template of another tool puts a value in for.
fn is_placeholder(api: &str) -> bool {
    api.contains(['{', '<', '@', '%'])
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
- {name: a, type: llm, api: chat}
- {name: b, type: llm}
#        ^ error[unknown-llm-api]: LLM node `b` has no `api`
- {name: c, type: llm, api: embedding}
#                           ^^^^^^^^^ error[unknown-llm-api]: there is no API `embedding`
- {name: d, type: llm, api: AzureOpenAI.chat}
#                           ^^^^^^^^^^^^^^^^ error[unknown-llm-api]: there is no API `AzureOpenAI.chat`
- {name: e, type: llm, api: own, module: my.apis}
- {name: f, type: llm, api: '@@api@@'}
- {name: g, type: prompt, api: own}
",
        );
    }
}
