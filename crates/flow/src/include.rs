//! `additional_includes`: files from outside the flow's folder that stand in it when it runs.
//!
//! The engine does not know them; the SDK merges them first. There is one merge, here: the checker
//! asks it where a path is, and a run packs what it says.

use std::path::{Component, Path, PathBuf};

/// Where the flow's merged folder takes a path from.
///
/// `path` is relative to the flow's folder. An include stands in the merged folder under its base
/// name, and it wins over a file of the folder; the last include of a name wins over earlier ones.
pub fn resolve<'i>(folder: &Path, includes: impl DoubleEndedIterator<Item = &'i str>, path: &str) -> PathBuf {
    let normal = lexical(Path::new(path));
    let mut parts = normal.components();
    if let Some(Component::Normal(first)) = parts.next() {
        for include in includes.rev() {
            let include = lexical(Path::new(include));
            if include.file_name() == Some(first) {
                let rest = parts.as_path();
                let taken = folder.join(&include);
                return if rest.as_os_str().is_empty() { taken } else { taken.join(rest) };
            }
        }
    }
    folder.join(normal)
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
        let at = |path: &str| resolve(Path::new("/r/flow"), includes.into_iter(), path);
        assert_eq!(at("lib/x.py"), Path::new("/r/flow/../shared/lib/x.py"));
        assert_eq!(at("./util.py"), Path::new("/r/flow/../b/util.py"));
        assert_eq!(at("own.py"), Path::new("/r/flow/own.py"));
        assert_eq!(at("d/../own.py"), Path::new("/r/flow/own.py"));
        assert_eq!(at("../x"), Path::new("/r/flow/../x"));
    }
}
