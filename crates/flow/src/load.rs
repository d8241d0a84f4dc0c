//! From paths to a [`Project`]: the only part of this crate that touches the disk.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::include::{self, Includes};
use crate::lower::lower;
use crate::model::Flow;
use crate::project::{FileId, FlowFile, PathFact, Presence, Project, SourceFile};
use crate::requirements::Encoding;
use crate::text::LineIndex;
use crate::yaml;

mod assistant;
mod barred;
mod discover;
mod disk;
mod includes;
mod overlay;
mod passed_over;
mod python;
mod requirements;
mod sample;
mod siblings;
mod templates;
mod walk;
mod within;

pub use assistant::assistant_inputs;
pub use discover::{discover, discover_all, discover_some};
pub use disk::{Disk, open_file, special};
pub use overlay::Overlay;
pub use passed_over::passed_over;
pub use sample::{Sample, data_rows, read_data, sample_rows};
pub use siblings::{file_references, kind_of, load_sibling};
pub use walk::PassedOver;
pub use within::Within;

/// How many names of a folder are offered as candidates.
const MAX_CANDIDATES: usize = 256;
/// For how many missing paths candidates are gathered: a flow with more is not mended by them.
const MAX_SUGGESTIONS: usize = 100;

/// What can be read: the disk, or the disk behind unsaved buffers.
pub trait FileSystem {
    /// A file's bytes, at most `limit` of them.
    ///
    /// # Errors
    /// The operating system's.
    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>>;

    /// What is in a folder, by name; links count as what they lead to.
    ///
    /// # Errors
    /// The operating system's.
    fn list(&self, folder: &Path) -> io::Result<Vec<(String, Entry)>>;

    /// The one path of a file that several paths lead to.
    fn identity(&self, path: &Path) -> PathBuf {
        include::lexical(path)
    }

    /// False for a path that is never looked at, whether something is there or not.
    fn reaches(&self, _path: &Path) -> bool {
        true
    }

    /// A `flowgate.yaml`, which may be above all that is reached.
    ///
    /// # Errors
    /// The operating system's.
    fn read_configuration(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        self.read(path, limit)
    }

    /// What is reached, for messages: `the repository`.
    fn boundary(&self) -> &str {
        "the repository"
    }
}

/// What an entry of a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entry {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// What is never opened, for people: `a named pipe`.
    Special(&'static str),
    /// A link to what is never looked at, and what git keeps for itself.
    Outside,
}

/// Files in memory, for tests and for text that is not on the disk.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// Texts by path; folders are implied.
    pub files: HashMap<PathBuf, Vec<u8>>,
}

impl FileSystem for Memory {
    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        let bytes = self.files.get(&include::lexical(path)).ok_or(io::ErrorKind::NotFound)?;
        Ok(bytes[..bytes.len().min(limit)].to_vec())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<(String, Entry)>> {
        let folder = include::lexical(folder);
        let mut names: Vec<_> = self
            .files
            .keys()
            .filter_map(|path| {
                let rest = path.strip_prefix(&folder).ok()?;
                let first = rest.components().next()?.as_os_str().to_str()?.to_owned();
                Some((first, if rest.components().count() > 1 { Entry::Folder } else { Entry::File }))
            })
            .collect();
        names.sort();
        names.dedup();
        if names.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(names) }
    }
}

/// Reads one flow with everything that it names.
pub fn load_project(fs: &dyn FileSystem, flow_file: &Path) -> Project {
    let mut loader = Loader::new(fs, flow_file);
    let file = loader.read(flow_file, yaml::MAX_BYTES);
    let text = loader.text(file);
    let document = yaml::read(&text);
    let flow = lower(&document);
    loader.surroundings(&flow);
    loader.facts(&flow);
    loader.python(&flow);
    loader.assistants(&flow, &text);
    loader.templates(&flow);
    if flow.flex {
        loader.flex_files(&document.root);
    }
    let includes = Includes::new(loader.project.included.iter());
    let requirements = loader.requirements_path(&flow, &includes);
    loader.project.flow = Some(FlowFile { file, document, flow });
    if let Some((name, path)) = requirements {
        loader.requirements(&includes, &name, path, false, &mut Vec::new());
    }
    loader.gather_barred();
    loader.project
}

/// Reads one requirements file that no flow is known to own.
pub fn load_requirements(fs: &dyn FileSystem, path: &Path) -> Project {
    let mut loader = Loader::new(fs, path);
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("requirements.txt");
    loader.requirements(&Includes::default(), name, path.to_owned(), false, &mut Vec::new());
    loader.gather_barred();
    loader.project
}

/// True for a folder, false for anything else, `None` where nothing is there.
pub fn is_folder(path: &Path) -> Option<bool> {
    std::fs::metadata(path).ok().map(|data| data.is_dir())
}

struct Loader<'f> {
    fs: &'f dyn FileSystem,
    /// By the folder's path as it is asked for: this is asked often, and paths as such are slow to compare.
    listings: HashMap<OsString, Vec<(String, Entry)>>,
    project: Project,
    /// For how many more paths candidates are gathered.
    suggestions: usize,
}

impl<'f> Loader<'f> {
    fn new(fs: &'f dyn FileSystem, file: &Path) -> Self {
        let folder = file.parent().unwrap_or(Path::new("")).to_owned();
        let project = Project { folder, ..Project::default() };
        Self { fs, listings: HashMap::new(), project, suggestions: MAX_SUGGESTIONS }
    }
}

impl Loader<'_> {
    /// A file's text, shared with the project.
    fn text(&self, file: FileId) -> Arc<str> {
        self.project.file(file).map_or_else(|| "".into(), |file| file.text.clone())
    }

    fn read(&mut self, path: &Path, limit: usize) -> FileId {
        let bytes = self.fs.read(path, limit + 1);
        self.keep(path, bytes, limit, utf8)
    }

    /// Makes what was read of a file, at most one byte more than `limit`, a file of the project.
    fn keep(
        &mut self,
        path: &Path,
        bytes: io::Result<Vec<u8>>,
        limit: usize,
        decode: impl FnOnce(Vec<u8>) -> Result<(String, Encoding), String>,
    ) -> FileId {
        let read = match bytes {
            Err(error) => Err(format!("cannot read the file: {}", reason(&error))),
            Ok(bytes) if bytes.len() > limit => {
                Err(format!("the file is longer than {} MiB, which is the most that flowgate reads", limit >> 20))
            }
            Ok(bytes) => decode(bytes),
        };
        let (text, encoding, unreadable) = match read {
            Ok((text, encoding)) => (text, encoding, None),
            Err(reason) => (String::new(), Encoding::Utf8, Some(reason)),
        };
        let lines = LineIndex::new(&text);
        self.project.files.push(SourceFile { path: path.to_owned(), lines, text: text.into(), unreadable, encoding });
        FileId(self.project.files.len() - 1)
    }

    fn facts(&mut self, flow: &Flow) {
        let includes = Includes::new(self.project.included.iter());
        let nodes = flow.nodes.iter().chain(flow.variants.iter().map(|v| &v.node));
        let mut named: Vec<&str> =
            nodes.filter_map(|n| n.source.as_ref()?.path.as_ref().map(|p| p.value.as_str())).collect();
        named.extend(flow.environment.iter().filter_map(|e| Some(e.python_requirements_txt.as_ref()?.value.as_str())));
        for path in named {
            if !self.project.paths.contains_key(path) {
                let fact = self.fact(&includes, path);
                self.project.paths.insert(path.to_owned(), fact);
            }
        }
    }

    fn fact(&mut self, includes: &Includes, path: &str) -> PathFact {
        let places = includes.places(&self.project.folder, path);
        let mut found = None;
        for at in places {
            let presence = self.presence(&at, path);
            let there = presence != Presence::Missing;
            if there || found.is_none() {
                found = Some((at, presence));
            }
            if there {
                break;
            }
        }
        let (at, presence) = found.unwrap_or_else(|| (self.project.folder.join(path), Presence::Missing));
        let missing = presence == Presence::Missing && self.suggestions > 0;
        let candidates = if missing { self.candidates(includes, path) } else { Vec::new() };
        self.suggestions -= usize::from(missing);
        PathFact { path: at, presence, candidates }
    }

    fn presence(&mut self, at: &Path, written: &str) -> Presence {
        // "." and ".." have no name of their own in any listing.
        let (Some(parent), Some(name)) = (at.parent(), at.file_name().and_then(|n| n.to_str())) else {
            return if self.fs.reaches(at) { Presence::Directory } else { Presence::Outside };
        };
        let fs = self.fs;
        let listing = self.listing(parent);
        if let Some((_, entry)) = listing.iter().find(|(n, _)| n == name) {
            return match entry {
                Entry::File => Presence::File,
                Entry::Folder => Presence::Directory,
                Entry::Special(what) => Presence::Special(what),
                Entry::Outside => Presence::Outside,
            };
        }
        if !fs.reaches(at) {
            return Presence::Outside;
        }
        // What was named is reached, and what it is in is not.
        if !fs.reaches(parent) {
            return if fs.list(at).is_ok() { Presence::Directory } else { Presence::File };
        }
        match listing.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
            Some((other, Entry::File)) => {
                let stem = written.strip_suffix(name).unwrap_or("");
                Presence::OtherCase(format!("{stem}{other}"))
            }
            _ => self.in_other_case(at, written).map_or(Presence::Missing, Presence::OtherCase),
        }
    }

    /// The same path, where its folders are there in another case.
    fn in_other_case(&mut self, at: &Path, written: &str) -> Option<String> {
        let parts: Vec<&str> = written.split('/').collect();
        let mut here = at.ancestors().nth(parts.len()).filter(|folder| folder.join(written) == at)?.to_owned();
        let (mut found, mut last) = (Vec::new(), Entry::Folder);
        for part in parts {
            let names = self.listing(&here);
            let exact = names.iter().find(|(name, _)| name == part);
            let like = || names.iter().find(|(name, _)| name.eq_ignore_ascii_case(part));
            let (name, entry) = exact.or_else(like).cloned()?;
            here.push(&name);
            found.push(name);
            last = entry;
        }
        (last == Entry::File).then(|| found.join("/"))
    }

    fn listing(&mut self, folder: &Path) -> &[(String, Entry)] {
        let fs = self.fs;
        let key = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        if !self.listings.contains_key(key.as_os_str()) {
            self.listings.insert(key.into(), fs.list(key).unwrap_or_default());
        }
        self.listings.get(key.as_os_str()).map_or(&[], Vec::as_slice)
    }

    /// Files in the folder that the path names, in the flow's folder, and the included files.
    fn candidates(&mut self, includes: &Includes, path: &str) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        let forward = path.replace('\\', "/");
        let parent = forward.rsplit_once('/').map_or("", |(parent, _)| parent);
        let mut folders = vec![parent];
        if !parent.is_empty() {
            folders.push("");
        }
        for folder in folders {
            for at in includes.places(&self.project.folder, if folder.is_empty() { "." } else { folder }) {
                let names = self.listing(&at).iter().filter(|(_, entry)| *entry == Entry::File).take(MAX_CANDIDATES);
                found.extend(
                    names.map(|(name, _)| if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") }),
                );
            }
        }
        found.extend(includes.names().take(MAX_CANDIDATES).map(str::to_owned));
        found
    }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string(),
    }
}

fn utf8(bytes: Vec<u8>) -> Result<(String, Encoding), String> {
    let text = String::from_utf8(bytes);
    text.map(|text| (text, Encoding::Utf8))
        .map_err(|error| not_utf8(error.as_bytes(), error.utf8_error().valid_up_to()))
}

fn not_utf8(bytes: &[u8], valid_up_to: usize) -> String {
    match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "the file is UTF-16; save it as UTF-8".to_owned(),
        _ => format!("the file is not UTF-8 text: byte {} does not belong to any character", valid_up_to + 1),
    }
}
