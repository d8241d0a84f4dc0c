use crate::context::Context;
use crate::finding::{Finding, Level};
use crate::rule::{Group, Rule};
use crate::schema::{self, Schema};
use crate::suggest;
use flowgate_flow::Span;
use flowgate_flow::connection::{ApiKey, ConnectionType, TYPES};
use flowgate_flow::project::ConnectionFile;
use flowgate_flow::yaml::Entry;

pub(super) const RULE: Rule = Rule {
    name: "invalid-connection",
    group: Group::Siblings,
    level: Level::Error,
    summary: "A connection file that `pf connection create --file` refuses: an unknown type, a key that is missing or empty, a value that is no text. A key that the type does not have is a warning.",
    cases: &[],
    why: "The SDK checks the file against the schema of its type: `Load connection failed with {'api_base': ['Missing data for required field.']}`. An unquoted `api_version: 2024-02-01` is a date for YAML, and is refused. A key that the type does not have is dropped without a word.",
    bad: "#- connection.yaml\n$schema: https://azuremlschemas.azureedge.net/promptflow/latest/AzureOpenAIConnection.schema.json\nname: aoai\ntype: azure_openai\napi_key: <user-input>\napi_base: https://contoso.openai.azure.com\n",
    good: "#- connection.yaml\n$schema: https://azuremlschemas.azureedge.net/promptflow/latest/AzureOpenAIConnection.schema.json\nname: aoai\ntype: azure_open_ai\napi_key: <user-input>\napi_base: https://contoso.openai.azure.com\n",
    fix: Some("Writes the type or the key that is meant (unsafe), or puts a date or a number in quotes (safe)."),
    check,
};

const NAMES: [&str; TYPES.len()] = {
    let mut names = [""; TYPES.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = TYPES[at].name;
        at += 1;
    }
    names
};
const AUTH_MODES: [&str; 2] = ["key", "meid_token"];
/// What a strong type connection needs beside `custom_type`.
const STRONG: [&str; 3] = ["module", "package", "package_version"];
/// Where the SDK itself writes it, with all the rest.
const STORED: &str = "promptflow.connection.custom_type";

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(file) = &context.project.connection else { return Vec::new() };
    let mut checker = Checker { file, schema: Schema::new(context, file.file, "UserErrorException") };
    if let Some(known) = checker.r#type() {
        for entry in file.document.root.mapping().unwrap_or(&[]) {
            checker.entry(known, entry);
        }
        if file.connection.complete {
            checker.completeness(known);
        }
    }
    checker.schema.findings
}

struct Checker<'p> {
    file: &'p ConnectionFile,
    schema: Schema<'p>,
}

impl Checker<'_> {
    /// The type; without one there is nothing to compare with.
    fn r#type(&mut self) -> Option<&'static ConnectionType> {
        let root = &self.file.document.root;
        let Some(entry) = root.get("type") else {
            if self.file.connection.complete && root.mapping().is_some() {
                let finding = self.schema.refused(self.first(), "the connection has no `type`");
                let finding = finding.engine("ValidationException").help(format!("use one of {}", NAMES.join(", ")));
                self.schema.push(finding);
            }
            return None;
        };
        let written = entry.value.text().filter(|_| schema::is_text(&entry.value));
        // The SDK takes `Custom` for `custom`, but not `OpenAI` for `open_ai`.
        let known = written.and_then(|text| {
            let mut lower = text.to_owned();
            lower.get_mut(..1)?.make_ascii_lowercase();
            ConnectionType::find(&lower)
        });
        if known.is_none() {
            let at = schema::beside(entry);
            let message = match written {
                Some(text) => format!("`{text}` is not a connection type"),
                None => "`type` is the name of a type of connection".to_owned(),
            };
            let finding = self.schema.refused(at, message).engine("ValidationException");
            let finding = suggest::name(finding, written.unwrap_or(""), None, &NAMES);
            self.schema.push(finding);
        }
        known
    }

    fn entry(&mut self, known: &'static ConnectionType, entry: &Entry) {
        let (Some(key), schema) = (entry.key.text(), &mut self.schema) else { return };
        let keys: Vec<&'static str> = known.keys().collect();
        match key {
            _ if entry.is_merge() || key == "type" => {}
            _ if !keys.contains(&key) => {
                let message = format!("a connection of type `{}` has no key `{key}`: it is ignored", known.name);
                let finding = schema.warning(entry.key.span, message);
                let finding = schema.nearest(finding, key, &keys);
                schema.push(finding);
            }
            "$schema" | "created_date" | "last_modified_date" | "expiry_time" => {}
            "auth_mode" => {
                let mode = entry.value.text().map(str::to_ascii_lowercase);
                if mode.as_deref().is_some_and(|mode| !AUTH_MODES.contains(&mode)) || entry.value.scalar().is_none() {
                    let finding = schema.refused(entry.value.span, "`auth_mode` is `key` or `meid_token`");
                    let finding = suggest::name(finding, mode.as_deref().unwrap_or(""), None, &AUTH_MODES);
                    schema.push(finding);
                }
            }
            _ if known.key == ApiKey::None && matches!(key, "custom_type" | "package" | "package_version") => {}
            _ if !schema.given(key, entry) => {}
            "secrets" | "configs" => {
                schema.texts(key, &entry.value, false);
                if key == "secrets" && entry.value.mapping().is_some_and(<[Entry]>::is_empty) {
                    schema.error(entry.key.span, "a custom connection needs at least one secret");
                }
            }
            _ => schema.text(key, &entry.value),
        }
    }

    fn completeness(&mut self, known: &'static ConnectionType) {
        let root = &self.file.document.root;
        let mut missing: Vec<&str> = known.required.iter().copied().filter(|key| root.get(key).is_none()).collect();
        let mode = root.get("auth_mode").and_then(|entry| entry.value.text()).unwrap_or("key");
        let by_token = known.key == ApiKey::UnlessToken && mode.eq_ignore_ascii_case("meid_token");
        if known.key != ApiKey::None && !by_token && root.get("api_key").is_none() {
            missing.push("api_key");
        }
        let is_stored = root.get("configs").is_some_and(|configs| configs.value.get(STORED).is_some());
        if root.get("custom_type").is_some_and(|entry| entry.value.is_truthy()) && !is_stored {
            missing.extend(STRONG.iter().filter(|key| root.get(key).is_none()));
        }
        let at = root.get("type").map_or(self.first(), |entry| entry.value.span);
        for key in missing {
            let finding = self.schema.refused(at, format!("a connection of type `{}` needs `{key}`", known.name));
            let help = match (key, known.key) {
                ("api_key", ApiKey::UnlessToken) => {
                    "add `api_key: <user-input>`, or `auth_mode: meid_token`".to_owned()
                }
                ("api_key", _) => "add `api_key: <user-input>`".to_owned(),
                _ => format!("add `{key}`"),
            };
            self.schema.push(finding.help(help));
        }
    }

    fn first(&self) -> Span {
        let entries = self.file.document.root.mapping();
        entries.and_then(|entries| entries.first()).map_or(Span::empty(0), |entry| entry.key.span)
    }
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn what_the_schemas_refuse() {
        fixture::raises(
            &super::RULE,
            "#- aoai.yaml
$schema: https://azuremlschemas.azureedge.net/promptflow/latest/AzureOpenAIConnection.schema.json
name: aoai
type: azure_open_ai
#     ^^^^^^^^^^^^^ error[invalid-connection]: a connection of type `azure_open_ai` needs `api_key`
api_base:
#^^^^^^^ error[invalid-connection]: `api_base` is empty: give it a value, or leave it out
api_version: 2024-02-01
#            ^^^^^^^^^^ error[invalid-connection]: `api_version` is text, not a date
auth_mode: aad
#          ^^^ error[invalid-connection]: `auth_mode` is `key` or `meid_token`
api_typ: azure
#^^^^^^ warning[invalid-connection]: a connection of type `azure_open_ai` has no key `api_typ`: it is ignored
",
        );
        fixture::raises(
            &super::RULE,
            "#- token.yaml
type: AzureOpenAI
#     ^^^^^^^^^^^ error[invalid-connection]: `AzureOpenAI` is not a connection type
$schema: https://azuremlschemas.azureedge.net/promptflow/latest/AzureOpenAIConnection.schema.json
",
        );
        fixture::raises(
            &super::RULE,
            "#- none.yaml
$schema: https://azuremlschemas.azureedge.net/promptflow/latest/OpenAIConnection.schema.json
#^^^^^^ error[invalid-connection]: the connection has no `type`
",
        );
    }

    #[test]
    fn custom_connections() {
        fixture::raises(
            &super::RULE,
            "#- custom.yaml
type: custom
secrets: {a: 1, b: , c: <user-input>}
#            ^ error[invalid-connection]: a value of `secrets` is text, not a number
#               ^ error[invalid-connection]: a value of `secrets` is text, not nothing
configs: {x: true}
#            ^^^^ error[invalid-connection]: a value of `configs` is text, not a boolean
",
        );
        fixture::raises(
            &super::RULE,
            "#- strong.yaml
type: custom
#     ^^^^^^ error[invalid-connection]: a connection of type `custom` needs `module`
#     ^^^^^^ error[invalid-connection]: a connection of type `custom` needs `package_version`
custom_type: Contoso
package: contoso-tools
secrets: {a: <user-input>}
",
        );
    }

    #[test]
    fn what_the_sdk_takes() {
        for text in [
            "type: azure_open_ai\napi_base: x\nauth_mode: MEID_TOKEN\n",
            "type: azure_open_ai\napi_base: ''\napi_key: x\nauth_mode:\n",
            "type: custom\nsecrets: {a: x}\npackage: p\n",
            "$schema: https://azuremlschemas.azureedge.net/promptflow/latest/SerpConnection.schema.json\ntype: Serp\napi_key: x\ncreated_date: 2024-01-01\n",
        ] {
            fixture::raises(&super::RULE, &format!("#- c.yaml\n{text}"));
        }
    }
}
