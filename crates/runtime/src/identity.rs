//! Who we are to a feed or a registry: a token, and which way it came.
//!
//! A token that the door was given wins. Without one, Azure's own chain is asked through Microsoft's
//! crate, which reads the variables of Azure's environments itself (`AZURE_*`, `IDENTITY_*`): an
//! exception to the rule that libraries read no environment. A token's value is never in an error,
//! a log or a report.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use azure_core::credentials::{AccessToken, TokenCredential};
use azure_core::error::ErrorKind;
use azure_core::http::{AsyncRawResponse, ClientMethodOptions, ClientOptions, HttpClient, Request, Transport};
use azure_identity::{
    AzureCliCredential, ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions,
    ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential,
    WorkloadIdentityCredentialOptions,
};
use tokio::sync::Mutex;

use crate::http;
use crate::secret::Secret;

/// How long one way may take. Azure's crate asks a machine's endpoint again and again.
const ASK_WITHIN: Duration = Duration::from_secs(30);
/// Outside Azure nobody answers at the address of a machine's identity, and no router says so.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// A token that ends sooner is not used again.
const MARGIN: Duration = Duration::from_secs(300);
const MAX_RESPONSE: usize = 64 * 1024;
const MAX_REASON: usize = 400;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// A feed of Azure DevOps.
    PackageFeed,
    /// A registry of Azure.
    ContainerRegistry,
}

impl Resource {
    /// Azure's name of it. Azure DevOps has no name, only its well-known application.
    fn scope(self) -> &'static str {
        match self {
            Self::PackageFeed => "499b84ac-1321-427f-aa17-267ca6975798/.default",
            Self::ContainerRegistry => "https://containerregistry.azure.net/.default",
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PackageFeed => "private feeds",
            Self::ContainerRegistry => "Azure registries",
        })
    }
}

/// What the door knows about who we are.
#[derive(Debug, Clone, Default)]
pub struct IdentityOptions {
    /// A token for package feeds, in place of all else.
    pub feed_token: Option<Secret>,
    /// The client id of the identity to use, where it is not the machine's only one. Where it is
    /// named, an identity that it does not describe (Azure CLI's) is not used in its place.
    pub client_id: Option<String>,
    /// Its tenant. Where it is named, a workflow's own token is meant to be exchanged.
    pub tenant_id: Option<String>,
    /// Where a workflow's own token can be had, to be exchanged for the identity's.
    pub oidc: Option<OidcRequest>,
    /// What a user of the door does where no way leads to a token; `None` is the command line's.
    pub advice: Option<&'static str>,
}

/// Where GitHub hands out a workflow's OIDC token.
#[derive(Debug, Clone)]
pub struct OidcRequest {
    /// The URL, with its query.
    pub url: String,
    /// What permits to ask.
    pub token: Secret,
}

/// Which way a token came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The door was given it.
    Given,
    /// A federated token in a file, as Kubernetes mounts it.
    WorkloadIdentity,
    /// GitHub's OIDC token, exchanged.
    Oidc,
    /// The identity of this machine, or one that is assigned to it.
    ManagedIdentity,
    /// Who is signed in to Azure CLI.
    AzureCli,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Given => "the given token",
            Self::WorkloadIdentity => "workload identity",
            Self::Oidc => "the workflow's OIDC token",
            Self::ManagedIdentity => "managed identity",
            Self::AzureCli => "Azure CLI",
        })
    }
}

/// A token.
#[derive(Debug, Clone)]
pub struct Token {
    /// Its value.
    pub secret: Secret,
    /// Which way it came.
    pub source: Source,
    /// When it ends, where that is known.
    pub expires: Option<SystemTime>,
}

/// There is no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityError {
    message: String,
    hint: &'static str,
}

/// The next step at a command line.
const ADVICE: &str =
    "give a token in FLOWGATE_FEED_TOKEN, sign in with `az login`, or run where Azure gives an identity";
/// The same where an identity was named.
const NAMED_ADVICE: &str = "give a token in FLOWGATE_FEED_TOKEN, or run where Azure gives the identity that is named";
/// The next step where Azure does not know a workflow by its own token.
const FEDERATE: &str = "give the app registration or the managed identity in Azure a federated credential for GitHub, with the issuer, the subject and the audience that the message names";
/// How Azure's errors about the lack of one begin.
const NOT_FEDERATED: &str = "AADSTS70021";

impl IdentityError {
    /// The next step.
    pub fn hint(&self) -> &'static str {
        self.hint
    }
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for IdentityError {}

/// A token for what, as which client.
type Wanted = (Resource, Option<String>);

/// The identity of this process. Clones share what is known of its tokens.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    options: IdentityOptions,
    /// Why there is none, whatever this machine offers, and what to do.
    refused: Option<(&'static str, &'static str)>,
    /// Held while one asks, so that others wait for its answer.
    known: Arc<Mutex<HashMap<Wanted, Token>>>,
    used: Arc<std::sync::Mutex<BTreeSet<(Resource, Source)>>>,
}

impl Identity {
    /// Nothing is asked yet.
    pub fn new(options: IdentityOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// Nobody: no way is tried, and no token given, whatever this machine offers. `why` follows "there is no token: ".
    pub fn nobody(why: &'static str, hint: &'static str) -> Self {
        Self { refused: Some((why, hint)), ..Self::default() }
    }

    /// What it was made of.
    pub fn options(&self) -> &IdentityOptions {
        &self.options
    }

    /// The same, with the client id that a configuration names where the door names none.
    #[must_use]
    pub fn or_client(&self, client_id: Option<&str>) -> Self {
        let mut other = self.clone();
        other.options.client_id = other.options.client_id.or_else(|| client_id.map(str::to_owned));
        other
    }

    /// What tokens were given for so far, and which way each came.
    pub fn used(&self) -> Vec<(Resource, Source)> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    /// A token that is valid for some minutes at least.
    ///
    /// # Errors
    /// No way led to one; each says why.
    pub async fn token(&self, resource: Resource) -> Result<Token, IdentityError> {
        let token = self.find(resource).await?;
        self.used.lock().unwrap_or_else(PoisonError::into_inner).insert((resource, token.source));
        Ok(token)
    }

    async fn find(&self, resource: Resource) -> Result<Token, IdentityError> {
        if let Some((why, hint)) = self.refused {
            return Err(IdentityError { message: format!("there is no token: {why}"), hint });
        }
        if let (Resource::PackageFeed, Some(secret)) = (resource, &self.options.feed_token) {
            return Ok(Token { secret: secret.clone(), source: Source::Given, expires: None });
        }
        let mut known = self.known.lock().await;
        let key = (resource, self.options.client_id.clone());
        if let Some(token) = known.get(&key).filter(|token| is_fresh(token)) {
            return Ok(token.clone());
        }
        let mut tried = Vec::new();
        for source in self.ways() {
            let asked = tokio::time::timeout(ASK_WITHIN, self.ask(source, resource.scope())).await;
            match asked.unwrap_or_else(|_| Err(format!("no answer within {} s", ASK_WITHIN.as_secs()))) {
                Ok(token) => {
                    let secret = Secret::new(token.token.secret());
                    let token = Token { secret, source, expires: Some(token.expires_on.into()) };
                    known.insert(key, token.clone());
                    return Ok(token);
                }
                Err(reason) => tried.push(format!("{source}: {reason}")),
            }
        }
        let message = format!("no identity was found: {}", tried.join("; "));
        let hint = match (message.contains(NOT_FEDERATED), &self.options.client_id) {
            (true, _) => FEDERATE,
            (false, Some(_)) => self.options.advice.unwrap_or(NAMED_ADVICE),
            (false, None) => self.options.advice.unwrap_or(ADVICE),
        };
        Err(IdentityError { message, hint })
    }

    fn ways(&self) -> impl Iterator<Item = Source> {
        // Who names a tenant wants this way, and is told where it is closed.
        let oidc = (self.options.oidc.is_some() || self.options.tenant_id.is_some()).then_some(Source::Oidc);
        // Azure CLI's identity is a person's, never the one that was named.
        let cli = self.options.client_id.is_none().then_some(Source::AzureCli);
        [Some(Source::WorkloadIdentity), oidc, Some(Source::ManagedIdentity), cli].into_iter().flatten()
    }

    async fn ask(&self, source: Source, scope: &str) -> Result<AccessToken, String> {
        let credential = self.credential(source)?;
        credential.get_token(&[scope], None).await.map_err(|error| reason(&error))
    }

    fn credential(&self, source: Source) -> Result<Arc<dyn TokenCredential>, String> {
        let options = &self.options;
        let (client_id, tenant_id) = (options.client_id.clone(), options.tenant_id.clone());
        let client_options = client_options()?;
        let made: azure_core::Result<Arc<dyn TokenCredential>> = match (source, &options.oidc) {
            (Source::WorkloadIdentity, _) => WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
                credential_options: ClientAssertionCredentialOptions { client_options },
                client_id,
                tenant_id,
                ..Default::default()
            }))
            .map(|credential| credential as _),
            (Source::Oidc, Some(request)) => {
                let (Some(client_id), Some(tenant_id)) = (client_id, tenant_id) else {
                    return Err("it takes the identity's client id and its tenant".to_owned());
                };
                let assertion = OidcToken { http: client()?, request: request.clone() };
                let options = ClientAssertionCredentialOptions { client_options };
                ClientAssertionCredential::new(tenant_id, client_id, assertion, Some(options))
                    .map(|credential| credential as _)
            }
            (Source::ManagedIdentity, _) => ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
                user_assigned_id: client_id.map(UserAssignedId::ClientId),
                client_options,
            }))
            .map(|credential| credential as _),
            (Source::AzureCli, _) => AzureCliCredential::new(None).map(|credential| credential as _),
            (Source::Oidc, None) => {
                return Err("GitHub offers this job none; it needs `permissions: id-token: write`".to_owned());
            }
            (Source::Given, _) => return Err("it was not given".to_owned()),
        };
        made.map_err(|error| reason(&error))
    }
}

fn is_fresh(token: &Token) -> bool {
    token.expires.is_none_or(|expires| expires > SystemTime::now() + MARGIN)
}

/// What the innermost part of Azure's crate says, on one line: the outer parts add who said it, and
/// advice.
fn reason(error: &azure_core::Error) -> String {
    let mut innermost = error;
    let mut next: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(error) = next {
        innermost = error.downcast_ref().unwrap_or(innermost);
        next = error.source();
    }
    let text = innermost.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    text.chars().take(MAX_REASON).collect()
}

fn client() -> Result<reqwest::Client, String> {
    http::builder().connect_timeout(CONNECT_WITHIN).build().map_err(|error| http::cause(&error))
}

fn client_options() -> Result<ClientOptions, String> {
    let transport = Some(Transport::new(Arc::new(Asked(client()?))));
    Ok(ClientOptions { transport, ..Default::default() })
}

/// Our client, which is not asked again where nobody answers: Azure's crate would for minutes.
#[derive(Debug)]
struct Asked(reqwest::Client);

#[async_trait::async_trait]
impl HttpClient for Asked {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        self.0.execute_request(request).await.map_err(|error| {
            let host = request.url().host_str().unwrap_or_default().to_owned();
            let cause = http::cause(&error);
            azure_core::Error::with_message(ErrorKind::Other, format!("`{host}` does not answer: {cause}"))
        })
    }
}

/// A workflow's own token, of which GitHub makes a fresh one for each request.
#[derive(Debug)]
struct OidcToken {
    http: reqwest::Client,
    request: OidcRequest,
}

/// Whom the workflow's token is for, as Azure's federated credentials expect it.
const AUDIENCE: &str = "api%3A%2F%2FAzureADTokenExchange";

#[async_trait::async_trait]
impl ClientAssertion for OidcToken {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        self.ask().await.map_err(|message| azure_core::Error::with_message(ErrorKind::Credential, message))
    }
}

impl OidcToken {
    async fn ask(&self) -> Result<String, String> {
        #[derive(serde::Deserialize)]
        struct Answer {
            value: String,
        }
        let url = format!("{}&audience={AUDIENCE}", self.request.url);
        let request = self.http.get(url).bearer_auth(self.request.token.expose());
        let response = request.send().await.map_err(|error| format!("GitHub's issuer: {}", http::cause(&error)))?;
        let status = response.status();
        if matches!(status.as_u16(), 401 | 403) {
            return Err(format!(
                "GitHub's issuer refuses it with {status}; the job needs `permissions: id-token: write`, and has to run still"
            ));
        }
        if !status.is_success() {
            return Err(format!("GitHub's issuer answers {status}"));
        }
        let body = http::text(response, MAX_RESPONSE).await.map_err(|error| http::cause(&error))?;
        // The parser's own words would quote what it read.
        let answer: Answer = serde_json::from_str(&body).map_err(|_| "GitHub's issuer sent no token".to_owned())?;
        Ok(answer.value)
    }
}
