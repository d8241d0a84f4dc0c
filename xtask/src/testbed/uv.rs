//! uv, which installs Python packages many times faster than pip: for the base image, and for the
//! environments that tests make.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::PYTHON;
use crate::command::{Result, find, output, remove, say};

/// Where it is in the test bed's folder.
pub(crate) fn path(folder: &Path) -> PathBuf {
    folder.join("bin/uv")
}

/// Links the program in `PATH`, or else one from the Python package index.
///
/// # Errors
/// It cannot be installed.
pub(crate) fn make(folder: &Path) -> Result<()> {
    let link = path(folder);
    if is_program(&link) {
        return Ok(());
    }
    let uv = match find("uv").filter(|uv| is_program(uv)) {
        Some(uv) => uv,
        None => install(&folder.join("uv"))?,
    };
    super::link(&uv, &link)
}

/// Whether the base image can have it: a version manager's script starts nothing there.
fn is_program(uv: &Path) -> bool {
    let mut start = [0; 4];
    std::fs::File::open(uv).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == *b"\x7fELF"
}

fn install(home: &Path) -> Result<PathBuf> {
    say("testbed: installing uv");
    remove(home)?;
    output(Command::new(PYTHON).args(["-m", "venv"]).arg(home))?;
    output(Command::new(home.join("bin/pip")).args(["install", "--quiet", "--disable-pip-version-check", "uv"]))?;
    Ok(home.join("bin/uv"))
}
