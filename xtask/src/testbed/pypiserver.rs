//! pypiserver, a small package index with a password: the private feed of the tests.

use std::path::Path;
use std::process::Command;

use super::{PYTHON, link, uv};
use crate::command::{Result, output, remove, say};

/// What stands in `bin`. `passlib` reads the file with the password.
const PROGRAM: &str = "pypi-server";
const PACKAGES: [&str; 2] = ["pypiserver==2.4.2", "passlib==1.7.4"];

/// Makes an environment with it.
///
/// # Errors
/// It cannot be installed.
pub(crate) fn make(folder: &Path) -> Result<()> {
    let program = folder.join("bin").join(PROGRAM);
    if program.is_file() {
        return Ok(());
    }
    say("testbed: installing pypiserver");
    let home = folder.join("pypiserver");
    remove(&home)?;
    output(Command::new(PYTHON).args(["-m", "venv", "--without-pip"]).arg(&home))?;
    let mut install = Command::new(uv::path(folder));
    install.args(["pip", "install", "--quiet", "--python"]).arg(home.join("bin/python")).args(PACKAGES);
    output(&mut install)?;
    link(&home.join("bin").join(PROGRAM), &program)
}
