//! A base image that the repository describes: a folder with a Dockerfile.

pub(crate) mod context;
pub(crate) mod dockerfile;

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};

use flowgate_flow::config::ImageConfig;
use flowgate_flow::include::lexical;
use flowgate_flow::load::{FileSystem, Within};
use flowgate_flow::yaml;

use self::dockerfile::{Dockerfile, Rules};
use super::TrustScope;
use super::key::{Content, sha256};
use crate::error::{RuntimeError, Stage};

/// The repository of images that are built from folders.
pub const REPOSITORY: &str = "flowgate-image";
/// What Azure Machine Learning calls the description of an environment.
const AZURE_FILE: &str = "environment.yaml";
/// The most bytes that a Dockerfile, or what stands beside it, may have.
const MAX_BYTES: usize = 1 << 20;

/// How an image that flows name is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageBuild {
    /// Its name in `environment.image`.
    pub name: String,
    /// The folder of flowgate.yaml.
    pub root: PathBuf,
    /// The build's context, relative to that.
    pub folder: PathBuf,
    /// The Dockerfile, relative to the context; `None` is `Dockerfile`.
    pub dockerfile: Option<String>,
    /// The stage to build; `None` is the last.
    pub target: Option<String>,
    /// Build arguments.
    pub arguments: BTreeMap<String, String>,
    /// Whether its steps may use the network.
    pub network: bool,
}

impl ImageBuild {
    /// What flowgate.yaml says of an image.
    ///
    /// # Errors
    /// A folder that lies outside flowgate.yaml's.
    pub(crate) fn new(name: &str, config: &ImageConfig, root: &Path) -> Result<Self, RuntimeError> {
        let folder = lexical(Path::new(&config.build));
        let outside = folder.is_absolute() || folder.components().next() == Some(Component::ParentDir);
        if outside {
            let message = format!(
                "flowgate.yaml: environment.images.{name}.build leads to `{}`, outside its folder",
                config.build
            );
            return Err(RuntimeError::new(Stage::Environment, message)
                .with_hint("put flowgate.yaml above all that belongs to the build, as at the root of the repository"));
        }
        Ok(Self {
            name: name.to_owned(),
            root: root.to_owned(),
            folder,
            dockerfile: config.dockerfile.clone(),
            target: config.target.clone(),
            arguments: config.args.clone(),
            network: config.network,
        })
    }

    /// Packs the context, and reads what it needs.
    ///
    /// # Errors
    /// A folder or a Dockerfile that is not there or leads outside flowgate.yaml's folder, and a Dockerfile that the
    /// scope may not have built.
    pub(crate) fn prepare(&self, scope: &TrustScope, platform: &str) -> Result<Prepared, RuntimeError> {
        let fail = |message: String| RuntimeError::new(Stage::Environment, format!("image {}: {message}", self.name));
        // Untrusted files: nothing outside is looked at, and nothing of git's, where a checkout leaves its token.
        let within = Within::new(&self.root, "the folder of flowgate.yaml")
            .map_err(|error| fail(format!("{}: {error}", self.root.display())))?;
        let read = |path: &Path| match within.read(path, MAX_BYTES) {
            Ok(bytes) => {
                String::from_utf8(bytes).map(Some).map_err(|_| fail(format!("{}: it is not UTF-8", path.display())))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(fail(format!("{}: {error}", path.display()))),
        };
        let mut folder = lexical(&self.root.join(&self.folder));
        let mut name = self.dockerfile.clone();
        let azure_file = folder.join(AZURE_FILE);
        if let Some((path, dockerfile)) = read(&azure_file)?.and_then(|text| azure(&text)) {
            folder = lexical(&folder.join(path));
            name = name.or(dockerfile);
        }
        let name = lexical(Path::new(name.as_deref().unwrap_or("Dockerfile"))).display().to_string();
        let path = folder.join(&name);
        let shown = path.strip_prefix(lexical(&self.root)).unwrap_or(&path).to_owned();
        if Path::new(&name).starts_with("..") || Path::new(&name).is_absolute() {
            return Err(fail(format!("{} does not lie in {}", shown.display(), folder.display()))
                .with_hint("put the Dockerfile into the folder that `build` names"));
        }
        if !within.reaches(&folder) || !within.reaches(&path) {
            let root = self.root.display();
            return Err(fail(format!("{} does not lie in {root}, and nothing else is read", shown.display())));
        }
        let text = read(&path)?.ok_or_else(|| {
            fail(format!("there is no {}", shown.display()))
                .with_hint("`build` in flowgate.yaml names the folder, `dockerfile` the file in it")
        })?;
        let rules = Rules { scope, network: self.network, platform };
        let dockerfile = dockerfile::read(&text, &self.arguments, rules).map_err(|dockerfile::Refused(why)| {
            let refused = fail(format!("{}: {why}", shown.display()));
            match scope {
                TrustScope::Trusted => refused,
                TrustScope::PullRequest { .. } => {
                    refused.with_hint("SECURITY.md says what a Dockerfile of a pull request may ask for")
                }
            }
        })?;
        let own = folder.join(format!("{name}{}", context::IGNORE_FILE));
        let ignore = match read(&own)? {
            Some(text) => Some((own, text)),
            None => {
                let shared = folder.join(context::IGNORE_FILE);
                read(&shared)?.map(|text| (shared, text))
            }
        };
        let ignored = context::Ignored::read(ignore.as_ref().map(|(path, text)| (path.as_path(), text.as_str())))?;
        let real = folder.canonicalize().map_err(|error| fail(format!("{}: {error}", folder.display())))?;
        let replaced = [(name.clone(), dockerfile.text.clone())].into();
        let tar = context::pack(&real, &name, &ignored, &replaced)?;
        Ok(Prepared { tar, name, path: shown, dockerfile })
    }

    /// The content address of the image: what is built, upon what.
    pub(crate) fn key(&self, prepared: &Prepared, bases: &BTreeMap<String, String>, platform: &str) -> String {
        let mut content = Content::default();
        content.add("context", [sha256(&prepared.tar)]);
        content.add("dockerfile", [prepared.name.clone()]);
        content.add("target", self.target.clone());
        content.add("arguments", self.arguments.iter().flat_map(|(name, value)| [name.clone(), value.clone()]));
        content.add("network", [self.network.to_string()]);
        content.add("bases", bases.iter().flat_map(|(name, identity)| [name.clone(), identity.clone()]));
        content.add("platform", [platform.to_owned()]);
        content.address()
    }
}

/// What a builder gets.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    /// The context.
    pub(crate) tar: Vec<u8>,
    /// The Dockerfile's path in it.
    pub(crate) name: String,
    /// The Dockerfile's path from the folder of flowgate.yaml, for messages.
    pub(crate) path: PathBuf,
    /// What it says.
    pub(crate) dockerfile: Dockerfile,
}

impl Prepared {
    /// The context with a line behind each `FROM` of the Dockerfile; gives also the lines behind which flowgate put one.
    ///
    /// # Errors
    /// None in practice.
    pub(crate) fn with_line(self, line: &str) -> Result<(Vec<u8>, Vec<usize>), RuntimeError> {
        let (text, marks) = self.dockerfile.with_line(line);
        Ok((context::with_file(self.tar, &self.name, &text)?, marks))
    }
}

/// `build.path` and `build.dockerfile_path` of Azure's `environment.yaml`, where it has a `build`.
fn azure(text: &str) -> Option<(String, Option<String>)> {
    let document = yaml::read(text);
    let build = document.root.get("build").map(|entry| &entry.value)?;
    let text = |key: &str| build.get(key).and_then(|entry| entry.value.text()).map(str::to_owned);
    Some((text("path").unwrap_or_else(|| ".".to_owned()), text("dockerfile_path")))
}
