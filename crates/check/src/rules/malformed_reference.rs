use crate::context::{Context, Dag};
use crate::finding::{Applicability, Finding, Level};
use crate::rule::{Group, Rule};
use flowgate_flow::yaml::{Node as Yaml, Scalar};

pub(super) const RULE: Rule = Rule {
    name: "malformed-reference",
    group: Group::Graph,
    level: Level::Error,
    summary: "Text that was meant as a reference and is not one for the engine.",
    cases: &[
        "unclosed-reference",
        "double-brace-reference",
        "reference-without-braces",
        "blank-around-reference",
        "two-references",
        "text-around-reference",
    ],
    why: "Only a whole value of the form `${...}` is a reference. Anything else is a literal: the node gets the text `{{inputs.question}}` itself, without any warning.",
    bad: "#- flow.dag.yaml\ninputs:\n  question:\n    type: string\noutputs:\n  answer:\n    type: string\n    reference: ${inputs.question)\n",
    good: "#- flow.dag.yaml\ninputs:\n  question:\n    type: string\noutputs:\n  answer:\n    type: string\n    reference: ${inputs.question}\n",
    fix: Some("Writes the reference that was meant. Unsafe: the text may be meant as it is."),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag() else { return Vec::new() };
    let in_nodes = dag.bodies().flat_map(|node| {
        let condition = node.activate.iter().flat_map(|activate| activate.when.iter());
        node.inputs.iter().map(|(_, value)| value).chain(condition)
    });
    let outputs = dag.flow.outputs.iter().filter_map(|output| output.reference.as_ref());
    in_nodes.chain(outputs).filter_map(|value| judge(context, dag, value)).collect()
}

fn judge(context: &Context<'_>, dag: Dag<'_>, value: &Yaml) -> Option<Finding> {
    let scalar = value.scalar().filter(|s| s.is_string() && !s.block)?;
    let text = scalar.text.as_str();
    let at = dag.place(value.span);
    let known = |body: &str| names_something(context, body);
    let error = |message: &str| Finding::error(at, format!("`{text}` is not a reference: {message}"));
    let meant = |finding: Finding, body: &str| {
        let reference = format!("${{{body}}}");
        finding.help(format!("write `{reference}`")).fix(
            Applicability::Unsafe,
            format!("write `{reference}`"),
            at,
            quoted_like(scalar, dag, value, &reference),
        )
    };
    let trimmed = text.trim();
    let whole =
        |open: &str, close: &str| trimmed.strip_prefix(open).and_then(|rest| rest.strip_suffix(close)).map(str::trim);

    if let Some(body) = whole("${{", "}}").or_else(|| whole("{{", "}}")).filter(|body| known(body)) {
        return Some(meant(error("the engine knows `${...}` only"), body));
    }
    if let Some(rest) = trimmed.strip_prefix("${") {
        if let Some((first, _)) = rest.split_once("}").filter(|(_, more)| more.contains("${")) {
            return Some(
                error("one value holds one reference; join texts in a prompt or a Python node")
                    .help(format!("the engine looks for a node named `{first}}}...`")),
            );
        }
        return match rest.strip_suffix('}') {
            Some(_) if trimmed.len() == text.len() => None,
            Some(body) if known(body) => Some(meant(error("blanks around it make it a literal"), body)),
            Some(_) => None,
            None => {
                let body = rest.trim_end_matches([')', ']', '>', '}', ' ']);
                let closed = rest.contains('}');
                (known(body) && !closed).then(|| meant(error("it does not end with `}`"), body))
            }
        };
    }
    if let Some(body) = trimmed.strip_prefix('$').filter(|body| known(body) && body.contains('.')) {
        return Some(meant(error("the braces are missing"), body));
    }
    let embedded = text
        .split("${")
        .skip(1)
        .filter_map(|rest| rest.split_once('}'))
        .any(|(body, _)| known(body) && body.contains('.'));
    embedded.then(|| {
        let message = format!("`{text}` is a literal: text around a reference is not replaced");
        Finding::new(Level::Warning, at, message)
            .help("pass the reference alone, and join texts in a prompt or a Python node")
    })
}

/// True where the text reads like the body of a reference to something in this flow.
fn names_something(context: &Context<'_>, body: &str) -> bool {
    let plain =
        !body.is_empty() && !body.contains(|c: char| c.is_whitespace() || matches!(c, '{' | '}' | '$' | '|' | '('));
    let node = body.split('.').next().unwrap_or("");
    plain && (body.starts_with("inputs.") || body.starts_with("flow.") || context.node_index(node).is_some())
}

/// The text in the quotes that the value has.
fn quoted_like(scalar: &Scalar, dag: Dag<'_>, value: &Yaml, text: &str) -> String {
    let quote = value.span.slice(dag.text).chars().next().filter(|c| !scalar.plain && matches!(c, '\'' | '"'));
    quote.map_or(text.to_owned(), |quote| format!("{quote}{text}{quote}"))
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    const FLOW: &str = "#- flow.dag.yaml
inputs:
  a: {type: string}
nodes:
- name: n
  type: python
  inputs:
    ok: ${inputs.a}
    money: $5 and ${HOME}
    template: '{{ question }}'
    shell: ${undefined
    b: '{{inputs.a}}'
#      ^^^^^^^^^^^^^^ error[malformed-reference]: `{{inputs.a}}` is not a reference: the engine knows `${...}` only
    c: ${{inputs.a}}
#      ^^^^^^^^^^^^^ error[malformed-reference]: `${{inputs.a}}` is not a reference: the engine knows `${...}` only
    d: \"${inputs.a} \"
#      ^^^^^^^^^^^^^^ error[malformed-reference]: `${inputs.a} ` is not a reference: blanks around it make it a literal
    e: ${inputs.a}${inputs.a}
#      ^^^^^^^^^^^^^^^^^^^^^^ error[malformed-reference]: `${inputs.a}${inputs.a}` is not a reference: one value holds one reference; join texts in a prompt or a Python node
    f: $inputs.a
#      ^^^^^^^^^ error[malformed-reference]: `$inputs.a` is not a reference: the braces are missing
    g: ${inputs.a
#      ^^^^^^^^^^ error[malformed-reference]: `${inputs.a` is not a reference: it does not end with `}`
    h: hello ${inputs.a}!
#      ^^^^^^^^^^^^^^^^^^ warning[malformed-reference]: `hello ${inputs.a}!` is a literal: text around a reference is not replaced
";

    #[test]
    fn what_was_meant_as_a_reference() {
        fixture::raises(&super::RULE, FLOW);
    }

    #[test]
    fn the_fix_keeps_the_quotes() {
        let fixed = fixture::fixed(FLOW);
        for line in [
            "    b: '${inputs.a}'",
            "    c: ${inputs.a}",
            "    d: \"${inputs.a}\"",
            "    f: ${inputs.a}",
            "    g: ${inputs.a}",
        ] {
            assert!(fixed.lines().any(|l| l == line), "{line}\n{fixed}");
        }
    }
}
