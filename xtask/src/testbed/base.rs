//! flowgate's own base image, built by flowgate itself upon a small Debian with Python that is made from this
//! machine's own packages.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use sha2::{Digest, Sha256};

use super::{PYTHON, rootfs, uv};
use crate::command::{Result, at, flowgate, output, remove, say};

/// Raised when this recipe changes in a way that the other parts of the key do not show.
const RECIPE: &str = "2";
const REPOSITORY: &str = "flowgate-testbed-python";

/// Makes the image, unless the engine has it as flowgate's recipe says.
///
/// # Errors
/// What could not be made, and why.
pub(crate) fn make(folder: &Path) -> Result<()> {
    let python = python(folder)?;
    // It looks by itself whether there is anything to do.
    output(Command::new(flowgate()?).args(["environment", "base", "--from", &python]))?;
    Ok(())
}

/// A stand-in for the official Python image, which cannot be pulled everywhere: its name.
fn python(folder: &Path) -> Result<String> {
    let started = Instant::now();
    let packages = rootfs::packages()?;
    let name = format!("{REPOSITORY}:{}", &key(&packages)[..16]);
    if output(docker().args(["image", "inspect", "--format", "{{.Id}}", &name])).is_ok() {
        return Ok(name);
    }
    say(&format!("testbed: making the image {name}"));
    let work = folder.join("base");
    remove(&work)?;
    let root = work.join("root");
    fs::create_dir_all(&root).map_err(at(&root))?;
    rootfs::copy(&packages, &root)?;
    complete(folder, &root)?;
    import(&root, &name)?;
    remove(&work)?;
    say(&format!("testbed: image {name} of {} packages after {} s", packages.len(), started.elapsed().as_secs()));
    Ok(name)
}

fn key(packages: &[String]) -> String {
    let mut hash = Sha256::new();
    for part in std::iter::once(RECIPE).chain(packages.iter().map(String::as_str)) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// uv, so that environments are made in seconds; and Debian's library compiled, as Debian does it: those files belong
/// to no package.
fn complete(folder: &Path, root: &Path) -> Result<()> {
    let (from, to) = (uv::path(folder), root.join("usr/local/bin/uv"));
    fs::copy(&from, &to).map_err(at(&from))?;
    let library = root.join("usr/lib");
    let mut compile = Command::new(PYTHON);
    compile.args(["-m", "compileall", "-q", "-j", "0", "-s"]).arg(root).args(["-p", "/"]).arg(&library);
    output(&mut compile)?;
    output(Command::new("chmod").args(["-R", "a+rX"]).arg(root.join("usr/local")))?;
    Ok(())
}

fn import(root: &Path, name: &str) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(root).args(["--sort=name", "--numeric-owner", "--owner=0", "--group=0", "-cf", "-", "."]);
    let mut tar = tar
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start tar: {error}"))?;
    let mut import = docker();
    import.arg("import");
    let path = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    for change in [path, "ENV LANG=C.UTF-8", "CMD [\"bash\"]"] {
        import.args(["--change", change]);
    }
    import.args(["-", name]);
    if let Some(stream) = tar.stdout.take() {
        import.stdin(stream);
    }
    let imported = import.output().map_err(|error| format!("cannot start docker: {error}"))?;
    let packed = tar.wait().map_err(|error| format!("cannot wait for tar: {error}"))?;
    if imported.status.success() && packed.success() {
        return Ok(());
    }
    Err(format!(
        "`docker import` of {name}: {}, tar {packed}: {}",
        imported.status,
        String::from_utf8_lossy(&imported.stderr).trim()
    ))
}

fn docker() -> Command {
    Command::new("docker")
}
