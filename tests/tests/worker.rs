//! The Python worker by itself, driven over pipes by its own tests (`tests/worker/`), with the real
//! engine of an environment that flowgate made.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::Command;

use flowgate_tests::{Finished, Folder, command, flows, repository};

/// A Python that every user may run: jobs of a worker that is no root run as nobody, and the user's
/// own Python may lie in a folder that is closed to them.
const SYSTEM_PYTHON: &str = "/usr/bin/python3";

/// Makes an environment with promptflow and nothing else, and gives its interpreter.
fn interpreter(cache: &Folder) -> PathBuf {
    let folder = Folder::new("worker");
    flows::python(&folder, "plain", "", "import sys\nreturn sys.executable");
    let mut run = command(folder.path(), &["run", "--backend", "process", "plain"]);
    run.env("FLOWGATE_CACHE_DIR", cache.path());
    if Path::new(SYSTEM_PYTHON).exists() {
        run.env("FLOWGATE_PYTHON", SYSTEM_PYTHON);
    }
    let done = Finished::of(run.output().expect("flowgate starts"));
    let path = done.stdout.lines().find_map(|line| line.trim().strip_prefix("out: "));
    PathBuf::from(path.unwrap_or_else(|| panic!("no output: {done:?}")))
}

#[test]
fn the_workers_own_tests_pass() {
    let cache = Folder::new("worker-environment");
    let python = interpreter(&cache);
    let mut tests = Command::new(&python);
    tests.args(["-B", "-m", "unittest", "discover", "-s"]).arg(repository().join("tests/worker"));
    let done = Finished::of(tests.env("FLOWGATE_TEST_PYTHON", &python).output().expect("Python starts"));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let count = done.stderr.lines().find_map(|line| line.strip_prefix("Ran ")?.split(' ').next()?.parse::<u32>().ok());
    assert!(count.is_some_and(|count| count > 20), "{}", done.stderr);
}
