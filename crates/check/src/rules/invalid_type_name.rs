use crate::context::Context;
use crate::finding::{Finding, Level};
use crate::rule::{Group, Rule};
use crate::suggest;

/// `ValueType` of promptflow 1.18.
pub(super) const TYPES: [&str; 11] = [
    "string",
    "int",
    "double",
    "bool",
    "list",
    "object",
    "image",
    "file_path",
    "secret",
    "prompt_template",
    "assistant_definition",
];

/// Names from Python, JSON Schema and YAML that people write instead.
const MEANT: [(&str, &str); 12] = [
    ("str", "string"),
    ("text", "string"),
    ("integer", "int"),
    ("long", "int"),
    ("float", "double"),
    ("number", "double"),
    ("boolean", "bool"),
    ("array", "list"),
    ("tuple", "list"),
    ("dict", "object"),
    ("map", "object"),
    ("json", "object"),
];

pub(super) const RULE: Rule = Rule {
    name: "invalid-type-name",
    group: Group::Flow,
    level: Level::Error,
    summary: "A flow input or output whose `type` is not one of the engine's.",
    cases: &["python-type-name", "capitalized-type"],
    why: "The engine stops with a bare `ValueError: 'str' is not a valid ValueType`. Names are case-sensitive.",
    bad: "#- flow.dag.yaml\ninputs:\n  text:\n    type: str\n",
    good: "#- flow.dag.yaml\ninputs:\n  text:\n    type: string\n",
    fix: Some("Replaces the name by the engine's name for the same type (safe), or by the most similar one (unsafe)."),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag() else { return Vec::new() };
    let inputs = dag.flow.inputs.iter().filter_map(|input| input.r#type.as_ref());
    let outputs = dag.flow.outputs.iter().filter_map(|output| output.r#type.as_ref());
    let named = inputs.chain(outputs).filter(|name| !TYPES.contains(&name.value.as_str())).map(|name| {
        let at = dag.place(name.span);
        let finding = Finding::error(at, format!("`{}` is not a type", name.value)).engine("ValueError");
        meant(finding, &name.value, &TYPES)
    });
    let yaml =
        dag.flow.inputs.iter().map(|input| &input.yaml).chain(dag.flow.outputs.iter().map(|output| &output.yaml));
    let shapes = yaml.filter_map(|yaml| yaml.get("type")).filter(|entry| entry.value.scalar().is_none()).map(|entry| {
        let message = format!("`type` is {}, not the name of a type", entry.value.kind());
        let help = format!("use one of {}", TYPES.join(", "));
        Finding::error(dag.place(entry.key.span), message).engine("ValueError").help(help)
    });
    named.chain(shapes).collect()
}

/// Adds which of these types was meant.
pub(super) fn meant(finding: Finding, typed: &str, types: &[&'static str]) -> Finding {
    let lower = typed.to_ascii_lowercase();
    let same = |name: &&'static str| *name == lower || MEANT.contains(&(lower.as_str(), *name));
    suggest::name(finding, typed, types.iter().copied().find(same), types)
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn names_are_case_sensitive() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
inputs:
  a: {type: Int}
#           ^^^ error[invalid-type-name]: `Int` is not a type
  b: {type: assistant_definition}
  d: {type: [string]}
#     ^^^^ error[invalid-type-name]: `type` is a list, not the name of a type
outputs:
  c: {type: 'strng', reference: x}
#           ^^^^^^^ error[invalid-type-name]: `strng` is not a type
",
        );
    }

    #[test]
    fn every_fix_names_a_type() {
        let fixed = fixture::fixed(
            "#- flow.dag.yaml\ninputs:\n  a: {type: Int}\n  b: {type: dict}\n  c: {type: 'strng'}\n  d: {type: whatever}\n",
        );
        assert_eq!(
            fixed,
            "#- flow.dag.yaml\ninputs:\n  a: {type: int}\n  b: {type: object}\n  c: {type: string}\n  d: {type: whatever}\n"
        );
    }
}
