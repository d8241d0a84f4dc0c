//! Which flows a file belongs to.
//!
//! A requirements file may lie anywhere: a flow names it, or another requirements file includes
//! it, or it stands in the flow's folder by way of `additional_includes`. Only loading the flow
//! tells, so every flow that comes into sight is loaded once and the files that it read are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flowgate_flow::config::FILE_NAME;
use flowgate_flow::load::{self, Entry, FileSystem};
use flowgate_flow::{FileKind, classify};

use crate::analysis::reads;
use crate::documents::Documents;
use crate::overlay::Overlay;

/// How many flows are kept; a workspace of more is indexed in part.
const MAX_FLOWS: usize = 4096;
/// How many flows one file may belong to at the same time.
const MAX_OWNERS: usize = 64;
/// How many folders above a file are looked into, its own included: in a workspace, and outside of
/// one, where nothing says which folders are the user's project.
const LEVELS_IN_ROOT: usize = 8;
const LEVELS_ALONE: usize = 3;
/// How many entries of a workspace are walked.
const MAX_ENTRIES: usize = 200_000;

/// A flow and the files that it was made from.
pub(crate) type Sighting = (PathBuf, BTreeSet<PathBuf>);

/// The known flows.
#[derive(Debug, Default)]
pub(crate) struct Ownership {
    flows: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
}

impl Ownership {
    /// The flows that a file belongs to.
    pub(crate) fn owners<'s>(&'s self, file: &Path) -> impl Iterator<Item = &'s Path> {
        let owners = self.flows.iter().filter(move |(flow, files)| flow.as_path() != file && files.contains(file));
        owners.map(|(flow, _)| flow.as_path()).take(MAX_OWNERS)
    }

    /// True where the flow is known to be made from the file.
    pub(crate) fn owns(&self, flow: &Path, file: &Path) -> bool {
        self.flows.get(flow).is_some_and(|files| files.contains(file))
    }

    /// Keeps what a flow was made from.
    pub(crate) fn set(&mut self, (flow, files): Sighting) {
        if self.flows.len() < MAX_FLOWS || self.flows.contains_key(&flow) {
            self.flows.insert(flow, files);
        }
    }

    /// Keeps what a flow was made from unless something is known, which is newer.
    pub(crate) fn add(&mut self, (flow, files): Sighting) {
        if !self.flows.contains_key(&flow) {
            self.set((flow, files));
        }
    }

    /// Forgets a file, or every flow below a folder.
    pub(crate) fn remove(&mut self, path: &Path) {
        self.flows.retain(|flow, _| !flow.starts_with(path));
    }
}

/// Loads one flow for the files that it names.
pub(crate) fn sight(documents: &Arc<Documents>, roots: &[PathBuf], flow: &Path) -> Sighting {
    let fs = Overlay::new(documents.clone(), roots, flow);
    (flow.to_owned(), reads(&load::load_project(&fs, flow)))
}

/// Loads the flows in a file's folder and in the folders above it.
pub(crate) fn sight_near(documents: &Arc<Documents>, roots: &[PathBuf], file: &Path) -> Vec<Sighting> {
    let Some(folder) = file.parent() else { return Vec::new() };
    let root = roots.iter().filter(|root| folder.starts_with(root)).max_by_key(|root| root.components().count());
    let folders: Vec<&Path> = match root {
        Some(root) => folder.ancestors().take_while(|folder| folder.starts_with(root)).take(LEVELS_IN_ROOT).collect(),
        None => folder.ancestors().take(LEVELS_ALONE).collect(),
    };
    let mut found = Vec::new();
    for folder in folders {
        let fs = Overlay::new(documents.clone(), roots, &folder.join(FILE_NAME));
        let names = fs.list(folder).unwrap_or_default().into_iter();
        let flows = names
            .filter(|(name, entry)| *entry != Entry::Folder && classify::classify(Path::new(name)) == FileKind::Flow);
        found.extend(flows.map(|(name, _)| folder.join(name)));
    }
    found.truncate(MAX_OWNERS);
    found.iter().map(|flow| sight(documents, roots, flow)).collect()
}

/// Loads the flows below a workspace folder.
pub(crate) fn sight_below(documents: &Arc<Documents>, root: &PathBuf) -> Vec<Sighting> {
    let flows = load::discover_some(root, MAX_ENTRIES);
    flows.iter().take(MAX_FLOWS).map(|flow| sight(documents, std::slice::from_ref(root), flow)).collect()
}
