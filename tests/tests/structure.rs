//! No module imports one that imports it, directly or not, but a module and its own children.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A module's path from its crate's root: `["load", "within"]`.
type Module = Vec<String>;

#[test]
fn imports_go_in_no_circle() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let mut seen = 0;
    for entry in std::fs::read_dir(crates).expect("the crates") {
        let root = entry.expect("a crate").path().join("src");
        let mut modules = BTreeMap::new();
        gather(&root, &Vec::new(), &mut modules);
        seen += modules.len();
        let imports: BTreeMap<&Module, BTreeSet<Module>> =
            modules.iter().map(|(module, text)| (module, imports(module, text, &modules))).collect();
        for module in modules.keys() {
            let mut reached: BTreeSet<&Module> = BTreeSet::new();
            let mut open: Vec<&Module> = imports[module].iter().collect();
            while let Some(next) = open.pop() {
                if reached.insert(next) {
                    open.extend(&imports[next]);
                }
            }
            assert!(!reached.contains(module), "{}: {} is in a circle", root.display(), module.join("::"));
        }
    }
    assert!(seen > 150, "only {seen} modules were found");
}

/// Every file's text without its comments and its tests.
fn gather(folder: &Path, parent: &Module, modules: &mut BTreeMap<Module, String>) {
    for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        let name = entry.file_stem().expect("a name").to_string_lossy().into_owned();
        let module: Module = parent.iter().cloned().chain([name.clone()]).collect();
        if entry.is_dir() {
            gather(&entry, &module, modules);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&entry).expect("a text");
            let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
            let text: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
            let is_root = parent.is_empty() && matches!(name.as_str(), "lib" | "main");
            modules.insert(if is_root { Vec::new() } else { module }, text.join("\n"));
        }
    }
}

/// The modules that a text names, but for those above and below it, and the root, which names them all.
fn imports(module: &Module, text: &str, modules: &BTreeMap<Module, String>) -> BTreeSet<Module> {
    let mut named = Vec::new();
    for statement in text.split("use ").skip(1).filter_map(|rest| rest.split(';').next()) {
        expand("", statement, &mut named);
    }
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in text.match_indices(start) {
            let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':');
            let before = text[..at].chars().next_back();
            if !before.is_some_and(is_part) {
                named.push(text[at..].chars().take_while(|c| is_part(*c)).collect());
            }
        }
    }
    let is_kin = |other: &Module| other.starts_with(module) || module.starts_with(other);
    named.iter().filter_map(|path| resolve(module, path, modules)).filter(|other| !is_kin(other)).collect()
}

/// The paths of a `use`, without its braces.
fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let Some((head, rest)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        return paths.push(format!("{prefix}{}", path.trim()));
    };
    let prefix = format!("{prefix}{}", head.trim());
    let (mut depth, mut start) = (0, 0);
    for (at, c) in rest.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                expand(&prefix, &rest[start..at], paths);
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// The module that a path leads to, as seen from another.
fn resolve(from: &Module, path: &str, modules: &BTreeMap<Module, String>) -> Option<Module> {
    let mut parts = path.split("::").map(str::trim).filter(|part| !part.is_empty()).peekable();
    let mut at: Module = match parts.next()? {
        "crate" => Vec::new(),
        "self" => from.clone(),
        "super" => from[..from.len().saturating_sub(1)].to_vec(),
        _ => return None,
    };
    while parts.next_if_eq(&"super").is_some() {
        at.pop();
    }
    at.extend(parts.map(str::to_owned));
    while !at.is_empty() && !modules.contains_key(&at) {
        at.pop();
    }
    Some(at)
}
