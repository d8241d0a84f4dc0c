use crate::context::Context;
use crate::finding::{Finding, Level, Place};
use crate::rule::{Group, Rule};
use crate::suggest;
use flowgate_flow::Spanned;
use flowgate_flow::model::Flow;
use flowgate_flow::project::{RunFile, RunFlow};
use flowgate_flow::run;

pub(super) const RULE: Rule = Rule {
    name: "unknown-run-node",
    group: Group::Siblings,
    level: Level::Error,
    summary: "A run specification whose `variant` or `connections` names a node or a variant that the flow does not have, or a setting that cannot be overridden.",
    cases: &[],
    why: "The run stops before its first line (`InvalidFlowError`; `UserErrorException` for a variant that is not `${node.variant}`). A flex flow has no nodes: what is said of them is dropped with a line in the log.",
    bad: "#- run.yml\nflow: .\ndata: data.jsonl\nconnections:\n  sumarize: {connection: gpt}\n#- flow.dag.yaml\ninputs:\n  text: {type: string}\nnodes:\n- name: summarize\n  type: llm\n  source: {type: code, path: summarize.jinja2}\n  connection: other\n  api: chat\n  inputs: {deployment_name: gpt-4o, text: '${inputs.text}'}\n#- summarize.jinja2\n# system:\nSummarize {{text}}\n#- data.jsonl\n",
    good: "#- run.yml\nflow: .\ndata: data.jsonl\nconnections:\n  summarize: {connection: gpt}\n#- flow.dag.yaml\ninputs:\n  text: {type: string}\nnodes:\n- name: summarize\n  type: llm\n  source: {type: code, path: summarize.jinja2}\n  connection: other\n  api: chat\n  inputs: {deployment_name: gpt-4o, text: '${inputs.text}'}\n#- summarize.jinja2\n# system:\nSummarize {{text}}\n#- data.jsonl\n",
    fix: Some("Writes the most similar name (unsafe)."),
    check,
};

/// What can be overridden of an LLM node.
const SETTINGS: [&str; 3] = ["connection", "deployment_name", "model"];

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(run) = &context.project.run else { return Vec::new() };
    let mut findings = Vec::new();
    let flow = match &run.flow {
        Some(RunFlow::Flow(flow)) => Some(&flow.flow),
        _ => None,
    };
    if let Some(variant) = &run.specification.variant {
        findings.extend(of_variant(context, run, flow, variant));
    }
    let Some(flow) = flow.filter(|flow| flow.complete && !flow.flex) else { return findings };
    for (name, settings) in &run.specification.connections {
        let Some(node) = flow.nodes.iter().find(|node| node.name() == name.value) else {
            let message = format!("the flow has no node `{}`", name.value);
            findings.push(unknown(context, run, name, message, flow.nodes.iter().map(|node| node.name())));
            continue;
        };
        if node.use_variants || node.r#type.as_ref().is_none_or(|r#type| r#type.value != "llm") {
            continue;
        }
        for entry in settings.mapping().unwrap_or(&[]) {
            let Some(key) = entry.key.text().filter(|key| !SETTINGS.contains(key)) else { continue };
            let key = Spanned::new(key.to_owned(), entry.key.span);
            let message = format!("`{}` of an LLM node cannot be set here", key.value);
            findings.push(unknown(context, run, &key, message, SETTINGS.into_iter()));
        }
    }
    findings
}

fn of_variant(context: &Context<'_>, run: &RunFile, flow: Option<&Flow>, written: &Spanned<String>) -> Option<Finding> {
    let at = Place { file: run.file, span: written.span };
    if flow.is_some_and(|flow| flow.flex) || matches!(run.flow, Some(RunFlow::Prompty(_))) {
        let message = "only DAG flows have variants: this is dropped";
        return Some(Finding::new(Level::Warning, at, message).help("remove it"));
    }
    let Some((node, variant)) = run::variant(written, context.project.text(run.file)) else {
        let message = format!("`{}` names no variant", written.value);
        return Some(Finding::error(at, message).engine("UserErrorException").help("write `${NODE.VARIANT}`"));
    };
    let flow = flow.filter(|flow| flow.complete)?;
    if !flow.nodes.iter().any(|known| known.name() == node.value) {
        let message = format!("the flow has no node `{}`", node.value);
        return Some(unknown(context, run, &node, message, flow.nodes.iter().map(|node| node.name())));
    }
    let variants = || flow.variants.iter().filter(|known| known.node_name.value == node.value);
    if variants().any(|known| known.name.value == variant.value) {
        return None;
    }
    let message = format!("node `{}` has no variant `{}`", node.value, variant.value);
    Some(unknown(context, run, &variant, message, variants().map(|known| known.name.value.as_str())))
}

fn unknown<'c>(
    context: &Context<'_>,
    run: &RunFile,
    name: &Spanned<String>,
    message: String,
    names: impl Iterator<Item = &'c str>,
) -> Finding {
    let at = Place { file: run.file, span: name.span };
    let finding = Finding::error(at, message).engine("InvalidFlowError");
    match context.nearest(&name.value, names) {
        Some(near) => suggest::meant(finding, near),
        None => finding,
    }
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn variants() {
        let run = |variant: &str, carets: &str| {
            format!(
                "#- run.yml
flow: .
data: d.jsonl
variant: {variant}
{carets}#- flow.dag.yaml
inputs: {{a: {{type: string}}}}
nodes:
- name: n
  use_variants: true
- {{name: m, type: python, source: {{type: code, path: m.py}}}}
node_variants:
  n:
    default_variant_id: v0
    variants:
      v0: {{node: {{type: python, source: {{type: code, path: m.py}}}}}}
      v1: {{node: {{type: python, source: {{type: code, path: m.py}}}}}}
#- m.py
#- d.jsonl
"
            )
        };
        let raises = |variant, carets| fixture::raises(&super::RULE, &run(variant, carets));
        raises("${n.v1}", "");
        raises("n.v1", "#        ^^^^ error[unknown-run-node]: `n.v1` names no variant\n");
        raises("${zz.v1}", "#          ^^ error[unknown-run-node]: the flow has no node `zz`\n");
        raises("${n.v9}", "#            ^^ error[unknown-run-node]: node `n` has no variant `v9`\n");
        raises("${m.v1}", "#            ^^ error[unknown-run-node]: node `m` has no variant `v1`\n");
    }
}
