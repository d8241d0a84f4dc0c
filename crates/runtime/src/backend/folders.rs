//! Folders below the cache: locked by who uses them, swept when that one is dead.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::oneshot;

use crate::error::{RuntimeError, Stage};

/// Runs blocking work on a thread of its own. Waiting for another process's lock must not hold up
/// the end of this one, as it would on the pool of the asynchronous runtime.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RuntimeError> + Send + 'static,
) -> Result<T, RuntimeError> {
    let (send, receive) = oneshot::channel();
    std::thread::spawn(move || send.send(work()));
    receive
        .await
        .unwrap_or_else(|_| Err(RuntimeError::new(Stage::Infrastructure, "a thread that works on the disk broke off")))
}

/// A name that no other process and no other call uses.
pub(super) fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    format!("{}-{now:x}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Opens a file to lock, and makes it where it is not there.
pub(super) fn lock_file(path: &Path) -> Result<File, RuntimeError> {
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|error| RuntimeError::disk("make", parent, &error))?;
    let file = File::options().create(true).truncate(false).write(true).open(path);
    file.map_err(|error| RuntimeError::disk("open", path, &error))
}

/// Takes a lock that is freed when the file is closed, also by the death of its process. Waits.
pub(super) fn lock(path: &Path) -> Result<File, RuntimeError> {
    let file = lock_file(path)?;
    file.lock().map_err(|error| RuntimeError::disk("lock", path, &error))?;
    Ok(file)
}

/// A folder that flows run in, for the life of one runtime.
#[derive(Debug)]
pub(super) struct WorkFolder {
    path: PathBuf,
    /// Held as long as the owner lives.
    owner: Option<File>,
}

impl WorkFolder {
    /// Makes one, and removes those of dead owners.
    pub(super) fn new(parent: &Path) -> Result<Self, RuntimeError> {
        // So that nobody sweeps a folder between its making and its locking.
        let _guard = lock(&parent.join("guard"))?;
        sweep(parent);
        let path = parent.join(unique());
        let owner = lock(&path.with_extension("owner"))?;
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path).map_err(|error| RuntimeError::disk("make", &path, &error))?;
        Ok(Self { path, owner: Some(owner) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it with all that flows left in it.
    pub(super) fn remove(mut self) -> Result<(), RuntimeError> {
        self.clear().map_err(|error| {
            RuntimeError::disk("remove", &self.path, &error)
                .with_hint(format!("remove {} by hand", self.path.display()))
        })
    }

    fn clear(&mut self) -> io::Result<()> {
        if self.owner.take().is_none() {
            return Ok(());
        }
        let removed = remove_all(&self.path);
        let _ = fs::remove_file(self.path.with_extension("owner"));
        removed
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        let _ = self.clear();
    }
}

/// Removes a folder in which something may still be removing: what is gone is gone.
pub(super) fn remove_all(path: &Path) -> io::Result<()> {
    let gone = |error: io::Error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) };
    fs::remove_dir_all(path).or_else(|_| fs::remove_dir_all(path).or_else(gone))
}

fn sweep(parent: &Path) {
    let Ok(children) = fs::read_dir(parent) else { return };
    for child in children.flatten() {
        let owner = child.path();
        if owner.extension().is_none_or(|extension| extension != "owner") {
            continue;
        }
        let Ok(file) = File::options().write(true).open(&owner) else { continue };
        match file.try_lock() {
            Ok(()) => {
                if remove_all(&owner.with_extension("")).is_ok() {
                    let _ = fs::remove_file(&owner);
                }
            }
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => {}
        }
    }
}
