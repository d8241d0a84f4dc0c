//! Debian's packages, installed where something is missing.

use std::collections::BTreeSet;
use std::process::Command;

use super::{engine, rootfs};
use crate::command::{Result, find, output, say};

/// Programs that the test bed calls, each with the package that brings it.
const PROGRAMS: &[(&str, &str)] = &[
    ("docker", "docker.io"),
    ("iptables", "iptables"),
    ("git", "git"),
    ("setsid", "util-linux"),
    ("ip", "iproute2"),
    ("openssl", "openssl"),
    ("ssh", "openssh-client"),
    ("sshd", "openssh-server"),
    ("tar", "tar"),
];

/// Packages without a program of their own: for Python's `venv`, and for package indexes.
const OTHERS: &[&str] = &["python3-venv", "ca-certificates"];

/// Installs what is missing.
///
/// # Errors
/// Something is missing on a machine where it cannot be installed.
pub(crate) fn install() -> Result<()> {
    let mut missing: Vec<&str> =
        PROGRAMS.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
    // A client alone is no engine; and where one answers, nobody asks where its program is.
    if !is_there("dockerd") && !engine::answers_already() && !missing.contains(&"docker.io") {
        missing.push("docker.io");
    }
    if find("dpkg-query").is_some() {
        let listed = output(Command::new("dpkg-query").args(["-W", "-f", "${db:Status-Abbrev} ${Package}\n"]))?;
        let installed: BTreeSet<&str> =
            listed.lines().filter_map(|line| line.strip_prefix("ii ")).map(str::trim).collect();
        missing.extend(OTHERS.iter().chain(rootfs::WANTED).filter(|package| !installed.contains(**package)));
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
