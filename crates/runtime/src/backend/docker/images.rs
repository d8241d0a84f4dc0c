//! Images of the engine: what they hold, and what flowgate wrote on those that it made.

use bollard::errors::Error;
use bollard::models::{ImageConfig, ImageInspect};
use serde_json::Value;

use super::{Docker, container};
use crate::backend::Progress;
use crate::environment::base;
use crate::environment::key::Content;
use crate::error::{RuntimeError, Stage};

/// The full content address of an environment.
pub(super) const KEY_LABEL: &str = "flowgate.environment.key";
/// Whose words it was made from: [`crate::environment::TrustScope`].
pub(super) const SCOPE_LABEL: &str = "flowgate.environment.scope";
/// What its address covers, as JSON, for people.
pub(super) const INPUTS_LABEL: &str = "flowgate.environment.inputs";
/// What is installed in it, as JSON: [`crate::environment::packages::Packages`].
pub(super) const PACKAGES_LABEL: &str = "flowgate.environment.packages";
/// The address of the recipe that flowgate's own base image was made by.
pub(super) const RECIPE_LABEL: &str = "flowgate.base.recipe";
/// The lock of the build that a step of a classic builder is made for.
pub(super) const STEP_LABEL: &str = "flowgate.environment.step";
/// What a Dockerfile does not set: it would be believed.
pub(super) const OWN_LABELS: [&str; 6] =
    [KEY_LABEL, SCOPE_LABEL, INPUTS_LABEL, PACKAGES_LABEL, RECIPE_LABEL, STEP_LABEL];

/// An image that the engine has.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// `sha256:...`.
    pub(super) id: String,
    /// Its configuration.
    pub(super) config: ImageConfig,
    /// `linux/amd64`; empty where the engine does not say.
    pub(super) platform: String,
    /// The digests of its layers, from the bottom.
    layers: Vec<String>,
    /// Its names with the digests that registries know it by.
    pub(super) digests: Vec<String>,
}

impl Found {
    fn new(name: &str, image: ImageInspect) -> Self {
        let platform = match (image.os, image.architecture) {
            (Some(os), Some(architecture)) => format!("{os}/{architecture}"),
            _ => String::new(),
        };
        Self {
            id: image.id.unwrap_or_else(|| name.to_owned()),
            config: image.config.unwrap_or_default(),
            platform,
            layers: image.root_fs.and_then(|root| root.layers).unwrap_or_default(),
            digests: image.repo_digests.unwrap_or_default(),
        }
    }

    /// A label of it.
    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.config.labels.as_ref()?.get(name).map(String::as_str)
    }

    /// A content address of its layers and its configuration. The engine's own id is none: it changes with the
    /// time of a build.
    pub(super) fn identity(&self) -> String {
        let mut content = Content::default();
        content.add("layers", self.layers.iter().cloned());
        let config = serde_json::to_value(&self.config).unwrap_or_default();
        content.add("config", [sorted(config).to_string()]);
        content.address()
    }
}

/// The same value with the keys of its mappings in order.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(entries.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

impl Docker {
    /// The image of that name, where the engine has it.
    pub(super) async fn find(&self, name: &str) -> Result<Option<Found>, RuntimeError> {
        if !container::is_image_name(name) {
            return Err(RuntimeError::new(Stage::Environment, format!("`{}` is no image name", name.escape_debug()))
                .with_hint("write it as `name:tag` or `host/name@sha256:...`"));
        }
        match self.first(self.engine.inspect_image(name)).await? {
            Ok(image) => Ok(Some(Found::new(name, image))),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(self.broken(&format!("look up image {name}"), &error)),
        }
    }

    /// The image of that name; it is pulled where the engine does not have it, and flowgate's own base is built.
    pub(super) async fn find_or_pull(&self, name: &str, progress: Progress<'_>) -> Result<Found, RuntimeError> {
        if let Some(found) = self.find(name).await? {
            return Ok(found);
        }
        // No registry has flowgate's own base, but for a cache, which is asked for it there.
        if let Some(python) = base::PYTHONS.iter().find(|python| base::image_name(python) == name) {
            return Box::pin(self.build_base(python, &self.environments.platform, None, progress)).await;
        }
        progress.step(&format!("pulling image {name}"));
        // Without a tag the engine would pull every tag there is.
        let last = name.rsplit('/').next().unwrap_or(name);
        let tagged = if last.contains([':', '@']) { name.to_owned() } else { format!("{name}:latest") };
        self.pull(&tagged, progress).await.map_err(|refusal| {
            let (at, cause) = (&self.endpoint, &refusal.message);
            let message =
                format!("the image {name} is not in the Docker engine at {at}, and cannot be pulled: {cause}");
            RuntimeError::new(refusal.stage(), message).with_hint(refusal.hint)
        })?;
        self.find(name).await?.ok_or_else(|| {
            RuntimeError::new(Stage::Environment, format!("the engine pulled {name}, and does not have it"))
        })
    }

    /// An error where an image is for other machines than its containers would run on.
    pub(super) fn fits(&self, name: &str, found: &Found, platform: &str) -> Result<(), RuntimeError> {
        if found.platform.is_empty() || found.platform == platform {
            return Ok(());
        }
        let message = format!("the image {name} is for {}, and {platform} is wanted", found.platform);
        Err(RuntimeError::new(Stage::Environment, message)
            .with_hint(format!("build or pull it for {platform}, or set DOCKER_DEFAULT_PLATFORM={}", found.platform)))
    }
}
