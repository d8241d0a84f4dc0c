//! `cargo xtask testbed`: what the end-to-end tests need, made on this machine without a
//! container registry. What is already there costs a look.

mod act;
mod base;
mod engine;
mod neovim;
mod packages;
mod pypiserver;
mod registry;
mod rootfs;
mod uv;

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::command::{Result, at, root};

/// Debian's own Python, so that what is compiled here is what runs in the base image.
const PYTHON: &str = "/usr/bin/python3";

/// Where the test bed keeps its own files. Its programs (Neovim, uv, pypiserver, act) are in `bin` below it.
pub(crate) fn folder() -> Result<PathBuf> {
    let folder = root().join("target/testbed");
    std::fs::create_dir_all(&folder).map_err(at(&folder))?;
    Ok(folder)
}

/// The search path, with those programs first.
pub(crate) fn path() -> Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(folder()?.join("bin")).chain(std::env::split_paths(&path));
    std::env::join_paths(path).map_err(|error| format!("PATH: {error}"))
}

/// Makes everything. Safe to call at any time, also twice at once.
///
/// # Errors
/// What could not be made, why, and what would help.
pub(crate) fn make() -> Result<()> {
    let folder = folder()?;
    let path = folder.join("lock");
    let lock = File::create(&path).map_err(at(&path))?;
    lock.lock().map_err(at(&path))?;
    packages::install()?;
    uv::make(&folder)?;
    pypiserver::make(&folder)?;
    act::make(&folder)?;
    engine::start(&folder)?;
    base::make(&folder)?;
    registry::make(&folder)?;
    neovim::make(&folder)
}

/// Has a program stand in `bin`, in the place of one that may be gone.
fn link(program: &Path, link: &Path) -> Result<()> {
    if let Some(bin) = link.parent() {
        std::fs::create_dir_all(bin).map_err(at(bin))?;
    }
    if link.symlink_metadata().is_ok() {
        std::fs::remove_file(link).map_err(at(link))?;
    }
    symlink(program, link).map_err(at(link))
}
