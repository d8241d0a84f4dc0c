//! Images that the repository describes, built by the engine: with BuildKit where it has it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use bollard::errors::Error;
use bollard::models::{BuildInfo, BuildInfoAux};
use bollard::query_parameters::{BuildImageOptions, BuildImageOptionsBuilder, BuilderVersion};
use futures_util::StreamExt;
use tokio::time::timeout;

use super::images::{Found, KEY_LABEL, OWN_LABELS, SCOPE_LABEL, STEP_LABEL};
use super::leftover::Steps;
use super::shared::Wanted;
use super::{Docker, causes};
use crate::backend::Progress;
use crate::backend::folders::unique;
use crate::environment::image::{ImageBuild, Prepared, REPOSITORY};
use crate::error::{RuntimeError, Stage};
use crate::log::LogTail;

/// Who builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Builder {
    BuildKit,
    /// The one that engines had before, in a container for each step.
    Classic,
}

impl Docker {
    /// The image of a folder as it is now, where the engine has it.
    pub(super) async fn built(&self, build: &ImageBuild) -> Result<Option<(String, Found)>, RuntimeError> {
        let prepared = build.prepare(&self.environments.scope, &self.environments.platform)?;
        let mut bases = BTreeMap::new();
        for image in &prepared.dockerfile.images {
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
        let prepared = build.prepare(&self.environments.scope, &self.environments.platform)?;
        let mut bases = BTreeMap::new();
        for image in &prepared.dockerfile.images {
            let found = self.usable(image, progress).await.map_err(|error| within(build, error))?;
            self.fits(image, &found, &self.environments.platform)?;
            bases.insert(image.clone(), found.identity());
        }
        let key = build.key(&prepared, &bases, &self.environments.platform);
        let name = self.name(&key);
        if let Some(found) = self.look_up(&name, &key, &self.environments.scope).await? {
            return Ok((name, found));
        }
        self.sweep().await?;
        self.sweep_images().await?;
        let _lock = self.lock(&key, progress).await?;
        if let Some(found) = self.look_up(&name, &key, &self.environments.scope).await? {
            return Ok((name, found));
        }
        let wanted = Wanted::made(&name, self.environments.scope.clone(), &key);
        if let Some(found) = self.fetch(&wanted, progress).await {
            return Ok((name, found));
        }
        match timeout(self.environments.timeout, self.run_build(build, prepared, &key, &name, progress)).await {
            Ok(done) => done?,
            Err(_) => {
                let seconds = self.environments.timeout.as_secs();
                return Err(fail(build, &format!("its build did not end within {seconds} s")).with_hint(
                    "look at the step that was shown last; on a command line, --build-timeout gives it longer",
                ));
            }
        }
        let found = self.look_up(&name, &key, &self.environments.scope).await;
        let Some(found) = found? else { return Err(fail(build, "the engine built it, and does not have it")) };
        progress.step("checking the image");
        if let Err(error) = self.keeps_contract(&found.id, &build.name).await {
            // Why it is no good says more than why it could not be removed; `prune` comes back to that.
            let _ = self.remove_image(&name).await;
            return Err(error);
        }
        self.share(&wanted, &found, progress).await;
        Ok((name, found))
    }

    fn name(&self, key: &str) -> String {
        format!("{REPOSITORY}:{}-{}", self.environments.scope.tag(), key.get(..16).unwrap_or(key))
    }

    async fn run_build(
        &self,
        build: &ImageBuild,
        prepared: Prepared,
        key: &str,
        name: &str,
        progress: Progress<'_>,
    ) -> Result<(), RuntimeError> {
        let (builder, why) = self.builder().await?;
        progress.step(&format!("building image {} from {} with {why}", build.name, build.folder.display()));
        let session = unique();
        let options = self.options(build, &prepared, (key, name), (builder, &session));
        let path = prepared.path.clone();
        let (context, marks, steps) = match builder {
            Builder::BuildKit => {
                let marks = prepared.dockerfile.marks();
                (prepared.tar, marks, None)
            }
            Builder::Classic => {
                // Its steps are images, and a failed build leaves the last one: the label says whose they are.
                let label = format!("{STEP_LABEL}={}", self.lock_name(key));
                let (context, marks) = prepared.with_line(&format!("LABEL {label}"))?;
                (context, marks, Some(Steps::new(self.address.clone(), label)))
            }
        };
        let log = LogTail::default();
        let mut told = Told { steps: HashSet::new(), log: &log, progress };
        let body = Some(bollard::body_full(context.into()));
        let mut stream = std::pin::pin!(self.engine.build_image(options, None, body));
        while let Some(step) = stream.next().await {
            match step {
                Ok(step) => told.tell(&step),
                Err(error) => {
                    let failed = self.build_failed(build, &path, &error, &marks).await;
                    return Err(log.text().map_or(failed.clone(), |text| failed.with_log(text)));
                }
            }
        }
        if let Err(gone) = self.engine.ping().await {
            return Err(self.lost(build, &causes(&gone)));
        }
        if let Some(steps) = steps {
            steps.end();
        }
        Ok(())
    }

    fn options(
        &self,
        build: &ImageBuild,
        prepared: &Prepared,
        (key, name): (&str, &str),
        (builder, session): (Builder, &str),
    ) -> BuildImageOptions {
        let scope = self.environments.scope.to_string();
        // Whatever the Dockerfile says of itself with them, these labels are flowgate's.
        let mut labels: HashMap<&str, &str> = OWN_LABELS.map(|label| (label, "")).into();
        labels.extend([(KEY_LABEL, key), (SCOPE_LABEL, scope.as_str())]);
        let arguments: HashMap<&str, &str> =
            build.arguments.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut options = BuildImageOptionsBuilder::new()
            .t(name)
            .dockerfile(&prepared.name)
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
        if builder == Builder::BuildKit {
            options = options.version(BuilderVersion::BuilderBuildKit).session(session);
        }
        options.build()
    }

    /// Who builds here, and why, in words. Engines since 18.09 hold BuildKit; Podman's service does not.
    async fn builder(&self) -> Result<(Builder, &'static str), RuntimeError> {
        if self.environments.classic_builder {
            return Ok((Builder::Classic, "the classic builder, as DOCKER_BUILDKIT=0 asks"));
        }
        let version = self.engine.version().await.map_err(|error| self.broken("say its version", &error))?;
        let has_buildkit = version.components.iter().flatten().any(|part| part.name == "Engine")
            && version.os.is_none_or(|system| system == "linux");
        Ok(match has_buildkit {
            true => (Builder::BuildKit, "BuildKit"),
            false => (Builder::Classic, "the classic builder, as this engine has no BuildKit"),
        })
    }

    async fn build_failed(&self, build: &ImageBuild, path: &Path, error: &Error, marks: &[usize]) -> RuntimeError {
        let cause = match error {
            Error::DockerStreamError { error } => error.clone(),
            other => causes(other),
        };
        let cause = cause.trim();
        let lower = cause.to_ascii_lowercase();
        if lower.contains("no space left") {
            return RuntimeError::new(
                Stage::Infrastructure,
                format!("image {}: no space is left where the engine keeps its images", build.name),
            )
            .with_hint("free some with `flowgate environment prune` or `docker system prune`");
        }
        // An engine that ends says first that it breaks off what it does.
        if is_lost(error) || self.engine.ping().await.is_err() {
            return self.lost(build, cause);
        }
        let (cause, hint) = if lower.contains("parse error") || lower.contains("unknown flag") {
            (own_lines(cause, marks), "mend the Dockerfile at the line that the message names")
        } else if ["returned a non-zero code", "executor failed", "did not complete"]
            .iter()
            .any(|end| lower.contains(end))
        {
            (
                cause.to_owned(),
                "what the step printed stands in the log; run it by hand in a container of the step before",
            )
        } else {
            (cause.to_owned(), "build it by hand with `docker build` to see all of it")
        };
        fail(build, &format!("{} was not built: {cause}", path.display())).with_hint(hint)
    }

    fn lost(&self, build: &ImageBuild, cause: &str) -> RuntimeError {
        RuntimeError::new(
            Stage::Infrastructure,
            format!("image {}: the Docker engine at {} went away during the build: {cause}", build.name, self.endpoint),
        )
        .with_hint("start it again, and look at its log for why it ended; nothing half-made is left")
    }
}

/// What a build says, and what of it was passed on.
struct Told<'t> {
    /// Steps of BuildKit that were told, by their digest.
    steps: HashSet<String>,
    log: &'t LogTail,
    progress: Progress<'t>,
}

impl Told<'_> {
    fn tell(&mut self, step: &BuildInfo) {
        if let Some(text) = &step.stream {
            self.log.push(text.as_bytes());
            // Steps, and not what they print.
            if text.starts_with("Step ") {
                self.progress.step(text.lines().next().unwrap_or(text));
            }
        }
        let Some(BuildInfoAux::BuildKit(status)) = &step.aux else { return };
        for vertex in &status.vertexes {
            // A step is told when it starts; one that is there already never does.
            let begun = vertex.started.is_some() || vertex.cached;
            let is_step = vertex.name.starts_with("resolve ")
                || (vertex.name.starts_with('[') && !vertex.name.starts_with("[internal]"));
            if begun && is_step && self.steps.insert(vertex.digest.clone()) {
                let end = if vertex.cached { " (as before)" } else { "" };
                let line = format!("{}{end}", vertex.name.lines().next().unwrap_or_default());
                self.log.push(format!("{line}\n").as_bytes());
                self.progress.step(&line);
            }
        }
        for line in &status.logs {
            self.log.push(&line.msg);
        }
    }
}

/// True where the connection broke, and not the build.
fn is_lost(error: &Error) -> bool {
    matches!(error, Error::HyperResponseError { .. } | Error::IOError { .. } | Error::HyperLegacyError { .. })
}

/// A message about a Dockerfile in which flowgate put lines of its own, with the line of the Dockerfile as it is.
fn own_lines(message: &str, marks: &[usize]) -> String {
    let Some((before, rest)) = message.split_once(" line ") else { return message.to_owned() };
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let Ok(line) = rest[..digits].parse::<usize>() else { return message.to_owned() };
    let mut sorted = marks.to_vec();
    sorted.sort_unstable();
    let own = sorted.iter().enumerate().filter(|(before, mark)| **mark + before + 1 < line).count();
    format!("{before} line {}{}", line - own, &rest[digits..])
}

fn within(build: &ImageBuild, error: RuntimeError) -> RuntimeError {
    RuntimeError { message: format!("image {}: {}", build.name, error.message), ..error }
}

fn fail(build: &ImageBuild, message: &str) -> RuntimeError {
    RuntimeError::new(Stage::Environment, format!("image {}: {message}", build.name))
}

#[cfg(test)]
mod tests {
    use super::own_lines;

    #[test]
    fn lines_are_counted_without_flowgates_own() {
        // Of `FROM a`, the mark, `RUN x`, `FROM b`, the mark, `WRONG`: the marks stand behind lines 1 and 3.
        for (said, line) in [(1, 1), (3, 2), (4, 3), (6, 4)] {
            let found = own_lines(&format!("dockerfile parse error line {said}: unknown"), &[1, 3]);
            assert_eq!(found, format!("dockerfile parse error line {line}: unknown"));
        }
        assert_eq!(own_lines("no such file", &[1]), "no such file");
    }
}
