//! What the end-to-end tests share: the built binary, and folders that go away.

#[cfg(unix)]
pub mod azure;
#[cfg(unix)]
pub mod engine;
pub mod event;
pub mod flows;
pub mod index;
#[cfg(unix)]
pub mod own_engine;
#[cfg(unix)]
pub mod place;
#[cfg(unix)]
pub mod registry;
#[cfg(unix)]
pub mod relay;
#[cfg(unix)]
pub mod ways;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The built `flowgate`, beside the test's own executable. `cargo xtask test` builds it first.
///
/// # Panics
/// Where it is not built.
pub fn flowgate() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let folder = test.ancestors().nth(2).expect("target/<profile>/deps");
    let binary = folder.join(format!("flowgate{}", std::env::consts::EXE_SUFFIX));
    assert!(binary.is_file(), "{} is not built; run `cargo build -p flowgate` first", binary.display());
    binary
}

/// The root of the repository.
///
/// # Panics
/// Never: the package lies in it.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository")
}

/// Where the tests keep virtual environments: in the target directory, so that nothing outside the
/// clone is touched.
///
/// # Panics
/// Never: a test's executable lies in the target directory.
pub fn cache() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    test.ancestors().nth(3).expect("target").join("tmp/cache")
}

/// A command for the built `flowgate` in a folder, without what the environment could change.
pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(flowgate());
    command.current_dir(folder).args(arguments).env("NO_COLOR", "1").env("FLOWGATE_CACHE_DIR", cache());
    command.env_remove("GITHUB_ACTIONS");
    command
}

/// The bytes of every file below a folder, one after the other.
pub fn all_files(folder: &Path) -> Vec<u8> {
    let mut bytes = b" ".to_vec();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => bytes.extend(all_files(&path)),
            false => bytes.extend(std::fs::read(&path).unwrap_or_default()),
        }
    }
    bytes
}

/// Whether a text is anywhere in them: of an image's layers, some hundred MB.
pub fn contains(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(bytes, text.as_bytes()).is_some()
}

/// Runs `flowgate` in a folder and waits.
///
/// # Panics
/// Where it cannot be started.
pub fn run(folder: &Path, arguments: &[&str]) -> Finished {
    Finished::of(command(folder, arguments).output().expect("flowgate starts"))
}

/// What a finished process left.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Finished {
    /// Reads what it left as text.
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Says loudly that the running test was skipped, and why; `cargo xtask test` counts those.
///
/// # Panics
/// Under continuous integration (`CI=true`), where nothing may be skipped.
pub fn skip(reason: &str) {
    use std::io::Write;
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}; under CI=true nothing may be skipped");
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let line = format!("{test}: {reason}; make what it needs with `cargo xtask testbed`\n");
    eprint!("SKIPPED {line}");
    if let Some(list) = std::env::var_os("FLOWGATE_SKIPPED") {
        let mut list = std::fs::OpenOptions::new().append(true).open(list).expect("the list of skipped tests");
        list.write_all(line.as_bytes()).expect("the list of skipped tests");
    }
}

/// A folder that is removed with its content when the value is dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// An empty folder of its own.
    ///
    /// # Panics
    /// Where it cannot be made.
    pub fn new(name: &str) -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("flowgate-test-{name}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Self { path: path.canonicalize().expect("its path") }
    }

    /// A folder with files, each given by its name and its text.
    ///
    /// # Panics
    /// Where they cannot be written.
    pub fn with(name: &str, files: &[(&str, &str)]) -> Self {
        let folder = Self::new(name);
        for (file, text) in files {
            folder.write(file, text);
        }
        folder
    }

    /// Writes a file.
    ///
    /// # Panics
    /// Where it cannot be written.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        std::fs::write(path, text).expect("a file");
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
