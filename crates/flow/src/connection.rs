//! Connection files, as `pf connection create` reads them.

use crate::span::{Span, Spanned};
use crate::yaml::{Document, Entry, Node as Yaml};

/// One type of connection in promptflow 1.18.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionType {
    /// Its name in a file.
    pub name: &'static str,
    /// The keys that it must have, but the key of the API.
    pub required: &'static [&'static str],
    /// The keys that it may have, beside those that every type may have.
    pub optional: &'static [&'static str],
    /// How it proves who asks.
    pub key: ApiKey,
}

/// What a type of connection wants of `api_key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiKey {
    /// It must be there.
    Required,
    /// It must be there unless `auth_mode` is `meid_token`.
    UnlessToken,
    /// It has none: its keys are in `secrets`.
    None,
}

/// The types.
pub const TYPES: [ConnectionType; 11] = [
    with_token("azure_open_ai", &["api_base"], &["api_type", "api_version", "resource_id", "auth_mode"]),
    with_key("open_ai", &[], &["organization", "base_url"]),
    with_key("serverless", &["api_base"], &[]),
    with_token("cognitive_search", &["api_base"], &["api_version", "auth_mode"]),
    with_key("serp", &[], &[]),
    with_token("azure_ai_services", &["endpoint"], &["auth_mode"]),
    with_key("azure_content_safety", &["endpoint"], &["api_version", "api_type"]),
    with_key("form_recognizer", &["endpoint"], &["api_version", "api_type"]),
    with_key("qdrant", &["api_base"], &[]),
    with_key("weaviate", &["api_base"], &[]),
    ConnectionType {
        name: "custom",
        required: &["secrets"],
        optional: &["configs", "custom_type", "package", "package_version"],
        key: ApiKey::None,
    },
];

/// The keys that every connection may have; those that `pf connection show` adds are among them.
pub const COMMON_KEYS: [&str; 7] =
    ["$schema", "name", "type", "module", "created_date", "last_modified_date", "expiry_time"];

const fn with_key(
    name: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
) -> ConnectionType {
    ConnectionType { name, required, optional, key: ApiKey::Required }
}

const fn with_token(
    name: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
) -> ConnectionType {
    ConnectionType { name, required, optional, key: ApiKey::UnlessToken }
}

impl ConnectionType {
    /// The type of that name.
    pub fn find(name: &str) -> Option<&'static Self> {
        TYPES.iter().find(|known| known.name == name)
    }

    /// Every key that it may have.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> {
        let key = (self.key != ApiKey::None).then_some("api_key");
        self.required.iter().chain(self.optional).copied().chain(key).chain(COMMON_KEYS)
    }
}

/// True where the keys at the start of a line are those of a connection. Azure Machine Learning's
/// files for the same services have other keys, and other rules.
pub(crate) fn looks_like_one<'t>(value: &dyn Fn(&str) -> Option<&'t str>) -> bool {
    let Some(known) = value("type").and_then(ConnectionType::find) else { return false };
    let foreign = ["credentials", "target", "azure_endpoint", "is_shared", "kind", "apiVersion"];
    if foreign.iter().any(|key| value(key).is_some()) {
        return false;
    }
    let key = known.key == ApiKey::None || value("api_key").is_some() || value("auth_mode").is_some();
    value("module").is_some_and(|module| module.starts_with("promptflow"))
        || key && known.required.iter().all(|key| value(key).is_some())
}

/// A connection.
#[derive(Debug, Clone, Default)]
pub struct Connection {
    /// `type` as written.
    pub r#type: Option<Spanned<String>>,
    /// The values that are secret, each with its key: `api_key`, and everything in `secrets`.
    pub secrets: Vec<Secret>,
    /// False where the document had parts that could not be read, or keys from elsewhere.
    pub complete: bool,
}

/// A value that nobody may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// Its key.
    pub key: Spanned<String>,
    /// The place of the value.
    pub span: Span,
    /// True for a real value: neither a placeholder, nor the name of an environment variable.
    pub is_real: bool,
}

/// Lowers one document.
pub fn lower(document: &Document) -> Connection {
    let root = &document.root;
    let inner = root.get("secrets").and_then(|entry| entry.value.mapping()).unwrap_or(&[]);
    let secrets = root.get("api_key").into_iter().chain(inner).filter_map(secret).collect();
    let merges = root.mapping().unwrap_or(&[]).iter().any(Entry::is_merge);
    let complete = document.is_complete() && !merges;
    Connection { r#type: text(root, "type"), secrets, complete }
}

fn text(node: &Yaml, key: &str) -> Option<Spanned<String>> {
    let value = &node.get(key)?.value;
    value.text().map(|text| Spanned::new(text.to_owned(), value.span))
}

/// The value of a key whose values are secret.
pub(crate) fn secret(entry: &Entry) -> Option<Secret> {
    let key = entry.key.text()?;
    let value = entry.value.text()?;
    let is_real = !is_placeholder(value);
    Some(Secret { key: Spanned::new(key.to_owned(), entry.key.span), span: entry.value.span, is_real })
}

/// Fewer characters are no key of any service, and more likely a word.
const SHORTEST_KEY: usize = 16;

/// True for what only stands for a secret: `<user-input>`, `${env:KEY}`, `{{key}}`, `******`, a word.
fn is_placeholder(value: &str) -> bool {
    let value = value.trim();
    let letters = value.chars().filter(|c| c.is_ascii_alphanumeric()).count();
    let framed = [("<", ">"), ("${", "}"), ("$(", ")"), ("{{", "}}"), ("#{", "}#"), ("__", "__"), ("@@", "@@")];
    let mixed = value.chars().any(|c| c.is_ascii_digit()) && value.chars().any(|c| c.is_ascii_alphabetic());
    let lower = value.to_ascii_lowercase();
    let named = ["your", "replace", "placeholder", "example", "dummy", "fake", "test", "sample", "xxxx", "key", "todo"];
    letters < SHORTEST_KEY
        || !mixed
        || value.contains(char::is_whitespace)
        || framed.iter().any(|(open, close)| value.contains(open) && value.contains(close))
        || named.iter().any(|word| lower.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    #[test]
    fn secrets_and_what_only_stands_for_one() {
        let text = "type: custom\napi_key: 0123456789abcdef0123456789abcdef\nsecrets:\n  a: <user-input>\n  b: ${env:KEY_0123456789_ABC}\n  c: '******'\n  d: your-api-key-goes-here-12345\n  e: sk-AbCd0123456789efgh\n  f:\n  h: {x: y}\n";
        let connection = lower(&yaml::read(text));
        let real: Vec<_> = connection.secrets.iter().filter(|s| s.is_real).map(|s| s.key.value.as_str()).collect();
        assert_eq!(real, ["api_key", "e"]);
        assert_eq!(connection.secrets.len(), 6);
        assert_eq!(connection.secrets[0].span.slice(text), "0123456789abcdef0123456789abcdef");
    }
}
