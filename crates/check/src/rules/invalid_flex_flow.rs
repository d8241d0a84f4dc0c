use super::invalid_type_name;
use crate::context::Context;
use crate::finding::{Finding, Level};
use crate::rule::{Group, Rule};
use crate::schema::{self, Schema};
use flowgate_flow::project::Presence;
use flowgate_flow::yaml::Entry;

pub(super) const RULE: Rule = Rule {
    name: "invalid-flex-flow",
    group: Group::Siblings,
    level: Level::Error,
    summary: "A `flow.flex.yaml` that the SDK refuses: a key that flex flows do not have, a type that only DAG flows have, a sample of another shape.",
    cases: &[],
    why: "`pf flow test` and `pf run create` check the file against its schema before anything runs, and stop with `ValidationError: {'foo': ['Unknown field.']}`. Inputs and outputs are `string`, `int`, `double`, `bool`, `list` or `object`; `init` takes connections and model configurations as well.",
    bad: "#- flow.flex.yaml\nentry: ask:ask\ninputs:\n  question: {type: string}\nsample:\n  input: {question: Why?}\n#- ask.py\ndef ask(question: str) -> str:\n    return question\n",
    good: "#- flow.flex.yaml\nentry: ask:ask\ninputs:\n  question: {type: string}\nsample:\n  inputs: {question: Why?}\n#- ask.py\ndef ask(question: str) -> str:\n    return question\n",
    fix: Some("Writes the name of the same type (safe), or the most similar name or path (unsafe)."),
    check,
};

const FLOW: [&str; 15] = [
    "$schema",
    "entry",
    "inputs",
    "outputs",
    "init",
    "sample",
    "code",
    "environment",
    "environment_variables",
    "additional_includes",
    "type",
    "language",
    "description",
    "display_name",
    "tags",
];
const INPUT: [&str; 5] = ["type", "description", "default", "is_chat_input", "is_chat_history"];
const OUTPUT: [&str; 4] = ["type", "reference", "description", "is_chat_output"];
const SAMPLE: [&str; 2] = ["inputs", "init"];
const TYPES: [&str; 6] = ["string", "int", "double", "bool", "list", "object"];
/// What `init` takes beside them.
const INIT_TYPES: [&str; 19] = [
    "string",
    "int",
    "double",
    "bool",
    "list",
    "object",
    "AzureOpenAIConnection",
    "OpenAIConnection",
    "QdrantConnection",
    "CognitiveSearchConnection",
    "SerpConnection",
    "AzureContentSafetyConnection",
    "FormRecognizerConnection",
    "WeaviateConnection",
    "ServerlessConnection",
    "AzureAIServicesConnection",
    "CustomConnection",
    "AzureOpenAIModelConfiguration",
    "OpenAIModelConfiguration",
];

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(file) = context.flow_file().filter(|file| file.flow.flex && file.document.is_complete()) else {
        return Vec::new();
    };
    let mut schema = Schema::new(context, file.file, "ValidationError");
    for entry in file.document.root.mapping().unwrap_or(&[]).iter().filter(|entry| !entry.is_merge()) {
        top_level(&mut schema, entry);
    }
    schema.findings
}

fn top_level(schema: &mut Schema<'_>, entry: &Entry) {
    let (Some(key), value) = (entry.key.text(), &entry.value) else { return };
    match key {
        "$schema" | "entry" => {}
        _ if !FLOW.contains(&key) => {
            let finding = schema.refused(entry.key.span, format!("a flex flow has no key `{key}`"));
            let finding = match schema.context.nearest(key, FLOW.into_iter()) {
                Some(_) => schema.nearest(finding, key, &FLOW),
                None => finding.help("remove it"),
            };
            schema.push(finding);
        }
        "inputs" | "outputs" | "init" => {
            if schema.given(key, entry) {
                schema.mapping(key, value);
                value.mapping().unwrap_or(&[]).iter().for_each(|port| self::port(schema, key, port));
            }
        }
        "sample" => {
            if schema.given(key, entry) {
                if !schema::is_resolved(value) {
                    match value.mapping() {
                        Some(_) => schema.known(key, value, &SAMPLE),
                        None => schema
                            .error(schema.first_line(value), format!("`{key}` is a mapping, not {}", value.kind())),
                    }
                }
                schema.references(value);
            }
        }
        "code" => {
            if schema.given(key, entry) {
                schema.text(key, value);
                let fact = value.text().and_then(|path| schema.context.project.paths.get(path));
                if fact.is_some_and(|fact| fact.presence == Presence::Missing) {
                    let finding = schema.refused(value.span, "`code` is not there");
                    schema.push(finding.help("name the folder of the code, relative to this file"));
                }
            }
        }
        _ => schema.base(entry),
    }
}

/// One of the inputs, outputs or parameters of `init`.
fn port(schema: &mut Schema<'_>, section: &str, entry: &Entry) {
    if entry.is_merge() {
        return;
    }
    if !schema::is_text(&entry.key) {
        schema.error(entry.key.span, "a name is text: put it in quotes");
    }
    let name = entry.key.text().unwrap_or("");
    let noun = match section {
        "inputs" => "input",
        "outputs" => "output",
        _ => "parameter",
    };
    let Some(_) = entry.value.mapping() else {
        let message = format!("{noun} `{name}` is {}, not a mapping", entry.value.kind());
        let finding = schema.refused(schema::beside(entry), message);
        schema.push(finding.help("write its type below it: `type: string`"));
        return;
    };
    let keys = if section == "outputs" { &OUTPUT[..] } else { &INPUT };
    for part in entry.value.mapping().unwrap_or(&[]).iter().filter(|part| !part.is_merge()) {
        let (Some(key), value) = (part.key.text(), &part.value) else { continue };
        match key {
            _ if !keys.contains(&key) => {
                let finding = schema.refused(
                    part.key.span,
                    format!("an {noun} of a flex flow has no key `{key}`").replace("an parameter", "a parameter"),
                );
                let finding = schema.nearest(finding, key, keys);
                schema.push(finding);
            }
            "description" | "reference" if schema.given(key, part) => schema.text(key, value),
            _ => {}
        }
    }
    let types = if section == "init" { &INIT_TYPES[..] } else { &TYPES };
    match entry.value.get("type") {
        None => {
            let finding = schema.refused(entry.key.span, format!("{noun} `{name}` has no `type`"));
            schema.push(finding.help(format!("use one of {}", types.join(", "))));
        }
        Some(r#type) => {
            let written = r#type.value.text().filter(|_| schema::is_text(&r#type.value)).unwrap_or("");
            if !types.contains(&written) {
                let message = match written {
                    "" => "`type` is the name of a type".to_owned(),
                    _ => format!("`{written}` is not a type of a flex flow's {noun}"),
                };
                let finding = schema.refused(schema::beside(r#type), message);
                schema.push(invalid_type_name::meant(finding, written, types));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn what_the_schema_refuses() {
        fixture::raises(
            &super::RULE,
            "#- flow.flex.yaml
entry: e:f
name: e
#^^^ error[invalid-flex-flow]: a flex flow has no key `name`
inputs:
  a: {type: image}
#           ^^^^^ error[invalid-flex-flow]: `image` is not a type of a flex flow's input
  b: {type: string, enum: [x]}
#                   ^^^^ error[invalid-flex-flow]: an input of a flex flow has no key `enum`
  c: {default: 1}
# ^ error[invalid-flex-flow]: input `c` has no `type`
  d: string
#    ^^^^^^ error[invalid-flex-flow]: input `d` is a single value, not a mapping
outputs:
#^^^^^^ error[invalid-flex-flow]: `outputs` is empty: give it a value, or leave it out
init:
  c: {type: AzureOpenAIConnection}
  m: {type: OpenAIModelConfiguration}
  x: {type: MyConnection}
#           ^^^^^^^^^^^^ error[invalid-flex-flow]: `MyConnection` is not a type of a flex flow's parameter
sample:
  a: 1
# ^ error[invalid-flex-flow]: `sample` has no key `a`
type: flex
#     ^^^^ error[invalid-flex-flow]: `type` is one of standard, evaluation, chat
code: src
#     ^^^ error[invalid-flex-flow]: `code` is not there
#- e.py
def f(): pass
",
        );
    }

    #[test]
    fn samples_in_files() {
        fixture::raises(
            &super::RULE,
            "#- flow.flex.yaml
entry: e:f
code: .
sample: {inputs: '${file:row.json}', init: '${file:init.json}'}
#                        ^^^^^^^^ error[invalid-flex-flow]: file `row.json` is not there
#- e.py
def f(): pass
#- init.json
{}
",
        );
    }
}
