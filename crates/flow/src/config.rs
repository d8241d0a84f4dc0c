//! `flowgate.yaml`: read once, here; each crate takes its own section.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::feed::Parts;
use crate::include::lexical;
use crate::load::FileSystem;
use crate::span::Span;
use crate::text::{ColumnUnit, LineIndex, Position};
use crate::yaml::{self, Node};

/// The name of the configuration file.
pub const FILE_NAME: &str = "flowgate.yaml";
const MAX_BYTES: usize = 1024 * 1024;

/// What `flowgate.yaml` says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// For `flowgate check`.
    pub check: CheckConfig,
    /// For what flows run in.
    pub environment: EnvironmentConfig,
}

/// The section `environment`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EnvironmentConfig {
    /// The Python of flowgate's own base image, such as `"3.11"`.
    pub python: Option<String>,
    /// Images that flows name under `environment.image`, and how each is built.
    pub images: BTreeMap<String, ImageConfig>,
    /// Package indexes that requirements may use beside the public one. For a pull request, the base revision's
    /// list counts.
    pub feeds: Vec<FeedConfig>,
    /// The client id of the Azure identity that opens private feeds, where it is not the machine's only one; the
    /// command line's `--identity` and the Action's input outrank it. For a pull request, the base revision's word
    /// counts.
    pub identity: Option<String>,
}

/// How an image is built.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageConfig {
    /// The folder with its Dockerfile, or with Azure's `environment.yaml`, relative to this file's folder.
    pub build: String,
    /// The Dockerfile, relative to that folder.
    #[serde(default)]
    pub dockerfile: Option<String>,
    /// The stage to build.
    #[serde(default)]
    pub target: Option<String>,
    /// Build arguments. Whoever can read the image can read them: no place for secrets.
    #[serde(default)]
    pub args: BTreeMap<String, String>,
    /// Whether its steps may use the network. For a pull request from a fork, the workflow's word counts.
    #[serde(default = "yes")]
    pub network: bool,
}

fn yes() -> bool {
    true
}

/// A package index that may be used.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FeedConfig {
    /// What its URLs begin with: the host, and the organisation where there is one, such as
    /// `https://pkgs.dev.azure.com/contoso/`. `{private}` in such a URL is replaced by the token.
    pub url: String,
    /// Whether its address may be one of a private network.
    #[serde(default)]
    pub private_network: bool,
}

/// The section `check`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CheckConfig {
    /// Levels by rule name.
    pub rules: BTreeMap<String, RuleLevel>,
    /// Where the flows are meant to run.
    pub target: RuntimeTarget,
    /// Flows that are left out where a folder is searched: patterns as in `.gitignore`, relative to this file's
    /// folder. A path that is named is checked all the same.
    pub exclude: Vec<String>,
}

/// Where flows are meant to run: some faults are faults in one place only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RuntimeTarget {
    /// Azure's compute session, on Microsoft's prompt flow image, and `flowgate run`, where a flow that names no image
    /// runs on flowgate's own.
    #[default]
    HostedRuntime,
    /// A base image of one's own, which need not hold what Microsoft's does.
    OwnBaseImage,
    /// A container that `pf flow build` writes.
    FlowBuild,
}

/// How a rule's findings are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
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
    /// Where, in Unicode scalar values, where that is known.
    pub at: Option<Position>,
    /// The cause.
    pub message: String,
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:", self.path.display())?;
        if let Some(at) = self.at {
            write!(f, "{}:{}:", at.line + 1, at.column + 1)?;
        }
        write!(f, " {}", self.message)
    }
}

impl std::error::Error for ConfigError {}

/// A configuration, and where it comes from.
#[derive(Debug, Default)]
pub struct Loaded {
    /// What the file says; the defaults where there is none.
    pub config: Arc<Config>,
    /// The file.
    pub file: Option<ConfigFile>,
    exclude: Option<Gitignore>,
}

/// A configuration's text.
#[derive(Debug, Clone)]
pub struct ConfigFile {
    /// Where it is.
    pub path: PathBuf,
    text: String,
}

/// Reads the nearest `flowgate.yaml` in `folder` or above it. A relative `folder` is followed upwards as far as its
/// own text goes.
///
/// # Errors
/// A file that is there but cannot be used: ignoring it would run other rules than the user chose.
pub fn load(fs: &dyn FileSystem, folder: &Path) -> Result<Loaded, ConfigError> {
    let nearest = folder.ancestors().find_map(|folder| load_in(fs, folder).transpose());
    nearest.unwrap_or_else(|| Ok(Loaded::default()))
}

/// Reads the `flowgate.yaml` of that folder, where it has one.
///
/// # Errors
/// See [`load`].
pub fn load_in(fs: &dyn FileSystem, folder: &Path) -> Result<Option<Loaded>, ConfigError> {
    let path = folder.join(FILE_NAME);
    match fs.read_configuration(&path, MAX_BYTES) {
        Ok(bytes) => ConfigFile::new(path, bytes)?.loaded().map(Some),
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(ConfigError { path, at: None, message: error.to_string() }),
    }
}

impl Loaded {
    /// The pattern of `check.exclude` that leaves a file out.
    pub fn excludes(&self, path: &Path) -> Option<&str> {
        let (exclude, folder) = (self.exclude.as_ref()?, self.file.as_ref()?.path.parent()?);
        let (path, folder) = (lexical(path), lexical(folder));
        match exclude.matched_path_or_any_parents(path.strip_prefix(folder).ok()?, false) {
            ignore::Match::Ignore(glob) => Some(glob.original()),
            _ => None,
        }
    }
}

/// Reads the text of a configuration of any kind. A file of comments is as empty as an empty one.
///
/// # Errors
/// What is wrong, with its place.
pub fn parse<T: DeserializeOwned + Default>(path: &Path, text: &str) -> Result<T, ConfigError> {
    ConfigFile { path: path.to_owned(), text: text.to_owned() }.parse()
}

impl ConfigFile {
    fn new(path: PathBuf, bytes: Vec<u8>) -> Result<Self, ConfigError> {
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self { path, text }),
            Err(_) => Err(ConfigError { path, at: None, message: "the file is not UTF-8 text".to_owned() }),
        }
    }

    fn loaded(self) -> Result<Loaded, ConfigError> {
        let config: Config = self.parse()?;
        self.feeds(&config.environment)?;
        let exclude = self.exclude(&config.check)?;
        Ok(Loaded { config: config.into(), exclude: Some(exclude), file: Some(self) })
    }

    fn parse<T: DeserializeOwned + Default>(&self) -> Result<T, ConfigError> {
        let document = yaml::read(&self.text);
        if let Some(error) = document.errors.first() {
            return Err(self.error(Some(error.span), error.message.clone()));
        }
        if document.root.is_null() {
            return Ok(T::default());
        }
        serde_yaml::from_str(&self.text).map_err(|error| {
            let message = error.to_string();
            let Some(location) = error.location() else { return self.error(None, message) };
            let place = format!(" at line {} column {}", location.line(), location.column());
            let message = message.replace(&place, "");
            // The reader often knows the mapping only; the name that it complains about is more precise.
            let named = message.split('`').nth(1).and_then(|name| find(&document.root, name));
            let at = Position { line: location.line().max(1) - 1, column: location.column().max(1) - 1 };
            ConfigError { at: Some(named.map_or(at, |span| self.position(span))), ..self.error(None, message) }
        })
    }

    /// A feed that no URL can begin with would allow nothing, and nothing would say so.
    fn feeds(&self, config: &EnvironmentConfig) -> Result<(), ConfigError> {
        let is_url = |url: &str| {
            let parts = Parts::of(url);
            matches!(parts.scheme.as_deref(), Some("https" | "http")) && !parts.host.is_empty()
        };
        match config.feeds.iter().find(|feed| !is_url(&feed.url)) {
            None => Ok(()),
            Some(feed) => {
                let message = format!("environment.feeds: `{}` is not a URL such as https://HOST/PATH/", feed.url);
                Err(self.error_at(&feed.url, message))
            }
        }
    }

    fn exclude(&self, config: &CheckConfig) -> Result<Gitignore, ConfigError> {
        let mut builder = GitignoreBuilder::new("");
        let mut error = None;
        for pattern in &config.exclude {
            if let Err(cause) = builder.add_line(None, pattern) {
                let at = find(&yaml::read(&self.text).root, pattern);
                error = error.or(Some(self.error(at, format!("check.exclude: {cause}"))));
            }
        }
        match (error, builder.build()) {
            (None, Ok(exclude)) => Ok(exclude),
            (Some(error), _) => Err(error),
            (None, Err(cause)) => Err(self.error(None, format!("check.exclude: {cause}"))),
        }
    }

    /// An error at the first place where the text has that name.
    pub fn error_at(&self, name: &str, message: impl Into<String>) -> ConfigError {
        self.error(find(&yaml::read(&self.text).root, name), message)
    }

    fn error(&self, at: Option<Span>, message: impl Into<String>) -> ConfigError {
        ConfigError { path: self.path.clone(), at: at.map(|span| self.position(span)), message: message.into() }
    }

    fn position(&self, span: Span) -> Position {
        LineIndex::new(&self.text).position(&self.text, span.start, ColumnUnit::Scalar)
    }
}

/// The first key or value of that text.
fn find(root: &Node, text: &str) -> Option<Span> {
    let mut waiting = vec![root];
    while let Some(node) = waiting.pop() {
        if node.text() == Some(text) {
            return Some(node.span);
        }
        if node.alias {
            continue;
        }
        let entries = node.mapping().unwrap_or_default().iter().rev().flat_map(|entry| [&entry.value, &entry.key]);
        waiting.extend(entries.chain(node.sequence().unwrap_or_default().iter().rev()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Memory;

    fn load(text: &str) -> Result<Loaded, String> {
        let memory = Memory { files: [(PathBuf::from("/r/flowgate.yaml"), text.as_bytes().to_vec())].into() };
        super::load(&memory, Path::new("/r/flows/a")).map_err(|error| error.to_string())
    }

    #[test]
    fn an_error_has_its_place() {
        for (text, error) in [
            ("check:\n  rules:\n    a: loud\n", "/r/flowgate.yaml:3:8: check.rules.a: unknown variant `loud`"),
            ("# first\nchek: {}\n", "/r/flowgate.yaml:2:1: unknown field `chek`"),
            ("check:\n  exclude: 3\n", "/r/flowgate.yaml:2:12: check.exclude: invalid type"),
            ("check:\n  exclude:\n  - ok\n  - 'a{b'\n", "/r/flowgate.yaml:4:5: check.exclude: "),
            (
                "environment:\n  feeds:\n  - url: https://pypi.example.com/\n  - url: nonsense\n",
                "/r/flowgate.yaml:4:10: environment.feeds: `nonsense` is not a URL",
            ),
            ("environment: {feeds: [{url: 'https://'}]}\n", "/r/flowgate.yaml:1:29: environment.feeds: `https://` is"),
            ("check: [\n", "/r/flowgate.yaml:1:8: unclosed bracket"),
        ] {
            let found = load(text).expect_err(text);
            assert!(found.starts_with(error), "{text}: {found}");
        }
        assert!(load("# nothing\n").is_ok_and(|loaded| *loaded.config == Config::default()));
    }

    #[test]
    fn patterns_are_relative_to_the_file() {
        let loaded = load("check:\n  exclude: ['old/', '/flows/b', '*.bak.yaml', '!/flows/b/keep.yaml']\n").unwrap();
        for (path, pattern) in [
            ("/r/flows/old/flow.dag.yaml", Some("old/")),
            ("/r/flows/b/flow.dag.yaml", Some("/flows/b")),
            ("/r/x/../flows/b/flow.dag.yaml", Some("/flows/b")),
            ("/r/other/flows/b/flow.dag.yaml", None),
            ("/r/flow.dag.bak.yaml", Some("*.bak.yaml")),
            ("/r/flows/b/keep.yaml", None),
            ("/elsewhere/old/flow.dag.yaml", None),
        ] {
            assert_eq!(loaded.excludes(Path::new(path)), pattern, "{path}");
        }
    }
}
