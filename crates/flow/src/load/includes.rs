//! What a flow's `additional_includes` lead to, and which flow files share its folder.

use std::path::{Path, PathBuf};

use super::{Entry, Loader, MAX_CANDIDATES};
use crate::include;
use crate::model::Flow;
use crate::project::{Included, PathFact, Presence};

/// How many folders of an archive are looked into for files that the SDK cannot pack.
const MAX_ARCHIVE_FOLDERS: usize = 256;
/// The names by which a flow is found in a folder.
pub(super) const FLOW_FILES: [&str; 4] = ["flow.dag.yaml", "flow.dag.yml", "flow.flex.yaml", "flow.flex.yml"];

impl Loader<'_> {
    /// Looks up every include, and the flow files of the folder.
    pub(super) fn surroundings(&mut self, flow: &Flow) {
        let folder = self.project.folder.clone();
        let names = self.listing(&folder).iter();
        let flows = names.filter(|(name, entry)| *entry != Entry::Folder && FLOW_FILES.contains(&name.as_str()));
        self.project.flow_files = flows.map(|(name, _)| name.clone()).collect();
        let includes = flow.additional_includes.iter().take(include::MAX_INCLUDES);
        self.project.included = includes.map(|include| self.include(&folder, &include.value)).collect();
    }

    fn include(&mut self, folder: &Path, written: &str) -> Included {
        let at = folder.join(include::lexical(Path::new(written)));
        let mut presence = self.presence(&at, written.trim_end_matches('/'));
        // The SDK follows links before it takes the name, but not those of an absolute path.
        let real = if Path::new(written).is_absolute() { at.clone() } else { self.fs.identity(&at) };
        let name = real.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        let archive = (presence == Presence::Missing).then(|| self.archive(&at)).flatten();
        let nested = archive.as_deref().and_then(|folder| self.nested_file(folder));
        if archive.is_some() {
            presence = Presence::File;
        }
        let missing = presence == Presence::Missing && self.suggestions > 0;
        self.suggestions -= usize::from(missing);
        let candidates = if missing { self.beside(&at, written) } else { Vec::new() };
        let own = name.as_deref().map_or(Presence::Missing, |name| self.presence(&folder.join(name), name));
        Included { name, own, archive, nested, fact: PathFact { path: at, presence, candidates } }
    }

    /// What is beside a missing path, spelled like it.
    pub(super) fn beside(&mut self, at: &Path, written: &str) -> Vec<String> {
        let forward = written.trim_end_matches('/').replace('\\', "/");
        let (stem, parent) = match forward.rsplit_once('/') {
            Some((stem, _)) => (format!("{stem}/"), self.project.folder.join(include::lexical(Path::new(stem)))),
            None => (String::new(), at.parent().unwrap_or(Path::new("")).to_owned()),
        };
        self.listing(&parent).iter().take(MAX_CANDIDATES).map(|(name, _)| format!("{stem}{name}")).collect()
    }

    /// The folder that the SDK packs for an include `x.zip` where there is no such file.
    fn archive(&mut self, at: &Path) -> Option<PathBuf> {
        let folder = at.with_extension("");
        let packs = at.extension()? == "zip" && self.presence(&folder, "") == Presence::Directory;
        packs.then_some(folder)
    }

    /// A file in a folder of that folder, relative to it, that is not also in the folder itself.
    fn nested_file(&mut self, folder: &Path) -> Option<String> {
        let top: Vec<String> = self.listing(folder).iter().map(|(name, _)| name.clone()).collect();
        let below = |listing: &[(String, Entry)], prefix: &str| -> Vec<String> {
            listing
                .iter()
                .filter(|(_, entry)| *entry == Entry::Folder)
                .map(|(name, _)| format!("{prefix}{name}"))
                .collect()
        };
        let mut left = below(self.listing(folder), "");
        for _ in 0..MAX_ARCHIVE_FOLDERS {
            let inner = left.pop()?;
            let listing = self.listing(&folder.join(&inner));
            if let Some((file, _)) = listing.iter().find(|(name, entry)| *entry == Entry::File && !top.contains(name)) {
                return Some(format!("{inner}/{file}"));
            }
            left.extend(below(listing, &format!("{inner}/")));
        }
        None
    }
}
