//! `${...}` references, read exactly as the engine reads them (`InputAssignment.deserialize` of
//! promptflow 1.18): only a whole string is a reference, anything else is a literal.

use crate::span::{Span, Spanned};
use crate::yaml::Node;

/// What a reference names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// `${inputs.x}` or its older form `${flow.x}`: a flow input, by everything after the dot.
    FlowInput {
        /// The input's name.
        name: Spanned<String>,
    },
    /// `${node}`, `${node.output}` or `${node.output.property}`.
    Node {
        /// The node's name.
        name: Spanned<String>,
        /// The second part, `output` where absent.
        section: Spanned<String>,
        /// What follows the second dot, or `""`.
        property: Spanned<String>,
    },
}

/// Reads a YAML value as the engine does; `None` for a literal.
///
/// Spans are exact where the text in the file is the text that YAML gives (no escapes); otherwise
/// every part gets the span of the whole value.
pub fn parse(node: &Node, text: &str) -> Option<Reference> {
    let scalar = node.scalar()?;
    let body = scalar.text.strip_prefix("${").filter(|_| scalar.text.len() > 2)?.strip_suffix('}')?;
    if !scalar.is_string() {
        return None;
    }
    let written = node.span.slice(text);
    // At once or after a quote, but for a block.
    let near = [0, 1].into_iter().find(|at| written.get(*at..).is_some_and(|rest| rest.starts_with(&scalar.text)));
    let at = near.or_else(|| written.find(&scalar.text)).map(|offset| node.span.start + offset + 2);
    let part = |value: &str, offset: usize| {
        let span = at.map_or(node.span, |at| Span::new(at + offset, at + offset + value.len()));
        Spanned::new(value.to_owned(), span)
    };
    for prefix in ["inputs.", "flow."] {
        if let Some(name) = body.strip_prefix(prefix) {
            return Some(Reference::FlowInput { name: part(name, prefix.len()) });
        }
    }
    let Some((name, rest)) = body.split_once('.') else {
        return Some(Reference::Node {
            name: part(body, 0),
            section: part_at_end("output", &part(body, 0)),
            property: part_at_end("", &part(body, 0)),
        });
    };
    let rest_at = name.len() + 1;
    let (section, property) = rest.split_once('.').unwrap_or((rest, ""));
    let property_at = (rest_at + section.len() + 1).min(body.len());
    Some(Reference::Node {
        name: part(name, 0),
        section: part(section, rest_at),
        property: part(property, property_at),
    })
}

fn part_at_end(value: &str, name: &Spanned<String>) -> Spanned<String> {
    Spanned::new(value.to_owned(), Span::empty(name.span.end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    fn read(value: &str) -> Option<String> {
        let text = format!("x: {value}\n");
        let document = yaml::read(&text);
        let node = &document.root.get("x").unwrap().value;
        parse(node, &text).map(|reference| match reference {
            Reference::FlowInput { name } => {
                assert_eq!(name.span.slice(&text), name.value);
                format!("input {}", name.value)
            }
            Reference::Node { name, section, property } => {
                assert_eq!(name.span.slice(&text), name.value);
                format!("node {} / {} / {}", name.value, section.value, property.value)
            }
        })
    }

    #[test]
    fn what_the_engine_takes_for_a_reference() {
        for (value, expected) in [
            ("${inputs.text}", "input text"),
            ("'${inputs.a.b}'", "input a.b"),
            ("${flow.text}", "input text"),
            ("${fetch}", "node fetch / output / "),
            ("${fetch.output}", "node fetch / output / "),
            ("${fetch.output.f[0].g}", "node fetch / output / f[0].g"),
            ("${fetch.output[0]}", "node fetch / output[0] / "),
            ("\"${a}${b}\"", "node a}${b / output / "),
            ("${}", "node  / output / "),
        ] {
            assert_eq!(read(value).as_deref(), Some(expected), "{value}");
        }
    }

    #[test]
    fn what_the_engine_takes_for_a_literal() {
        for value in
            ["text ${inputs.a}", "'${inputs.a} '", "'{{inputs.a}}'", "$inputs.a", "${inputs.a", "[1]", "3", "", "${"]
        {
            assert_eq!(read(value), None, "{value}");
        }
    }
}
