//! Debian's packages, installed where something is missing.

use std::process::Command;

use crate::command::{Result, find, output, say};

/// What the test bed needs: a program, and the package that brings it.
const NEEDED: &[(&str, &str)] = &[
    ("docker", "docker.io"),
    ("iptables", "iptables"),
    ("git", "git"),
    ("setsid", "util-linux"),
    ("tar", "tar"),
];

/// Installs what is missing.
///
/// # Errors
/// Something is missing on a machine where it cannot be installed.
pub(crate) fn install() -> Result<()> {
    let mut missing: Vec<&str> = NEEDED.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
    // A package without a program of its own.
    if find("dpkg-query").is_some() && output(Command::new("dpkg-query").args(["-W", "python3-venv"])).is_err() {
        missing.push("python3-venv");
    }
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if find("apt-get").is_none() {
        return Err(format!("missing: {list} (Debian's names); this is no Debian, so install their like by hand"));
    }
    if !is_root() {
        return Err(format!("missing: {list}; install with `sudo apt-get install {list}`"));
    }
    say(&format!("testbed: installing {list}"));
    output(apt_get().args(["update"]))?;
    output(apt_get().args(["install", "--yes", "--no-install-recommends"]).args(&missing))?;
    Ok(())
}

/// True where this process may change the system.
pub(crate) fn is_root() -> bool {
    output(Command::new("id").arg("-u")).is_ok_and(|uid| uid.trim() == "0")
}

/// Administrators' programs are often not in a user's `PATH`.
fn is_there(program: &str) -> bool {
    find(program).is_some() || std::path::Path::new("/usr/sbin").join(program).is_file()
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args(["-q", "-o", "DPkg::Lock::Timeout=300"]);
    command
}
