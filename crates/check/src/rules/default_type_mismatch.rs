use crate::context::Context;
use crate::finding::{Applicability, Finding, Level};
use crate::rule::{Group, Rule};
use flowgate_flow::yaml::{Node as Yaml, Scalar};

pub(super) const RULE: Rule = Rule {
    name: "default-type-mismatch",
    group: Group::Flow,
    level: Level::Error,
    summary: "A flow input's default that cannot be read as the input's type.",
    cases: &[],
    why: "The flow loads, and each run that takes the default fails (`InputTypeError`, `InputParseError`, or `LoadMultimediaDataError` for an image). The engine reads a `bool` from `true` and `false` only, and a `list` from a list or from JSON text.",
    bad: "#- flow.dag.yaml\ninputs:\n  stream:\n    type: bool\n    default: 'yes'\noutputs:\n  out:\n    type: bool\n    reference: ${inputs.stream}\n",
    good: "#- flow.dag.yaml\ninputs:\n  stream:\n    type: bool\n    default: true\noutputs:\n  out:\n    type: bool\n    reference: ${inputs.stream}\n",
    fix: Some("Writes `yes`, `no`, `on`, `off`, 1 and 0 as a bool. Unsafe: another type may be meant."),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag() else { return Vec::new() };
    let mut findings = Vec::new();
    for input in &dag.flow.inputs {
        let (Some(r#type), Some(default)) = (&input.r#type, &input.default) else { continue };
        let fits = match r#type.value.as_str() {
            "int" => number(default, is_python_int, false),
            "double" => number(default, is_python_float, true),
            "bool" => boolean(default),
            "list" => list(default),
            "image" => image(default),
            // Any value can be text, and the engine leaves the other types as they are.
            _ => true,
        };
        if default.is_null() || fits || default.scalar().is_some_and(|scalar| is_template(&scalar.text)) {
            continue;
        }
        let at = dag.place(if default.span.is_empty() { input.name.span } else { default.span });
        let message = format!("the default of `{}` is no `{}`", input.name.value, r#type.value);
        let finding = Finding::error(at, message).related(dag.place(r#type.span), "its type");
        findings.push(match (r#type.value.as_str(), default.scalar().and_then(meant_bool)) {
            ("bool", Some(meant)) => {
                let help = format!("write `{meant}`");
                finding.help(help.clone()).fix(Applicability::Unsafe, help, at, meant)
            }
            (name, _) => finding.help(help(name)),
        });
    }
    findings
}

fn help(r#type: &str) -> &'static str {
    match r#type {
        "bool" => "write `true` or `false`",
        "list" => "write a list, or a text that is a list in JSON",
        "image" => "write the path or the URL of an image, or leave the default out",
        _ => "write a number, or leave the default out",
    }
}

/// A text that something else fills in before the engine sees it.
fn is_template(text: &str) -> bool {
    ["${", "{{", "@@", "<%"].iter().any(|mark| text.contains(mark))
}

fn number(value: &Yaml, is_text_of_it: fn(&str) -> bool, infinite: bool) -> bool {
    let Some(scalar) = value.scalar() else { return false };
    if scalar.as_bool().is_some() {
        return true;
    }
    if scalar.is_string() {
        return is_text_of_it(&scalar.text) || is_number_of_yaml(scalar);
    }
    infinite || !scalar.text.trim_start_matches(['+', '-']).starts_with(".i") && !is_not_a_number(&scalar.text)
}

fn is_not_a_number(text: &str) -> bool {
    matches!(text, ".nan" | ".NaN" | ".NAN") || matches!(text.trim_start_matches(['+', '-']), ".Inf" | ".INF")
}

/// Numbers that the engine's YAML reader knows and YAML 1.2 does not: `0b11`, `1_000`.
fn is_number_of_yaml(scalar: &Scalar) -> bool {
    let digits = scalar.text.trim_start_matches(['+', '-']);
    scalar.plain
        && digits.starts_with(|c: char| c.is_ascii_digit())
        && (digits.contains('_') || digits.starts_with("0b"))
}

/// What Python's `int` takes: digits with single underscores between them.
fn is_python_int(text: &str) -> bool {
    let text = text.trim();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    digits.split('_').all(|part| !part.is_empty() && part.chars().all(char::is_numeric))
}

/// What Python's `float` takes.
fn is_python_float(text: &str) -> bool {
    let text = text.trim();
    // Rust takes the same words for infinity, and no underscores.
    is_python_int(text) || text.replace('_', "").parse::<f64>().is_ok()
}

fn boolean(value: &Yaml) -> bool {
    value.scalar().is_some_and(|scalar| {
        scalar.as_bool().is_some()
            || scalar.is_string() && ["true", "false"].iter().any(|word| scalar.text.eq_ignore_ascii_case(word))
    })
}

fn list(value: &Yaml) -> bool {
    let Some(scalar) = value.scalar() else { return value.sequence().is_some() };
    let text = scalar.text.trim();
    // Python also reads what JSON does not know, and nests deeper.
    let beyond = text.contains("NaN") || text.contains("Infinity") || text.matches('[').count() > 100;
    let is_list = text.starts_with('[') && text.ends_with(']');
    scalar.is_string() && is_list && (beyond || serde_json::from_str::<Vec<serde::de::IgnoredAny>>(text).is_ok())
}

/// A mapping or a list may hold an image in a form of its own.
fn image(value: &Yaml) -> bool {
    value.scalar().is_none_or(|scalar| scalar.is_string() && !scalar.text.is_empty())
}

fn meant_bool(scalar: &Scalar) -> Option<&'static str> {
    match scalar.text.to_ascii_lowercase().as_str() {
        "yes" | "on" | "y" | "1" => Some("true"),
        "no" | "off" | "n" | "0" => Some("false"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn as_the_engine_coerces() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
inputs:
  a: {type: int, default: '1.5'}
#                         ^^^^^ error[default-type-mismatch]: the default of `a` is no `int`
  b: {type: int, default: .nan}
#                         ^^^^ error[default-type-mismatch]: the default of `b` is no `int`
  c: {type: double, default: ''}
#                            ^^ error[default-type-mismatch]: the default of `c` is no `double`
  d: {type: bool, default: 1}
#                          ^ error[default-type-mismatch]: the default of `d` is no `bool`
  e: {type: list, default: \"['a']\"}
#                          ^^^^^^^ error[default-type-mismatch]: the default of `e` is no `list`
  f: {type: list, default: {a: 1}}
#                          ^^^^^^ error[default-type-mismatch]: the default of `f` is no `list`
  g: {type: image, default: 3}
#                           ^ error[default-type-mismatch]: the default of `g` is no `image`
  h: {type: int, default: 2020-01-01}
#                         ^^^^^^^^^^ error[default-type-mismatch]: the default of `h` is no `int`
",
        );
    }

    #[test]
    fn what_the_engine_converts() {
        let fine: [(&str, &[&str]); 7] = [
            ("int", &["1.5", "1e3", "true", "'1'", "' 1 '", "'1_000'", "1_000", "0x1F", "0b11", "0o7", "", "'${x}'"]),
            ("double", &["1", "'1.5'", ".nan", ".inf", "'inf'", "'Infinity'", "'1e3'", "'-1_0.5'", "True"]),
            ("bool", &["true", "'TRUE'", "False"]),
            ("list", &["[]", "'[1]'", "' [1, {}] '", "'[NaN]'"]),
            ("image", &["a.png", "{}", "[]"]),
            ("string", &["1", "[]", "{}", "true"]),
            ("object", &["1", "text", "[]"]),
        ];
        for (r#type, values) in fine {
            for value in values {
                let flow = format!("#- flow.dag.yaml\ninputs:\n  i: {{type: {type}, default: {value}}}\n");
                fixture::raises(&super::RULE, &flow);
            }
        }
    }
}
