//! What only this crate can judge of a configuration and of a selection: the names of rules.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flowgate_flow::config::{self, CheckConfig, ConfigError, Loaded, RuleLevel};
use flowgate_flow::load::FileSystem;

use crate::rules;
use crate::suggest::{did_you_mean, nearest};

/// Which rules a user asked for, whatever the configuration says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only these, where any is named; one that is off otherwise is on.
    pub select: BTreeSet<&'static str>,
    /// Not these.
    pub ignore: BTreeSet<&'static str>,
}

impl Selection {
    /// Turns off what was not asked for.
    pub(crate) fn apply(&self, config: &mut CheckConfig) {
        for rule in rules::ALL {
            if self.ignore.contains(rule.name) || !(self.select.is_empty() || self.select.contains(rule.name)) {
                config.rules.insert(rule.name.to_owned(), RuleLevel::Off);
            } else if self.select.contains(rule.name) && !rule.is_on(config) {
                if rule.is_notice() {
                    config.rules.insert(rule.name.to_owned(), RuleLevel::Hint);
                } else {
                    config.rules.remove(rule.name);
                }
            }
        }
    }
}

/// There is no rule of that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownRule {
    /// The name.
    pub name: String,
    /// The rule that was most likely meant.
    pub nearest: Option<&'static str>,
}

impl std::fmt::Display for UnknownRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "there is no rule `{}`", self.name)?;
        self.nearest.map_or(Ok(()), |near| write!(f, "; {}", did_you_mean(near)))
    }
}

impl std::error::Error for UnknownRule {}

/// The rule of that name.
///
/// # Errors
/// There is none: says so, with the nearest that is.
pub fn rule_name(name: &str) -> Result<&'static str, UnknownRule> {
    let mut names = rules::ALL.iter().map(|rule| rule.name);
    match names.clone().find(|known| *known == name) {
        Some(name) => Ok(name),
        None => Err(UnknownRule { name: name.to_owned(), nearest: nearest(name, &mut names) }),
    }
}

/// Reads the configuration of a folder.
///
/// # Errors
/// One that cannot be used, with "did you mean" where a name is near to one that is known.
pub fn load(fs: &dyn FileSystem, folder: &Path) -> Result<Loaded, ConfigError> {
    judged(config::load(fs, folder))
}

/// The configurations of folders; each file is read once, however many folders it is for.
pub(crate) struct Configurations<'f> {
    fs: &'f (dyn FileSystem + Sync),
    /// By folder; not of each that was asked for, which are as many as there are flows, but of those above and of
    /// those that hold a configuration.
    known: Mutex<HashMap<PathBuf, Arc<Loaded>>>,
}

impl<'f> Configurations<'f> {
    pub(crate) fn new(fs: &'f (dyn FileSystem + Sync)) -> Self {
        Self { fs, known: Mutex::default() }
    }

    /// What [`load`] gives for that folder.
    pub(crate) fn of(&self, folder: &Path) -> Result<Arc<Loaded>, ConfigError> {
        if let Some(known) = self.known().get(folder) {
            return Ok(known.clone());
        }
        match (config::load_in(self.fs, folder), folder.parent()) {
            (Ok(None), Some(above)) => {
                let loaded = self.of(above)?;
                self.known().entry(above.to_owned()).or_insert_with(|| loaded.clone());
                Ok(loaded)
            }
            (own, _) => {
                let loaded = Arc::new(judged(own.map(Option::unwrap_or_default))?);
                self.known().insert(folder.to_owned(), loaded.clone());
                Ok(loaded)
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<PathBuf, Arc<Loaded>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn judged(loaded: Result<Loaded, ConfigError>) -> Result<Loaded, ConfigError> {
    let loaded = loaded.map_err(|error| ConfigError { message: with_suggestion(&error.message), ..error })?;
    if let Some(file) = &loaded.file {
        for name in loaded.config.check.rules.keys() {
            rule_name(name).map_err(|error| file.error_at(name, format!("check.rules: {error}")))?;
        }
    }
    Ok(loaded)
}

/// Serde says "unknown field `a`, expected one of `b`, `c`": the names are those in backquotes.
fn with_suggestion(message: &str) -> String {
    let mut names = message.split('`').skip(1).step_by(2);
    match names.next().and_then(|typed| nearest(typed, names)) {
        Some(near) if message.contains("unknown ") => format!("{message}; {}", did_you_mean(near)),
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_name_brings_the_right_one() {
        for (message, expected) in [
            ("unknown field `chek`, expected `check`", "; did you mean `check`?"),
            ("a: unknown variant `Warn`, expected one of `off`, `hint`, `warning`", "; did you mean `warning`?"),
            ("unknown field `zzz`, expected `check`", "`check`"),
            ("invalid type: integer `3`, expected `4`", "`4`"),
        ] {
            assert!(with_suggestion(message).ends_with(expected), "{message}");
        }
        assert_eq!(
            rule_name("pinned-promptflw").map_err(|error| error.to_string()),
            Err("there is no rule `pinned-promptflw`; did you mean `pinned-promptflow`?".to_owned())
        );
    }

    #[test]
    fn a_selection_goes_over_the_configuration() {
        let mut config = CheckConfig::default();
        config.rules.insert("missing-type".to_owned(), RuleLevel::Off);
        config.rules.insert("yaml-syntax".to_owned(), RuleLevel::Hint);
        let select = BTreeSet::from(["missing-type", "yaml-syntax", "duplicate-node-name", "retired-product"]);
        assert!(!rules::find("retired-product").unwrap().is_on(&config));
        Selection { select, ignore: BTreeSet::from(["duplicate-node-name"]) }.apply(&mut config);
        let on: Vec<_> = rules::ALL.iter().filter(|rule| rule.is_on(&config)).map(|rule| rule.name).collect();
        assert_eq!(on, ["yaml-syntax", "missing-type", "retired-product"]);
        assert_eq!(config.rules.get("yaml-syntax"), Some(&RuleLevel::Hint));
    }
}
