//! What an environment holds: what the base brought, what the requirements name, and what came
//! along with those.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Normalised names (PEP 503) with their versions.
pub type Versions = BTreeMap<String, String>;

/// Installed packages by where they come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packages {
    /// Those of the base that the requirements left as they were, and do not name.
    pub base: Versions,
    /// Those that the requirements name.
    pub requirements: Versions,
    /// Those that came along with them, in a version that the base did not have.
    pub transitive: Versions,
}

impl Packages {
    /// Tells them apart by what was there before and after the install, and by the names of what was required.
    pub fn of(before: &Versions, after: &Versions, named: &BTreeSet<String>) -> Self {
        let mut packages = Self::default();
        for (name, version) in after {
            let group = if named.contains(name) {
                &mut packages.requirements
            } else if before.get(name) == Some(version) {
                &mut packages.base
            } else {
                &mut packages.transitive
            };
            group.insert(name.clone(), version.clone());
        }
        packages
    }

    /// All of them.
    pub fn all(&self) -> Versions {
        [&self.base, &self.requirements, &self.transitive]
            .into_iter()
            .flatten()
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect()
    }
}

/// What became of one package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its name.
    pub name: String,
    /// Its version before; `None` where it was not there.
    pub from: Option<String>,
    /// Its version after; `None` where it is gone.
    pub to: Option<String>,
}

/// The packages that two sets do not have in common, by name.
pub fn changes(from: &Versions, to: &Versions) -> Vec<Change> {
    let names: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
    names
        .into_iter()
        .filter(|name| from.get(*name) != to.get(*name))
        .map(|name| Change { name: name.clone(), from: from.get(name).cloned(), to: to.get(name).cloned() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(pairs: &[(&str, &str)]) -> Versions {
        pairs.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect()
    }

    #[test]
    fn told_apart_by_where_they_come_from() {
        let before = versions(&[("promptflow", "1.18.5"), ("pydantic", "2.1"), ("idna", "3.1")]);
        let after = versions(&[("promptflow", "1.18.5"), ("pydantic", "2.2"), ("idna", "3.1"), ("numpy", "2.0")]);
        let named = ["numpy".to_owned(), "idna".to_owned()].into();
        let packages = Packages::of(&before, &after, &named);
        assert_eq!(packages.base, versions(&[("promptflow", "1.18.5")]));
        assert_eq!(packages.requirements, versions(&[("idna", "3.1"), ("numpy", "2.0")]));
        assert_eq!(packages.transitive, versions(&[("pydantic", "2.2")]));
        assert_eq!(packages.all(), after);
    }

    #[test]
    fn what_changed() {
        let found =
            changes(&versions(&[("a", "1"), ("b", "1"), ("c", "1")]), &versions(&[("a", "1"), ("b", "2"), ("d", "1")]));
        let found: Vec<_> = found.iter().map(|c| (c.name.as_str(), c.from.as_deref(), c.to.as_deref())).collect();
        assert_eq!(found, [("b", Some("1"), Some("2")), ("c", Some("1"), None), ("d", None, Some("1"))]);
    }
}
