//! A build's context: a folder as a tar, without what `.dockerignore` leaves out.
//!
//! The same folder gives the same bytes: sorted names, no owners, no times, two modes. Links stay links and are not
//! followed: in the builder they lead to places of the context, not of this machine.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use flowgate_flow::load::open_file;
use globset::{Glob, GlobBuilder, GlobMatcher};

use crate::error::{RuntimeError, Stage};
use crate::pack::is_executable;

/// The most bytes of files that a context may have.
const MAX_BYTES: u64 = 1 << 30;
/// The most files and folders that a context may have.
const MAX_ENTRIES: usize = 50_000;

/// Packs a folder into an archive. `replaced` files stand in it with that text, whatever the folder holds. What git keeps
/// for itself never does: a checkout leaves its token there.
///
/// # Errors
/// [`Stage::Environment`] for a folder that is too large, a pattern that is none; [`Stage::Infrastructure`] for a file
/// that cannot be read.
pub(crate) fn pack(
    folder: &Path,
    dockerfile: &str,
    ignored: &Ignored,
    replaced: &BTreeMap<String, String>,
) -> Result<Vec<u8>, RuntimeError> {
    let mut entries = BTreeMap::new();
    walk(folder, Path::new(""), ignored, dockerfile, &mut entries)?;
    let mut archive = tar::Builder::new(Vec::new());
    let mut left = MAX_BYTES;
    for (name, path) in &entries {
        append(&mut archive, name, path, replaced, &mut left)?;
    }
    archive.into_inner().map_err(|error| unreadable(folder, &error))
}

/// An archive of [`pack`] with another text for one of its files: the last entry of a name counts.
///
/// # Errors
/// None in practice.
pub(crate) fn with_file(mut archive: Vec<u8>, name: &str, text: &str) -> Result<Vec<u8>, RuntimeError> {
    archive.truncate(archive.len().saturating_sub(END));
    let mut more = tar::Builder::new(archive);
    let mut header = header();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_size(text.len() as u64);
    let added = more.append_data(&mut header, name, text.as_bytes());
    added.and_then(|()| more.into_inner()).map_err(|error| unreadable(Path::new(name), &error))
}

/// What an archive ends with: two empty blocks.
const END: usize = 1024;

fn header() -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn walk(
    folder: &Path,
    below: &Path,
    ignored: &Ignored,
    dockerfile: &str,
    entries: &mut BTreeMap<String, PathBuf>,
) -> Result<(), RuntimeError> {
    let here = folder.join(below);
    for entry in fs::read_dir(&here).map_err(|error| unreadable(&here, &error))? {
        let entry = entry.map_err(|error| unreadable(&here, &error))?;
        if entry.file_name().eq_ignore_ascii_case(".git") {
            continue;
        }
        let path = below.join(entry.file_name());
        let Some(name) = path.to_str().map(str::to_owned) else {
            let message = format!("the name of {} is not UTF-8", entry.path().display());
            return Err(
                RuntimeError::new(Stage::Environment, message).with_hint("rename it, or leave it out in .dockerignore")
            );
        };
        let kind = entry.file_type().map_err(|error| unreadable(&entry.path(), &error))?;
        // The builder itself needs these two, whatever is left out.
        let needed = name == dockerfile || name == IGNORE_FILE;
        let out = ignored.leaves_out(&name) && !needed;
        if kind.is_dir() {
            let leads_to_it = dockerfile.strip_prefix(&name).is_some_and(|rest| rest.starts_with('/'));
            if !out || ignored.brings_back || leads_to_it {
                walk(folder, &path, ignored, dockerfile, entries)?;
            }
        } else if !kind.is_file() && !kind.is_symlink() {
            continue;
        }
        if !out {
            entries.insert(name, entry.path());
        }
        if entries.len() > MAX_ENTRIES {
            let message = format!("{} holds more than {MAX_ENTRIES} files and folders", folder.display());
            return Err(RuntimeError::new(Stage::Environment, message)
                .with_hint("leave out what the build does not need in .dockerignore"));
        }
    }
    Ok(())
}

fn append(
    archive: &mut tar::Builder<Vec<u8>>,
    name: &str,
    path: &Path,
    replaced: &BTreeMap<String, String>,
    left: &mut u64,
) -> Result<(), RuntimeError> {
    let data = fs::symlink_metadata(path).map_err(|error| unreadable(path, &error))?;
    let mut header = header();
    if data.is_symlink() && !replaced.contains_key(name) {
        let target = fs::read_link(path).map_err(|error| unreadable(path, &error))?;
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_mode(0o777);
        header.set_size(0);
        return archive.append_link(&mut header, name, target).map_err(|error| unreadable(path, &error));
    }
    if data.is_dir() {
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o755);
        header.set_size(0);
        return archive.append_data(&mut header, name, io::empty()).map_err(|error| unreadable(path, &error));
    }
    let bytes = match replaced.get(name) {
        Some(text) => text.as_bytes().to_vec(),
        None => {
            let mut bytes = Vec::new();
            let file = open_file(path).map_err(|error| unreadable(path, &error))?;
            file.take(*left + 1).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
            bytes
        }
    };
    *left = left.checked_sub(bytes.len() as u64).ok_or_else(|| {
        let message = format!("the build's context is larger than {} MiB, with {name}", MAX_BYTES >> 20);
        RuntimeError::new(Stage::Environment, message)
            .with_hint("leave out what the build does not need in .dockerignore")
    })?;
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(if is_executable(&data) { 0o755 } else { 0o644 });
    header.set_size(bytes.len() as u64);
    archive.append_data(&mut header, name, bytes.as_slice()).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &io::Error) -> RuntimeError {
    RuntimeError::new(Stage::Infrastructure, format!("cannot read {}: {error}", path.display()))
}

/// What a context leaves out; `NAME.dockerignore` beside a Dockerfile goes before it.
pub(crate) const IGNORE_FILE: &str = ".dockerignore";

/// The patterns of `.dockerignore`. They all start at the context's folder, and the last one that matches counts.
#[derive(Debug, Default)]
pub(crate) struct Ignored {
    rules: Vec<(GlobMatcher, bool)>,
    /// True where a pattern takes back what an earlier one left out.
    brings_back: bool,
}

impl Ignored {
    /// Reads the file of that path and text, where there is one.
    ///
    /// # Errors
    /// A pattern that is none.
    pub(crate) fn read(file: Option<(&Path, &str)>) -> Result<Self, RuntimeError> {
        let Some((path, text)) = file else { return Ok(Self::default()) };
        let mut rules = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = if number == 0 { line.trim_start_matches('\u{feff}') } else { line };
            if line.starts_with('#') {
                continue;
            }
            let (pattern, back) = match line.trim().strip_prefix('!') {
                Some(rest) => (rest.trim(), true),
                None => (line.trim(), false),
            };
            let pattern = normal(pattern);
            if pattern.is_empty() {
                continue;
            }
            let glob = glob(&pattern).map_err(|error| {
                RuntimeError::new(Stage::Environment, format!("{}:{}: {error}", path.display(), number + 1))
            })?;
            rules.push((glob.compile_matcher(), back));
        }
        Ok(Self { brings_back: rules.iter().any(|(_, back)| *back), rules })
    }

    /// Whether the last pattern that matches a path, or a folder above it, leaves it out.
    fn leaves_out(&self, name: &str) -> bool {
        let above = || Path::new(name).ancestors().filter(|path| !path.as_os_str().is_empty());
        let last = self.rules.iter().rev().find(|(glob, _)| above().any(|path| glob.is_match(path)));
        last.is_some_and(|(_, back)| !back)
    }
}

fn glob(pattern: &str) -> Result<Glob, globset::Error> {
    GlobBuilder::new(pattern).literal_separator(true).backslash_escape(true).build()
}

/// `/a/./b/` as `a/b`.
fn normal(pattern: &str) -> String {
    let parts = Path::new(pattern).components().filter_map(|part| match part {
        Component::Normal(part) => part.to_str(),
        _ => None,
    });
    parts.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(ignore: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for name in ["Dockerfile", "a.md", "README.md", "src/a.md", "src/deep/b.py", "venv/x/y.py", "keep/me.log"] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        fs::write(folder.path().join(".dockerignore"), ignore).unwrap();
        fs::create_dir(folder.path().join(".git")).unwrap();
        fs::write(folder.path().join(".git/config"), "token").unwrap();
        let ignored = Ignored::read(Some((Path::new(".dockerignore"), ignore))).unwrap();
        let context = pack(folder.path(), "Dockerfile", &ignored, &BTreeMap::new()).unwrap();
        let mut archive = tar::Archive::new(context.as_slice());
        let entries = archive.entries().unwrap().map(Result::unwrap);
        entries
            .filter(|entry| entry.header().entry_type().is_file())
            .map(|entry| entry.path().unwrap().display().to_string())
            .collect()
    }

    #[test]
    fn what_is_left_out() {
        let all = [
            ".dockerignore",
            "Dockerfile",
            "README.md",
            "a.md",
            "keep/me.log",
            "src/a.md",
            "src/deep/b.py",
            "venv/x/y.py",
        ];
        assert_eq!(names("# nothing\n\n"), all);
        let without = |gone: &[&str]| all.into_iter().filter(|name| !gone.contains(name)).collect::<Vec<_>>();
        assert_eq!(names("*.md\n"), without(&["README.md", "a.md"]));
        assert_eq!(names("**/*.md\n!README.md\n"), without(&["a.md", "src/a.md"]));
        assert_eq!(names("/venv/\nsrc/*/b.py\n"), without(&["venv/x/y.py", "src/deep/b.py"]));
        assert_eq!(names("*\n!keep\n"), [".dockerignore", "Dockerfile", "keep/me.log"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_out_brings_nothing_in() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(outside.path().join("secret"), "hidden").unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("link")).unwrap();
        let context = pack(folder.path(), "Dockerfile", &Ignored::default(), &BTreeMap::new()).unwrap();
        assert!(!context.windows(6).any(|bytes| bytes == b"hidden"));
        let mut archive = tar::Archive::new(context.as_slice());
        let kinds: Vec<_> = archive.entries().unwrap().map(|entry| entry.unwrap().header().entry_type()).collect();
        assert_eq!(kinds, [tar::EntryType::Symlink]);
    }
}
