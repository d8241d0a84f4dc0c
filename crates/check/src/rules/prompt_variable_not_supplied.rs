use std::collections::HashSet;

use crate::context::{Context, Dag};
use crate::finding::{Applicability, Edit, Finding, Fix, Level, Place};
use crate::prompts::{self, Prompt, Renderer};
use crate::rule::{Group, Rule};
use crate::suggest;
use flowgate_flow::Span;
use flowgate_flow::project::{PromptyFile, TemplateFile};
use flowgate_flow::template::{MAX_USES, Variable};
use flowgate_flow::yaml::Entry;

pub(super) const RULE: Rule = Rule {
    name: "prompt-variable-not-supplied",
    group: Group::Prompts,
    level: Level::Error,
    summary: "A variable of a prompt template that is no input of the node that renders it, or of the prompty that holds it.",
    cases: &[],
    why: "Jinja2 renders it as nothing, so the model gets a prompt with a hole, without any warning; `{{ name.part }}` fails when the flow runs. A warning where the template is made for that: where the variable stands under an `if`, or before `default`, `or` or `is defined`. Nothing is said of an LLM node with an input `prompt`, which takes the template's place. A prompty drops what its `inputs`, or without them its `sample`, do not name; that is a warning.",
    bad: "#- flow.dag.yaml\ninputs:\n  text: {type: string}\n  tone: {type: string}\nnodes:\n- name: ask\n  type: prompt\n  source: {type: code, path: ask.jinja2}\n  inputs:\n    tone: ${inputs.tone}\noutputs:\n  prompt: {type: string, reference: '${ask.output}'}\n  text: {type: string, reference: '${inputs.text}'}\n#- ask.jinja2\nIn a {{ tone }} tone: {{ text }}\n",
    good: "#- flow.dag.yaml\ninputs:\n  text: {type: string}\n  tone: {type: string}\nnodes:\n- name: ask\n  type: prompt\n  source: {type: code, path: ask.jinja2}\n  inputs:\n    text: ${inputs.text}\n    tone: ${inputs.tone}\noutputs:\n  prompt: {type: string, reference: '${ask.output}'}\n  text: {type: string, reference: '${inputs.text}'}\n#- ask.jinja2\nIn a {{ tone }} tone: {{ text }}\n",
    fix: Some(
        "Writes the name of the similar input that the template does not use, or gives the node the flow input of that name. Unsafe: another value may be meant.",
    ),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    if let Some((file, template, _)) = prompts::prompty(context) {
        return prompty(context, file, template);
    }
    // An input that could not be read may be the one.
    let Some(dag) = context.dag().filter(|dag| dag.flow.complete) else { return Vec::new() };
    let uses = prompts::uses(prompts::prompts(context, dag));
    let mut findings = Vec::new();
    for prompt in prompts::prompts(context, dag) {
        let template = &prompt.file.template;
        if !template.complete || prompt.is_replaced() || matches!(prompt.renderer, Renderer::Unknown) {
            continue;
        }
        let given: HashSet<&str> = prompt.node.inputs.iter().map(|(name, _)| name.value.as_str()).collect();
        let used: HashSet<&str> = template.variables.iter().map(|variable| variable.name.as_str()).collect();
        let unused: Vec<&str> = given.iter().copied().filter(|n| !used.contains(n) && !prompt.may_take(n)).collect();
        // Other nodes that share the template would lose what they give.
        let alone = uses.get(&prompt.file.file) == Some(&1);
        for variable in &template.variables {
            let supplied = given.contains(variable.name.as_str()) || prompt.reserved(&variable.name).is_some();
            if !supplied && !variable.assigned {
                findings.push(missing(context, dag, &prompt, variable, &unused, alone));
            }
        }
    }
    findings
}

/// Its inputs are those that it declares, else those of its sample.
fn prompty(context: &Context<'_>, file: &PromptyFile, template: &TemplateFile) -> Vec<Finding> {
    let root = &file.prompty.document.root;
    let given = |key: &str| root.get(key).filter(|entry| entry.value.is_truthy());
    let names = given("inputs").or(given("sample")).map(|entry| entry.value.mapping());
    let Some(entries) = names.unwrap_or(Some(&[])).filter(|_| template.template.complete) else { return Vec::new() };
    let names: HashSet<&str> = entries.iter().filter_map(|entry| entry.key.text()).collect();
    if entries.iter().chain(root.mapping().unwrap_or(&[])).any(Entry::is_merge) {
        return Vec::new();
    }
    let missing =
        template.template.variables.iter().filter(|v| !v.assigned && !v.guarded && !names.contains(v.name.as_str()));
    missing
        .map(|variable| {
            let name = variable.name.as_str();
            // Other libraries that read prompty files render whatever they are given.
            let at = Place { file: file.file, span: variable.span() };
            let finding = Finding::new(Level::Warning, at, format!("`{name}` is not among the inputs of the prompty"));
            match context.nearest(name, names.iter().copied().filter(|n| template.template.variable(n).is_none())) {
                Some(near) => finding.help(suggest::did_you_mean(near)),
                None => finding.help(format!("add `{name}` to `inputs`")),
            }
        })
        .collect()
}

fn missing(
    context: &Context<'_>,
    dag: Dag<'_>,
    prompt: &Prompt<'_>,
    variable: &Variable,
    unused: &[&str],
    alone: bool,
) -> Finding {
    let name = variable.name.as_str();
    let node = prompt.node;
    let level = if variable.guarded { Level::Warning } else { Level::Error };
    let place = |span| Place { file: prompt.file.file, span };
    let message = format!("`{name}` is not among the inputs of node `{}`", node.name());
    let mut finding =
        Finding::new(level, place(variable.span()), message).related(dag.node_place(node), "the node that renders it");
    if let Some(near) = context.nearest(name, unused.iter().copied()) {
        finding = finding.help(suggest::did_you_mean(near));
        if alone && variable.uses.len() < MAX_USES {
            let edits = variable.uses.iter().map(|span| Edit { at: place(*span), text: near.to_owned() }).collect();
            finding.fix = Some(Fix { title: format!("write `{near}`"), applicability: Applicability::Unsafe, edits });
        }
        return finding;
    }
    if !context.has_input(name) {
        return finding.help(format!("add `{name}` to the node's `inputs`"));
    }
    let line = format!("{name}: ${{inputs.{name}}}");
    finding = finding.help(format!("add `{line}` to the node's `inputs`"));
    match first_input(dag, prompt) {
        Some((at, indent)) => finding.fix(
            Applicability::Unsafe,
            format!("add `{line}`"),
            dag.place(Span::empty(at)),
            format!("{line}\n{indent}"),
        ),
        None => finding,
    }
}

/// Where the first input of the node starts, if it stands on a line of its own, and its indentation.
fn first_input<'p>(dag: Dag<'p>, prompt: &Prompt<'p>) -> Option<(usize, &'p str)> {
    let at = prompt.node.inputs.first()?.0.span.start;
    let before = dag.text.get(..at)?;
    let indent = before.get(before.rfind('\n')? + 1..)?;
    indent.chars().all(|c| c == ' ').then_some((at, indent))
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn by_use() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
nodes:
- name: ask
  type: llm
  source: {type: code, path: ask.jinja2}
  inputs: {deployment_name: gpt, questoin: hi, temperature: 0}
  api: chat
  connection: aoai
- name: same
  type: llm
  source: {type: code, path: ./ask.jinja2}
  inputs: {deployment_name: gpt, prompt: '${ask.output}'}
  api: chat
  connection: aoai
- name: other
  type: custom_llm
  source: {type: package_with_prompt, path: ask.jinja2, tool: my.tool}
- name: known
  type: custom_llm
  source: {type: package_with_prompt, path: known.jinja2, tool: promptflow.tools.llm.llm}
  inputs: {connection: aoai}
#- ask.jinja2
system:
{% set tone = 'warm' %}{% for m in history %}
#                                  ^^^^^^^ error[prompt-variable-not-supplied]: `history` is not among the inputs of node `ask`
{{ m.text }}{{ tone }}{% endfor %}
user:
{{ question }} {{ context | default('') }}
#  ^^^^^^^^ error[prompt-variable-not-supplied]: `question` is not among the inputs of node `ask`
#                 ^^^^^^^ warning[prompt-variable-not-supplied]: `context` is not among the inputs of node `ask`
{% if about %}{{ about }}{% endif %}
#     ^^^^^ warning[prompt-variable-not-supplied]: `about` is not among the inputs of node `ask`
#- known.jinja2
user:
{{ question }}
#  ^^^^^^^^ error[prompt-variable-not-supplied]: `question` is not among the inputs of node `known`
",
        );
    }

    #[test]
    fn a_prompty_drops_what_it_does_not_declare() {
        let prompty = |inputs: &str, found: &str| {
            format!(
                "#- p.prompty\n---\nmodel: {{configuration: {{type: openai, model: gpt-4}}, parameters: {{}}}}\n{inputs}---\nuser:\n{{{{ a }}}}\n{found}#- s.json\n"
            )
        };
        let found = "#  ^ warning[prompt-variable-not-supplied]: `a` is not among the inputs of the prompty\n";
        fixture::raises(&super::RULE, &prompty("", found));
        fixture::raises(&super::RULE, &prompty("inputs: {b: {type: string}}\nsample: {a: 1}\n", found));
        fixture::raises(&super::RULE, &prompty("sample: {b: 1}\n", found));
        for inputs in ["inputs: {a: {type: string}}\n", "sample: {a: 1}\n", "sample: ${file:s.json}\n"] {
            fixture::raises(&super::RULE, &prompty(inputs, ""));
        }
    }

    #[test]
    fn silent_where_the_template_or_the_flow_is_not_known_in_full() {
        for (inputs, template) in [
            ("{}", "{{ a, b }}"),
            ("{template: x}", "{{ a }}"),
            ("{}", "{{ a }} {% if %}"),
            ("{a: \"1\" x}", "{{ a }}"),
        ] {
            fixture::raises(
                &super::RULE,
                &format!(
                    "#- flow.dag.yaml\nnodes:\n- name: ask\n  type: prompt\n  source: {{path: a.jinja2}}\n  inputs: {inputs}\n#- a.jinja2\n{template}\n"
                ),
            );
        }
    }

    #[test]
    fn a_similar_input_is_meant() {
        let flow = "#- flow.dag.yaml\nnodes:\n- name: ask\n  type: prompt\n  source: {path: a.jinja2}\n  inputs: {question: hi}\n#- a.jinja2\n{{ qestion }} {{ qestion | upper }}\n";
        assert!(fixture::fixed(flow).ends_with("{{ question }} {{ question | upper }}\n"));
    }
}
