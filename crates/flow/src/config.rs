//! `flowgate.yaml`: read once, here; each crate takes its own section.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::load::FileSystem;

/// The name of the configuration file.
pub const FILE_NAME: &str = "flowgate.yaml";
const MAX_BYTES: usize = 1024 * 1024;

/// What `flowgate.yaml` says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// For `flowgate check`.
    pub check: CheckConfig,
}

/// The section `check`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckConfig {
    /// Levels by rule name.
    pub rules: BTreeMap<String, RuleLevel>,
    /// Where the flows are meant to run.
    pub target: RuntimeTarget,
}

/// Where flows are meant to run: some faults are faults in one place only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuntimeTarget {
    /// Azure's compute session, on Microsoft's prompt flow image.
    #[default]
    HostedRuntime,
    /// A base image of one's own, which need not hold what Microsoft's does.
    OwnBaseImage,
    /// A container that `pf flow build` writes.
    FlowBuild,
}

/// How a rule's findings are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleLevel {
    /// Not at all.
    Off,
    /// As hints.
    Hint,
    /// As warnings.
    Warning,
    /// As errors.
    Error,
}

/// Why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// The cause, with line and column where known.
    pub message: String,
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.message)
    }
}

impl std::error::Error for ConfigError {}

/// Reads the nearest `flowgate.yaml` in `folder` or above it, and says where it is; the defaults
/// where there is none. A relative `folder` is followed upwards as far as its own text goes.
///
/// # Errors
/// A file that is there but cannot be used: ignoring it would run other rules than the user chose.
pub fn load(fs: &dyn FileSystem, folder: &Path) -> Result<(Config, Option<PathBuf>), ConfigError> {
    for folder in folder.ancestors() {
        let path = folder.join(FILE_NAME);
        let bytes = match fs.read(&path, MAX_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                continue;
            }
            Err(error) => return Err(ConfigError { path, message: error.to_string() }),
        };
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok((Config::default(), Some(path)));
        }
        return match serde_yaml::from_slice(&bytes) {
            Ok(config) => Ok((config, Some(path))),
            Err(error) => Err(ConfigError { path, message: error.to_string() }),
        };
    }
    Ok((Config::default(), None))
}
