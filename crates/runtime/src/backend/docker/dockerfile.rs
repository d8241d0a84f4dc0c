//! Images that the repository describes, built by the engine: with BuildKit where it has it.

use std::collections::{BTreeMap, HashMap};

use bollard::errors::Error;
use bollard::models::BuildInfoAux;
use bollard::query_parameters::{BuildImageOptionsBuilder, BuilderVersion};
use futures_util::StreamExt;
use tokio::time::timeout;

use super::images::{Found, KEY_LABEL, OWN_LABELS, RECIPE_LABEL, SCOPE_LABEL};
use super::shared::Wanted;
use super::{Docker, causes};
use crate::backend::Progress;
use crate::backend::folders::unique;
use crate::environment::TrustScope;
use crate::environment::image::{ImageBuild, Prepared, REPOSITORY};
use crate::error::{RuntimeError, Stage};
use crate::log::LogTail;

impl Docker {
    /// The image of a folder as it is now, where the engine has it.
    pub(super) async fn built(&self, build: &ImageBuild) -> Result<Option<(String, Found)>, RuntimeError> {
        let prepared = build.prepare(&self.environments.scope)?;
        let mut bases = BTreeMap::new();
        for image in &prepared.images {
            let Some(found) = self.find(image).await? else { return Ok(None) };
            bases.insert(image.clone(), found.identity());
        }
        let key = build.key(&prepared, &bases, &self.environments.platform);
        let name = self.name(&key);
        Ok(self.look_up(&name, &key, &self.environments.scope).await?.map(|found| (name, found)))
    }

    /// The image of a folder as it is now; it is built where the engine does not have it.
    pub(super) async fn build_image(
        &self,
        build: &ImageBuild,
        progress: Progress<'_>,
    ) -> Result<(String, Found), RuntimeError> {
        let prepared = build.prepare(&self.environments.scope)?;
        let mut bases = BTreeMap::new();
        for image in &prepared.images {
            let found = self.find_or_pull(image, progress).await?;
            self.may_build_upon(build, image, &found).await?;
            self.fits(image, &found, &self.environments.platform)?;
            bases.insert(image.clone(), found.identity());
        }
        let key = build.key(&prepared, &bases, &self.environments.platform);
        let name = self.name(&key);
        if let Some(found) = self.look_up(&name, &key, &self.environments.scope).await? {
            return Ok((name, found));
        }
        let _lock = self.lock(&key, progress).await?;
        if let Some(found) = self.look_up(&name, &key, &self.environments.scope).await? {
            return Ok((name, found));
        }
        let wanted = Wanted::made(&name, self.environments.scope.clone(), &key);
        if let Some(found) = self.fetch(&wanted, progress).await {
            return Ok((name, found));
        }
        progress(&format!("building image {} from {}", build.name, build.folder.display()));
        match timeout(self.environments.timeout, self.run_build(build, prepared, &key, &name, progress)).await {
            Ok(done) => done?,
            Err(_) => {
                let seconds = self.environments.timeout.as_secs();
                return Err(fail(build, format!("its build did not end within {seconds} s")).with_hint(
                    "look at the step that its log shows last; on a command line, --build-timeout gives it longer",
                ));
            }
        }
        let found = self.look_up(&name, &key, &self.environments.scope).await?;
        let found = found.ok_or_else(|| fail(build, "the engine built it, and does not have it".to_owned()))?;
        self.share(&wanted, &found, progress).await;
        Ok((name, found))
    }

    fn name(&self, key: &str) -> String {
        format!("{REPOSITORY}:{}-{}", self.environments.scope.tag(), key.get(..16).unwrap_or(key))
    }

    /// A stranger builds upon flowgate's own base, upon what its own pull request built, and upon what everybody may
    /// pull: not upon what this machine holds of others.
    async fn may_build_upon(&self, build: &ImageBuild, image: &str, found: &Found) -> Result<(), RuntimeError> {
        let scope = &self.environments.scope;
        if *scope == TrustScope::Trusted {
            return Ok(());
        }
        let own = found.label(RECIPE_LABEL).is_some_and(|recipe| !recipe.is_empty())
            && image.starts_with(crate::plan::BASE_IMAGE);
        if own || found.label(SCOPE_LABEL) == Some(&scope.to_string()) {
            return Ok(());
        }
        // With the event's credentials, of which a stranger's has none: who may not pull it, may not build upon it.
        let credentials = self.credentials(image).await;
        let credentials = credentials.map_err(|refusal| fail(build, refusal.message).with_hint(refusal.hint))?;
        match self.engine.inspect_registry_image(image, credentials).await {
            Ok(_) => Ok(()),
            Err(error) => Err(fail(
                build,
                format!("a pull request may not build upon {image}: this machine has it, and its registry does not give it to everybody: {}", causes(&error)),
            )
            .with_hint("build FROM flowgate's own base, or from an image that can be pulled without a login")),
        }
    }

    async fn run_build(
        &self,
        build: &ImageBuild,
        prepared: Prepared,
        key: &str,
        name: &str,
        progress: Progress<'_>,
    ) -> Result<(), RuntimeError> {
        let scope = self.environments.scope.to_string();
        // Whatever the Dockerfile says of itself with them, these labels are flowgate's.
        let mut labels: HashMap<&str, &str> = OWN_LABELS.map(|label| (label, "")).into();
        labels.extend([(KEY_LABEL, key), (SCOPE_LABEL, scope.as_str())]);
        let session = unique();
        let arguments: HashMap<&str, &str> =
            build.arguments.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut options = BuildImageOptionsBuilder::new()
            .t(name)
            .dockerfile(&prepared.dockerfile)
            .buildargs(&arguments)
            .labels(&labels)
            .platform(&self.environments.platform)
            .rm(true)
            .forcerm(true);
        if let Some(target) = &build.target {
            options = options.target(target);
        }
        if !build.network {
            options = options.networkmode("none");
        }
        if self.has_buildkit().await {
            options = options.version(BuilderVersion::BuilderBuildKit).session(&session);
        }
        let log = LogTail::default();
        let mut steps = std::pin::pin!(self.engine.build_image(
            options.build(),
            None,
            Some(bollard::body_full(prepared.tar.into()))
        ));
        while let Some(step) = steps.next().await {
            match step {
                Ok(step) => {
                    if let Some(text) = &step.stream {
                        told(text, &log, progress);
                    }
                    if let Some(BuildInfoAux::BuildKit(status)) = &step.aux {
                        for vertex in &status.vertexes {
                            if vertex.started.is_some() && vertex.completed.is_none() {
                                told(&vertex.name, &log, progress);
                            }
                        }
                        for line in &status.logs {
                            log.push(&line.msg);
                        }
                    }
                }
                Err(error) => return Err(self.build_failed(build, &error, &log)),
            }
        }
        Ok(())
    }

    /// Engines since 18.09 hold BuildKit; Podman's service does not.
    async fn has_buildkit(&self) -> bool {
        let version = self.engine.version().await.ok();
        let components = version.as_ref().and_then(|version| version.components.as_ref());
        components.is_some_and(|parts| parts.iter().any(|part| part.name == "Engine"))
    }

    fn build_failed(&self, build: &ImageBuild, error: &Error, log: &LogTail) -> RuntimeError {
        let cause = match error {
            Error::DockerStreamError { error } => error.clone(),
            other => causes(other),
        };
        let lower = cause.to_ascii_lowercase();
        let hint = if lower.contains("no space left") {
            return RuntimeError::new(
                Stage::Infrastructure,
                format!("image {}: no space is left where the engine keeps its images", build.name),
            )
            .with_hint("free some with `flowgate environment prune` or `docker system prune`");
        } else if lower.contains("parse error") || lower.contains("unknown instruction") || lower.contains("dockerfile")
        {
            "mend the Dockerfile at the line that the message names"
        } else if lower.contains("returned a non-zero code")
            || lower.contains("executor failed")
            || lower.contains("did not complete")
        {
            "the step's own output stands in the log; run it by hand in a container of the step before"
        } else if is_lost(error) {
            return RuntimeError::new(
                Stage::Infrastructure,
                format!("image {}: the Docker engine went away during the build: {cause}", build.name),
            )
            .with_hint("start it again, and look at its log for why it ended");
        } else {
            "build it by hand with `docker build` to see all of it"
        };
        let failed = fail(build, format!("its build failed: {}", cause.trim())).with_hint(hint);
        match log.text() {
            Some(text) => failed.with_log(text),
            None => failed,
        }
    }
}

/// True where the connection broke, and not the build.
fn is_lost(error: &Error) -> bool {
    matches!(error, Error::HyperResponseError { .. } | Error::IOError { .. } | Error::HyperLegacyError { .. })
}

fn told(text: &str, log: &LogTail, progress: Progress<'_>) {
    log.push(text.as_bytes());
    // Steps, and not what they print: `Step 2/5 : RUN ...` and `[2/5] RUN ...`.
    let line = text.trim();
    if line.starts_with("Step ") || line.starts_with('[') {
        progress(line.lines().next().unwrap_or(line));
    }
}

fn fail(build: &ImageBuild, message: String) -> RuntimeError {
    RuntimeError::new(Stage::Environment, format!("image {}: {message}", build.name))
}
