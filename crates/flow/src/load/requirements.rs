//! The requirements file of a flow, and the files that it includes.

use std::path::{Path, PathBuf};

use super::Loader;
use crate::include::{self, Includes};
use crate::model::Flow;
use crate::project::{FileId, NestedRequirements, NestedTarget, Presence, RequirementsFile};
use crate::requirements::{self, Encoding};

/// How many files `-r` and `-c` may pull in.
const MAX_FILES: usize = 64;

impl Loader<'_> {
    /// The requirements file that the runtime would take: the named one, else `requirements.txt`
    /// beside the flow (the SDK adds it by itself). With its path relative to the flow's folder.
    pub(super) fn requirements_path(&mut self, flow: &Flow, includes: &Includes) -> Option<(String, PathBuf)> {
        // Whether it is there decides what the SDK adds, and what it leaves aside.
        let usual = self.fact(includes, "requirements.txt");
        if usual.presence == Presence::File {
            self.project.paths.entry("requirements.txt".to_owned()).or_insert_with(|| usual.clone());
        }
        let named = flow.environment.as_ref().and_then(|e| e.python_requirements_txt.as_ref());
        let (name, fact) = match named {
            Some(named) => (named.value.as_str(), self.project.paths.get(&named.value)?.clone()),
            None => ("requirements.txt", usual),
        };
        (fact.presence == Presence::File).then(|| (name.to_owned(), fact.path))
    }

    /// Reads a requirements file and what it includes. `name` is where it stands in the merged
    /// folder of the flow, `path` where it is; `above` are the files that led here.
    pub(super) fn requirements(
        &mut self,
        includes: &Includes,
        name: &str,
        path: PathBuf,
        constraint: bool,
        above: &mut Vec<FileId>,
    ) -> NestedTarget {
        let path = include::lexical(&path);
        if let Some(file) = self.project.find(&path) {
            return if above.contains(&file) { NestedTarget::Recursive(file) } else { NestedTarget::File(file) };
        }
        if self.project.requirements.len() >= MAX_FILES {
            return NestedTarget::NotFollowed;
        }
        let bytes = self.fs.read(&path, requirements::MAX_BYTES + 1);
        let file = self.keep(&path, bytes, requirements::MAX_BYTES, decode);
        let read = requirements::read(self.project.text(file));
        let named: Vec<_> = read
            .lines
            .iter()
            .filter_map(|line| line.nested().map(|(path, constraint)| (path.clone(), constraint)))
            .collect();
        let index = self.project.requirements.len();
        self.project.requirements.push(RequirementsFile { file, requirements: read, constraint, nested: Vec::new() });
        above.push(file);
        let mut nested = Vec::new();
        for (path, constraint) in named {
            let target = self.nested(includes, name, &path.value, constraint, above);
            nested.push(NestedRequirements { path, constraint, target });
        }
        above.pop();
        if let Some(file) = self.project.requirements.get_mut(index) {
            file.nested = nested;
        }
        NestedTarget::File(file)
    }

    fn nested(
        &mut self,
        includes: &Includes,
        from: &str,
        path: &str,
        constraint: bool,
        above: &mut Vec<FileId>,
    ) -> NestedTarget {
        if path.contains("://") || path.starts_with("file:") || requirements::variables(path).next().is_some() {
            return NestedTarget::NotFollowed;
        }
        let name = Path::new(from).parent().unwrap_or(Path::new("")).join(path);
        let Some(name) = name.to_str() else { return NestedTarget::NotFollowed };
        let fact = self.fact(includes, name);
        match fact.presence {
            Presence::File => self.requirements(includes, name, fact.path, constraint, above),
            _ => NestedTarget::Missing(fact),
        }
    }
}

fn decode(bytes: Vec<u8>) -> Result<(String, Encoding), String> {
    let (text, encoding) = requirements::decode(bytes)?;
    if requirements::is_too_long(&text) {
        let most = requirements::MAX_LINES;
        return Err(format!("the file has more than {most} lines, which is the most that flowgate reads"));
    }
    Ok((text, encoding))
}
