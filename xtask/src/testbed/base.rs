//! flowgate's own base image: the small root file system, and a Python environment with the
//! engine at the versions of the lock.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use flowgate_runtime::plan::{BASE_IMAGE, LOCK, PROMPTFLOW_VERSION};
use sha2::{Digest, Sha256};

use super::{PYTHON, rootfs, uv};
use crate::command::{Result, at, output, remove, say};

/// Raised when this recipe changes in a way that the other parts of the key do not show.
const RECIPE: &str = "1";
const LABEL: &str = "flowgate.base.key";
/// Where the Python environment stands in the image.
const HOME: &str = "/opt/flowgate";

/// Makes the image, unless the engine has one of the same content.
///
/// # Errors
/// What could not be made, and why.
pub(crate) fn make(folder: &Path) -> Result<()> {
    let started = Instant::now();
    let name = format!("{BASE_IMAGE}:{PROMPTFLOW_VERSION}");
    let packages = rootfs::packages()?;
    let key = key(&packages);
    let format = format!("{{{{.Id}}}} {{{{index .Config.Labels {LABEL:?}}}}}");
    let present = output(docker().args(["image", "inspect", "--format", &format, &name])).unwrap_or_default();
    let (old, has) = present.trim().split_once(' ').unwrap_or_default();
    if has == key {
        return Ok(());
    }
    say(&format!("testbed: making the image {name}"));
    let work = folder.join("base");
    remove(&work)?;
    let root = work.join("root");
    fs::create_dir_all(&root).map_err(at(&root))?;
    rootfs::copy(&packages, &root)?;
    say(&format!("testbed: root file system of {} packages after {} s", packages.len(), started.elapsed().as_secs()));
    install_engine(folder, &work, &root)?;
    say(&format!("testbed: promptflow {PROMPTFLOW_VERSION} after {} s", started.elapsed().as_secs()));
    import(&root, &name, &key)?;
    remove(&work)?;
    if !old.is_empty() {
        // It may still serve a container; then it stays until that is gone.
        let _ = output(docker().args(["image", "rm", old]));
    }
    say(&format!("testbed: image {name} after {} s", started.elapsed().as_secs()));
    Ok(())
}

fn key(packages: &[String]) -> String {
    let mut hash = Sha256::new();
    for part in [RECIPE, PROMPTFLOW_VERSION, HOME, LOCK].into_iter().chain(packages.iter().map(String::as_str)) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn install_engine(folder: &Path, work: &Path, root: &Path) -> Result<()> {
    let (lock, home) = (work.join("requirements.txt"), root.join(HOME.trim_start_matches('/')));
    fs::write(&lock, LOCK).map_err(at(&lock))?;
    let command = |words: &[&str]| {
        let mut command = Command::new(uv::path(folder));
        command
            .args(words)
            .env("UV_LINK_MODE", "copy")
            .env("UV_CACHE_DIR", folder.join("uv-cache"))
            .env("UV_NO_CONFIG", "1");
        // The certificates that the system trusts, as Debian's pip does.
        command.env("UV_SYSTEM_CERTS", "1").env_remove("VIRTUAL_ENV");
        command
    };
    output(command(&["venv", "--quiet", "--relocatable", "--python", PYTHON]).arg(&home))?;
    let words = ["pip", "install", "--quiet", "--no-deps", "--require-hashes", "--compile-bytecode", "--requirements"];
    output(command(&words).arg(&lock).arg("--python").arg(home.join("bin/python")))?;
    // Debian compiles the standard library when it installs it; those files belong to no package.
    let library = root.join("usr/lib");
    output(
        Command::new(PYTHON)
            .args(["-m", "compileall", "-q", "-j", "0", "-s"])
            .arg(root)
            .args(["-p", "/"])
            .arg(&library),
    )?;
    output(Command::new("chmod").args(["-R", "a+rX"]).arg(&home))?;
    Ok(())
}

fn import(root: &Path, name: &str, key: &str) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(root).args(["--sort=name", "--numeric-owner", "--owner=0", "--group=0", "-cf", "-", "."]);
    let mut tar = tar
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start tar: {error}"))?;
    let mut import = docker();
    import.arg("import");
    let path = format!("ENV PATH={HOME}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    for change in [&path, "ENV LANG=C.UTF-8", &format!("LABEL {LABEL}={key}"), "CMD [\"bash\"]"] {
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
