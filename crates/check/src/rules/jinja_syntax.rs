use crate::context::Context;
use crate::finding::{Finding, Level, Place};
use crate::rule::{Group, Rule};
use crate::suggest;
use flowgate_flow::project::TemplateFile;
use flowgate_flow::template::{FILTERS, Lookup, LookupKind, TESTS};

pub(super) const RULE: Rule = Rule {
    name: "jinja-syntax",
    group: Group::Prompts,
    level: Level::Error,
    summary: "A prompt template that Jinja2 refuses: its syntax, a filter or a test that Jinja2 does not have, or another template that it needs.",
    cases: &["unknown-jinja-filter", "unclosed-jinja-block"],
    why: "The engine parses every template when it loads the flow, and stops with `Jinja parsing failed at line 3: (TemplateSyntaxError) ...`. It gives Jinja2 no filters of its own, no extensions (`{% do %}`, `{% break %}`, `{% trans %}`), and no loader: `{% include %}`, `{% import %}` and `{% extends %}` fail when the prompt is rendered.",
    bad: "#- flow.dag.yaml\ninputs:\n  text: {type: string}\nnodes:\n- name: ask\n  type: prompt\n  source: {type: code, path: ask.jinja2}\n  inputs: {text: '${inputs.text}'}\noutputs:\n  prompt: {type: string, reference: '${ask.output}'}\n#- ask.jinja2\nSummarize: {{ text | tirm }}\n",
    good: "#- flow.dag.yaml\ninputs:\n  text: {type: string}\nnodes:\n- name: ask\n  type: prompt\n  source: {type: code, path: ask.jinja2}\n  inputs: {text: '${inputs.text}'}\noutputs:\n  prompt: {type: string, reference: '${ask.output}'}\n#- ask.jinja2\nSummarize: {{ text | trim }}\n",
    fix: Some("Writes the most similar filter or test. Unsafe: another may be meant."),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    // A prompty is rendered when it is called, not when it is loaded.
    let class = if context.project.prompty.is_some() { "JinjaTemplateError" } else { "TemplateSyntaxError" };
    for file in context.project.templates.values() {
        findings.extend(file.template.error.as_ref().map(|error| {
            let at = Place { file: file.file, span: error.span };
            Finding::error(at, error.message.as_str()).engine(class)
        }));
        findings.extend(file.template.lookups.iter().filter_map(|lookup| missing(context, file, lookup)));
    }
    findings
}

fn missing(context: &Context<'_>, file: &TemplateFile, lookup: &Lookup) -> Option<Finding> {
    let name = lookup.name.value.as_str();
    let at = Place { file: file.file, span: lookup.name.span };
    // Under a condition, Jinja2 fails only where it gets there.
    let level = if lookup.conditional { Level::Warning } else { Level::Error };
    let (noun, names) = match lookup.kind {
        LookupKind::Filter => ("filter", FILTERS.as_slice()),
        LookupKind::Test => ("test", TESTS.as_slice()),
        LookupKind::Template => {
            let message = format!("`{name}` fails: the engine gives Jinja2 no folder of templates");
            return Some(Finding::new(level, at, message).help("write the text of that template here"));
        }
    };
    if names.contains(&name) {
        return None;
    }
    let mut finding = Finding::new(level, at, format!("Jinja2 has no {noun} `{name}`"));
    if !lookup.conditional {
        finding = finding.engine("TemplateAssertionError");
    }
    Some(match context.nearest(name, names.iter().copied()) {
        Some(near) => suggest::meant(finding, near),
        None => finding,
    })
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    const FLOW: &str = "#- flow.dag.yaml
nodes:
- name: ask
  type: prompt
  source: {type: code, path: ask.jinja2}
outputs:
  o: {type: string, reference: '${ask.output}'}
#- ask.jinja2
";

    #[test]
    fn syntax() {
        fixture::raises(
            &super::RULE,
            &format!(
                "{FLOW}system:
{{% for a in [1] %}}
#  ^^^ error[jinja-syntax]: `for` is not closed: `{{% endfor %}}` is missing
{{{{ a }}}}
"
            ),
        );
        fixture::raises(&super::RULE, &format!("{FLOW}{{{{ 'a', 'b' }}}} is read by Jinja2 only\n"));
    }

    #[test]
    fn names_and_other_templates() {
        fixture::raises(
            &super::RULE,
            &format!(
                "{FLOW}{{% if 1 is one %}}
#          ^^^ error[jinja-syntax]: Jinja2 has no test `one`
{{{{ '' | json }}}}
#       ^^^^ warning[jinja-syntax]: Jinja2 has no filter `json`
{{% endif %}}
{{% include 'x' %}}
#  ^^^^^^^ error[jinja-syntax]: `include` fails: the engine gives Jinja2 no folder of templates
{{# flowgate: ignore[jinja-syntax] not reached #}}
{{{{ '' | json }}}}
{{{{ '' | json }}}} {{#- flowgate: ignore[jinja-syntax] -#}}
{{{{ '' | tojson }}}}
"
            ),
        );
    }
}
