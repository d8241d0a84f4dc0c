//! Virtual environments, one for each content.
//!
//! ```text
//! <cache>/venvs/<name>.lock    held while one is built or removed, and shared by runtimes
//! <cache>/venvs/<name>/ready   names the build that is whole; written last, and touched by each use
//! <cache>/venvs/<name>/<build> one build: `venv` and the files it was made from
//! ```
//! A build never moves, as scripts in it name its path. One that was broken off has no `ready`, and
//! the next build removes it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::super::folders::{lock_file, remove_all};
use crate::backend::Pruned;
use crate::error::RuntimeError;

pub(super) fn try_lock(path: &Path) -> Result<Option<File>, RuntimeError> {
    let file = lock_file(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(RuntimeError::disk("lock", path, &error)),
    }
}

/// The Python of the build that is whole.
pub(super) fn ready(home: &Path) -> Option<PathBuf> {
    let id = fs::read_to_string(home.join("ready")).ok()?;
    let python = python_of(&home.join(id));
    python.exists().then_some(python)
}

pub(super) fn python_of(build: &Path) -> PathBuf {
    build.join("venv").join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" })
}

/// The environment of a Python in it.
pub(super) fn venv_of(python: &Path) -> &Path {
    python.ancestors().nth(2).unwrap_or(python)
}

/// Says which build is whole.
pub(super) fn mark(home: &Path, id: &str) -> Result<(), RuntimeError> {
    let (new, marker) = (home.join("ready.new"), home.join("ready"));
    let written = fs::write(&new, id).and_then(|()| fs::rename(&new, &marker));
    written.map_err(|error| RuntimeError::disk("write", &marker, &error))
}

pub(super) fn sweep_builds(home: &Path) -> Result<(), RuntimeError> {
    remove_all(home).map_err(|error| RuntimeError::disk("remove", home, &error))
}

/// Removes every environment that no process uses, and none has used for so long.
pub(super) fn prune(cache: &Path, unused_for: Duration) -> Result<Vec<Pruned>, RuntimeError> {
    let venvs = cache.join("venvs");
    let entries = match fs::read_dir(&venvs) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(RuntimeError::disk("read", &venvs, &error)),
    };
    let mut homes: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    homes.retain(|home| idle(home).is_none_or(|idle| idle >= unused_for));
    homes.sort();
    let pruned = homes.into_iter().map(|home| {
        let stays = match try_lock(&home.with_extension("lock")) {
            Ok(Some(_lock)) => sweep_builds(&home).err().map(|error| error.message),
            Ok(None) => Some("it is in use".to_owned()),
            Err(error) => Some(error.message),
        };
        Pruned { name: home.display().to_string(), stays }
    });
    Ok(pruned.collect())
}

/// How long an environment has not been used; `None` where it is not whole.
fn idle(home: &Path) -> Option<Duration> {
    let used = fs::metadata(home.join("ready")).ok()?.modified().ok()?;
    // A clock that was set back makes it no older.
    Some(used.elapsed().unwrap_or_default())
}

/// Keeps an environment from being removed, for as long as the file is open, and notes that it is used.
pub(super) fn hold(cache: &Path, python: &Path) -> Result<Option<File>, RuntimeError> {
    // venvs/NAME/BUILD/venv/bin/python
    let Some(home) = python.ancestors().nth(4).filter(|home| home.parent() == Some(&cache.join("venvs"))) else {
        return Ok(None);
    };
    let path = home.with_extension("lock");
    let file = lock_file(&path)?;
    file.lock_shared().map_err(|error| RuntimeError::disk("lock", &path, &error))?;
    // Only for what is removed later; a run does not end for it.
    let marker = File::options().write(true).open(home.join("ready"));
    let _ = marker.and_then(|marker| marker.set_modified(SystemTime::now()));
    Ok(Some(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_runtime_uses_stays() {
        let cache = std::env::temp_dir().join(format!("flowgate-prune-{}", std::process::id()));
        let python = |name: &str| cache.join("venvs").join(name).join("build/venv/bin/python");
        for name in ["idle", "used"] {
            fs::create_dir_all(python(name).parent().unwrap()).unwrap();
        }
        assert!(hold(&cache, Path::new("/usr/bin/python3")).unwrap().is_none());
        let held = hold(&cache, &python("used")).unwrap().expect("a lock");
        let stays = |pruned: &[Pruned]| pruned.iter().map(|one| one.stays.clone()).collect::<Vec<_>>();
        assert_eq!(stays(&prune(&cache, Duration::ZERO).unwrap()), [None, Some("it is in use".to_owned())]);
        drop(held);
        assert_eq!(stays(&prune(&cache, Duration::ZERO).unwrap()), [None]);
        assert_eq!(prune(&cache, Duration::ZERO).unwrap(), []);
        fs::remove_dir_all(&cache).unwrap();
    }

    #[test]
    fn what_was_used_lately_stays() {
        let cache = std::env::temp_dir().join(format!("flowgate-prune-idle-{}", std::process::id()));
        let (old, used) = (cache.join("venvs/old"), cache.join("venvs/used"));
        let month = Duration::from_secs(30 * 24 * 60 * 60);
        for home in [&old, &used] {
            fs::create_dir_all(home.join("build/venv/bin")).unwrap();
            mark(home, "build").unwrap();
            let marker = File::options().write(true).open(home.join("ready")).unwrap();
            marker.set_modified(SystemTime::now() - 2 * month).unwrap();
        }
        drop(hold(&cache, &python_of(&used.join("build"))).unwrap().expect("a lock"));
        let removed: Vec<String> = prune(&cache, month).unwrap().into_iter().map(|one| one.name).collect();
        assert_eq!(removed, [old.display().to_string()]);
        assert!(!old.exists() && used.exists());
        fs::remove_dir_all(&cache).unwrap();
    }
}
