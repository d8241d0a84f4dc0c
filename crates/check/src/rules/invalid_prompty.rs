use super::invalid_type_name;
use crate::context::Context;
use crate::finding::{Applicability, Finding, Level};
use crate::rule::{Group, Rule};
use crate::schema::{self, Schema};
use crate::suggest;
use flowgate_flow::project::PromptyFile;
use flowgate_flow::prompty::Fault;
use flowgate_flow::yaml::{Entry, Node};
use flowgate_flow::{Span, ValueType};

pub(super) const RULE: Rule = Rule {
    name: "invalid-prompty",
    group: Group::Siblings,
    level: Level::Error,
    summary: "A prompty that promptflow cannot load or call: its lines of dashes, its model, its inputs, its sample.",
    cases: &[],
    why: "The front matter stands between two lines of `---` with nothing else on them (`Illegal formatting of prompty`). `model` needs `configuration` and `parameters`, and has no other keys than these, `api` and `response`: a bare `TypeError` without a place. A hint where the code that loads the prompty may give what is missing. A warning where only `pf run create` minds, where an extension may know a type that promptflow does not, or where a value is taken for another one: every `api` but `completion` counts as `chat`.",
    bad: "#- ask.prompty\n---\nname: Ask\nmodel:\n  api: chat\n  configuration:\n    type: azure_open_ai\n    azure_deployment: gpt-4\n  parameters:\n    max_tokens: 128\ninputs:\n  question: {type: string}\n---\nuser:\n{{ question }}\n",
    good: "#- ask.prompty\n---\nname: Ask\nmodel:\n  api: chat\n  configuration:\n    type: azure_openai\n    azure_deployment: gpt-4\n  parameters:\n    max_tokens: 128\ninputs:\n  question: {type: string}\n---\nuser:\n{{ question }}\n",
    fix: Some("Writes the most similar name or path (unsafe), or cuts a line of dashes to what it must be (safe)."),
    check,
};

const MODEL: [&str; 4] = ["api", "configuration", "parameters", "response"];
const APIS: [&str; 2] = ["chat", "completion"];
const RESPONSES: [&str; 2] = ["first", "all"];
const PROVIDERS: [&str; 2] = ["azure_openai", "openai"];
/// What the SDK takes for the same.
const OTHER_PROVIDERS: [&str; 2] = ["AzureOpenAI", "OpenAI"];
/// What may stand beside `connection`.
const BESIDE_CONNECTION: [&str; 4] = ["type", "connection", "model", "azure_deployment"];

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(file) = &context.project.prompty else { return Vec::new() };
    let mut checker = Checker { file, schema: Schema::new(context, file.file, "ValidationError") };
    if context.project.file(file.file).is_some_and(|file| file.unreadable.is_some()) {
        return Vec::new();
    }
    checker.dashes(context.project.text(file.file));
    if file.prompty.fault.is_none() && file.prompty.document.is_complete() {
        checker.front_matter();
    }
    checker.schema.findings
}

struct Checker<'p> {
    file: &'p PromptyFile,
    schema: Schema<'p>,
}

impl Checker<'_> {
    fn dashes(&mut self, text: &str) {
        let schema = &mut self.schema;
        let Some(fault) = self.file.prompty.fault else { return };
        let finding = match fault {
            Fault::Missing => {
                let line = text.lines().next().map_or(0, str::len);
                let finding = schema.refused(Span::new(0, line), "there is no front matter between two lines of `---`");
                finding
                    .engine("UserErrorException")
                    .help("write `---`, the model and the inputs, `---`, and then the prompt")
            }
            Fault::Followed(span) => {
                let at = schema.place(span);
                let finding = schema.refused(span, "a space behind `---` makes it a line of text");
                let remove = "remove what stands behind the dashes";
                finding.engine("UserErrorException").help(remove).fix(Applicability::Safe, remove, at, "")
            }
            Fault::TooLong(span) => {
                let at = schema.place(span);
                let finding = schema.refused(span, "the front matter ends with more than three dashes");
                finding.engine("YAMLError").help("write `---`").fix(Applicability::Safe, "write `---`", at, "---")
            }
            Fault::Further(span) => {
                let message =
                    "the last line that ends with `---` counts as the end of the front matter, and this is one more";
                schema
                    .refused(span, message)
                    .engine("YAMLError")
                    .help("write `***` for a ruler, or end the line otherwise")
            }
        };
        schema.push(finding);
    }

    fn front_matter(&mut self) {
        let root = &self.file.prompty.document.root;
        let Some(entries) = root.mapping() else {
            let finding = self
                .schema
                .refused(Span::empty(root.span.start), format!("the front matter is {}, not a mapping", root.kind()));
            self.schema.push(finding.engine("AttributeError"));
            return;
        };
        if root.get("model").is_none() {
            let at = entries.first().map_or(Span::empty(0), |entry| entry.key.span);
            self.missing(at, "the prompty has no `model`");
        }
        for entry in entries {
            match entry.key.text() {
                Some("model") => self.model(entry),
                Some(key @ ("inputs" | "outputs")) => self.ports(key, entry),
                Some("sample") => self.sample(&entry.value),
                _ => self.schema.base(entry),
            }
        }
        self.schema.references(root);
    }

    /// What code may give that loads the prompty.
    fn missing(&mut self, at: Span, message: &str) {
        let finding = Finding::new(Level::Hint, self.schema.place(at), message);
        self.schema.push(finding.help("give it, unless the code that loads the prompty does: `model=...`"));
    }

    fn model(&mut self, entry: &Entry) {
        let (model, schema) = (&entry.value, &mut self.schema);
        if schema::is_resolved(model) {
            return;
        }
        let Some(entries) = model.mapping() else {
            let message = format!("`model` is a mapping, not {}", model.kind());
            let finding = schema.refused(schema::beside(entry), message).engine("AttributeError");
            return schema.push(finding);
        };
        for part in entries.iter().filter(|part| !part.is_merge()) {
            let (Some(key), value) = (part.key.text(), &part.value) else { continue };
            let text = value.text().filter(|text| !text.starts_with("${"));
            match key {
                "api" => {
                    if let Some(text) = text.filter(|text| !APIS.contains(text)) {
                        let finding =
                            schema.warning(value.span, format!("there is no API `{text}`: it counts as `chat`"));
                        schema.push(suggest::name(finding, text, None, &APIS));
                    }
                }
                "response" => {
                    if let Some(text) = text.filter(|text| !RESPONSES.contains(text)) {
                        let finding =
                            schema.warning(value.span, format!("there is no response `{text}`: it counts as `first`"));
                        schema.push(suggest::name(finding, text, None, &RESPONSES));
                    }
                }
                "configuration" | "parameters" if schema::is_resolved(value) => {}
                "configuration" | "parameters" if value.mapping().is_none() => {
                    let message = format!("`{key}` is a mapping, not {}", value.kind());
                    let finding = schema.refused(schema::beside(part), message).engine("TypeError");
                    schema.push(if key == "parameters" && value.is_null() {
                        finding.help("write `parameters: {}`")
                    } else {
                        finding
                    });
                }
                _ if !MODEL.contains(&key) => {
                    let finding =
                        schema.refused(part.key.span, format!("`model` has no key `{key}`")).engine("TypeError");
                    let finding = schema.nearest(finding, key, &MODEL);
                    schema.push(finding);
                }
                _ => {}
            }
        }
        for key in ["configuration", "parameters"] {
            if model.get(key).is_none() {
                self.missing(entry.key.span, &format!("`model` has no `{key}`"));
            }
        }
        if let Some(configuration) = model.get("configuration") {
            self.configuration(configuration);
        }
    }

    fn configuration(&mut self, entry: &Entry) {
        let (configuration, schema) = (&entry.value, &mut self.schema);
        let Some(entries) = configuration.mapping() else { return };
        let given = |key: &str| configuration.get(key).filter(|entry| entry.value.is_truthy());
        let connection = given("connection");
        if let Some(connection) = connection {
            let other = entries.iter().find(|entry| {
                entry.value.is_truthy() && entry.key.text().is_some_and(|key| !BESIDE_CONNECTION.contains(&key))
            });
            if let Some(other) = other.filter(|other| !other.is_merge()) {
                let message = format!("`{}` cannot stand beside `connection`", other.key.text().unwrap_or(""));
                let finding = schema.refused(other.key.span, message).engine("InvalidConnectionError");
                let at = schema.place(connection.key.span);
                schema.push(finding.help("the connection holds it: keep one of the two").related(at, "the connection"));
            }
        } else {
            match configuration.get("type") {
                None => {
                    let message = "`configuration` has neither `type` nor `connection`";
                    let finding = schema.warning(entry.key.span, message).engine("UnknownConnectionType");
                    schema.push(finding.help("write `type: azure_openai` or `type: openai`"));
                }
                Some(r#type) if schema::is_resolved(&r#type.value) => {}
                Some(r#type) => {
                    let name = r#type.value.text().unwrap_or("");
                    if !PROVIDERS.contains(&name) && !OTHER_PROVIDERS.contains(&name) {
                        let message = "promptflow knows the types `azure_openai` and `openai`";
                        let at = schema::beside(r#type);
                        // Extensions bring types of their own; nobody calls one almost like these.
                        let finding = match schema.context.nearest(name, PROVIDERS.into_iter()) {
                            Some(_) => schema.refused(at, message),
                            None => schema.warning(at, message),
                        };
                        let finding = finding.engine("UnknownConnectionType");
                        schema.push(suggest::name(finding, name, None, &PROVIDERS));
                        return;
                    }
                }
            }
        }
        if given("azure_deployment").or(given("model")).is_none() {
            let message = "`configuration` names no model: it has neither `azure_deployment` nor `model`";
            let finding = schema.warning(entry.key.span, message);
            schema.push(finding.help("write `azure_deployment: NAME` for Azure OpenAI, `model: NAME` for OpenAI"));
        }
    }

    /// `inputs` or `outputs`. Types are read by `pf run create` alone.
    fn ports(&mut self, key: &str, entry: &Entry) {
        let schema = &mut self.schema;
        if schema::is_resolved(&entry.value) || (key == "inputs" && !schema.given(key, entry)) {
            return;
        }
        let Some(ports) = entry.value.mapping() else {
            if !entry.value.is_null() {
                schema.mapping(key, &entry.value);
            }
            return;
        };
        for port in ports.iter().filter(|port| !port.is_merge() && !schema::is_resolved(&port.value)) {
            let noun = key.trim_end_matches('s');
            let name = port.key.text().unwrap_or("");
            if port.value.mapping().is_none() {
                let message = format!("{noun} `{name}` is {}, not a mapping", port.value.kind());
                let finding = match key {
                    "inputs" => schema.refused(schema::beside(port), message).engine("AttributeError"),
                    _ => schema.warning(schema::beside(port), message),
                };
                schema.push(finding.help("write `type: TYPE` below it"));
                continue;
            }
            match port.value.get("type") {
                None => {
                    let message = format!("{noun} `{name}` has no `type`: `pf run create` stops with `KeyError`");
                    schema.push(schema.warning(port.key.span, message));
                }
                Some(r#type) => {
                    let written = r#type.value.text().unwrap_or("");
                    if ValueType::of(written).is_none() && !schema::is_resolved(&r#type.value) {
                        let message = format!("`{written}` is not a type: `pf run create` stops with `ValueError`");
                        let finding = schema.warning(schema::beside(r#type), message);
                        schema.push(invalid_type_name::meant(finding, written, &invalid_type_name::TYPES));
                    }
                }
            }
        }
    }

    fn sample(&mut self, value: &Node) {
        let inputs = &self.file.prompty.inputs;
        if let Some(entry) = value.get("inputs").filter(|entry| entry.value.mapping().is_some()) {
            let declared = inputs.iter().any(|input| input.name.value == "inputs");
            if !declared && value.mapping().is_some_and(|entries| entries.len() == 1) {
                let message = "the sample of a prompty holds its inputs; `inputs` counts as the name of one";
                let finding = self.schema.warning(entry.key.span, message);
                self.schema.push(finding.help("write the inputs in its place"));
            }
        }
        let is_json = |text: &str| {
            text.ends_with(".json") || (text.starts_with("${") && text.ends_with('}') && !text.ends_with(".txt}"))
        };
        let fits = value.mapping().is_some() || !value.is_truthy() || value.text().is_some_and(is_json);
        if !fits {
            let finding =
                self.schema.refused(self.schema.first_line(value), "a sample is a mapping, or the path of a JSON file");
            self.schema.push(finding.engine("InvalidSampleError").help("write `${file:NAME.json}`"));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    const MODEL: &str = "model: {configuration: {type: openai, model: gpt-4}, parameters: {}}";

    #[test]
    fn lines_of_dashes() {
        fixture::raises(
            &super::RULE,
            "#- p.prompty
system:
#^^^^^^ error[invalid-prompty]: there is no front matter between two lines of `---`
hi
",
        );
        let text = format!("#- p.prompty\n--- \n{MODEL}\n---\nsystem:\n");
        assert_eq!(fixture::fixed_by(&super::RULE, &text), text.replace("--- \n", "---\n"));
        let text = format!("#- p.prompty\n---\n{MODEL}\n-----\nsystem:\n");
        assert_eq!(fixture::fixed_by(&super::RULE, &text), text.replace("-----", "---"));
        fixture::raises(
            &super::RULE,
            &format!(
                "#- p.prompty
---
{MODEL}
---
system:
a
---
#^^ error[invalid-prompty]: the last line that ends with `---` counts as the end of the front matter, and this is one more
b
"
            ),
        );
    }

    #[test]
    fn the_model() {
        fixture::raises(
            &super::RULE,
            "#- p.prompty
---
name: p
model:
#^^^^ hint[invalid-prompty]: `model` has no `parameters`
  api: chta
#      ^^^^ warning[invalid-prompty]: there is no API `chta`: it counts as `chat`
  response: one
#           ^^^ warning[invalid-prompty]: there is no response `one`: it counts as `first`
  paramters: {}
# ^^^^^^^^^ error[invalid-prompty]: `model` has no key `paramters`
  configuration:
# ^^^^^^^^^^^^^ warning[invalid-prompty]: `configuration` names no model: it has neither `azure_deployment` nor `model`
    connection: c
    api_key: ${env:KEY}
#   ^^^^^^^ error[invalid-prompty]: `api_key` cannot stand beside `connection`
---
system:
hi
",
        );
        fixture::raises(
            &super::RULE,
            "#- p.prompty
---
tags: {a: 1}
#^^^ hint[invalid-prompty]: the prompty has no `model`
#         ^ error[invalid-prompty]: a value of `tags` is text, not a number
---
system:
hi
",
        );
    }

    #[test]
    fn inputs_and_sample() {
        fixture::raises(
            &super::RULE,
            &format!(
                "#- p.prompty
---
{MODEL}
inputs:
  a: string
#    ^^^^^^ error[invalid-prompty]: input `a` is a single value, not a mapping
  b: {{type: str}}
#           ^^^ warning[invalid-prompty]: `str` is not a type: `pf run create` stops with `ValueError`
  c: {{default: 1}}
# ^ warning[invalid-prompty]: input `c` has no `type`: `pf run create` stops with `KeyError`
sample: ${{file:rows.json}}
#              ^^^^^^^^^ error[invalid-prompty]: file `rows.json` is not there
---
system:
{{{{ a }}}}{{{{ b }}}}{{{{ c }}}}
"
            ),
        );
        fixture::raises(
            &super::RULE,
            &format!("#- p.prompty\n---\n{MODEL}\nsample: ${{file:rows.json}}\n---\nsystem:\nhi\n#- rows.json\n{{}}\n"),
        );
    }
}
