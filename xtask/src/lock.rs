//! `cargo xtask lock`: the packages of flowgate's own base image, resolved with today's index, and proven.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use flowgate_runtime::environment::base::PROMPTFLOW_VERSION;
use flowgate_runtime::environment::base::PYTHONS;

use crate::command::{Result, at, flowgate, output, remove, root, run, say};
use crate::testbed;

/// What the lock begins with.
const HEADER: &str = "\
# The packages of every environment, with their hashes, for Python 3.10 and newer. `cargo xtask lock` writes it.
# promptflow 1.18.5 is the last release of the engine; 3.9 is out because it needs pillow 12.1.1 or newer.

";

/// What the list of the engine's needs begins with.
const NEEDS_HEADER: &str = "\
# What the engine's own packages in requirements.txt ask of others, for every Python and platform. `cargo xtask lock`
# writes it.

";

/// What uv's own lock begins with.
const UV_HEADER: &str = "\
# uv for flowgate's own base image, by which environments are made in seconds. `cargo xtask lock` writes it.

";

/// Resolves the lock anew, writes it, and proves it: each Python of the recipe can install it, the base image is built
/// from it and passes its contract check, and a flow runs. What is not proven is undone.
///
/// # Errors
/// What could not be resolved or proven.
pub(crate) fn refresh() -> Result<()> {
    testbed::make()?;
    let folder = root().join("crates/flow/src/lock");
    let [lock, engine, uv] = ["requirements.txt", "engine.txt", "uv.txt"].map(|name| folder.join(name));
    let read = |path: &Path| fs::read_to_string(path).map_err(at(path));
    let [before, engine_before, uv_before] = [read(&lock)?, read(&engine)?, read(&uv)?];
    let work = root().join("target/lock");
    remove(&work)?;
    fs::create_dir_all(&work).map_err(at(&work))?;
    let after = HEADER.to_owned() + &resolved(&work, &format!("promptflow=={PROMPTFLOW_VERSION}\npromptflow-tools\n"))?;
    let uv_after = UV_HEADER.to_owned() + &resolved(&work, "uv\n")?;
    for change in changes(&before, &after).into_iter().chain(changes(&uv_before, &uv_after)) {
        say(&format!("lock: {change}"));
    }
    let engine_after = NEEDS_HEADER.to_owned() + &needs(&work, &after)?;
    fs::write(&engine, &engine_after).map_err(at(&engine))?;
    fs::write(&lock, &after).map_err(at(&lock))?;
    fs::write(&uv, &uv_after).map_err(at(&uv))?;
    if let Err(why) = prove(&work, &lock) {
        fs::write(&lock, &before).map_err(at(&lock))?;
        fs::write(&engine, &engine_before).map_err(at(&engine))?;
        fs::write(&uv, &uv_before).map_err(at(&uv))?;
        return Err(format!("{why}\nlock: not proven; {} is as it was", lock.display()));
    }
    remove(&work)?;
    say(&format!("lock: {} is proven", lock.display()));
    Ok(())
}

fn uv() -> Result<PathBuf> {
    Ok(testbed::folder()?.join("bin/uv"))
}

fn resolved(work: &Path, requirements: &str) -> Result<String> {
    let (wanted, packages) = (work.join("wanted.txt"), work.join("packages.txt"));
    fs::write(&wanted, requirements).map_err(at(&wanted))?;
    let mut compile = Command::new(uv()?);
    compile.args(["pip", "compile", "--quiet", "--universal", "--python-version", PYTHONS[0], "--generate-hashes"]);
    compile.args(["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links", "--output-file"]);
    output(compile.arg(&packages).arg(&wanted))?;
    fs::read_to_string(&packages).map_err(at(&packages))
}

/// What the packages of promptflow in a lock ask of others, without what holds for some places only.
fn needs(work: &Path, lock: &str) -> Result<String> {
    let target = work.join("engine");
    let mut install = Command::new(uv()?);
    install.args(["pip", "install", "--quiet", "--no-deps", "--python-version", PYTHONS[0], "--target"]).arg(&target);
    for (name, pinned) in versions(lock).into_iter().filter(|(name, _)| name.starts_with("promptflow")) {
        install.args(pinned.iter().map(|version| format!("{name}=={version}")));
    }
    output(&mut install)?;
    let mut needs = Vec::new();
    for entry in fs::read_dir(&target).map_err(at(&target))?.flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "dist-info") {
            let metadata = entry.path().join("METADATA");
            needs.extend(needs_of(&fs::read_to_string(&metadata).map_err(at(&metadata))?));
        }
    }
    needs.sort();
    Ok(needs.concat())
}

/// A line for each need in a package's metadata.
fn needs_of(metadata: &str) -> Vec<String> {
    let normal = |name: &str| name.to_ascii_lowercase().replace(['_', '.'], "-");
    let head = metadata.split("\n\n").next().unwrap_or(metadata);
    let by = head.lines().find_map(|line| line.strip_prefix("Name: ")).map(normal).unwrap_or_default();
    let needs = head.lines().filter_map(|line| line.strip_prefix("Requires-Dist: "));
    // A marker says that it holds for some places or extras only.
    needs
        .filter(|need| !need.contains(';') && !need.starts_with("promptflow"))
        .filter_map(|need| {
            let need = need.replace(['(', ')', ' '], "");
            let (name, specifiers) = need.split_at(need.find(['=', '<', '>', '!', '~'])?);
            Some(format!("{by} {}{specifiers}\n", normal(name)))
        })
        .collect()
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
    run(Command::new(flowgate()?).args(["run", "--backend", "docker", "examples/ticket-triage"]).current_dir(root()))
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
    fn needs_that_hold_everywhere_are_kept() {
        let metadata = "Name: promptflow_devkit\nRequires-Dist: ruamel.yaml (>=0.17,<1)\nRequires-Dist: openai\n\
            Requires-Dist: promptflow-core ==1\nRequires-Dist: pywin32>1 ; sys_platform == 'win32'\n\nRequires-Dist: x>1\n";
        assert_eq!(super::needs_of(metadata), ["promptflow-devkit ruamel-yaml>=0.17,<1\n"]);
    }

    #[test]
    fn changes_are_named_per_package() {
        let before =
            "# words\n\na==1 ; x \\\n    --hash=sha256:1\na==2 ; y \\\n    --hash=sha256:2\nb==1 \\\nc==1 \\\n";
        let after = "a==1 ; x \\\n    --hash=sha256:9\na==3 ; y \\\nc==1 \\\nd==5\n";
        assert_eq!(super::changes(before, after), ["a: 1, 2 -> 1, 3", "b: 1 -> none", "d: none -> 5"]);
    }
}
