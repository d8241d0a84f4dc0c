use crate::context::{Context, Dag};
use crate::finding::{Applicability, Finding, Level};
use crate::rule::{Group, Rule};
use flowgate_flow::model::{Activate, Input, Node};
use flowgate_flow::yaml::{Node as Yaml, Value};
use flowgate_flow::{Reference, graph, reference};

pub(super) const RULE: Rule = Rule {
    name: "activate-never-met",
    group: Group::Graph,
    level: Level::Warning,
    summary: "An `activate` condition that no value can meet.",
    cases: &["literal-when", "activate-type-mismatch", "activate-outside-enum"],
    why: "The engine compares `when` with `is` as Python does: text is never equal to a number, and `inputs.x` without `${}` is text. The node is then bypassed in every run, what depends on it is `None`, and the run still counts as completed.",
    bad: "#- flow.dag.yaml\ninputs:\n  detailed:\n    type: bool\nnodes:\n- name: detail\n  type: python\n  source: {type: code, path: a.py}\n  inputs:\n    x: ${inputs.detailed}\n  activate:\n    when: ${inputs.detailed}\n    is: 'true'\n#- a.py\nfrom promptflow.core import tool\n\n\n@tool\ndef echo(x: bool):\n    return x\n",
    good: "#- flow.dag.yaml\ninputs:\n  detailed:\n    type: bool\nnodes:\n- name: detail\n  type: python\n  source: {type: code, path: a.py}\n  inputs:\n    x: ${inputs.detailed}\n  activate:\n    when: ${inputs.detailed}\n    is: true\n#- a.py\nfrom promptflow.core import tool\n\n\n@tool\ndef echo(x: bool):\n    return x\n",
    fix: Some(
        "Writes the value in the type of the input, or the braces of a reference. Unsafe: the condition then can be met.",
    ),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag() else { return Vec::new() };
    dag.bodies().filter_map(|node| judge(context, dag, node.activate.as_ref()?)).collect()
}

fn judge(context: &Context<'_>, dag: Dag<'_>, activate: &Activate) -> Option<Finding> {
    // What has no value belongs to incomplete-activate.
    let when = activate.when.as_ref().filter(|when| !when.is_null())?;
    let is = activate.is.as_ref().filter(|is| !is.span.is_empty())?;
    let at = dag.place(is.span);
    if let Some(text) = is.text().filter(|_| reference::parse(is, dag.text).is_some_and(|r| is_known(context, &r))) {
        let message = format!("`is` is compared as the text `{text}`: only `when` is a reference");
        return Some(
            Finding::new(Level::Warning, at, message).help("compare in a Python node, and activate by its output"),
        );
    }
    match reference::parse(when, dag.text) {
        None => literal(context, dag, when, is),
        Some(Reference::FlowInput { name }) => {
            let input = dag.flow.inputs.iter().find(|input| input.name.value == name.value)?;
            let r#type = input.r#type.as_ref()?;
            let (value, needed) = (kind(is)?, expected(&r#type.value)?);
            if !can_equal(needed, value) {
                let message =
                    format!("`{}` is of type `{}`: it is never equal to {}", name.value, r#type.value, value.noun());
                let finding = Finding::new(Level::Warning, at, message).related(dag.place(r#type.span), "its type");
                return Some(retype(finding, dag, is, needed));
            }
            not_in_enum(dag, input, is)
        }
        Some(Reference::Node { name, section, property }) => {
            let node = graph::effective(dag.flow).get(context.node_index(&name.value)?).copied()?;
            let value = kind(is).filter(|value| *value != Kind::Text)?;
            let whole = section.value == "output" && property.value.is_empty();
            let bypassed = value == Kind::Null;
            (whole && is_prompt(node) && !bypassed).then(|| {
                let message =
                    format!("`{}` is a prompt: its output is text and never equal to {}", name.value, value.noun());
                retype(Finding::new(Level::Warning, at, message), dag, is, Kind::Text)
            })
        }
    }
}

fn is_prompt(node: &Node) -> bool {
    node.r#type.as_ref().is_some_and(|t| t.value == "prompt")
}

fn is_known(context: &Context<'_>, reference: &Reference) -> bool {
    match reference {
        Reference::FlowInput { name } => context.has_input(&name.value),
        Reference::Node { name, .. } => context.node_index(&name.value).is_some(),
    }
}

/// A `when` that is no reference is compared as it stands.
fn literal(context: &Context<'_>, dag: Dag<'_>, when: &Yaml, is: &Yaml) -> Option<Finding> {
    let text = when.text()?;
    let differ = match (when.scalar(), is.scalar()) {
        (Some(when), Some(is)) => when.text != is.text,
        _ => true,
    };
    // What looks like a reference belongs to malformed-reference.
    if !differ || text.contains(['$', '{']) {
        return None;
    }
    let at = dag.place(when.span);
    let finding =
        Finding::new(Level::Warning, at, format!("`{text}` is text, not a reference: the condition is never met"));
    let body = text.trim();
    let node = body.split('.').next().unwrap_or("");
    let named = body.strip_prefix("inputs.").or(body.strip_prefix("flow.")).is_some_and(|name| context.has_input(name))
        || body.contains('.') && context.node_index(node).is_some();
    let reference = format!("${{{body}}}");
    Some(if named && when.span.slice(dag.text) == text {
        finding.help(format!("write `{reference}`")).fix(
            Applicability::Unsafe,
            format!("write `{reference}`"),
            at,
            reference,
        )
    } else {
        finding.help("write `${inputs.NAME}` or `${NODE.output}`")
    })
}

/// A value that is not among those that the input lists.
fn not_in_enum(dag: Dag<'_>, input: &Input, is: &Yaml) -> Option<Finding> {
    let listed = input.yaml.get("enum")?.value.sequence().filter(|items| !items.is_empty())?.iter();
    let wanted = is.scalar()?;
    let mut texts = listed.map(|item| item.scalar().map(|scalar| scalar.text.as_str()));
    let missing = texts.all(|text| text.is_some_and(|text| text != wanted.text));
    missing.then(|| {
        let message = format!("`{}` is not among the values of `{}`", wanted.text, input.name.value);
        let at = input.yaml.get("enum").map_or(input.name.span, |entry| entry.key.span);
        Finding::new(Level::Warning, dag.place(is.span), message).related(dag.place(at), "its values")
    })
}

/// What Python compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    /// A number or a bool: `True == 1`.
    Number,
    Null,
    List,
    Mapping,
}

impl Kind {
    fn noun(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "a number or a bool",
            Self::Null => "null",
            Self::List => "a list",
            Self::Mapping => "a mapping",
        }
    }
}

fn kind(value: &Yaml) -> Option<Kind> {
    match &*value.value {
        Value::Sequence(_) => Some(Kind::List),
        Value::Mapping(_) => Some(Kind::Mapping),
        Value::Scalar(scalar) if scalar.is_null() => Some(Kind::Null),
        Value::Scalar(scalar) if scalar.tagged => None,
        Value::Scalar(scalar) if !scalar.is_string() => Some(Kind::Number),
        // The engine's YAML reader knows more numbers, and dates.
        Value::Scalar(scalar) if scalar.plain && scalar.text.starts_with(|c: char| c.is_ascii_digit()) => None,
        Value::Scalar(_) => Some(Kind::Text),
    }
}

/// What the engine makes of an input of that type; `None` where it may be anything.
fn expected(r#type: &str) -> Option<Kind> {
    match r#type {
        "string" => Some(Kind::Text),
        "int" | "double" | "bool" => Some(Kind::Number),
        "list" => Some(Kind::List),
        _ => None,
    }
}

fn can_equal(input: Kind, value: Kind) -> bool {
    input == value
}

/// Writes the value as the type that it is compared with, where it has one there.
fn retype(finding: Finding, dag: Dag<'_>, is: &Yaml, needed: Kind) -> Finding {
    let Some(scalar) = is.scalar() else { return finding };
    let written = match needed {
        Kind::Text if !scalar.is_null() => format!("'{}'", scalar.text),
        Kind::Number => match scalar.text.to_ascii_lowercase().as_str() {
            word @ ("true" | "false") => word.to_owned(),
            number if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => number.to_owned(),
            _ => return finding,
        },
        _ => return finding,
    };
    let help = format!("write `is: {written}`");
    finding.help(help.clone()).fix(Applicability::Unsafe, help, dag.place(is.span), written)
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn by_type_and_by_form() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
inputs:
  s: {type: string, enum: [x, y]}
  n: {type: int}
  o: {type: object}
nodes:
- {name: p, type: prompt, source: {path: p.jinja2}}
- {name: a, type: python, source: {path: p.py}, activate: {when: '${inputs.s}', is: 3}}
#                                                                                   ^ warning[activate-never-met]: `s` is of type `string`: it is never equal to a number or a bool
- {name: b, type: python, source: {path: p.py}, activate: {when: '${inputs.n}', is: 'x'}}
#                                                                                   ^^^ warning[activate-never-met]: `n` is of type `int`: it is never equal to text
- {name: c, type: python, source: {path: p.py}, activate: {when: '${inputs.s}', is: z}}
#                                                                                   ^ warning[activate-never-met]: `z` is not among the values of `s`
- {name: d, type: python, source: {path: p.py}, activate: {when: inputs.s, is: x}}
#                                                                ^^^^^^^^ warning[activate-never-met]: `inputs.s` is text, not a reference: the condition is never met
- {name: e, type: python, source: {path: p.py}, activate: {when: '${inputs.s}', is: '${inputs.n}'}}
#                                                                                   ^^^^^^^^^^^^^ warning[activate-never-met]: `is` is compared as the text `${inputs.n}`: only `when` is a reference
- {name: f, type: python, source: {path: p.py}, activate: {when: '${p.output}', is: true}}
#                                                                                   ^^^^ warning[activate-never-met]: `p` is a prompt: its output is text and never equal to a number or a bool
- {name: g, type: python, source: {path: p.py}, activate: {when: '${inputs.n}', is: true}}
- {name: h, type: python, source: {path: p.py}, activate: {when: '${inputs.o}', is: true}}
- {name: i, type: python, source: {path: p.py}, activate: {when: '${a.output}', is: true}}
- {name: j, type: python, source: {path: p.py}, activate: {when: always, is: always}}
#- p.py
#- p.jinja2
",
        );
    }
}
