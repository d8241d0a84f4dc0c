//! Files that were downloaded, by content, for all processes of a user.
//!
//! ```text
//! <cache>/<scope>/<project>/<sha256>-<file name>   whole and verified
//! <cache>/partial/<random>                         being downloaded
//! ```
//! A scope is `public`, or one feed's: what came with a credential is found only with it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tempfile::NamedTempFile;

/// The scope of what came without a credential.
pub(super) const PUBLIC: &str = "public";
/// A partial file that nobody wrote to for so long was left behind.
const LEFT_BEHIND: Duration = Duration::from_secs(24 * 60 * 60);

/// The place for downloaded files.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    limit: u64,
    /// Bytes added since it was last brought below its limit.
    added: AtomicU64,
}

/// What a file is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) scope: String,
    pub(super) project: String,
    /// In hexadecimal.
    pub(super) sha256: String,
    pub(super) filename: String,
}

impl Cache {
    pub(super) fn new(folder: PathBuf, limit: u64) -> io::Result<Self> {
        fs::create_dir_all(folder.join("partial"))?;
        let cache = Self { folder, limit, added: AtomicU64::new(0) };
        cache.prune();
        Ok(cache)
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.folder.join(&key.scope).join(&key.project).join(format!("{}-{}", key.sha256, key.filename))
    }

    /// An open file with its length, where it is there.
    pub(super) fn open(&self, key: &Key) -> Option<(File, u64)> {
        let file = File::open(self.path(key)).ok()?;
        let length = file.metadata().ok()?.len();
        // Its time is when it was last of use: the oldest are removed first.
        let _ = file.set_modified(SystemTime::now());
        Some((file, length))
    }

    /// A place to write to, on the same disk; it is removed when it is dropped.
    pub(super) fn partial(&self) -> io::Result<NamedTempFile> {
        NamedTempFile::new_in(self.folder.join("partial"))
    }

    /// Keeps a whole and verified file.
    pub(super) fn keep(&self, key: &Key, file: NamedTempFile, length: u64) -> io::Result<()> {
        if length > self.limit {
            return Ok(());
        }
        let path = self.path(key);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        file.persist(path).map_err(|error| error.error)?;
        if self.added.fetch_add(length, Ordering::Relaxed) + length > self.limit / 8 {
            self.prune();
        }
        Ok(())
    }

    /// The files of a project in some scope: name and hash, each name once, the last used first.
    pub(super) fn files(&self, scope: &str, project: &str) -> Vec<(String, String)> {
        let mut found: Vec<_> = entries(&self.folder.join(scope).join(project))
            .filter_map(|(path, modified, _)| {
                let name = path.file_name()?.to_str()?;
                let (hash, name) = name.split_once('-')?;
                (hash.len() == 64).then(|| (modified, name.to_owned(), hash.to_owned()))
            })
            .collect();
        found.sort_by_key(|(modified, ..)| std::cmp::Reverse(*modified));
        let mut names = std::collections::HashSet::new();
        found.into_iter().filter(|(_, name, _)| names.insert(name.clone())).map(|(_, n, h)| (n, h)).collect()
    }

    /// Removes what was used least lately until the limit is kept, and what was left behind.
    pub(super) fn prune(&self) {
        self.added.store(0, Ordering::Relaxed);
        let now = SystemTime::now();
        let mut files = Vec::new();
        for (scope, ..) in entries(&self.folder) {
            let partial = scope.file_name().is_some_and(|name| name == "partial");
            for (path, modified, _) in entries(&scope) {
                let old = now.duration_since(modified).is_ok_and(|age| age > LEFT_BEHIND);
                match (partial, old) {
                    (false, _) => files.extend(entries(&path)),
                    (true, true) => drop(fs::remove_file(path)),
                    (true, false) => {}
                }
            }
        }
        let mut total: u64 = files.iter().map(|(_, _, length)| length).sum();
        files.sort_by_key(|(_, modified, _)| *modified);
        for (path, _, length) in files {
            if total <= self.limit {
                break;
            }
            // Another process may have been faster; who reads it still has it.
            let _ = fs::remove_file(path);
            total = total.saturating_sub(length);
        }
    }
}

fn entries(folder: &Path) -> impl Iterator<Item = (PathBuf, SystemTime, u64)> + use<> {
    fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| {
        let about = entry.metadata().ok()?;
        Some((entry.path(), about.modified().ok()?, about.len()))
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn key(scope: &str, filename: &str) -> Key {
        Key {
            scope: scope.to_owned(),
            project: "pkg".to_owned(),
            sha256: format!("{:064}", filename.len()),
            filename: filename.to_owned(),
        }
    }

    fn add(cache: &Cache, key: &Key, bytes: usize, age: u64) {
        let mut file = cache.partial().unwrap();
        file.write_all(&vec![b'x'; bytes]).unwrap();
        file.as_file().set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        cache.keep(key, file, bytes as u64).unwrap();
    }

    #[test]
    fn what_was_used_least_lately_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().to_owned(), 8000).unwrap();
        let (old, used, new) = (key(PUBLIC, "a.whl"), key(PUBLIC, "bb.whl"), key("feed-1", "ccc.whl"));
        add(&cache, &old, 900, 300);
        add(&cache, &used, 900, 400);
        assert_eq!(cache.open(&used).unwrap().1, 900);
        add(&cache, &new, 7000, 0);
        assert!(cache.open(&old).is_none() && cache.open(&used).is_some() && cache.open(&new).is_some());
        assert!(cache.open(&Key { scope: PUBLIC.to_owned(), ..new.clone() }).is_none());
        add(&cache, &key(PUBLIC, "huge.whl"), 8001, 0);
        assert!(cache.open(&key(PUBLIC, "huge.whl")).is_none() && cache.open(&new).is_some());
        assert_eq!(cache.files(PUBLIC, "pkg"), [("bb.whl".to_owned(), used.sha256)]);
        assert_eq!(fs::read_dir(folder.path().join("partial")).unwrap().count(), 0);
    }
}
