//! A Python that has the engine: the one that is given, or one that is made from the lock.

use std::path::PathBuf;
use std::process::Command;

use crate::command::{Result, at, output, remove, root, say};

/// Names a Python that can import `promptflow` and `promptflow.tools`.
const VARIABLE: &str = "FLOWGATE_PYTHON";

/// The Python that `FLOWGATE_PYTHON` names, else one with the packages of flowgate's own lock,
/// made once below `target`.
///
/// # Errors
/// It cannot be made.
pub(crate) fn with_engine() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os(VARIABLE) {
        return Ok(PathBuf::from(given));
    }
    let home = root().join("target/engine");
    let (python, done) = (home.join("bin/python"), home.join("installed"));
    if done.is_file() {
        return Ok(python);
    }
    say(&format!("making a Python with the engine in {}; set {VARIABLE} to use another", home.display()));
    remove(&home)?;
    output(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
    let lock = root().join("crates/flow/src/lock/requirements.txt");
    let words = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r"];
    output(Command::new(&python).args(words).arg(lock))?;
    std::fs::write(&done, "").map_err(at(&done))?;
    Ok(python)
}
