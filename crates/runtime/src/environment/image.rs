//! A base image that the repository describes: a folder with a Dockerfile.

pub(crate) mod context;
pub(crate) mod dockerfile;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use flowgate_flow::config::ImageConfig;
use flowgate_flow::include::lexical;
use flowgate_flow::yaml;

use super::TrustScope;
use super::key::{Content, sha256};
use crate::error::{RuntimeError, Stage};

/// The repository of images that are built from folders.
pub const REPOSITORY: &str = "flowgate-image";
/// What Azure Machine Learning calls the description of an environment.
const AZURE_FILE: &str = "environment.yaml";

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
    pub(crate) fn prepare(&self, scope: &TrustScope) -> Result<Prepared, RuntimeError> {
        let fail = |message: String| RuntimeError::new(Stage::Environment, format!("image {}: {message}", self.name));
        let root = fs::canonicalize(&self.root).map_err(|error| fail(format!("{}: {error}", self.root.display())))?;
        let inside = |path: &Path| -> Result<PathBuf, RuntimeError> {
            let real = fs::canonicalize(path).map_err(|error| fail(format!("{}: {error}", path.display())))?;
            match real.starts_with(&root) {
                true => Ok(real),
                false => Err(fail(format!("{} leads out of {}", path.display(), root.display()))),
            }
        };
        let mut folder = inside(&root.join(&self.folder))?;
        let mut name = self.dockerfile.clone();
        if let Some((path, dockerfile)) = azure(&folder).map_err(&fail)? {
            folder = inside(&folder.join(path))?;
            name = name.or(dockerfile);
        }
        let name = lexical(Path::new(name.as_deref().unwrap_or("Dockerfile"))).display().to_string();
        let path = inside(&folder.join(&name))?;
        let text = fs::read_to_string(&path).map_err(|error| fail(format!("{}: {error}", path.display())))?;
        let read = dockerfile::read(&text, &self.arguments, scope).map_err(|dockerfile::Refused(why)| {
            fail(format!("{name}: {why}"))
                .with_hint("see what a Dockerfile of a pull request may ask for in SECURITY.md")
        })?;
        let replaced = [(name.clone(), read.text)].into();
        let context = context::pack(&folder, &name, &replaced)?;
        Ok(Prepared { tar: context.tar, dockerfile: name, images: read.images })
    }

    /// The content address of the image: what is built, upon what.
    pub(crate) fn key(&self, prepared: &Prepared, bases: &BTreeMap<String, String>, platform: &str) -> String {
        let mut content = Content::default();
        content.add("context", [sha256(&prepared.tar)]);
        content.add("dockerfile", [prepared.dockerfile.clone()]);
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
    pub(crate) dockerfile: String,
    /// The images that it builds upon or copies from.
    pub(crate) images: BTreeSet<String>,
}

/// `build.path` and `build.dockerfile_path` of Azure's `environment.yaml`, where the folder has one.
fn azure(folder: &Path) -> Result<Option<(String, Option<String>)>, String> {
    let path = folder.join(AZURE_FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    let document = yaml::read(&text);
    let Some(build) = document.root.get("build").map(|entry| &entry.value) else { return Ok(None) };
    let text = |key: &str| build.get(key).and_then(|entry| entry.value.text()).map(str::to_owned);
    Ok(Some((text("path").unwrap_or_else(|| ".".to_owned()), text("dockerfile_path"))))
}
