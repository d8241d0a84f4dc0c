//! Images that the engine fetches from registries and sends to them, with the credential for that registry only.

use std::collections::HashMap;
use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::errors::Error;
use bollard::query_parameters::{CreateImageOptionsBuilder, PushImageOptionsBuilder};
use futures_util::{Stream, StreamExt};
use tokio::time::{Instant, timeout};

use super::{Docker, causes};
use crate::backend::Progress;
use crate::error::Stage;
use crate::registry::{Login, LoginSource, RegistryError, registry_of};

/// How long a registry may take until it says something. Less than the engine's own answer may take.
const FIRST_WORD: Duration = Duration::from_secs(45);
/// How long it, or the engine's disk, may be silent later on.
const SILENCE: Duration = Duration::from_secs(300);
/// How much of what a registry says is shown, in characters.
const SHOWN: usize = 300;
/// What engines say of a name that nobody knows.
const NO_SUCH_HOST: &str = "no such host";
/// How the engine names Docker Hub's registry, and how people do.
const DOCKER_HUB: (&str, &str) = ("index.docker.io", "docker.io");

/// Why an image did not come or go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) kind: Kind,
    /// The cause, as a lower-case fragment that names the registry. No credential stands in it.
    pub(super) message: String,
    /// The next step.
    pub(super) hint: String,
}

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The credential's, or its lack.
    Denied,
    /// There is no such image.
    Missing,
    /// The registry's: it does not answer, or only with an error.
    Away,
    /// The engine's disk is full.
    Full,
    /// Anything else.
    Other,
}

impl Refusal {
    /// What becomes of a run for which there is no other way.
    pub(super) fn stage(&self) -> Stage {
        match self.kind {
            Kind::Away | Kind::Full => Stage::Infrastructure,
            Kind::Denied | Kind::Missing | Kind::Other => Stage::Environment,
        }
    }
}

/// One registry, as it is asked for one image.
struct Asked<'n> {
    image: &'n str,
    /// For people.
    registry: String,
    credentials: Option<DockerCredentials>,
    source: LoginSource,
    /// Whether there may be no credential.
    anonymous: bool,
}

impl Docker {
    /// Has the engine pull an image of that name and tag or digest.
    pub(super) async fn pull(&self, name: &str, progress: Progress<'_>) -> Result<(), Refusal> {
        let asked = self.asked(name).await?;
        let options = CreateImageOptionsBuilder::new().from_image(name).platform(&self.environments.platform).build();
        let steps = self.engine.create_image(Some(options), None, asked.credentials.clone());
        let steps = steps.map(|step| step.map(|step| (step.id, step.status)));
        self.follow(&asked, "pulling", &["Pull complete", "Already exists"], steps, progress).await
    }

    /// Has the engine push an image that has that name.
    pub(super) async fn push(&self, name: &str, progress: Progress<'_>) -> Result<(), Refusal> {
        let asked = self.asked(name).await?;
        let (repository, tag) = name.rsplit_once(':').unwrap_or((name, "latest"));
        let options = PushImageOptionsBuilder::new().tag(tag).build();
        let steps = self.engine.push_image(repository, Some(options), asked.credentials.clone());
        // Unlike a pull, a push says nothing that tells its layers apart.
        let steps = steps.map(|step| step.map(|step| (None, step.status)));
        self.follow(&asked, "pushing", &[], steps, progress).await
    }

    async fn asked<'n>(&self, image: &'n str) -> Result<Asked<'n>, Refusal> {
        let registry = registry_of(image).ok_or_else(|| Refusal {
            kind: Kind::Other,
            message: "it is not the name of an image".to_owned(),
            hint: "write it as `name:tag` or `host/name@sha256:...`".to_owned(),
        })?;
        let login = self.environments.registries.login(&registry).await;
        let (login, source) = login.map_err(|RegistryError { message, hint, .. }| Refusal {
            kind: Kind::Denied,
            message,
            hint: hint.unwrap_or_else(|| format!("sign in again with `docker login {registry}`")),
        })?;
        let credentials = match login {
            Login::Anonymous => None,
            Login::Password { user, password } => Some(DockerCredentials {
                username: Some(user),
                password: Some(password.expose().to_owned()),
                serveraddress: Some(registry.clone()),
                ..DockerCredentials::default()
            }),
            Login::IdentityToken(token) => Some(DockerCredentials {
                identitytoken: Some(token.expose().to_owned()),
                serveraddress: Some(registry.clone()),
                ..DockerCredentials::default()
            }),
        };
        let registry = if registry == DOCKER_HUB.0 { DOCKER_HUB.1.to_owned() } else { registry };
        let anonymous = self.environments.registries.is_anonymous();
        Ok(Asked { image, registry, credentials, source, anonymous })
    }

    /// Waits until the engine is done, or a registry has been silent for too long.
    async fn follow(
        &self,
        asked: &Asked<'_>,
        doing: &str,
        done: &[&str],
        steps: impl Stream<Item = Result<(Option<String>, Option<String>), Error>>,
        progress: Progress<'_>,
    ) -> Result<(), Refusal> {
        let end = Instant::now() + self.environments.timeout;
        let mut steps = std::pin::pin!(steps);
        let mut layers: HashMap<String, bool> = HashMap::new();
        let mut silence = FIRST_WORD;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let step = match timeout(left.min(silence), steps.next()).await {
                Err(_) if left < silence => {
                    let seconds = self.environments.timeout.as_secs();
                    return Err(asked.away(&format!("was not done within {seconds} s")));
                }
                Err(_) => return Err(asked.away(&format!("said nothing for {} s", silence.as_secs()))),
                Ok(None) => return Ok(()),
                Ok(Some(step)) => step.map_err(|error| asked.refused(&causes(&error)))?,
            };
            silence = SILENCE;
            if let (Some(id), Some(status)) = step {
                let done = done.contains(&status.as_str());
                if layers.insert(id, done) != Some(done) && done {
                    let ready = layers.values().filter(|done| **done).count();
                    progress.step(&format!("{doing} image {}: {ready} of {} layers", asked.image, layers.len()));
                }
            }
        }
    }
}

impl Asked<'_> {
    fn away(&self, what: &str) -> Refusal {
        Refusal {
            kind: Kind::Away,
            message: format!("{} {what}", self.registry),
            hint: format!(
                "try again later, or fetch it with `docker pull {}` where the registry is reached",
                self.image
            ),
        }
    }

    /// What the engine's words mean.
    fn refused(&self, said: &str) -> Refusal {
        let registry = &self.registry;
        let shown = self.shown(said);
        let kind = kind(said);
        let (message, hint) = match kind {
            Kind::Denied => (
                // Not in its own words: those may repeat what it was sent.
                format!("{registry} refuses it, asked {}", self.source),
                match self.anonymous {
                    true => {
                        "name an image that everybody may pull, or one that flowgate.yaml says how to build".to_owned()
                    }
                    false => format!(
                        "sign in with `docker login {registry}` as somebody who may use it; a name that does not exist is answered the same way"
                    ),
                },
            ),
            Kind::Missing => (
                format!("{registry} has no such image"),
                format!(
                    "check the name and its tag; `flowgate environment check-version {}` asks for the tags",
                    self.image
                ),
            ),
            Kind::Away if is_error(said) => return self.away(&format!("answers with an error: {shown}")),
            Kind::Away => return self.away(&format!("does not answer: {shown}")),
            Kind::Full => (
                "no space is left where the engine keeps its images".to_owned(),
                "free some with `flowgate environment prune` or `docker system prune`".to_owned(),
            ),
            Kind::Other => (
                match said.contains(NO_SUCH_HOST) {
                    true => format!("there is no host by the name of its registry, {registry}: {shown}"),
                    false => shown,
                },
                format!(
                    "fetch it with `docker pull {}` where the network is reached, or name another image",
                    self.image
                ),
            ),
        };
        Refusal { kind, message, hint }
    }

    /// On one line, without what a talkative registry repeats of its question's headers.
    fn shown(&self, said: &str) -> String {
        let secret = self.credentials.as_ref().and_then(|with| with.password.as_ref().or(with.identitytoken.as_ref()));
        let said =
            secret.filter(|secret| !secret.is_empty()).map_or(said.to_owned(), |it| said.replace(it.as_str(), "***"));
        let mut is_secret = false;
        let words = said.split_whitespace().map(|word| {
            let shown = if std::mem::take(&mut is_secret) { "***" } else { word };
            is_secret = ["basic", "bearer"].iter().any(|scheme| word.to_ascii_lowercase().ends_with(scheme));
            shown
        });
        words.collect::<Vec<_>>().join(" ").chars().take(SHOWN).collect()
    }
}

/// What engines say, with the graph drivers of Docker and with containerd's store.
fn kind(said: &str) -> Kind {
    let said = said.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if has(&["no space left"]) {
        return Kind::Full;
    }
    // A name that nobody knows is rather a slip of the pen than an outage.
    if has(&[NO_SUCH_HOST]) {
        return Kind::Other;
    }
    if has(&["unauthorized", "denied", "no basic auth credentials", "authentication required", "forbidden"]) {
        return Kind::Denied;
    }
    if is_error(&said) {
        return Kind::Away;
    }
    if has(&[
        "dial tcp",
        "timeout",
        "timed out",
        "request canceled",
        "deadline exceeded",
        "connection re",
        "unexpected eof",
        "server misbehaving",
    ]) {
        return Kind::Away;
    }
    if has(&["manifest unknown", "name unknown", "not found"]) {
        return Kind::Missing;
    }
    Kind::Other
}

/// Whether a registry answers that it is broken, or overwhelmed.
fn is_error(said: &str) -> bool {
    let said = said.to_ascii_lowercase();
    let words = [
        "500 internal server error",
        "502 bad gateway",
        "503 service unavailable",
        "504 gateway timeout",
        "429 too many requests",
        "toomanyrequests",
    ];
    words.iter().any(|word| said.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_engines_are_told_apart() {
        for (said, expected) in [
            ("Head \"http://127.0.0.1:5000/v2/env/manifests/b\": no basic auth credentials", Kind::Denied),
            ("unauthorized: authentication required", Kind::Denied),
            ("pull access denied for x, repository does not exist or may require 'docker login'", Kind::Denied),
            (
                "failed to resolve reference \"x\": unexpected status from HEAD request to http://127.0.0.1:1/v2/x: 403 Forbidden",
                Kind::Denied,
            ),
            ("manifest for 127.0.0.1:5000/env:b not found: manifest unknown: manifest unknown", Kind::Missing),
            ("failed to resolve reference \"127.0.0.1:5000/env:b\": 127.0.0.1:5000/env:b: not found", Kind::Missing),
            ("received unexpected HTTP status: 500 Internal Server Error", Kind::Away),
            ("Get \"http://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused", Kind::Away),
            (
                "Get \"http://127.0.0.1:1/v2/\": net/http: request canceled (Client.Timeout exceeded while awaiting headers)",
                Kind::Away,
            ),
            ("dial tcp: lookup registry-1.docker.io on 10.0.0.1:53: no such host", Kind::Other),
            ("write /var/lib/docker/tmp/x: no space left on device", Kind::Full),
            ("invalid reference format", Kind::Other),
        ] {
            assert_eq!(kind(said), expected, "{said}");
        }
    }

    #[test]
    fn what_a_registry_repeats_of_a_credential_is_not_shown() {
        let credentials =
            DockerCredentials { password: Some("open-sesame".to_owned()), ..DockerCredentials::default() };
        let asked = Asked {
            image: "r/i:1",
            registry: "r".to_owned(),
            credentials: Some(credentials),
            source: LoginSource::Docker,
            anonymous: false,
        };
        let said = "you sent Authorization: Basic c29tZW9uZTpvcGVu and Bearer\nabc, open-sesame!";
        assert_eq!(asked.refused(said).message, "you sent Authorization: Basic *** and Bearer *** ***!");
        let refused = asked.refused("unauthorized: you said open-sesame");
        assert_eq!(refused.message, "r refuses it, asked with Docker's configuration");
    }
}
