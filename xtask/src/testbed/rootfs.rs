//! A small root file system from files that this machine's own packages own: nothing is
//! downloaded, and no maintainer script runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{Result, at, output};

/// What the image is made for; all else follows from dependencies.
pub(crate) const WANTED: &[&str] = &[
    "base-files",
    "base-passwd",
    "bash",
    "coreutils",
    "dash",
    "findutils",
    "grep",
    "gzip",
    "libc-bin",
    "libstdc++6",
    "netbase",
    "python3",
    "sed",
    "tar",
    "tzdata",
];

/// Configuration that may be taken. All other files of `/etc` are this machine's own business.
const CONFIGURATION: &[&str] = &[
    "/etc/os-release",
    "/etc/debian_version",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/protocols",
    "/etc/services",
];

/// Trees that nothing in a container reads.
const LEFT_OUT: &[&str] = &[
    "/usr/share/doc",
    "/usr/share/man",
    "/usr/share/info",
    "/usr/share/locale",
    "/usr/share/lintian",
    "/usr/share/bug",
    "/usr/local",
];

/// Folders that are empty in the image.
const EMPTY: &[(&str, u32)] = &[
    ("dev", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("opt", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("usr/local/bin", 0o755),
    ("var/tmp", 0o1777),
    ("work", 0o1777),
];

/// An installed package.
struct Package {
    version: String,
    depends: Vec<Vec<String>>,
}

/// The packages whose files make the root file system, as `name=version`.
///
/// # Errors
/// This is no Debian, or a wanted package is not installed.
pub(crate) fn packages() -> Result<Vec<String>> {
    let format = "${Package}\t${Version}\t${db:Status-Abbrev}\t${Provides}\t${Pre-Depends}, ${Depends}\n";
    let listed = output(Command::new("dpkg-query").args(["-W", "-f", format])).map_err(|error| {
        format!("the base image is made from Debian's own packages, and this machine has none: {error}")
    })?;
    let (mut installed, mut provided) = (BTreeMap::new(), BTreeMap::new());
    for line in listed.lines() {
        let [name, version, status, provides, depends] = line.split('\t').collect::<Vec<_>>()[..] else { continue };
        if !status.starts_with("ii") {
            continue;
        }
        for virtual_name in provides.split(',').map(bare).filter(|name| !name.is_empty()) {
            provided.entry(virtual_name).or_insert_with(|| name.to_owned());
        }
        let depends = depends.split(',').map(|choice| choice.split('|').map(bare).collect()).collect();
        installed.insert(name.to_owned(), Package { version: version.to_owned(), depends });
    }
    if let Some(missing) = WANTED.iter().find(|name| !installed.contains_key(**name)) {
        return Err(format!("the package {missing} is not installed; install it with `apt-get install {missing}`"));
    }
    let (mut taken, mut waiting) = (BTreeSet::new(), WANTED.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    while let Some(name) = waiting.pop() {
        let Some(package) = installed.get(&name) else { continue };
        if !taken.insert(format!("{name}={}", package.version)) {
            continue;
        }
        for choice in &package.depends {
            let real = choice
                .iter()
                .find_map(|name| if installed.contains_key(name) { Some(name) } else { provided.get(name) });
            waiting.extend(real.cloned());
        }
    }
    Ok(taken.into_iter().collect())
}

/// `python3:any (>= 3.9)` without what follows the name.
fn bare(dependency: &str) -> String {
    dependency.trim().split([' ', ':', '(']).next().unwrap_or_default().to_owned()
}

/// Copies the files of those packages to a folder.
///
/// # Errors
/// A file cannot be read or written.
pub(crate) fn copy(packages: &[String], root: &Path) -> Result<()> {
    for (folder, mode) in EMPTY {
        let path = root.join(folder);
        fs::create_dir_all(&path).map_err(at(&path))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).map_err(at(&path))?;
    }
    for name in ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
        // In a merged /usr these are links, and packages still name files through them.
        if let Ok(target) = fs::read_link(Path::new("/").join(name)) {
            symlink(&target, root.join(name)).map_err(at(&root.join(name)))?;
        }
    }
    let names = packages.iter().filter_map(|package| package.split('=').next());
    let listed = output(Command::new("dpkg-query").arg("-L").args(names))?;
    for line in listed.lines().filter(|line| is_wanted(line)) {
        copy_one(&physical(line), root)?;
    }
    // The accounts are those that Debian starts with, not this machine's.
    for name in ["passwd", "group"] {
        let (from, to) =
            (Path::new("/usr/share/base-passwd").join(format!("{name}.master")), root.join("etc").join(name));
        fs::copy(&from, &to).map_err(at(&from))?;
    }
    let (from, to) = (Path::new("/usr/share/libc-bin/nsswitch.conf"), root.join("etc/nsswitch.conf"));
    fs::copy(from, to).map_err(at(from))?;
    let ldconfig = if Path::new("/sbin/ldconfig").is_file() { "/sbin/ldconfig" } else { "ldconfig" };
    output(Command::new(ldconfig).args(["-X", "-r"]).arg(root))?;
    Ok(())
}

fn is_wanted(path: &str) -> bool {
    let below = |folders: &[&str]| folders.iter().any(|folder| Path::new(path).starts_with(folder));
    match path.split('/').nth(1).unwrap_or_default() {
        // Python's folder carries its version in its name.
        "etc" => below(CONFIGURATION) || path.starts_with("/etc/python3"),
        "usr" | "bin" | "sbin" | "lib" | "lib32" | "lib64" | "libx32" => !below(LEFT_OUT),
        _ => false,
    }
}

/// The path with a link at its top resolved, as `/lib` is `/usr/lib`.
fn physical(path: &str) -> PathBuf {
    let mut parts = path.splitn(3, '/').skip(1);
    let (top, rest) = (Path::new("/").join(parts.next().unwrap_or_default()), parts.next());
    match (fs::read_link(&top), rest) {
        (Ok(target), Some(rest)) => Path::new("/").join(target).join(rest),
        (Ok(target), None) => Path::new("/").join(target),
        (Err(_), _) => PathBuf::from(path),
    }
}

fn copy_one(from: &Path, root: &Path) -> Result<()> {
    let to = root.join(from.strip_prefix("/").unwrap_or(from));
    let found = match from.symlink_metadata() {
        Ok(found) => found,
        // Slim images delete documentation and the like after installing.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(at(from)(error)),
    };
    if found.is_dir() {
        return fs::create_dir_all(&to).map_err(at(&to));
    }
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(at(folder))?;
    }
    if to.symlink_metadata().is_ok() {
        return Ok(());
    }
    if found.is_symlink() {
        let target = fs::read_link(from).map_err(at(from))?;
        return symlink(target, &to).map_err(at(&to));
    }
    fs::copy(from, &to).map_err(at(from))?;
    // Nothing in a sandbox changes its user through a file; everybody may read.
    let mode = (found.mode() & 0o777) | 0o444;
    fs::set_permissions(&to, fs::Permissions::from_mode(mode)).map_err(at(&to))
}
