//! What a flow names, or its merged folder holds, and is never opened.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};

use super::{Entry, Loader};
use crate::include::LEFT_BEHIND;
use crate::project::{Bar, Barred, FileId, NestedTarget, PathFact, Presence};
use crate::span::Span;
use crate::yaml::{Node as Yaml, Value};

/// How many of what is there, and not named, are told.
const MAX_TOLD: usize = 20;
/// How many entries of a merged folder are looked at. A run takes a few more, and looks at every one.
const MAX_ENTRIES: usize = 10_000;

impl Loader<'_> {
    /// Gathers it, once everything else is read.
    pub(super) fn gather_barred(&mut self) {
        let mut barred = self.named_and_barred();
        if self.project.flow.is_some() {
            self.held_and_barred(&mut barred);
        }
        barred.sort_by(|one, other| (one.at, &one.path).cmp(&(other.at, &other.path)));
        self.project.barred = barred;
    }

    fn bar(&self, fact: &PathFact) -> Option<Bar> {
        match fact.presence {
            Presence::Special(what) => Some(Bar::Special(what)),
            Presence::Outside => Some(Bar::Outside(self.fs.boundary().to_owned())),
            Presence::File | Presence::Directory | Presence::Missing | Presence::OtherCase(_) => None,
        }
    }

    fn named_and_barred(&self) -> Vec<Barred> {
        let project = &self.project;
        let mut found = Vec::new();
        let includes = project.flow.iter().flat_map(|file| {
            let written = file.flow.additional_includes.iter().zip(&project.included);
            written.map(|(written, include)| (file.file, written, &include.fact))
        });
        let nested = project.requirements.iter().flat_map(|file| {
            let missing = file.nested.iter().filter_map(|nested| match &nested.target {
                NestedTarget::Missing(fact) => Some((&nested.path, fact)),
                _ => None,
            });
            missing.map(|(path, fact)| (file.file, path, fact))
        });
        for (file, written, fact) in includes.chain(nested) {
            let at = Some((file, written.span));
            found.extend(self.bar(fact).map(|bar| Barred { path: written.value.clone(), at, bar }));
        }
        let paths: HashMap<&str, Bar> =
            project.paths.iter().filter_map(|(path, fact)| Some((path.as_str(), self.bar(fact)?))).collect();
        if paths.is_empty() {
            return found;
        }
        let mut places: Vec<(&str, FileId, Span)> = Vec::new();
        let assistants = project.assistants.values().map(|assistant| (assistant.file, &assistant.document));
        for (file, document) in project.documents().chain(assistants) {
            scalars(&document.root, &mut |text, span| {
                let path = text.strip_prefix("${file:").and_then(|rest| rest.strip_suffix('}')).unwrap_or(text);
                places.extend(paths.get_key_value(path).map(|(path, _)| (*path, file, span)));
            });
        }
        // Of a path that no text has as a whole, such as the module of an entry, the file is the place.
        for path in paths.keys() {
            if !places.iter().any(|(placed, ..)| placed == path) {
                places.push((path, FileId(0), Span::empty(0)));
            }
        }
        for (path, file, span) in places {
            if let Some(bar) = paths.get(path) {
                found.push(Barred { path: path.to_owned(), at: Some((file, span)), bar: bar.clone() });
            }
        }
        found
    }

    /// Adds what the merged folder holds beside that.
    fn held_and_barred(&self, barred: &mut Vec<Barred>) {
        let named = self.project.paths.values().map(|fact| fact.path.clone());
        // What could not be read is told as a file.
        let named: HashSet<PathBuf> = named.chain(self.project.files.iter().map(|file| file.path.clone())).collect();
        let merged = self.project.included.iter().filter(|include| include.fact.presence == Presence::Directory);
        let merged =
            merged.filter_map(|include| Some((include.fact.path.clone(), format!("{}/", include.name.as_ref()?))));
        let mut waiting: VecDeque<(PathBuf, String)> = [(self.project.folder.clone(), String::new())].into();
        waiting.extend(merged);
        let (mut seen, mut left, told) = (HashSet::new(), MAX_ENTRIES, barred.len() + MAX_TOLD);
        while let Some((folder, prefix)) = waiting.pop_front() {
            let at = if folder.as_os_str().is_empty() { Path::new(".") } else { &folder };
            // What was listed before is known.
            let listed = match self.listings.get(at.as_os_str()) {
                Some(names) => Ok(Cow::Borrowed(names)),
                None => self.fs.list(at).map(Cow::Owned),
            };
            let Ok(names) = listed else { continue };
            let is_environment = names.iter().any(|(name, entry)| name == "pyvenv.cfg" && *entry == Entry::File);
            // Links may go in circles.
            if (is_environment && !prefix.is_empty()) || !seen.insert(self.fs.identity(&folder)) {
                continue;
            }
            for (name, entry) in names.iter().take(left) {
                left -= 1;
                if LEFT_BEHIND.contains(&name.as_str()) {
                    continue;
                }
                let at = folder.join(name);
                let bar = match entry {
                    Entry::File => continue,
                    Entry::Folder => {
                        waiting.push_back((at, format!("{prefix}{name}/")));
                        continue;
                    }
                    Entry::Special(what) => Bar::Special(what),
                    Entry::Outside => Bar::Outside(self.fs.boundary().to_owned()),
                };
                if !named.contains(&at) && barred.len() < told {
                    barred.push(Barred { path: format!("{prefix}{name}"), at: None, bar });
                }
            }
        }
    }
}

fn scalars<'y>(node: &'y Yaml, each: &mut impl FnMut(&'y str, Span)) {
    if node.alias {
        return;
    }
    match &*node.value {
        Value::Scalar(scalar) => each(&scalar.text, node.span),
        Value::Sequence(items) => items.iter().for_each(|item| scalars(item, each)),
        Value::Mapping(entries) => entries.iter().for_each(|entry| scalars(&entry.value, each)),
    }
}
