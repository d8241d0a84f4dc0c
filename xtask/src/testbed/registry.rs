//! A container registry for the tests: Debian's own, unpacked and not installed, for its package
//! would start one that listens on every address.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{Result, at, find, output, remove, say};

const PROGRAM: &str = "docker-registry";

/// Makes `bin/docker-registry` in the folder.
///
/// # Errors
/// What could not be made, and why.
pub(crate) fn make(folder: &Path) -> Result<()> {
    let link = folder.join("bin").join(PROGRAM);
    if link.is_file() {
        return Ok(());
    }
    let program = match find(PROGRAM) {
        Some(program) => program,
        None => fetch(&folder.join("registry"))?,
    };
    let bin = folder.join("bin");
    fs::create_dir_all(&bin).map_err(at(&bin))?;
    if link.symlink_metadata().is_ok() {
        fs::remove_file(&link).map_err(at(&link))?;
    }
    symlink(program, &link).map_err(at(&link))
}

fn fetch(home: &Path) -> Result<PathBuf> {
    if find("apt-get").is_none() {
        return Err(format!("no {PROGRAM} in PATH, and this is no Debian that could bring one"));
    }
    say("testbed: fetching a container registry from Debian");
    remove(home)?;
    fs::create_dir_all(home).map_err(at(home))?;
    let download = || output(Command::new("apt-get").args(["-q", "download", PROGRAM]).current_dir(home));
    // A machine that was just made knows no packages yet.
    if download().is_err() {
        output(Command::new("apt-get").args(["-q", "update"]))?;
        download()?;
    }
    for entry in fs::read_dir(home).map_err(at(home))? {
        let package = entry.map_err(at(home))?.path();
        if package.extension().is_some_and(|extension| extension == "deb") {
            output(Command::new("dpkg-deb").arg("-x").arg(&package).arg(home))?;
            fs::remove_file(&package).map_err(at(&package))?;
        }
    }
    Ok(home.join("usr/bin").join(PROGRAM))
}
