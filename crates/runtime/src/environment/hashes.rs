//! What pip refuses where one line has a hash, for every installer: uv checks only the hashes that it is given.

use std::collections::BTreeSet;
use std::str::FromStr;

use flowgate_flow::lock;
use flowgate_flow::requirements::{self, HashFault, Line, Requirement};
use pep508_rs::VersionOrUrl;
use pep508_rs::pep440_rs::Version;

use super::packages::Versions;
use crate::error::{RuntimeError, Stage};
use crate::plan::{Base, EnvironmentPlan, PlannedRequirement};

const HINT: &str = "`flowgate check` names every line that pip refuses; `pip-compile --generate-hashes` and \
                    `uv pip compile --generate-hashes` write the hashes of all packages";

impl EnvironmentPlan {
    /// True where pip would check hashes.
    pub fn checks_hashes(&self) -> bool {
        let lines = self.requirements.iter().chain(&self.constraints).chain(&self.options);
        lines.filter_map(read).any(|line| line.asks_for_hashes())
    }
}

fn read(planned: &PlannedRequirement) -> Option<Line> {
    requirements::read(&planned.line).lines.into_iter().next()
}

fn name_of(line: &Line) -> Option<String> {
    line.requirement.as_ref().and_then(Requirement::normalized_name)
}

/// Refuses a plan that pip would refuse upon a base that holds those packages.
///
/// # Errors
/// The first line at fault, with its place.
pub(crate) fn refuse(plan: &EnvironmentPlan, present: &Versions) -> Result<(), RuntimeError> {
    if !plan.checks_hashes() {
        return Ok(());
    }
    let lines: Vec<(&PlannedRequirement, Line)> =
        plan.requirements.iter().filter_map(|planned| Some((planned, read(planned)?))).collect();
    // Of several lines about a package, one with a hash is enough.
    let hashed: BTreeSet<String> = lines.iter().filter_map(|(_, line)| hashed(line)).collect();
    for (planned, line) in &lines {
        let name = name_of(line);
        let is_there = name.as_ref().and_then(|name| present.get(name)).is_some_and(|version| takes(line, version));
        let fault = match line.hash_fault() {
            // pip leaves it as it is, and does not look at its hash; that of the lock is known.
            _ if is_there && plan.base == Base::Own && !is_of_lock(line, name.as_deref().unwrap_or_default()) => {
                "gives another hash than the file has from which the base image was built".to_owned()
            }
            Some(fault) if !is_there && !name.is_some_and(|name| hashed.contains(&name)) && !has_marker(line) => {
                words(fault).to_owned()
            }
            _ => continue,
        };
        let message = format!("{}: `{}` {fault}", planned.place, shown(&planned.line));
        return Err(RuntimeError::new(Stage::Environment, message).with_hint(HINT));
    }
    Ok(())
}

/// Refuses what an installer brought, although pip would have wanted a hash of it. `direct` came from URLs or files of
/// their own lines.
///
/// # Errors
/// Names the packages.
pub(crate) fn refuse_unnamed(
    plan: &EnvironmentPlan,
    before: &Versions,
    after: &Versions,
    direct: &[String],
) -> Result<(), RuntimeError> {
    if !plan.checks_hashes() {
        return Ok(());
    }
    let hashed: BTreeSet<String> = plan.requirements.iter().filter_map(|line| hashed(&read(line)?)).collect();
    let is_new = |(name, version): &(&String, &String)| before.get(*name) != Some(version);
    let unnamed = after.iter().filter(is_new).filter(|(name, _)| !hashed.contains(*name) && !direct.contains(name));
    let unnamed: Vec<String> = unnamed.map(|(name, version)| format!("`{name}=={version}`")).collect();
    if unnamed.is_empty() {
        return Ok(());
    }
    let message =
        format!("the requirements have hashes, and bring {} without one: pip refuses that", unnamed.join(", "));
    Err(RuntimeError::new(Stage::Environment, crate::wire::clip(message, 2000)).with_hint(HINT))
}

/// The package of a line that pip takes where hashes are checked.
fn hashed(line: &Line) -> Option<String> {
    name_of(line).filter(|_| line.hash_fault().is_none() && line.refusal.is_none())
}

fn has_marker(line: &Line) -> bool {
    let parsed = line.requirement.as_ref().and_then(|requirement| requirement.parsed.as_ref().ok());
    parsed.is_some_and(|parsed| !parsed.marker.is_true())
}

/// True where pip leaves that version as it is.
fn takes(line: &Line, version: &str) -> bool {
    let parsed = line.requirement.as_ref().and_then(|requirement| requirement.parsed.as_ref().ok());
    match parsed.map(|parsed| parsed.version_or_url.as_ref()) {
        Some(None) => true,
        Some(Some(VersionOrUrl::VersionSpecifier(wanted))) => {
            Version::from_str(version).is_ok_and(|version| wanted.contains(&version))
        }
        _ => false,
    }
}

/// False where the lock knows the package, and none of the line's hashes is of it.
fn is_of_lock(line: &Line, name: &str) -> bool {
    lock::package(name).is_none_or(|locked| locked.may_have_hashes_of(line))
}

fn words(fault: HashFault) -> &'static str {
    match fault {
        HashFault::NotPinned => "is not pinned with `==`: pip requires it of each requirement once one has a hash",
        HashFault::Missing => "has no `--hash`: pip requires one of each requirement once one has it",
        HashFault::Malformed => "has no hash that a file can have: a sha256 has 64 hexadecimal digits",
        HashFault::Unhashable(_) => "cannot have a hash: pip requires one of each requirement once one has it",
    }
}

fn shown(line: &str) -> String {
    crate::wire::clip(flowgate_flow::credential::mask(line).into_owned(), 200)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use flowgate_flow::load::{self, Memory};

    use super::*;
    use crate::plan::{Settings, plan};

    fn of(requirements: &str) -> EnvironmentPlan {
        let files = [("/f/flow.dag.yaml", "nodes: []\n"), ("/f/requirements.txt", requirements)];
        let files = files.map(|(path, text)| (path.into(), text.as_bytes().to_vec())).into();
        plan(&load::load_project(&Memory { files }, Path::new("/f/flow.dag.yaml")), &Settings::default()).unwrap()
    }

    fn versions(pairs: &[(&str, &str)]) -> Versions {
        pairs.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect()
    }

    #[test]
    fn what_the_base_holds_needs_no_hash_and_all_else_does() {
        let zero = format!("--hash=sha256:{}", "0".repeat(64));
        let tabulate = lock::package("tabulate").unwrap();
        let (version, good) = (tabulate.versions[0].to_string(), format!("--hash={}", tabulate.hashes[0]));
        let present = versions(&[("tabulate", &version), ("promptflow", "1.18.5")]);
        for (text, said) in [
            (format!("a==1 {zero}\npromptflow\ntabulate>=0.9\n"), ""),
            (format!("a==1 {zero}\na\nb==1 ; sys_platform == 'win32'\n"), ""),
            (format!("tabulate=={version} {good}\n"), ""),
            ("a\n".to_owned(), ""),
            (format!("a {zero}\n"), "requirements.txt:1: `a --hash=sha256:0"),
            (format!("a==1 {zero}\n\nb==1\n"), "requirements.txt:3: `b==1` has no `--hash`"),
            ("--require-hashes\na==1\n".to_owned(), "requirements.txt:2: `a==1` has no `--hash`"),
            (format!("a==1 {zero}\ntabulate==0.8.10\n"), "requirements.txt:2: `tabulate==0.8.10` has no `--hash`"),
            (format!("tabulate=={version} {zero}\n"), "gives another hash"),
            (format!("tabulate>=0.9 {zero}\n"), "gives another hash"),
            (format!("tabulate {good}\n"), ""),
        ] {
            let refused = refuse(&of(&text), &present).err().map_or(String::new(), |error| error.message);
            assert!(refused.contains(said) && said.is_empty() == refused.is_empty(), "{text}: {refused}");
        }
    }

    #[test]
    fn what_comes_along_without_a_hash_is_named() {
        let plan = of(&format!("a==1 --hash=sha256:{}\n", "0".repeat(64)));
        let before = versions(&[("old", "1"), ("same", "1")]);
        let after = versions(&[("a", "1"), ("b", "2"), ("file", "1"), ("old", "2"), ("same", "1")]);
        let error = refuse_unnamed(&plan, &before, &after, &["file".to_owned()]).unwrap_err();
        assert!(error.message.contains("bring `b==2`, `old==2` without one"), "{}", error.message);
        assert_eq!(refuse_unnamed(&of("a==1\n"), &before, &after, &[]), Ok(()));
    }
}
