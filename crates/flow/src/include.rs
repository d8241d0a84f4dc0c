//! `additional_includes`: files from outside the flow's folder that stand in it when it runs.
//!
//! The engine does not know them; the SDK merges them first. There is one merge, here: the checker
//! asks it where a path is, and a run packs what it says.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use crate::project::Included;

/// More are not looked at: no flow has them, and each path of a flow is looked for in each.
pub(crate) const MAX_INCLUDES: usize = 1000;

/// What no merged folder holds: what tools leave behind, copies, caches and histories. So it is with virtual environments.
pub const LEFT_BEHIND: [&str; 5] = [".git", ".runs", ".promptflow", "__pycache__", "node_modules"];

/// The includes of one flow, by the names under which they stand in its merged folder.
#[derive(Debug, Default)]
pub struct Includes {
    by_name: BTreeMap<OsString, Vec<PathBuf>>,
}

impl Includes {
    /// Takes the includes in their order.
    pub fn new<'i>(includes: impl Iterator<Item = &'i Included>) -> Self {
        let mut by_name: BTreeMap<OsString, Vec<PathBuf>> = BTreeMap::new();
        for include in includes.filter(|include| include.archive.is_none()) {
            if let Some(name) = &include.name {
                by_name.entry(name.into()).or_default().push(include.fact.path.clone());
            }
        }
        Self { by_name }
    }

    /// The names under which they stand.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().filter_map(|name| name.to_str())
    }

    /// Where the flow's merged folder may take a path from, best first: the first place that is
    /// there counts.
    ///
    /// `path` is relative to the flow's folder. An include stands in the merged folder under its
    /// base name; the last include of a name wins over earlier ones, and all win over the flow's own
    /// folder. A folder is merged file by file: what an included folder lacks may come from the
    /// flow's.
    pub fn places(&self, folder: &Path, path: &str) -> Vec<PathBuf> {
        let normal = lexical(Path::new(path));
        let mut places = Vec::new();
        let mut parts = normal.components();
        if let Some(Component::Normal(first)) = parts.next() {
            let rest = parts.as_path();
            for include in self.by_name.get(first).into_iter().flatten().rev() {
                places.push(if rest.as_os_str().is_empty() { include.clone() } else { include.join(rest) });
            }
        }
        // Without a slash at its end: one folder, one text.
        places.push(if normal.as_os_str().is_empty() { folder.to_owned() } else { folder.join(normal) });
        places
    }
}

/// Removes `.` and inner `..` without asking the disk.
pub fn lexical(path: &Path) -> PathBuf {
    let mut out = PathBuf::with_capacity(path.as_os_str().len());
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            _ => out.push(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::{PathFact, Presence};

    #[test]
    fn an_include_stands_under_its_name() {
        let includes = [("lib", "/r/shared/lib"), ("util.py", "/r/a/util.py"), ("util.py", "/r/b/util.py")];
        let includes = includes.map(|(name, path)| Included {
            name: Some(name.to_owned()),
            fact: PathFact { path: path.into(), presence: Presence::File, candidates: Vec::new() },
            own: Presence::Missing,
            archive: None,
            nested: None,
        });
        let includes = Includes::new(includes.iter());
        let at = |path: &str| includes.places(Path::new("/r/flow"), path);
        let expect =
            |path: &str, places: &[&str]| assert_eq!(at(path), places.iter().map(PathBuf::from).collect::<Vec<_>>());
        expect("lib/x.py", &["/r/shared/lib/x.py", "/r/flow/lib/x.py"]);
        expect("./util.py", &["/r/b/util.py", "/r/a/util.py", "/r/flow/util.py"]);
        expect("own.py", &["/r/flow/own.py"]);
        expect("d/../own.py", &["/r/flow/own.py"]);
        expect("../x", &["/r/flow/../x"]);
    }
}
