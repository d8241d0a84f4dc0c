use crate::context::Context;
use crate::finding::{Finding, Level};
use crate::rule::{Group, Rule};
use crate::suggest;

/// `MessageFormatType` of promptflow 1.18; the engine ignores case.
const FORMATS: [&str; 2] = ["basic", "openai-vision"];

pub(super) const RULE: Rule = Rule {
    name: "invalid-message-format",
    group: Group::Flow,
    level: Level::Error,
    summary: "A `message_format` that the engine does not know.",
    cases: &[],
    why: "The engine refuses the flow (`InvalidMessageFormatType`).",
    bad: "#- flow.dag.yaml\nmessage_format: openai_vision\n",
    good: "#- flow.dag.yaml\nmessage_format: openai-vision\n",
    fix: Some("Writes the most similar format. Unsafe: the other one may be meant."),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag() else { return Vec::new() };
    let root = context.flow_file().map(|file| &file.document.root);
    let Some(value) = root.and_then(|root| root.get("message_format")).map(|entry| &entry.value) else {
        return Vec::new();
    };
    if !value.is_truthy() {
        return Vec::new();
    }
    let at = dag.place(value.span);
    match value.scalar().filter(|scalar| scalar.is_string()) {
        Some(scalar) if FORMATS.iter().any(|format| scalar.text.eq_ignore_ascii_case(format)) => Vec::new(),
        Some(scalar) => {
            let message = format!("`{}` is not a message format", scalar.text);
            let finding = Finding::error(at, message).engine("InvalidMessageFormatType");
            vec![suggest::name(finding, &scalar.text, None, &FORMATS)]
        }
        None => {
            let message = format!("`message_format` is {}, not text", value.kind());
            let help = format!("use one of {}", FORMATS.join(", "));
            vec![Finding::error(at, message).engine("AttributeError").help(help)]
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn two_formats_in_any_case() {
        fixture::raises(&super::RULE, "#- flow.dag.yaml\nmessage_format: OpenAI-Vision\n");
        fixture::raises(&super::RULE, "#- flow.dag.yaml\nmessage_format:\n");
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
message_format: [basic]
#               ^^^^^^^ error[invalid-message-format]: `message_format` is a list, not text
",
        );
    }
}
