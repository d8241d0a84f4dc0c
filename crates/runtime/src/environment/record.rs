//! Which environment each flow of this machine had last.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::key::sha256;
use super::packages::{Packages, changes};
use crate::error::RuntimeError;

/// How many changes are told by name.
const TOLD: usize = 8;

/// A flow with its environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The flow's folder.
    #[serde(with = "any_path")]
    pub flow: PathBuf,
    /// The scope that it was built in.
    pub scope: String,
    /// Its content address.
    pub key: String,
    /// The engine's names of its image, and of the base that this was built upon.
    pub images: Vec<String>,
    /// What was installed.
    pub packages: Packages,
}

impl Record {
    /// Keeps it in place of the flow's last one, and says what changed, in a fragment. A record that cannot be read
    /// counts as none.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn keep(&self, state: &Path) -> Result<Option<String>, RuntimeError> {
        let path = path(state, &self.scope, &self.flow);
        let last = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        if last.as_ref() == Some(self) {
            return Ok(None);
        }
        let disk = |error: std::io::Error| RuntimeError::disk("write", &path, &error);
        let bytes = serde_json::to_vec(self).map_err(|error| disk(error.into()))?;
        let folder = path.parent().unwrap_or(state);
        fs::create_dir_all(folder).map_err(disk)?;
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(disk)?;
        std::io::Write::write_all(&mut file, &bytes).map_err(disk)?;
        file.persist(&path).map_err(|error| disk(error.error))?;
        Ok(last.and_then(|last| told(&last.packages, &self.packages)))
    }

    /// Every record of this machine that can be read.
    pub(crate) fn all(state: &Path) -> Vec<Self> {
        let Ok(entries) = fs::read_dir(state.join("flows")) else { return Vec::new() };
        entries.flatten().filter_map(|entry| serde_json::from_slice(&fs::read(entry.path()).ok()?).ok()).collect()
    }
}

fn path(state: &Path, scope: &str, flow: &Path) -> PathBuf {
    let name = sha256(&[scope.as_bytes(), b"\0", flow.as_os_str().as_encoded_bytes()].concat());
    state.join("flows").join(format!("{}.json", name.get(..16).unwrap_or(&name)))
}

/// A path as text, or as its bytes where it is not UTF-8: it must lead to the flow again.
mod any_path {
    use std::ffi::OsString;
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        Other(OsString),
    }

    pub(super) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        match path.to_str() {
            Some(text) => text.serialize(serializer),
            None => path.as_os_str().serialize(serializer),
        }
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(deserializer: D) -> Result<PathBuf, D::Error> {
        Ok(match Written::deserialize(deserializer)? {
            Written::Text(text) => text.into(),
            Written::Other(name) => name.into(),
        })
    }
}

/// `2 packages changed since this flow's last environment: numpy 1.26.4 -> 2.0.0, idna added`.
fn told(from: &Packages, to: &Packages) -> Option<String> {
    let (from, to) = (from.all(), to.all());
    // An image that flowgate did not build says nothing of what is installed in it.
    if from.is_empty() || to.is_empty() {
        return None;
    }
    let changes = changes(&from, &to);
    if changes.is_empty() {
        return None;
    }
    let mut names: Vec<String> = changes
        .iter()
        .take(TOLD)
        .map(|change| match (&change.from, &change.to) {
            (Some(from), Some(to)) => format!("{} {from} -> {to}", change.name),
            (None, Some(to)) => format!("{} {to} added", change.name),
            (_, None) => format!("{} removed", change.name),
        })
        .collect();
    if changes.len() > TOLD {
        names.push(format!("and {} more", changes.len() - TOLD));
    }
    let noun = if changes.len() == 1 { "package" } else { "packages" };
    Some(format!("{} {noun} changed since this flow's last environment: {}", changes.len(), names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(packages: &[(&str, &str)]) -> Record {
        let base = packages.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect();
        Record {
            flow: PathBuf::from("/r/flow"),
            scope: "trusted".to_owned(),
            key: packages.len().to_string(),
            images: vec!["flowgate-env:trusted-1".to_owned()],
            packages: Packages { base, ..Packages::default() },
        }
    }

    #[test]
    fn the_last_one_is_compared_with() {
        let state = tempfile::tempdir().unwrap();
        let keep = |record: &Record| record.keep(state.path()).unwrap();
        assert_eq!(keep(&record(&[("a", "1"), ("b", "1")])), None);
        assert_eq!(keep(&record(&[("a", "1"), ("b", "1")])), None);
        let told = keep(&record(&[("a", "2"), ("c", "1"), ("d", "1")])).unwrap();
        assert_eq!(
            told,
            "4 packages changed since this flow's last environment: a 1 -> 2, b removed, c 1 added, d 1 added"
        );
        let other = Record { scope: "pull-request:a/b#1".to_owned(), ..record(&[]) };
        assert_eq!(keep(&other), None);
        assert_eq!(Record::all(state.path()).len(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_is_not_utf_8_is_found_again() {
        use std::os::unix::ffi::OsStrExt;
        let flow = PathBuf::from(std::ffi::OsStr::from_bytes(b"/r/\xff"));
        let kept = Record { flow, ..record(&[]) };
        let state = tempfile::tempdir().unwrap();
        kept.keep(state.path()).unwrap();
        assert_eq!(Record::all(state.path()), [kept]);
    }
}
