//! Which images of this machine may be built upon, or run: an engine gives everybody all that it holds.

use bollard::errors::Error;
use flowgate_flow::base_image::Reference;

use super::images::{Found, RECIPE_LABEL, SCOPE_LABEL};
use super::{Docker, causes};
use crate::backend::Progress;
use crate::environment::{TrustScope, TrustedImages, base, contract};
use crate::error::{RuntimeError, Stage};

impl Docker {
    /// An image that somebody names, pulled where the engine does not have it, if it may be used.
    pub(super) async fn usable(&self, image: &str, progress: Progress<'_>) -> Result<Found, RuntimeError> {
        // Before anything is pulled.
        if let Some(error) = contract::known_bad(image) {
            return Err(error);
        }
        self.may_be_named(image)?;
        let found = self.find_or_pull(image, progress).await?;
        self.may_use(image, &found).await.map(|()| found)
    }

    /// An error where its registry may not be asked.
    fn may_be_named(&self, image: &str) -> Result<(), RuntimeError> {
        let Some(allowed) = &self.environments.image_registries else { return Ok(()) };
        let host = Reference::parse(image).ok().and_then(|parts| image.get(parts.host?)).unwrap_or("docker.io");
        if allowed.iter().any(|one| one.eq_ignore_ascii_case(host)) {
            return Ok(());
        }
        let message = format!("untrusted code may not use the image {image}: `{host}` is not an allowed registry");
        Err(RuntimeError::new(Stage::Environment, message)
            .with_hint("use an image of a public registry, such as docker.io, ghcr.io or mcr.microsoft.com; a workflow allows others with the input `registries`"))
    }

    /// An error where an image was made for somebody else.
    async fn may_use(&self, image: &str, found: &Found) -> Result<(), RuntimeError> {
        let scope = &self.environments.scope;
        let of = found.label(SCOPE_LABEL).filter(|label| !label.is_empty());
        let mine = of == Some(scope.to_string().as_str());
        let trusted = of.is_none_or(|of| of == TrustScope::Trusted.to_string());
        if mine || (trusted && *scope == TrustScope::Trusted) {
            return Ok(());
        }
        if !trusted {
            let message = format!("the image {image} was built for another pull request, and is used by nothing else");
            return Err(RuntimeError::new(Stage::Environment, message)
                .with_hint("build it from its folder: `environment.images` in flowgate.yaml"));
        }
        if self.environments.trusted_images == TrustedImages::All || self.is_own_base(image, found) {
            return Ok(());
        }
        self.is_public(image, found).await?;
        // Its steps would run in a build of the untrusted Dockerfile, and none of the rules for that reads them.
        if found.config.on_build.as_ref().is_some_and(|steps| !steps.is_empty()) {
            let message = format!("untrusted code may not build on the image {image}: it has ONBUILD instructions");
            return Err(RuntimeError::new(Stage::Environment, message)
                .with_hint("build on an image without them; `docker image inspect` shows them"));
        }
        Ok(())
    }

    fn is_own_base(&self, image: &str, found: &Found) -> bool {
        let platform = &self.environments.platform;
        let is = |python: &&str| -> bool {
            image == base::image_name(python) && found.label(RECIPE_LABEL) == Some(&base::recipe(python, platform))
        };
        base::PYTHONS.iter().any(is)
    }

    /// An error where the registry of an image does not give this very content to somebody without a login: a name that
    /// anybody can register says nothing about what this machine has under it.
    async fn is_public(&self, image: &str, found: &Found) -> Result<(), RuntimeError> {
        let repository = repository(image);
        let digests = found.digests.iter().filter(|name| self::repository(name) == repository);
        let mut cause = "it was made on this machine".to_owned();
        for name in digests {
            match self.engine.inspect_registry_image(name, None).await {
                Ok(_) => return Ok(()),
                Err(Error::DockerResponseServerError { message, .. }) => cause = message.trim().to_owned(),
                Err(error) => cause = causes(&error),
            }
        }
        let message = format!(
            "untrusted code may not use the image {image}: it is on this machine, but its registry does not serve it without a login: {cause}"
        );
        Err(RuntimeError::new(Stage::Environment, message)
            .with_hint("name flowgate's own base, or an image that can be pulled without a login"))
    }
}

/// `docker.io/library/python:3.11` as `python`: the way the engine writes it.
fn repository(image: &str) -> &str {
    let end = Reference::parse(image).map_or(image.len(), |parts| parts.path.end);
    let name = image.get(..end).unwrap_or(image);
    let name = name.strip_prefix("docker.io/").or_else(|| name.strip_prefix("index.docker.io/")).unwrap_or(name);
    name.strip_prefix("library/").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::repository;

    #[test]
    fn one_repository_has_one_spelling() {
        let digest = format!("python@sha256:{}", "0".repeat(64));
        for name in ["python", "python:3.11", "docker.io/library/python:3.11", "library/python", digest.as_str()] {
            assert_eq!(repository(name), "python", "{name}");
        }
        assert_eq!(repository("localhost:5000/a/b:1"), "localhost:5000/a/b");
    }
}
