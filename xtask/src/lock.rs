//! `cargo xtask lock`: the packages of flowgate's own base image, resolved with today's index, and proven.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use flowgate_runtime::environment::base::PYTHONS;
use flowgate_runtime::plan::PROMPTFLOW_VERSION;

use crate::command::{Result, at, cargo, output, remove, root, run, say};
use crate::testbed;

/// What the lock begins with.
const HEADER: &str = "\
# The packages of every environment, with their hashes, for Python 3.10 and newer. `cargo xtask lock` writes it.
# promptflow 1.18.5 is the last release of the engine; 3.9 is out because it needs pillow 12.1.1 or newer.

";

/// Resolves the lock anew, writes it, and proves it: each Python of the recipe can install it, the base image is built
/// from it and passes its contract check, and a flow runs. What is not proven is undone.
///
/// # Errors
/// What could not be resolved or proven.
pub(crate) fn refresh() -> Result<()> {
    testbed::make()?;
    let lock = root().join("crates/flow/src/lock/requirements.txt");
    let before = fs::read_to_string(&lock).map_err(at(&lock))?;
    let work = root().join("target/lock");
    remove(&work)?;
    fs::create_dir_all(&work).map_err(at(&work))?;
    let after = HEADER.to_owned() + &resolved(&work)?;
    for change in changes(&before, &after) {
        say(&format!("lock: {change}"));
    }
    fs::write(&lock, &after).map_err(at(&lock))?;
    if let Err(why) = prove(&work, &lock) {
        fs::write(&lock, &before).map_err(at(&lock))?;
        return Err(format!("{why}\nlock: not proven; {} is as it was", lock.display()));
    }
    remove(&work)?;
    say(&format!("lock: {} is proven", lock.display()));
    Ok(())
}

fn uv() -> Result<PathBuf> {
    Ok(testbed::folder()?.join("bin/uv"))
}

fn resolved(work: &Path) -> Result<String> {
    let (wanted, packages) = (work.join("wanted.txt"), work.join("packages.txt"));
    fs::write(&wanted, format!("promptflow=={PROMPTFLOW_VERSION}\npromptflow-tools\n")).map_err(at(&wanted))?;
    let mut compile = Command::new(uv()?);
    compile.args(["pip", "compile", "--quiet", "--universal", "--python-version", PYTHONS[0], "--generate-hashes"]);
    compile.args(["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links", "--output-file"]);
    output(compile.arg(&packages).arg(&wanted))?;
    fs::read_to_string(&packages).map_err(at(&packages))
}

fn prove(work: &Path, lock: &Path) -> Result<()> {
    for python in PYTHONS {
        say(&format!("lock: can Python {python} install it?"));
        let mut install = Command::new(uv()?);
        install.args(["pip", "install", "--dry-run", "--require-hashes", "--python-version", python, "--target"]);
        output(install.arg(work.join(python)).arg("--requirements").arg(lock))?;
    }
    say("lock: does the base image hold, and does a flow run on it?");
    testbed::make()?;
    let words = ["run", "--quiet", "--package", "flowgate", "--", "run", "--backend", "docker"];
    run(cargo(&words).arg("examples/ticket-triage"))
}

/// The packages that two locks have in other versions, one line each.
fn changes(before: &str, after: &str) -> Vec<String> {
    let (before, after) = (versions(before), versions(after));
    let names: std::collections::BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
    let shown = |versions: Option<&Vec<&str>>| versions.map_or("none".to_owned(), |versions| versions.join(", "));
    names
        .into_iter()
        .filter(|name| before.get(name) != after.get(name))
        .map(|name| format!("{name}: {} -> {}", shown(before.get(name)), shown(after.get(name))))
        .collect()
}

/// What a lock pins. A package can have a version for some Pythons and another for the rest.
fn versions(lock: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in lock.lines().filter(|line| !line.starts_with([' ', '#'])) {
        if let Some((name, rest)) = line.split_once("==") {
            versions.entry(name).or_default().push(rest.split([' ', ';']).next().unwrap_or(rest));
        }
    }
    versions
}

#[cfg(test)]
mod tests {
    #[test]
    fn changes_are_named_per_package() {
        let before =
            "# words\n\na==1 ; x \\\n    --hash=sha256:1\na==2 ; y \\\n    --hash=sha256:2\nb==1 \\\nc==1 \\\n";
        let after = "a==1 ; x \\\n    --hash=sha256:9\na==3 ; y \\\nc==1 \\\nd==5\n";
        assert_eq!(super::changes(before, after), ["a: 1, 2 -> 1, 3", "b: 1 -> none", "d: none -> 5"]);
    }
}
