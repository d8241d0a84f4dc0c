//! `additional_includes`: files from outside the flow's folder that stand in it when it runs.
//!
//! The engine does not know them; the SDK merges them first. There is one merge, here: the checker
//! asks it where a path is, and a run packs what it says.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// More are not looked at: no flow has them, and each path of a flow is looked for in each.
const MAX_INCLUDES: usize = 1000;

/// The includes of one flow, by the names under which they stand in its merged folder.
#[derive(Debug, Default)]
pub struct Includes {
    by_name: BTreeMap<OsString, Vec<PathBuf>>,
}

impl Includes {
    /// Reads `additional_includes`, in their order.
    pub fn new<'i>(includes: impl Iterator<Item = &'i str>) -> Self {
        let mut by_name: BTreeMap<OsString, Vec<PathBuf>> = BTreeMap::new();
        for include in includes.take(MAX_INCLUDES) {
            let include = lexical(Path::new(include));
            if let Some(name) = include.file_name().map(OsString::from) {
                by_name.entry(name).or_default().push(include);
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
                let taken = folder.join(include);
                places.push(if rest.as_os_str().is_empty() { taken } else { taken.join(rest) });
            }
        }
        places.push(folder.join(normal));
        places
    }
}

/// Removes `.` and inner `..` without asking the disk.
pub fn lexical(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
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

    #[test]
    fn an_include_stands_under_its_base_name() {
        let includes = ["../shared/lib", "../a/util.py", "../b/util.py"];
        let includes = Includes::new(includes.into_iter());
        let at = |path: &str| includes.places(Path::new("/r/flow"), path);
        let expect =
            |path: &str, places: &[&str]| assert_eq!(at(path), places.iter().map(PathBuf::from).collect::<Vec<_>>());
        expect("lib/x.py", &["/r/flow/../shared/lib/x.py", "/r/flow/lib/x.py"]);
        expect("./util.py", &["/r/flow/../b/util.py", "/r/flow/../a/util.py", "/r/flow/util.py"]);
        expect("own.py", &["/r/flow/own.py"]);
        expect("d/../own.py", &["/r/flow/own.py"]);
        expect("../x", &["/r/flow/../x"]);
    }
}
