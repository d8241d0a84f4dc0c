//! What the server knows: the open texts, and the last analysis of each unit.
//!
//! Every event counts up a clock. A unit remembers the time of the last event that concerns it and
//! the time to which its analysis belongs; it is current where the second has caught up with the
//! first. Nothing is published of a file while a unit that it belongs to is not current.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flowgate_flow::{FileKind, classify};
use lsp_types::{Diagnostic, Url};

use crate::analysis::{Analysis, Unit, analyse};
use crate::convert::{self, Client};
use crate::documents::{Change, Document, Documents};
use crate::overlay::Overlay;
use crate::ownership::{Ownership, Sighting, sight, sight_near};

/// Everything that the server knows.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) client: Client,
    roots: Vec<PathBuf>,
    documents: Arc<Documents>,
    ownership: Ownership,
    units: BTreeMap<Unit, Progress>,
    clock: u64,
    /// Open files whose neighbourhood has yet to be searched for flows that own them.
    lookouts: BTreeSet<PathBuf>,
    /// Flows on the disk that have changed and have yet to be loaded for the files that they name.
    changed_flows: BTreeSet<PathBuf>,
    published: BTreeMap<PathBuf, Publication>,
    /// Closed files whose findings the editor still shows.
    closed: Vec<Publication>,
    config_errors: BTreeSet<String>,
}

#[derive(Debug)]
struct Progress {
    wanted: u64,
    done: Option<(u64, Arc<Analysis>)>,
}

impl Progress {
    fn current(&self) -> Option<&Arc<Analysis>> {
        self.done.as_ref().filter(|(at, _)| *at >= self.wanted).map(|(_, analysis)| analysis)
    }
}

/// What the editor is told about one file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Publication {
    pub(crate) uri: Url,
    /// Of the open text; `None` for a file that is not open.
    pub(crate) version: Option<i32>,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// Work that needs no lock.
pub(crate) struct Job {
    at: u64,
    documents: Arc<Documents>,
    roots: Vec<PathBuf>,
    units: Vec<Unit>,
    lookouts: BTreeSet<PathBuf>,
    changed_flows: BTreeSet<PathBuf>,
}

/// What came of it.
pub(crate) struct Done {
    at: u64,
    lookouts: BTreeSet<PathBuf>,
    sightings: Vec<Sighting>,
    analyses: Vec<(Unit, Analysis)>,
}

impl Job {
    /// Analyses.
    pub(crate) fn run(&self) -> Done {
        let near = self.lookouts.iter().flat_map(|file| sight_near(&self.documents, &self.roots, file));
        let changed = self.changed_flows.iter().map(|flow| sight(&self.documents, &self.roots, flow));
        let sightings = near.chain(changed).collect();
        let analysed = |unit: &Unit| {
            let fs = Overlay::new(self.documents.clone(), &self.roots, unit.path());
            (unit.clone(), analyse(&fs, unit))
        };
        let analyses = self.units.iter().map(analysed).collect();
        Done { at: self.at, lookouts: self.lookouts.clone(), sightings, analyses }
    }

    /// What to accept where the work broke off: no findings, and no second try on the same text.
    pub(crate) fn given_up(&self) -> Done {
        let analyses = self.units.iter().map(|unit| (unit.clone(), Analysis::default())).collect();
        Done { at: self.at, lookouts: self.lookouts.clone(), sightings: Vec::new(), analyses }
    }
}

impl State {
    /// The session begins.
    pub(crate) fn begin(&mut self, client: Client, roots: Vec<PathBuf>) {
        self.client = client;
        self.roots = roots;
    }

    pub(crate) fn roots(&self) -> &[PathBuf] {
        &self.roots
    }

    pub(crate) fn documents(&self) -> &Arc<Documents> {
        &self.documents
    }

    /// Workspace folders came or went.
    pub(crate) fn change_roots(&mut self, added: &[PathBuf], removed: &[PathBuf]) {
        self.roots.retain(|root| !removed.contains(root));
        self.roots.extend(added.iter().cloned());
    }

    /// A text was opened; whatever changed on the disk without a word is found again, too.
    pub(crate) fn open(&mut self, path: PathBuf, document: Document) {
        self.closed.retain(|closed| closed.uri != document.uri);
        Arc::make_mut(&mut self.documents).insert(path.clone(), document);
        self.look_out_for(path);
        self.touch_all();
    }

    /// A text was changed.
    pub(crate) fn change(&mut self, path: &Path, version: i32, changes: Vec<Change>) {
        let unit = self.client.unit;
        if let Some(document) = Arc::make_mut(&mut self.documents).get_mut(path) {
            document.version = version;
            document.apply(changes, unit);
            self.touch(path);
        }
    }

    /// A text was saved. For an editor that reports no changes on the disk this is the time to
    /// look at them.
    pub(crate) fn save(&mut self, path: &Path) {
        if let Some(document) = Arc::make_mut(&mut self.documents).get_mut(path) {
            document.saved = true;
        }
        let open: Vec<PathBuf> = self.documents.keys().cloned().collect();
        for path in open {
            self.look_out_for(path);
        }
        self.touch_all();
    }

    /// A text was closed: the disk is the truth again.
    pub(crate) fn close(&mut self, path: &Path) {
        if Arc::make_mut(&mut self.documents).remove(path).is_none() {
            return;
        }
        self.lookouts.remove(path);
        if let Some(shown) = self.published.remove(path) {
            self.closed.push(Publication { version: None, diagnostics: Vec::new(), ..shown });
        }
        self.touch_all();
    }

    /// Something on the disk came, changed or went.
    pub(crate) fn disk_changed(&mut self, path: &Path, exists: bool) {
        if exists {
            if let Some(document) = Arc::make_mut(&mut self.documents).get_mut(path) {
                document.saved = true;
            }
            if classify::classify(path) == FileKind::Flow {
                self.changed_flows.insert(path.to_owned());
            }
        } else {
            self.ownership.remove(path);
            self.changed_flows.retain(|flow| !flow.starts_with(path));
        }
        self.touch_all();
    }

    /// Flows were found in a workspace folder.
    pub(crate) fn found(&mut self, sightings: Vec<Sighting>) {
        for sighting in sightings {
            self.ownership.add(sighting);
        }
    }

    fn look_out_for(&mut self, path: PathBuf) {
        if classify::classify(&path) != FileKind::Flow {
            self.lookouts.insert(path);
        }
    }

    fn touch_all(&mut self) {
        self.clock += 1;
        for progress in self.units.values_mut() {
            progress.wanted = self.clock;
        }
    }

    fn touch(&mut self, path: &Path) {
        self.clock += 1;
        for (unit, progress) in &mut self.units {
            let concerned = match &progress.done {
                Some((_, analysis)) => {
                    unit.path() == path
                        || analysis.project.find(path).is_some()
                        || self.ownership.owns(unit.path(), path)
                }
                None => true,
            };
            if concerned {
                progress.wanted = self.clock;
            }
        }
    }

    /// The units that a file belongs to.
    fn units_of(&self, path: &Path) -> Vec<Unit> {
        // What was typed may make a file one of another kind.
        let text = self.documents.get(path).map_or("", |document| &*document.text);
        let kind = classify::classify_text(path, text);
        match kind {
            FileKind::Flow => return vec![Unit::Flow(path.to_owned())],
            FileKind::RunSpecification | FileKind::Connection | FileKind::Prompty => {
                return vec![Unit::Sibling(path.to_owned())];
            }
            FileKind::Requirements | FileKind::Other => {}
        }
        let owners: Vec<Unit> = self.ownership.owners(path).map(|flow| Unit::Flow(flow.to_owned())).collect();
        // Until the neighbourhood was searched, it is not known to be alone.
        if owners.is_empty() && kind == FileKind::Requirements && !self.lookouts.contains(path) {
            return vec![Unit::Requirements(path.to_owned())];
        }
        owners
    }

    /// What is to be analysed now, if anything.
    pub(crate) fn plan(&mut self) -> Option<Job> {
        let active: BTreeSet<Unit> = self.documents.keys().flat_map(|path| self.units_of(path)).collect();
        self.units.retain(|unit, _| active.contains(unit));
        for unit in active {
            self.units.entry(unit).or_insert(Progress { wanted: self.clock, done: None });
        }
        let units: Vec<Unit> = self
            .units
            .iter()
            .filter(|(_, progress)| progress.current().is_none())
            .map(|(unit, _)| unit.clone())
            .collect();
        if units.is_empty() && self.lookouts.is_empty() && self.changed_flows.is_empty() {
            return None;
        }
        let lookouts = self.lookouts.clone();
        let changed_flows = std::mem::take(&mut self.changed_flows);
        Some(Job {
            at: self.clock,
            documents: self.documents.clone(),
            roots: self.roots.clone(),
            units,
            lookouts,
            changed_flows,
        })
    }

    /// Takes over what is still true; gives the errors of configurations that were not known.
    pub(crate) fn accept(&mut self, done: Done) -> Vec<String> {
        self.lookouts.retain(|path| !done.lookouts.contains(path));
        for sighting in done.sightings {
            self.ownership.set(sighting);
        }
        for (unit, analysis) in done.analyses {
            let Some(progress) = self.units.get_mut(&unit).filter(|progress| progress.wanted <= done.at) else {
                continue;
            };
            if let Unit::Flow(flow) = &unit {
                self.ownership.set((flow.clone(), analysis.reads()));
            }
            progress.done = Some((done.at, Arc::new(analysis)));
        }
        let errors =
            self.units.values().filter_map(|progress| progress.done.as_ref()?.1.config_error.clone()).collect();
        let known = std::mem::replace(&mut self.config_errors, errors);
        self.config_errors.difference(&known).cloned().collect()
    }

    /// The current analyses of a file's units; `None` while one is not current.
    pub(crate) fn analyses_of(&self, path: &Path) -> Option<Vec<Arc<Analysis>>> {
        if self.lookouts.contains(path) {
            return None;
        }
        self.units_of(path).iter().map(|unit| self.units.get(unit)?.current().cloned()).collect()
    }

    /// What the editor has to be told now.
    pub(crate) fn due(&mut self) -> Vec<Publication> {
        let mut due = std::mem::take(&mut self.closed);
        let (mut shown, mut held): (BTreeMap<&Path, Vec<&Analysis>>, BTreeSet<&Path>) = Default::default();
        for (unit, progress) in &self.units {
            let Some((_, analysis)) = &progress.done else {
                held.insert(unit.path());
                continue;
            };
            // Where only a requirements file is open, its flows' own findings are not asked for.
            let whole = self.documents.contains_key(unit.path());
            for file in &analysis.project.files {
                if whole || self.documents.contains_key(&file.path) {
                    shown.entry(&file.path).or_default().push(analysis);
                }
                if progress.current().is_none() {
                    held.insert(&file.path);
                }
            }
        }
        held.extend(self.lookouts.iter().map(PathBuf::as_path));
        let gone: Vec<PathBuf> = self
            .published
            .keys()
            .filter(|path| !shown.contains_key(path.as_path()) && !held.contains(path.as_path()))
            .cloned()
            .collect();
        for path in &gone {
            due.extend(self.published.remove(path).map(|shown| Publication {
                version: None,
                diagnostics: Vec::new(),
                ..shown
            }));
        }
        for (path, analyses) in shown.into_iter().filter(|(path, _)| !held.contains(path)) {
            let Some(uri) = convert::uri(&self.documents, path) else { continue };
            let version = self.documents.get(path).map(|document| document.version);
            let mut diagnostics: Vec<Diagnostic> = Vec::new();
            for analysis in analyses {
                let Some(file) = analysis.project.find(path) else { continue };
                let findings = analysis.findings.iter().filter(|finding| finding.at.file == file);
                let converted = findings.filter_map(|finding| {
                    convert::diagnostic(&analysis.project, finding, self.client, &self.documents)
                });
                for diagnostic in converted {
                    if !diagnostics.contains(&diagnostic) {
                        diagnostics.push(diagnostic);
                    }
                }
            }
            diagnostics.sort_by_key(|diagnostic| (diagnostic.range.start, diagnostic.range.end));
            let publication = Publication { uri, version, diagnostics };
            if self.published.get(path) != Some(&publication) {
                self.published.insert(path.to_owned(), publication.clone());
                due.push(publication);
            }
        }
        due
    }
}

#[cfg(test)]
mod tests;
