use crate::context::{Context, Dag};
use crate::finding::{Applicability, Finding, Level};
use crate::rule::{Group, Rule};
use flowgate_flow::Span;
use flowgate_flow::model::Input;
use flowgate_flow::yaml::{Node, Value};

pub(super) const RULE: Rule = Rule {
    name: "missing-type",
    group: Group::Flow,
    level: Level::Error,
    summary: "A flow input or output without `type`.",
    cases: &["input-without-type", "output-without-type"],
    why: "The engine stops with a bare `KeyError: 'type'` that names neither the file nor the input.",
    bad: "#- flow.dag.yaml\ninputs:\n  limit:\n    default: 3\n",
    good: "#- flow.dag.yaml\ninputs:\n  limit:\n    type: int\n    default: 3\n",
    fix: Some(
        "Adds the type of the input's default value. Unsafe: the default may not show the type that was meant. An input without a default, and an output, have none.",
    ),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag().filter(|dag| dag.flow.complete) else { return Vec::new() };
    let inputs = dag.flow.inputs.iter().filter(|i| i.r#type.is_none() && absent(&i.yaml)).map(|input| {
        let finding = Finding::error(dag.place(input.name.span), format!("input `{}` has no `type`", input.name.value))
            .engine(class(&input.yaml));
        add_type(dag, input, finding.help("add `type: string` (or int, double, bool, list, object, image, ...)"))
    });
    let outputs = dag.flow.outputs.iter().filter(|o| o.r#type.is_none() && absent(&o.yaml)).map(|output| {
        let message = format!("output `{}` has no `type`", output.name.value);
        Finding::error(dag.place(output.name.span), message)
            .engine(class(&output.yaml))
            .help("add `type: string` (or int, double, bool, list, object, image, ...)")
    });
    inputs.chain(outputs).collect()
}

/// True where the mapping has no `type`, or one without a value.
fn absent(yaml: &Node) -> bool {
    yaml.mapping().is_some() && yaml.get("type").is_none_or(|entry| entry.value.is_null())
}

/// The engine tells an absent key from one without a value.
fn class(yaml: &Node) -> &'static str {
    if yaml.get("type").is_some() { "ValueError" } else { "KeyError" }
}

/// Adds `type: T` in front of a default that stands on a line of its own.
fn add_type(dag: Dag<'_>, input: &Input, finding: Finding) -> Finding {
    let Some((default, r#type)) = input.default.as_ref().and_then(|default| Some((default, type_of(default)?))) else {
        return finding;
    };
    let before = dag.text.get(..default.span.start).unwrap_or("");
    let line_start = before.rfind('\n').map_or(0, |n| n + 1);
    let line = before.get(line_start..).unwrap_or("");
    let indent = &line[..line.len() - line.trim_start().len()];
    if !line.trim_start().starts_with("default") || line_start < input.name.span.end {
        return finding;
    }
    let text = format!("{indent}type: {}\n", r#type);
    finding.fix(Applicability::Unsafe, format!("add `type: {}`", r#type), dag.place(Span::empty(line_start)), text)
}

fn type_of(default: &Node) -> Option<&'static str> {
    match &*default.value {
        Value::Sequence(_) => Some("list"),
        Value::Mapping(_) => Some("object"),
        Value::Scalar(scalar) if scalar.is_null() => None,
        Value::Scalar(scalar) if scalar.as_bool().is_some() => Some("bool"),
        Value::Scalar(scalar) if scalar.is_string() => Some("string"),
        Value::Scalar(scalar) if scalar.text.parse::<i64>().is_ok() => Some("int"),
        Value::Scalar(_) => Some("double"),
    }
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn inputs_and_outputs() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
inputs:
  a: {}
# ^ error[missing-type]: input `a` has no `type`
  b:
    type:
# ^ error[missing-type]: input `b` has no `type`
outputs:
  c: {reference: x}
# ^ error[missing-type]: output `c` has no `type`
"
            .replace("    type:\n# ^ error[missing-type]: input `b`", "# ^ error[missing-type]: input `b`")
            .replace("has no `type`\noutputs", "has no `type`\n    type:\noutputs")
            .as_str(),
        );
    }

    #[test]
    fn silent_where_a_line_could_not_be_read() {
        fixture::raises_of_all_rules(
            "#- flow.dag.yaml
inputs:
  a:
    type: \"int\" 'x'
#               ^ error[yaml-syntax]: invalid trailing content after double-quoted scalar
    default: 1
",
        );
    }
}
