//! The Python files behind a flow's nodes, and the names of those beside them.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Entry, Loader};
use crate::include::{self, Includes};
use crate::model::Flow;
use crate::project::{Presence, PythonFile};
use crate::python::{self, Import, Module};

/// How many files are read; a flow with more is checked in part.
const MAX_FILES: usize = 256;

impl Loader<'_> {
    /// Reads the file of every Python node that may run, or of a flex flow's entry, each once.
    pub(super) fn python(&mut self, flow: &Flow) {
        let includes = Includes::new(self.project.included.iter());
        let mut seen = HashSet::new();
        for source in flow.live_nodes().filter_map(|node| node.python_source()) {
            if seen.len() < MAX_FILES && seen.insert(source.value.as_str()) {
                self.python_file(&source.value);
            }
        }
        for path in flow.entry_modules() {
            let fact = self.fact(&includes, &path);
            let there = fact.presence == Presence::File;
            self.project.paths.entry(path.clone()).or_insert(fact);
            if there {
                self.python_file(&path);
                break;
            }
        }
        if !self.project.python.is_empty() {
            self.local_modules(&includes);
            self.helpers(&includes);
        }
    }

    /// Reads the modules of the merged folder that those files need in order to load, and what
    /// these need in turn.
    fn helpers(&mut self, includes: &Includes) {
        // With the package that a relative import starts from; the engine loads a node's file as
        // part of none.
        let mut open: Vec<(Arc<Module>, Vec<String>)> =
            self.project.python_files().map(|file| (Arc::clone(&file.module), Vec::new())).collect();
        while let Some((module, package)) = open.pop() {
            let imports: Vec<&Import> = module.imports.iter().filter(|import| self.may_be_local(import)).collect();
            for (path, package) in imports.into_iter().flat_map(|import| places(import, &package)) {
                if self.project.helpers.len() >= MAX_FILES {
                    return;
                }
                let Some(at) = self.module_file(includes, &path) else { continue };
                if self.project.find(&at).is_some() {
                    continue;
                }
                if let Some(file) = self.read_python(&at) {
                    open.push((Arc::clone(&file.module), package));
                    self.project.helpers.push(file);
                }
            }
        }
    }

    /// False for an import of what the merged folder does not hold, as most are.
    fn may_be_local(&self, import: &Import) -> bool {
        let root = import.module.value.split('.').next().unwrap_or("");
        import.level > 0 || self.project.local_modules.contains(root)
    }

    fn module_file(&mut self, includes: &Includes, path: &str) -> Option<PathBuf> {
        let root = path.split(['/', '.']).next().unwrap_or("");
        if !self.project.local_modules.contains(root) {
            return None;
        }
        let places = includes.places(&self.project.folder, path);
        let at = places.into_iter().find(|at| self.presence(at, path) == Presence::File)?;
        Some(include::lexical(&at))
    }

    fn python_file(&mut self, written: &str) {
        let Some(fact) = self.project.paths.get(written).filter(|fact| fact.presence == Presence::File) else { return };
        let path = include::lexical(&fact.path);
        // The engine loads nothing else.
        if path.extension().is_none_or(|extension| extension != "py") {
            return;
        }
        let file = match self.project.find(&path) {
            Some(file) => {
                let known = self.project.python.values().find(|known| known.file == file);
                match known.cloned() {
                    Some(known) => known,
                    None => return,
                }
            }
            None => match self.read_python(&path) {
                Some(file) => file,
                None => return,
            },
        };
        self.project.python.insert(written.to_owned(), file);
    }

    fn read_python(&mut self, path: &Path) -> Option<PythonFile> {
        let bytes = self.fs.read(path, python::MAX_BYTES + 1);
        // Python reads it; nothing is wrong with it but that it is not read here.
        if bytes.as_ref().is_ok_and(|bytes| has_other_encoding(bytes)) {
            return None;
        }
        let file = self.keep(path, bytes, python::MAX_BYTES, super::utf8);
        let readable = self.project.file(file).is_some_and(|file| file.unreadable.is_none());
        let module = if readable { python::read(self.project.text(file)) } else { Module::default() };
        Some(PythonFile { file, module: Arc::new(module) })
    }

    /// The modules that stand in the flow's merged folder, where the engine lets Python look first.
    fn local_modules(&mut self, includes: &Includes) {
        let folder = self.project.folder.clone();
        let beside =
            self.listing(&folder).iter().filter_map(|(name, entry)| module_name(name, *entry == Entry::Folder));
        let mut modules: BTreeSet<String> = beside.map(str::to_owned).collect();
        // Whether an include is a folder does not matter: a name without an ending is one.
        modules.extend(includes.names().filter_map(|name| module_name(name, !name.contains('.'))).map(str::to_owned));
        self.project.local_modules = modules;
    }
}

/// Where the modules may stand that an import loads, relative to the merged folder, each with the
/// package that it is in or is. `package` is that of the file that imports.
fn places(import: &Import, package: &[String]) -> Vec<(String, Vec<String>)> {
    let above = (import.level as usize).saturating_sub(1);
    if !import.required || (import.level > 0 && package.len() <= above) {
        return Vec::new();
    }
    let mut parts: Vec<String> = match import.level {
        0 => Vec::new(),
        _ => package[..package.len() - above].to_vec(),
    };
    let mut places = Vec::new();
    for part in import.module.value.split('.').filter(|part| !part.is_empty()) {
        places.push((format!("{}.py", [&parts[..], &[part.to_owned()]].concat().join("/")), parts.clone()));
        parts.push(part.to_owned());
        places.push((format!("{}/__init__.py", parts.join("/")), parts.clone()));
    }
    // `from package import module`
    for name in import.names.iter().filter(|_| !parts.is_empty()) {
        let path = format!("{}/{}", parts.join("/"), name.value);
        places.push((format!("{path}.py"), parts.clone()));
        places.push((format!("{path}/__init__.py"), [&parts[..], std::slice::from_ref(&name.value)].concat()));
    }
    places
}

fn module_name(name: &str, is_folder: bool) -> Option<&str> {
    match name.split_once('.') {
        None => is_folder.then_some(name),
        Some((stem, ending)) => {
            let ending = ending.rsplit('.').next().unwrap_or(ending);
            (!is_folder && matches!(ending, "py" | "pyc" | "so" | "pyd")).then_some(stem)
        }
    }
}

/// True for bytes that are not UTF-8 under a declaration of their encoding, in one of the two lines
/// where Python looks for it.
fn has_other_encoding(bytes: &[u8]) -> bool {
    let declares = |line: &[u8]| line.starts_with(b"#") && line.windows(6).any(|word| word == b"coding");
    bytes.split(|byte| *byte == b'\n').take(2).any(declares) && std::str::from_utf8(bytes).is_err()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::include::lexical;
    use crate::load::{Memory, load_project};
    use crate::project::Project;

    fn load(files: &[(&str, &[u8])]) -> Project {
        let files =
            files.iter().map(|(name, bytes)| (lexical(&Path::new("/r/flow").join(name)), bytes.to_vec())).collect();
        load_project(&Memory { files }, Path::new("/r/flow/flow.dag.yaml"))
    }

    #[test]
    fn every_file_that_may_run_is_read_once() {
        let project = load(&[
            (
                "flow.dag.yaml",
                b"additional_includes: [../shared/b.py, ../lib]
nodes:
- {name: a, type: python, source: {path: a.py}}
- {name: a2, type: python, source: {type: code, path: ./a.py}}
- {name: b, type: python, source: {path: b.py}}
- {name: p, type: prompt, source: {path: p.jinja2}}
- {name: gone, type: python, source: {path: gone.py}}
- {name: v, use_variants: true, type: python, source: {path: dead.py}}
node_variants:
  v: {default_variant_id: x, variants: {x: {node: {type: python, source: {path: v.py}}}}}
  a: {default_variant_id: x, variants: {x: {node: {type: python, source: {path: dead.py}}}}}
",
            ),
            ("a.py", b"x = 1\n"),
            ("../shared/b.py", b"y = 1\n"),
            ("v.py", b""),
            ("dead.py", b""),
            ("helper/__init__.py", b""),
            ("../lib/z.py", b""),
            ("data.txt", b""),
        ]);
        assert_eq!(project.python.keys().collect::<Vec<_>>(), ["./a.py", "a.py", "b.py", "v.py"]);
        assert_eq!(project.files.len(), 4);
        assert_eq!(project.python["a.py"].file, project.python["./a.py"].file);
        assert!(project.python["b.py"].module.defines("y"));
        assert_eq!(project.local_modules.iter().collect::<Vec<_>>(), ["a", "b", "dead", "helper", "lib", "v"]);
    }

    #[test]
    fn what_they_import() {
        let project = load(&[
            (
                "flow.dag.yaml",
                b"additional_includes: [../shared]
nodes: [{name: a, type: python, source: {path: tools/a.py}}]
",
            ),
            (
                "tools/a.py",
                b"import top, json, os.path
from shared.deep import one, gone
try:
    import guarded
except ImportError:
    pass
from . import beside
def f():
    import later
",
            ),
            ("top.py", b"import top\nimport tools.a\n"),
            ("../shared/__init__.py", b""),
            ("../shared/deep/__init__.py", b"from ..other import x\nfrom ... import top\n"),
            ("../shared/deep/one.py", b"from .two import y\n"),
            ("../shared/deep/two.py", b""),
            ("../shared/other.py", b""),
            ("guarded.py", b""),
            ("later.py", b""),
            ("tools/beside.py", b""),
        ]);
        let mut read: Vec<_> = project.helpers.iter().map(|file| project.files[file.file.0].path.as_path()).collect();
        read.sort();
        let expected = ["flow/top.py", "shared/__init__.py", "shared/deep/__init__.py", "shared/deep/one.py"];
        let expected = expected.into_iter().chain(["shared/deep/two.py", "shared/other.py"]);
        assert_eq!(read, expected.map(|path| Path::new("/r").join(path)).collect::<Vec<_>>());
    }

    #[test]
    fn the_module_of_an_entry() {
        for (path, entry) in [("m.py", "m:f"), ("a/b.py", "a.b:f"), ("a/b/__init__.py", "a.b:f")] {
            let project =
                load(&[("flow.dag.yaml", format!("entry: {entry}\n").as_bytes()), (path, b"def f(): pass\n")]);
            assert!(project.entry_module().is_some_and(|file| file.module.definition("f").is_some()), "{path}");
        }
        assert!(load(&[("flow.dag.yaml", b"entry: m:f\n")]).entry_module().is_none());
    }

    #[test]
    fn encodings() {
        let flow: &[u8] = b"nodes: [{name: a, type: python, source: {path: a.py}}]\n";
        let read = |bytes: &[u8]| load(&[("flow.dag.yaml", flow), ("a.py", bytes)]);
        assert!(read(b"# -*- coding: latin-1 -*-\nx = '\xe9'\n").python.is_empty());
        let project = read(b"x = '\xe9'\n");
        assert!(project.files[1].unreadable.is_some() && !project.python["a.py"].module.complete);
    }
}
