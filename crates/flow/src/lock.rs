//! The packages of flowgate's own base image and of its private environments, and what the engine among them asks of
//! others: what a flow that names no image runs on.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::LazyLock;

use pep508_rs::pep440_rs::{Version, VersionSpecifiers};

use crate::requirements::Line;

/// Packages at fixed versions with their hashes, as pip reads them.
pub const LOCK: &str = include_str!("lock/requirements.txt");

/// uv at a fixed version with its hashes: part of the base image, and not of private environments.
pub const UV: &str = include_str!("lock/uv.txt");

/// Lines of a package of the engine and of what it asks for.
const ENGINE: &str = include_str!("lock/engine.txt");

/// A package of the lock.
#[derive(Debug, Default)]
pub struct Locked {
    /// Its versions: some Pythons may get an older one.
    pub versions: Vec<Version>,
    /// `sha256:...`, of every file of these versions.
    pub hashes: Vec<&'static str>,
}

impl Locked {
    /// False where a line gives hashes, and none of them is of a file of these versions.
    pub fn may_have_hashes_of(&self, line: &Line) -> bool {
        let mut own = line.hashes().filter_map(|option| option.value.as_ref()).peekable();
        // The lock has no other algorithm.
        let is_own = |hash: String| !hash.starts_with("sha256:") || self.hashes.contains(&hash.as_str());
        own.peek().is_none() || own.any(|value| is_own(value.value.to_ascii_lowercase()))
    }
}

/// What a package of the engine asks of another.
#[derive(Debug)]
pub struct Need {
    /// The package of the engine.
    pub by: &'static str,
    /// The versions that go with it.
    pub specifiers: VersionSpecifiers,
}

/// The package of that normalized name.
pub fn package(name: &str) -> Option<&'static Locked> {
    static PACKAGES: LazyLock<HashMap<&str, Locked>> = LazyLock::new(|| {
        let mut packages: HashMap<&str, Locked> = HashMap::new();
        let mut last = "";
        for line in LOCK.lines() {
            if let Some((name, rest)) = line.split_once("==").filter(|_| !line.starts_with([' ', '#'])) {
                last = name;
                let version = Version::from_str(rest.split([' ', ';']).next().unwrap_or(rest));
                packages.entry(name).or_default().versions.extend(version);
            } else if let Some(hash) = line.trim().strip_prefix("--hash=") {
                packages.entry(last).or_default().hashes.push(hash.trim_end_matches([' ', '\\']));
            }
        }
        packages
    });
    PACKAGES.get(name)
}

/// What the engine asks of the package of that normalized name.
pub fn needs(name: &str) -> &'static [Need] {
    static NEEDS: LazyLock<HashMap<&str, Vec<Need>>> = LazyLock::new(|| {
        let mut needs: HashMap<&str, Vec<Need>> = HashMap::new();
        for (by, wanted) in ENGINE.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' '))
        {
            let (name, specifiers) = wanted.split_at(wanted.find(['=', '<', '>', '!', '~']).unwrap_or(wanted.len()));
            if let Ok(specifiers) = VersionSpecifiers::from_str(specifiers) {
                needs.entry(name).or_default().push(Need { by, specifiers });
            }
        }
        needs
    });
    NEEDS.get(name).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_meets_what_the_engine_in_it_asks_for() {
        let mut count = 0;
        for (by, wanted) in ENGINE.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' '))
        {
            let name = crate::requirements::normalize(wanted.split(['=', '<', '>', '!', '~']).next().unwrap());
            let locked = package(&name).unwrap_or_else(|| panic!("{by} asks for {name}, which the lock does not hold"));
            let need = needs(&name).iter().find(|need| need.by == by).unwrap_or_else(|| panic!("{by} {wanted}"));
            assert!(
                locked.versions.iter().all(|version| need.specifiers.contains(version)),
                "{by} {wanted}: {locked:?}"
            );
            assert!(!locked.hashes.is_empty() && package(by).is_some(), "{by} {wanted}");
            count += 1;
        }
        assert!(count > 20, "{count}");
    }
}
