//! What the engine makes of a value where a type is declared (`ValueType.parse` of promptflow 1.18).

use crate::finding::{Applicability, Finding};
use flowgate_flow::value_type::ValueType;
use flowgate_flow::yaml::{Node as Yaml, Scalar};

/// False where the engine cannot convert the value to that type.
pub(crate) fn may_become(value: &Yaml, r#type: ValueType) -> bool {
    let fits = match r#type {
        ValueType::Int => number(value, is_python_int, false),
        ValueType::Double => number(value, is_python_float, true),
        ValueType::Bool => boolean(value),
        ValueType::List => list(value),
        ValueType::Image => image(value),
        // Any value can be text, and the engine leaves the other types as they are.
        _ => true,
    };
    fits || value.scalar().is_some_and(|scalar| is_template(&scalar.text))
}

/// Adds what to write instead to the finding on a value; the finding's place is the value's.
pub(crate) fn mend(finding: Finding, value: &Yaml, r#type: ValueType) -> Finding {
    match (r#type, value.scalar().and_then(meant_bool)) {
        (ValueType::Bool, Some(meant)) => {
            let help = format!("write `{meant}`");
            let at = finding.at;
            finding.help(help.clone()).fix(Applicability::Unsafe, help, at, meant)
        }
        (ValueType::Bool, None) => finding.help("write `true` or `false`"),
        (ValueType::List, _) => finding.help("write a list, or a text that is a list in JSON"),
        (ValueType::Image, _) => finding.help("write the path or the URL of an image, or leave it out"),
        _ => finding.help("write a number, or leave it out"),
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
