//! Neovim for the editor tests, from Debian's next release: Debian 12's own is older than the
//! language client that they use. It goes to a folder of its own; the system stays as it is.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{Result, at, find, output, say};

const SUITE: &str = "trixie";
const OLDEST: (u32, u32) = (0, 10);

/// Makes `bin/nvim` in the folder.
///
/// # Errors
/// What could not be made, and why.
pub(crate) fn make(folder: &Path) -> Result<()> {
    let nvim = folder.join("bin/nvim");
    if version(&nvim).is_some_and(|version| version >= OLDEST) {
        return Ok(());
    }
    let bin = folder.join("bin");
    fs::create_dir_all(&bin).map_err(at(&bin))?;
    if nvim.symlink_metadata().is_ok() {
        fs::remove_file(&nvim).map_err(at(&nvim))?;
    }
    if let Some(own) = find("nvim").filter(|own| version(own).is_some_and(|version| version >= OLDEST)) {
        return symlink(own, &nvim).map_err(at(&nvim));
    }
    if find("apt-get").is_none() {
        let (major, minor) = OLDEST;
        return Err(format!("no nvim of at least {major}.{minor} in PATH, and this is no Debian that could bring one"));
    }
    say(&format!("testbed: fetching Neovim from Debian {SUITE}"));
    let home = folder.join("neovim");
    let root = unpack(&home)?;
    let program = launcher(&root)?;
    fs::write(&nvim, program).map_err(at(&nvim))?;
    fs::set_permissions(&nvim, fs::Permissions::from_mode(0o755)).map_err(at(&nvim))?;
    match version(&nvim) {
        Some(version) if version >= OLDEST => Ok(()),
        found => Err(format!("{} does not work: it says its version is {found:?}", nvim.display())),
    }
}

/// `NVIM v0.10.4` as numbers.
fn version(nvim: &Path) -> Option<(u32, u32)> {
    let said = output(Command::new(nvim).arg("--version")).ok()?;
    let mut numbers = said.lines().next()?.strip_prefix("NVIM v")?.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Downloads Neovim with all that it needs, and unpacks it without installing.
fn unpack(home: &Path) -> Result<PathBuf> {
    let (sources, root) = (home.join("sources"), home.join("root"));
    for folder in ["sources", "lists/partial", "cache/archives/partial", "root"] {
        let folder = home.join(folder);
        fs::create_dir_all(&folder).map_err(at(&folder))?;
    }
    let uri = mirror()?;
    let entry = format!(
        "Types: deb\nURIs: {uri}\nSuites: {SUITE}\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
    );
    let (list, status) = (sources.join("debian.sources"), home.join("status"));
    fs::write(&list, entry).map_err(at(&list))?;
    fs::write(&status, "").map_err(at(&status))?;
    let apt_get = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        for (option, value) in [
            ("Dir::Etc::SourceList", Path::new("/dev/null")),
            ("Dir::Etc::SourceParts", &sources),
            ("Dir::State::Lists", &home.join("lists")),
            ("Dir::State::Status", &status),
            ("Dir::Cache", &home.join("cache")),
        ] {
            command.arg("-o").arg(format!("{option}={}", value.display()));
        }
        command.args([
            "-q",
            "-o",
            "APT::Install-Recommends=0",
            "-o",
            "APT::Sandbox::User=root",
            "-o",
            "Debug::NoLocking=1",
        ]);
        command.args(words);
        command
    };
    output(&mut apt_get(&["update"]))?;
    output(&mut apt_get(&["--yes", "--download-only", "install", "neovim"]))?;
    let archives = home.join("cache/archives");
    for entry in fs::read_dir(&archives).map_err(at(&archives))? {
        let package = entry.map_err(at(&archives))?.path();
        if package.extension().is_some_and(|extension| extension == "deb") {
            output(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&root))?;
        }
    }
    for folder in ["lists", "cache"].map(|name| home.join(name)) {
        fs::remove_dir_all(&folder).map_err(at(&folder))?;
    }
    Ok(root)
}

/// The mirror that this machine already takes Debian from.
fn mirror() -> Result<String> {
    let words = ["indextargets", "--format", "$(ORIGIN) $(RELEASE) $(REPO_URI)", "Created-By: Packages"];
    let targets = output(Command::new("apt-get").args(words))?;
    let debian =
        targets.lines().filter_map(|line| line.strip_prefix("Debian ")).filter_map(|line| line.split_once(' '));
    let mirror = debian.filter(|(release, _)| !release.contains('-')).map(|(_, uri)| uri.to_owned()).next();
    mirror.ok_or_else(|| {
        "apt's sources name no Debian mirror to take Neovim from; add one, and run `apt-get update`".to_owned()
    })
}

/// A script that starts the unpacked program with the C library that came with it.
fn launcher(root: &Path) -> Result<String> {
    let library = root.join("usr/lib");
    let mut folders = fs::read_dir(&library).map_err(at(&library))?.filter_map(|entry| Some(entry.ok()?.path()));
    let loader = |folder: &Path| {
        let names = fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
        names
            .into_iter()
            .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ld-linux")))
    };
    let found = folders.find_map(|folder| loader(&folder).map(|loader| (loader, folder)));
    let (loader, libraries) = found.ok_or_else(|| format!("no dynamic loader below {}", library.display()))?;
    Ok(format!(
        "#!/bin/sh\nVIMRUNTIME='{}' exec '{}' --library-path '{}' '{}' \"$@\"\n",
        root.join("usr/share/nvim/runtime").display(),
        loader.display(),
        libraries.display(),
        root.join("usr/bin/nvim").display()
    ))
}
