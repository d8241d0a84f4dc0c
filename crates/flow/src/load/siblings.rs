//! The files beside flows: run specifications, connections and prompty files.

use std::path::Path;

use super::includes::FLOW_FILES;
use super::{Entry, FileSystem, Loader, MAX_CANDIDATES};
use crate::classify::{FileKind, MAX_TOLD, classify, classify_text, is_told_by_text};
use crate::include;
use crate::lower::lower;
use crate::project::{
    ConnectionFile, FlowFile, PathFact, Presence, Project, PromptyFile, RunFile, RunFlow, SourceFile, TemplateFile,
};
use crate::span::Spanned;
use crate::yaml::{self, Node as Yaml, Value};
use crate::{connection, prompty, run};

/// How many files a front matter or a sample may name.
const MAX_NAMED_FILES: usize = 100;

/// What a file is, by its name and its text.
pub fn kind_of(fs: &dyn FileSystem, path: &Path) -> FileKind {
    if !is_told_by_text(path) {
        return classify(path);
    }
    let bytes = fs.read(path, MAX_TOLD + 1).unwrap_or_default();
    std::str::from_utf8(&bytes).map_or(FileKind::Other, |text| classify_text(path, text))
}

/// Reads a run specification with its flow, a connection, or a prompty.
pub fn load_sibling(fs: &dyn FileSystem, path: &Path) -> Project {
    let mut loader = Loader::new(fs, path);
    let file = loader.read(path, yaml::MAX_BYTES);
    let text = loader.text(file);
    match classify_text(path, &text) {
        FileKind::Prompty => {
            let prompty = prompty::read(&text);
            loader.named_files(&prompty.document.root);
            let template = TemplateFile { file, template: prompty.template.clone() };
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            loader.project.templates.insert(name, template);
            loader.project.prompty = Some(PromptyFile { file, prompty });
        }
        FileKind::Connection => {
            let document = yaml::read(&text);
            let connection = connection::lower(&document);
            loader.project.connection = Some(ConnectionFile { file, document, connection });
        }
        FileKind::RunSpecification => {
            let document = yaml::read(&text);
            let specification = run::lower(&document);
            for path in &specification.paths {
                loader.named(path);
            }
            let flow = specification.flow.as_ref().and_then(|flow| loader.run_flow(flow));
            loader.project.run = Some(RunFile { file, document, specification, flow });
        }
        FileKind::Flow | FileKind::Requirements | FileKind::Other => {}
    }
    loader.gather_barred();
    loader.project
}

impl Loader<'_> {
    /// What stands at a path that is relative to the file's folder.
    fn named(&mut self, path: &Spanned<String>) {
        let written = path.value.as_str();
        if self.project.paths.contains_key(written) {
            return;
        }
        let at = self.project.folder.join(include::lexical(Path::new(written)));
        let presence = self.presence(&at, written.trim_end_matches('/'));
        let missing = presence == Presence::Missing && self.suggestions > 0;
        self.suggestions -= usize::from(missing);
        let candidates = if missing { self.beside(&at, written) } else { Vec::new() };
        self.project.paths.insert(written.to_owned(), PathFact { path: at, presence, candidates });
    }

    /// Looks up every `${file:PATH}` below a value.
    fn named_files(&mut self, root: &Yaml) {
        for path in file_references(root) {
            self.named(&path);
        }
    }

    /// Looks up the files that a flex flow's sample and `code` name.
    pub(super) fn flex_files(&mut self, root: &Yaml) {
        if let Some(sample) = root.get("sample") {
            self.named_files(&sample.value);
        }
        let code =
            root.get("code").and_then(|entry| Some(Spanned::new(entry.value.text()?.to_owned(), entry.value.span)));
        if let Some(code) = code {
            self.named(&code);
        }
    }

    /// The flow that a run specification names, where it is on this machine.
    fn run_flow(&mut self, written: &Spanned<String>) -> Option<RunFlow> {
        let fact = self.project.paths.get(&written.value)?.clone();
        let path = match fact.presence {
            Presence::File => fact.path,
            Presence::Directory => {
                let names: Vec<String> = self
                    .listing(&fact.path)
                    .iter()
                    .filter(|(name, entry)| *entry != Entry::Folder && FLOW_FILES.contains(&name.as_str()))
                    .map(|(name, _)| name.clone())
                    .take(MAX_CANDIDATES)
                    .collect();
                match names.as_slice() {
                    [name] => fact.path.join(name),
                    _ => return Some(RunFlow::Folder(names)),
                }
            }
            Presence::Missing | Presence::OtherCase(_) | Presence::Special(_) | Presence::Outside => return None,
        };
        let path = include::lexical(&path);
        let file = self.read(&path, yaml::MAX_BYTES);
        let SourceFile { unreadable, text, .. } = self.project.file(file)?;
        if unreadable.is_some() {
            return None;
        }
        if classify(&path) == FileKind::Prompty {
            return Some(RunFlow::Prompty(Box::new(PromptyFile { file, prompty: prompty::read(text) })));
        }
        let document = yaml::read(text);
        let flow = lower(&document);
        Some(RunFlow::Flow(Box::new(FlowFile { file, document, flow })))
    }
}

/// The paths of `${file:PATH}` below a value, which the SDK replaces by the content of that file;
/// each with the place of the whole text.
pub fn file_references(root: &Yaml) -> Vec<Spanned<String>> {
    let mut found = Vec::new();
    gather(root, &mut found);
    found
}

fn gather(node: &Yaml, found: &mut Vec<Spanned<String>>) {
    if node.alias || found.len() >= MAX_NAMED_FILES {
        return;
    }
    match &*node.value {
        Value::Scalar(scalar) => {
            let path = scalar.text.strip_prefix("${file:").and_then(|rest| rest.rsplit_once('}')).map(|(path, _)| path);
            if let Some(path) = path.filter(|path| !path.is_empty()) {
                found.push(Spanned::new(path.to_owned(), node.span));
            }
        }
        Value::Sequence(items) => items.iter().for_each(|item| gather(item, found)),
        Value::Mapping(entries) => entries.iter().for_each(|entry| gather(&entry.value, found)),
    }
}
