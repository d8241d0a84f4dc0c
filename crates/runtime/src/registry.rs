//! Container registries: tags, digests, and with which credential to ask.
//!
//! Credentials come from what `docker login` left (`config.json` and its credential helpers), and
//! for Azure's registries from an [`Identity`]. They are asked for per registry, and go to that
//! registry only.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use docker_credential::{CredentialRetrievalError, DockerCredential};
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};

use crate::http;
use crate::identity::{Identity, Resource, Source};
use crate::secret::Secret;

/// How long a whole question may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// A page of tags.
const PAGE: usize = 1000;
/// A repository with more tags is not read further.
const MAX_TAGS: usize = 20_000;
const MAX_BODY: usize = 64 * 1024;
/// What Azure's registries end in: the public cloud, China's, the United States' government's.
const AZURE: [&str; 3] = [".azurecr.io", ".azurecr.cn", ".azurecr.us"];
/// The user that stands beside an exchanged token of an Azure registry.
const AZURE_USER: &str = "00000000-0000-0000-0000-000000000000";
/// Docker's own key for Docker Hub.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// What a registry is asked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// Nothing.
    Anonymous,
    /// A user and a password, which may be a token.
    Password {
        /// No secret.
        user: String,
        /// One.
        password: Secret,
    },
    /// What `docker login` keeps in place of a password, for the engine to use.
    IdentityToken(Secret),
}

/// Where a login comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginSource {
    /// Docker's configuration or a credential helper.
    Docker,
    /// An identity, exchanged for the registry's own token.
    Identity(Source),
    /// Nowhere; why, where something was tried.
    Nowhere(Option<String>),
}

impl fmt::Display for LoginSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Docker => f.write_str("with Docker's configuration"),
            Self::Identity(source) => write!(f, "as {source}"),
            Self::Nowhere(None) => f.write_str("anonymously"),
            Self::Nowhere(Some(why)) => write!(f, "anonymously ({why})"),
        }
    }
}

/// What a registry did not give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryError {
    /// The cause, as a lower-case fragment.
    pub message: String,
    /// The next step.
    pub hint: Option<String>,
    /// Whether it is an answer.
    pub kind: RegistryErrorKind,
}

/// Whether a registry that gave nothing has said something by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistryErrorKind {
    /// It was not asked: that is not the name of an image.
    Name,
    /// It refuses, or there is a credential for it that cannot be had.
    Refused,
    /// It knows no such repository or tag.
    NotFound,
    /// It does not answer, or not in a way that says anything.
    Unanswered,
}

impl RegistryError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, kind: RegistryErrorKind::Unanswered }
    }

    fn of(self, kind: RegistryErrorKind) -> Self {
        Self { kind, ..self }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RegistryError {}

/// The registries that this process may ask.
#[derive(Debug, Clone, Default)]
pub struct Registries {
    /// Docker's `config.json`.
    docker_config: Option<PathBuf>,
    identity: Arc<Identity>,
    /// Why no credential is used, whatever there is.
    anonymous: Option<&'static str>,
}

impl Registries {
    /// With Docker's `config.json`, where there is one, and an identity for Azure's registries.
    pub fn new(docker_config: Option<PathBuf>, identity: Arc<Identity>) -> Self {
        Self { docker_config, identity, anonymous: None }
    }

    /// Without any credential, whatever this machine has. `why` stands in messages.
    pub fn anonymous(why: &'static str) -> Self {
        Self { anonymous: Some(why), ..Self::default() }
    }

    /// Whether no credential is used, whatever there is.
    pub fn is_anonymous(&self) -> bool {
        self.anonymous.is_some()
    }

    /// The same with another identity for Azure's registries.
    #[must_use]
    pub fn with_identity(self, identity: Arc<Identity>) -> Self {
        Self { identity, ..self }
    }

    /// The same, with the client id that a configuration names where the door names none.
    pub(crate) fn or_client(&self, client_id: Option<&str>) -> Self {
        Self { identity: Arc::new(self.identity.or_client(client_id)), ..self.clone() }
    }

    /// The credential for a registry, named by its host and port. It is for that registry and no other.
    ///
    /// # Errors
    /// Docker's configuration has one that cannot be had.
    pub async fn login(&self, registry: &str) -> Result<(Login, LoginSource), RegistryError> {
        if let Some(why) = self.anonymous {
            return Ok((Login::Anonymous, LoginSource::Nowhere(Some(why.to_owned()))));
        }
        if let Some(login) = self.docker_login(registry).await? {
            return Ok((login, LoginSource::Docker));
        }
        if !AZURE.iter().any(|end| registry.ends_with(end)) {
            return Ok((Login::Anonymous, LoginSource::Nowhere(None)));
        }
        // Some of Azure's registries answer anybody.
        match self.identity.token(Resource::ContainerRegistry).await {
            Err(error) => Ok((Login::Anonymous, LoginSource::Nowhere(Some(error.to_string())))),
            Ok(token) => match exchange(registry, &token.secret).await {
                Err(why) => Ok((Login::Anonymous, LoginSource::Nowhere(Some(format!("{}: {why}", token.source))))),
                Ok(password) => {
                    let login = Login::Password { user: AZURE_USER.to_owned(), password };
                    Ok((login, LoginSource::Identity(token.source)))
                }
            },
        }
    }

    async fn docker_login(&self, registry: &str) -> Result<Option<Login>, RegistryError> {
        let Some(path) = self.docker_config.clone() else { return Ok(None) };
        let key = if registry.ends_with("docker.io") { DOCKER_HUB.to_owned() } else { registry.to_owned() };
        // A helper is a process, which is waited for.
        let asked = tokio::task::spawn_blocking(move || match std::fs::File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("cannot read {}: {error}", path.display())),
            Ok(file) => match docker_credential::get_credential_from_reader(std::io::BufReader::new(file), &key) {
                Ok(credential) => Ok(Some(credential)),
                Err(error) => why_none(error, &path.display().to_string()).map_or(Ok(None), Err),
            },
        });
        let credential = asked.await.map_err(|error| RegistryError::new(error.to_string()))?;
        let credential = credential.map_err(|message| {
            let error = RegistryError::new(message).of(RegistryErrorKind::Refused);
            error.hint(format!("sign in again with `docker login {registry}`"))
        })?;
        Ok(credential.map(|credential| match credential {
            DockerCredential::UsernamePassword(user, password) => {
                Login::Password { user, password: Secret::new(password) }
            }
            DockerCredential::IdentityToken(token) => Login::IdentityToken(Secret::new(token)),
        }))
    }

    /// Every tag of an image's repository, in the registry's order.
    ///
    /// # Errors
    /// The name cannot be read, the registry is not reached, refuses, or knows no such repository.
    pub async fn tags(&self, image: &str) -> Result<Vec<String>, RegistryError> {
        let question = async {
            let asked = Asked::new(self, image).await?;
            let mut tags: Vec<String> = Vec::new();
            loop {
                let last = tags.last().cloned();
                let page = asked.client.list_tags(&asked.image, &asked.auth, Some(PAGE), last.as_deref()).await;
                let page = page.map_err(|error| asked.error(&error))?.tags;
                // A registry that knows no pages sends the same again.
                let is_last = page.len() < PAGE || page.last() == last.as_ref();
                tags.extend(page);
                if is_last || tags.len() >= MAX_TAGS {
                    return Ok(tags);
                }
            }
        };
        in_time(image, question).await
    }

    /// The digest of an image, by its tag (`latest` without one).
    ///
    /// # Errors
    /// As [`Registries::tags`], and where there is no such tag.
    pub async fn digest(&self, image: &str) -> Result<String, RegistryError> {
        let question = async {
            let asked = Asked::new(self, image).await?;
            asked.client.fetch_manifest_digest(&asked.image, &asked.auth).await.map_err(|error| asked.error(&error))
        };
        in_time(image, question).await
    }
}

/// The registry that an image comes from, by its host and port.
pub(crate) fn registry_of(image: &str) -> Option<String> {
    Reference::from_str(image).ok().map(|image| image.resolve_registry().to_owned())
}

async fn in_time<T>(image: &str, question: impl Future<Output = Result<T, RegistryError>>) -> Result<T, RegistryError> {
    let late = || format!("the registry of `{image}` gave no answer within {} s", ANSWER_WITHIN.as_secs());
    tokio::time::timeout(ANSWER_WITHIN, question).await.unwrap_or_else(|_| Err(RegistryError::new(late())))
}

/// Why Docker's configuration gives no credential; `None` where it has none to give.
fn why_none(error: CredentialRetrievalError, path: &str) -> Option<String> {
    match error {
        CredentialRetrievalError::NoCredentialConfigured | CredentialRetrievalError::ConfigNotFound => None,
        // The protocol of credential helpers has these words for it.
        CredentialRetrievalError::HelperFailure { stdout, .. } if stdout.contains("credentials not found") => None,
        // What a helper prints may hold what it keeps.
        CredentialRetrievalError::HelperFailure { helper, .. } => Some(format!("`{helper}` gives no credential")),
        error => Some(format!("{path}: {}", error.to_string().to_lowercase())),
    }
}

/// One question to one registry.
struct Asked {
    client: Client,
    image: Reference,
    auth: RegistryAuth,
    source: LoginSource,
}

impl Asked {
    async fn new(registries: &Registries, image: &str) -> Result<Self, RegistryError> {
        let image = Reference::from_str(image).map_err(|error| {
            RegistryError::new(format!("`{image}` is not the name of an image: {error}")).of(RegistryErrorKind::Name)
        })?;
        let registry = image.resolve_registry();
        let (login, source) = registries.login(registry).await?;
        let auth = match login {
            Login::Anonymous => RegistryAuth::Anonymous,
            Login::Password { user, password } => RegistryAuth::Basic(user, password.expose().to_owned()),
            // Azure's takes it as a password, too.
            Login::IdentityToken(token) if AZURE.iter().any(|end| registry.ends_with(end)) => {
                RegistryAuth::Basic(AZURE_USER.to_owned(), token.expose().to_owned())
            }
            Login::IdentityToken(_) => {
                let message = format!("Docker keeps an identity token for `{registry}`, which only the engine can use");
                let hint = format!("sign in with a password: `docker login --username NAME {registry}`");
                return Err(RegistryError::new(message).hint(hint).of(RegistryErrorKind::Refused));
            }
        };
        let client = client(registry).map_err(|error| RegistryError::new(http::cause(&error)))?;
        let asked = Self { client, image, auth, source };
        // Without this, a refusal of the registry's token service is only seen as a missing token.
        let entered = asked.client.auth(&asked.image, &asked.auth, RegistryOperation::Pull).await;
        entered.map_err(|error| asked.error(&error))?;
        Ok(asked)
    }

    fn error(&self, error: &OciDistributionError) -> RegistryError {
        let (registry, repository) = (self.image.resolve_registry(), self.image.repository());
        let refused = |what: &str| {
            let message = format!("`{registry}` refuses {what}, asked {}", self.source);
            let error = RegistryError::new(message).of(RegistryErrorKind::Refused);
            error.hint(format!("sign in with `docker login {registry}`"))
        };
        match error {
            OciDistributionError::UnauthorizedError { .. } => refused(&format!("`{repository}` (401)")),
            OciDistributionError::AuthenticationFailure(_) => refused("the sign-in"),
            OciDistributionError::RegistryError { envelope, .. } => {
                let code = envelope.errors.first().map(|error| &error.code);
                match code {
                    Some(OciErrorCode::NameUnknown) => {
                        RegistryError::new(format!("`{registry}` has no repository `{repository}`"))
                            .of(RegistryErrorKind::NotFound)
                    }
                    Some(OciErrorCode::ManifestUnknown | OciErrorCode::NotFound) => self.no_tag(),
                    Some(OciErrorCode::Denied | OciErrorCode::Unauthorized) => {
                        refused(&format!("`{repository}` (403)"))
                    }
                    _ => RegistryError::new(format!(
                        "`{registry}` answers with an error: {}",
                        short(&envelope.to_string())
                    )),
                }
            }
            // The answer to a HEAD has no words.
            OciDistributionError::ServerError { code: 404, .. } => self.no_tag(),
            OciDistributionError::ServerError { code: 403, .. } => refused(&format!("`{repository}` (403)")),
            OciDistributionError::ServerError { code, .. } => {
                RegistryError::new(format!("`{registry}` answers {code}"))
            }
            OciDistributionError::RequestError(error) => {
                let cause = http::cause(error);
                let message = match http::is_tls(error) {
                    true => format!("`{registry}` is not trusted: {cause}"),
                    false => format!("`{registry}` does not answer: {cause}"),
                };
                RegistryError::new(message)
            }
            other => RegistryError::new(format!("`{registry}`: {}", short(&http::cause(other)))),
        }
    }

    fn no_tag(&self) -> RegistryError {
        let tag = self.image.digest().or(self.image.tag()).unwrap_or("latest");
        let message = format!("`{}` has no `{tag}` in `{}`", self.image.resolve_registry(), self.image.repository());
        RegistryError::new(message).of(RegistryErrorKind::NotFound)
    }
}

/// One line, of bearable length.
fn short(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect()
}

/// A registry on this machine speaks plain HTTP, as for Docker; any other TLS.
fn client(registry: &str) -> Result<Client, OciDistributionError> {
    http::use_ring();
    let config = ClientConfig {
        protocol: if is_loopback(registry) { ClientProtocol::Http } else { ClientProtocol::Https },
        connect_timeout: Some(http::CONNECT_WITHIN),
        read_timeout: Some(http::READ_WITHIN),
        user_agent: http::USER_AGENT,
        ..ClientConfig::default()
    };
    Client::try_from(config)
}

fn is_loopback(registry: &str) -> bool {
    let host = match registry.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => registry,
    };
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Exchanges a token of Azure for one of a registry of Azure.
async fn exchange(registry: &str, token: &Secret) -> Result<Secret, String> {
    #[derive(serde::Deserialize)]
    struct Answer {
        refresh_token: String,
    }
    let client = http::builder().build().map_err(|error| http::cause(&error))?;
    let form = [("grant_type", "access_token"), ("service", registry), ("access_token", token.expose())];
    let request = client.post(format!("https://{registry}/oauth2/exchange")).form(&form);
    let response =
        request.send().await.map_err(|error| format!("`{registry}` does not answer: {}", http::cause(&error)))?;
    if !response.status().is_success() {
        return Err(format!("`{registry}` gives this identity no token ({})", response.status().as_u16()));
    }
    let body = http::text(response, MAX_BODY).await.map_err(|error| http::cause(&error))?;
    // The parser's own words would quote what it read.
    let answer: Answer = serde_json::from_str(&body).map_err(|_| format!("`{registry}` sent no token"))?;
    Ok(Secret::new(answer.refresh_token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_speaks_plain_http() {
        for (registry, loopback) in [
            ("localhost", true),
            ("localhost:5000", true),
            ("127.0.0.1:5000", true),
            ("[::1]:5000", true),
            ("127.0.0.1.example.com", false),
            ("localhost.example.com:5000", false),
            ("10.0.0.1:5000", false),
            ("contoso.azurecr.io", false),
        ] {
            assert_eq!(is_loopback(registry), loopback, "{registry}");
        }
    }
}
