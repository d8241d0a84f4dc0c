//! pip's hash-checking mode. Asked were pip 23.2, 24.0 and 25.3.
//!
//! One `--hash` in any file, constraints included, or a line `--require-hashes` turns it on for all requirements. Each
//! that is not installed yet must then be pinned by `==` or `===` alone and have a hash of its own; one in a constraints
//! file does not count for it. Of a repository, a folder or an editable install there is nothing to hash.

use pep508_rs::VersionOrUrl;
use pep508_rs::pep440_rs::Operator;

use super::{Form, Line, LineOption, OptionKind, Requirement};

/// Why pip refuses a line where hashes are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashFault {
    /// Its version is not pinned.
    NotPinned,
    /// It has no hash.
    Missing,
    /// It has hashes that no file can have, and no other.
    Malformed,
    /// It is what no hash can be taken of: a noun with its article.
    Unhashable(&'static str),
}

impl Line {
    /// True where the line makes pip check hashes.
    pub fn asks_for_hashes(&self) -> bool {
        let is_switch =
            |option: &LineOption| option.kind == OptionKind::Other && option.name.value == "--require-hashes";
        self.refusal.is_none()
            && match self.requirement {
                Some(_) => self.hashes().next().is_some(),
                None => !self.requires() && self.options.iter().any(is_switch),
            }
    }

    /// The options `--hash` that count for its requirement.
    pub fn hashes(&self) -> impl Iterator<Item = &LineOption> {
        let own = self.requirement.is_some();
        self.options.iter().filter(move |option| own && option.kind == OptionKind::Hash)
    }

    /// Why pip refuses the line where hashes are checked; `None` also for one that requires nothing or cannot be read.
    pub fn hash_fault(&self) -> Option<HashFault> {
        let Some(requirement) = self.requirement.as_ref().filter(|_| self.refusal.is_none()) else {
            let is_editable = self.refusal.is_none() && self.requires();
            return is_editable.then_some(HashFault::Unhashable("an editable install"));
        };
        let url = requirement.url();
        if url.and_then(|url| url.split_once("://")).is_some_and(|(scheme, _)| scheme.contains('+')) {
            return Some(HashFault::Unhashable("a version control repository"));
        }
        if requirement.form == Form::Path && !requirement.is_archive() {
            return Some(HashFault::Unhashable("a folder"));
        }
        if url.is_none() && requirement.form == Form::Name && !is_pinned(requirement)? {
            return Some(HashFault::NotPinned);
        }
        let fragment = url.and_then(|url| url.split_once('#')).map_or("", |(_, fragment)| fragment);
        let algorithms = ["sha256=", "sha384=", "sha512=", "sha224=", "sha1=", "md5="];
        if fragment.split('&').any(|part| algorithms.iter().any(|algorithm| part.starts_with(algorithm))) {
            return None;
        }
        if self.hashes().any(|option| option.value.as_ref().is_some_and(|value| is_hash(&value.value))) {
            return None;
        }
        Some(if self.hashes().next().is_some() { HashFault::Malformed } else { HashFault::Missing })
    }
}

/// True for `sha256:`, `sha384:` or `sha512:` and as many hexadecimal digits as such a hash has.
pub fn is_hash(text: &str) -> bool {
    let Some((algorithm, digits)) = text.split_once(':') else { return false };
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()) && digits_of(algorithm) == Some(digits.len())
}

/// How many hexadecimal digits a hash of that algorithm has, where pip takes it.
pub fn digits_of(algorithm: &str) -> Option<usize> {
    match algorithm {
        "sha256" => Some(64),
        "sha384" => Some(96),
        "sha512" => Some(128),
        _ => None,
    }
}

/// As pip decides it: one clause with `==` or `===`, also with a `*` at its end. `None` for what cannot be read.
fn is_pinned(requirement: &Requirement) -> Option<bool> {
    if requirement.specifier.as_ref().is_some_and(|s| s.value.starts_with("===") && !s.value.contains(',')) {
        return Some(true);
    }
    let parsed = requirement.parsed.as_ref().ok()?;
    let Some(VersionOrUrl::VersionSpecifier(specifiers)) = &parsed.version_or_url else { return Some(false) };
    let pins = [Operator::Equal, Operator::EqualStar, Operator::ExactEqual];
    let mut clauses = specifiers.iter().map(|clause| pins.contains(clause.operator()));
    Some(clauses.next() == Some(true) && clauses.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requirements::read;

    #[test]
    fn what_pip_refuses_where_hashes_are_checked() {
        let (hash, short) = (format!("--hash=sha256:{}", "0a".repeat(32)), "--hash=sha256:ab");
        for (line, fault) in [
            (format!("a==1 {hash}"), None),
            (format!("a===1.x {hash}"), None),
            (format!("a==1.* {hash}"), None),
            (format!("a==1 {short} {hash}"), None),
            (format!("a @ https://host/a.whl {hash}"), None),
            ("a @ https://host/a.whl#sha256=00".to_owned(), None),
            ("https://host/a.whl#md5=00".to_owned(), None),
            (format!("./a-1-py3-none-any.whl {hash}"), None),
            (format!("a[ {hash}"), None),
            ("--pre".to_owned(), None),
            (format!("a {hash}"), Some(HashFault::NotPinned)),
            (format!("a>=1 {hash}"), Some(HashFault::NotPinned)),
            (format!("a==1,>=0 {hash}"), Some(HashFault::NotPinned)),
            ("a==1".to_owned(), Some(HashFault::Missing)),
            ("a @ https://host/a.whl".to_owned(), Some(HashFault::Missing)),
            (format!("a==1 {short}"), Some(HashFault::Malformed)),
            (format!("a==1 --hash=sha512:{}", "0".repeat(64)), Some(HashFault::Malformed)),
            (format!("a==1 --hash=sha256:{}", "g".repeat(64)), Some(HashFault::Malformed)),
            (format!("git+https://host/a {hash}"), Some(HashFault::Unhashable("a version control repository"))),
            (format!("a @ git+https://host/a {hash}"), Some(HashFault::Unhashable("a version control repository"))),
            (format!("./a {hash}"), Some(HashFault::Unhashable("a folder"))),
            (format!("-e ./a {hash}"), Some(HashFault::Unhashable("an editable install"))),
        ] {
            assert_eq!(read(&line).lines[0].hash_fault(), fault, "{line}");
        }
    }

    #[test]
    fn what_turns_it_on() {
        for (line, asks) in [
            ("a --hash=sha256:00", true),
            ("--require-hashes", true),
            ("--hash=sha256:00", false),
            ("a --hash=md5:00", false),
            ("-e . --hash=sha256:00", false),
            ("a", false),
        ] {
            assert_eq!(read(line).lines[0].asks_for_hashes(), asks, "{line}");
        }
    }
}
