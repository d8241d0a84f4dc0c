//! Content addresses.

use std::borrow::Cow;
use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

/// Raised when environments are built in another way: then older ones do not count.
const SCHEMA: &str = "2";

/// What an address covers, part by part. Lengths go into the hash, so that no two contents share
/// one text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    parts: BTreeMap<&'static str, Vec<Cow<'static, str>>>,
}

impl Content {
    /// Adds a part whose order counts.
    pub(crate) fn add(&mut self, name: &'static str, values: impl IntoIterator<Item = impl Into<Cow<'static, str>>>) {
        self.parts.insert(name, values.into_iter().map(Into::into).collect());
    }

    /// Adds a part whose order does not count, nor how often something is said.
    pub(crate) fn add_sorted(&mut self, name: &'static str, values: impl IntoIterator<Item = String>) {
        let mut values: Vec<String> = values.into_iter().collect();
        values.sort();
        values.dedup();
        self.add(name, values);
    }

    /// SHA-256, in hexadecimal.
    pub fn address(&self) -> String {
        let mut hash = Sha256::new();
        let mut add = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        };
        add(SCHEMA);
        for (name, values) in &self.parts {
            add(name);
            add(&values.len().to_string());
            values.iter().for_each(|value| add(value));
        }
        hex(&hash.finalize())
    }
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 of bytes, in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
