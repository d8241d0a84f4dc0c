//! The doctor of a package feed: takes the steps that a package takes, says which one fails and what to do there.
//!
//! Any index that the gate can reach is served. Azure's own token goes to Azure Artifacts only; another feed gets the
//! token that the user gave (`FLOWGATE_FEED_TOKEN`), and only where its URL asks for one.

use std::fmt;
use std::time::Duration;

use azure_core::time::{OffsetDateTime, to_rfc3339};
use flowgate_flow::config::FeedConfig;
use flowgate_flow::feed::{self, Feed, Parts};
use flowgate_flow::requirements::{PRIVATE_PLACEHOLDER, normalize};
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, LOCATION};
use url::Url;

use crate::gate::{self, GatePolicy};
use crate::http;
use crate::identity::{Identity, Resource, Source, Token};

const RESOLVE_WITHIN: Duration = Duration::from_secs(10);
const MAX_BODY: usize = 64 * 1024;
const MAX_MESSAGE: usize = 300;
/// Beside a token, any user will do; it is no secret.
const USER: &str = "flowgate";

/// A step of the way, in the order of the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The form of the URL.
    Url,
    /// What flowgate.yaml allows.
    Allowed,
    /// The host's address.
    Dns,
    /// The connection, and the server's certificate.
    Tls,
    /// The token.
    Identity,
    /// The feed's answer.
    Index,
    /// The package's page.
    Package,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It holds.
    Passed,
    /// It holds, and is worth a look.
    Noted,
    /// Nothing after it can work.
    Failed(Fault),
}

/// Why a step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The URL is not that of a feed's index.
    Malformed,
    /// No feed of flowgate.yaml covers it.
    NotAllowed,
    /// The host has no address.
    UnknownHost,
    /// No answer.
    Unreachable,
    /// The host's address is one that the gate does not connect to.
    Address,
    /// The server's certificate is not trusted, or TLS failed.
    Certificate,
    /// There is no token.
    NoIdentity,
    /// 401: the token is not accepted, or none was sent.
    Unauthorized,
    /// 403: it is accepted, and may not read.
    Forbidden,
    /// 404: no such organisation, project or feed.
    NoFeed,
    /// 404: no such package.
    NoPackage,
    /// Anything else.
    Unexpected,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Which.
    pub place: Place,
    /// How it ended.
    pub ended: Ended,
    /// What was seen, as a lower-case fragment, unescaped.
    pub said: String,
    /// What to do.
    pub next: Option<String>,
}

/// What was found out about one feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// The URL, without any user but the placeholder.
    pub url: String,
    /// The steps that were taken; where one failed, it is the last.
    pub steps: Vec<Step>,
}

impl Diagnosis {
    /// True where a package can be had.
    pub fn is_usable(&self) -> bool {
        !self.steps.iter().any(|step| matches!(step.ended, Ended::Failed(_)))
    }
}

/// Takes the steps to a feed. `feeds` are those that a flow's flowgate.yaml allows; `None` for a URL on its own.
pub async fn diagnose(
    url: &str,
    package: Option<&str>,
    identity: &Identity,
    feeds: Option<&[FeedConfig]>,
) -> Diagnosis {
    let mut walk = Walk { steps: Vec::new() };
    // What fails is a step like any other.
    if let Err(end) = walk.go(url, package, identity, feeds).await {
        walk.steps.push(end);
    }
    Diagnosis { url: shown(url), steps: walk.steps }
}

/// A URL without the credential that somebody may have put in.
fn shown(url: &str) -> String {
    let parts = Parts::of(url);
    let (before, after) = (url.get(..parts.host_range.start).unwrap_or(""), url.get(parts.host_range.start..));
    let scheme = url.get(..parts.authority.start).unwrap_or("");
    let user = before.get(scheme.len()..).unwrap_or("").trim_end_matches('@');
    let is_harmless = user.is_empty() || parts.placeholder.as_ref().is_some_and(|(_, written)| written == user);
    if is_harmless { url.to_owned() } else { format!("{scheme}***@{}", after.unwrap_or("")) }
}

fn failed(place: Place, fault: Fault, said: impl Into<String>, next: impl Into<String>) -> Step {
    Step { place, ended: Ended::Failed(fault), said: said.into(), next: Some(next.into()) }
}

struct Walk {
    steps: Vec<Step>,
}

impl Walk {
    fn passed(&mut self, place: Place, said: impl Into<String>) {
        self.steps.push(Step { place, ended: Ended::Passed, said: said.into(), next: None });
    }

    async fn go(
        &mut self,
        url: &str,
        package: Option<&str>,
        identity: &Identity,
        feeds: Option<&[FeedConfig]>,
    ) -> Result<(), Step> {
        let index = self.url(url)?;
        let private_network = feeds.map(|feeds| self.allowed(&index, feeds)).transpose()?;
        self.resolve(&index.host, private_network).await?;
        let client = http::builder().build();
        let client = client
            .map_err(|error| failed(Place::Tls, Fault::Unexpected, http::cause(&error), "mend this machine's TLS"))?;
        client.head(index.url.clone()).send().await.map_err(|error| unreached(&index.host, &error))?;
        if index.url.scheme() == "https" {
            self.passed(Place::Tls, "connected; the certificate is trusted");
        } else {
            let next = Some("use `https` if the feed has it".to_owned());
            self.steps.push(Step {
                place: Place::Tls,
                ended: Ended::Noted,
                said: "connected, without TLS".into(),
                next,
            });
        }

        let token =
            if Parts::of(url).placeholder.is_some() { Some(self.identity(&index, identity).await?) } else { None };
        let asker = Asker { client, index: &index, token };
        // A package's page proves its feed, too.
        let Some(package) = package else {
            let page = asker.ask("", Place::Index).await?;
            self.passed(Place::Index, page);
            return Ok(());
        };
        match asker.ask(&format!("{}/", normalize(package)), Place::Package).await {
            Ok(page) => {
                self.passed(Place::Index, "the feed answers");
                self.passed(Place::Package, format!("`{package}`: {page}"));
                Ok(())
            }
            Err(end) if end.ended == Ended::Failed(Fault::NoPackage) => {
                // The feed's own page tells a missing package from a missing feed.
                let page = asker.ask("", Place::Index).await?;
                self.passed(Place::Index, page);
                Err(end)
            }
            Err(end) => Err(Step { place: Place::Index, ..end }),
        }
    }

    fn url(&mut self, url: &str) -> Result<Index, Step> {
        let parts = Parts::of(url);
        let malformed = |faults: &[feed::Fault]| {
            let said: Vec<&str> = faults.iter().map(|fault| fault.message.as_str()).collect();
            let next: Vec<&str> = faults.iter().map(|fault| fault.help.as_str()).collect();
            failed(Place::Url, Fault::Malformed, said.join("; "), next.join("; "))
        };
        let index = if feed::names_azure(url) {
            let azure = Feed::parse(url).map_err(|faults| malformed(&faults))?;
            Index::of_azure(azure).ok_or_else(|| not_an_index(url))?
        } else {
            let faults: Vec<_> = feed::faults(url);
            let is_certain = |fault: &&feed::Fault| fault.certainty == feed::Certainty::Certain;
            // A feed without TLS may be meant; no token is sent to it.
            let is_harmless = |fault: &&feed::Fault| {
                parts.placeholder.is_none() && parts.scheme.as_deref() == Some("http") && fault.range == (0..4)
            };
            let certain: Vec<_> =
                faults.iter().filter(is_certain).filter(|fault| !is_harmless(fault)).cloned().collect();
            if !certain.is_empty() {
                return Err(malformed(&certain));
            }
            Index::of(url, &parts).ok_or_else(|| not_an_index(url))?
        };
        let said = match &index.azure {
            Some(Feed { name, organisation, project, .. }) => {
                let project = project.as_ref().map(|project| format!(", project `{project}`")).unwrap_or_default();
                format!("feed `{name}` of the organisation `{organisation}`{project}")
            }
            None => format!("an index on `{}`", index.host),
        };
        let note = match &parts.placeholder {
            Some((_, written)) if written == PRIVATE_PLACEHOLDER => None,
            Some((_, written)) => Some(format!("write `{PRIVATE_PLACEHOLDER}` instead of `{written}`")),
            None if parts.authority.start < parts.host_range.start => Some(format!(
                "the user in the URL is not sent: write `{PRIVATE_PLACEHOLDER}` in its place, and revoke it if it is a token"
            )),
            None => None,
        };
        let ended = if note.is_some() { Ended::Noted } else { Ended::Passed };
        self.steps.push(Step { place: Place::Url, ended, said, next: note });
        Ok(index)
    }

    /// The feed of flowgate.yaml that covers a URL: whether it may be on a private network.
    fn allowed(&mut self, index: &Index, feeds: &[FeedConfig]) -> Result<bool, Step> {
        if GatePolicy::public().covers(&index.url) {
            self.passed(Place::Allowed, "the public index");
            return Ok(false);
        }
        for config in feeds {
            let refused = |cause: String| failed(Place::Allowed, Fault::Malformed, cause, "mend it in flowgate.yaml");
            let feed = gate::Feed::new(&config.url).map_err(refused)?;
            if GatePolicy::none().with(feed).covers(&index.url) {
                self.passed(Place::Allowed, format!("by `{}` in flowgate.yaml", config.url));
                return Ok(config.private_network);
            }
        }
        let root = match &index.azure {
            Some(feed) => format!("https://{}/{}/", feed::FEED_HOST, feed.organisation),
            None => index.url.to_string(),
        };
        let next = format!("add `- url: {root}` to `environment.feeds` in flowgate.yaml");
        Err(failed(Place::Allowed, Fault::NotAllowed, "no feed in flowgate.yaml covers this URL", next))
    }

    /// `private_network` is what flowgate.yaml says of the feed, where there is a flow.
    async fn resolve(&mut self, host: &str, private_network: Option<bool>) -> Result<(), Step> {
        let end = |fault: Fault, said: String, next: &str| failed(Place::Dns, fault, said, next);
        let unknown =
            |said: String| end(Fault::UnknownHost, said, "check the host's name, and this machine's name server");
        let found = tokio::time::timeout(RESOLVE_WITHIN, tokio::net::lookup_host((host, 443))).await;
        let found = found.map_err(|_| unknown(format!("no name server answers for `{host}`")))?;
        let found = found.map_err(|error| unknown(format!("`{host}` has no address: {error}")))?;
        let addresses: Vec<_> = found.map(|address| address.ip()).collect();
        if addresses.is_empty() {
            return Err(unknown(format!("`{host}` has no address")));
        }
        let said = format!("`{host}` has {}", count(addresses.len(), "address", "addresses"));
        let refused = |private| addresses.iter().find_map(|address| gate::check_address(*address, private).err());
        if let Some(why) = refused(true) {
            return Err(end(Fault::Address, format!("`{host}` has {why}"), "no build connects to such an address"));
        }
        match refused(private_network.unwrap_or(false)) {
            None => self.passed(Place::Dns, said),
            Some(why) if private_network.is_some() => {
                let next = "set `private-network: true` for the feed in flowgate.yaml, if that is meant";
                return Err(end(Fault::Address, format!("`{host}` has {why}"), next));
            }
            Some(why) => self.steps.push(Step {
                place: Place::Dns,
                ended: Ended::Noted,
                said: format!("`{host}` has {why}"),
                next: Some("a build needs `private-network: true` for this feed in flowgate.yaml".to_owned()),
            }),
        }
        Ok(())
    }

    async fn identity(&mut self, index: &Index, identity: &Identity) -> Result<Token, Step> {
        if index.azure.is_none() && identity.options().feed_token.is_none() {
            let said = "no token is given for this feed; Azure's is for Azure Artifacts only";
            return Err(failed(Place::Identity, Fault::NoIdentity, said, "give it in FLOWGATE_FEED_TOKEN"));
        }
        let token = identity
            .token(Resource::PackageFeed)
            .await
            .map_err(|error| failed(Place::Identity, Fault::NoIdentity, error.to_string(), error.hint()))?;
        let until = token.expires.map(|expires| to_rfc3339(&OffsetDateTime::from(expires)));
        let until = until.map(|until| format!(", valid until {until}")).unwrap_or_default();
        self.passed(Place::Identity, format!("{}{until}", token.source));
        Ok(token)
    }
}

/// The index to ask.
struct Index {
    /// Its root, which ends in `/`, without a user.
    url: Url,
    host: String,
    /// Its parts, where it is one of Azure Artifacts.
    azure: Option<Feed>,
}

impl Index {
    fn of_azure(feed: Feed) -> Option<Self> {
        Some(Self { url: Url::parse(&feed.index).ok()?, host: feed.host.clone(), azure: Some(feed) })
    }

    fn of(url: &str, parts: &Parts) -> Option<Self> {
        let scheme = parts.scheme.as_deref().filter(|scheme| matches!(*scheme, "https" | "http"))?;
        let place = url.get(parts.host_range.clone())?;
        let path = url.get(parts.path.clone())?.trim_end_matches('/');
        let url = Url::parse(&format!("{scheme}://{place}{path}/")).ok()?;
        let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
        Some(Self { url, host, azure: None })
    }
}

fn not_an_index(url: &str) -> Step {
    let next = "an index is `https://HOST/.../simple/`; a feed of Azure DevOps is \
                `https://{private}@pkgs.dev.azure.com/<organisation>/_packaging/<feed>/pypi/simple/`";
    failed(Place::Url, Fault::Malformed, format!("`{}` is not the URL of an index", shown(url)), next)
}

fn unreached(host: &str, error: &reqwest::Error) -> Step {
    let cause = http::cause(error);
    if http::is_tls(error) {
        let next = "where a proxy of your organisation signs for it, name its certificates in SSL_CERT_FILE";
        return failed(Place::Tls, Fault::Certificate, format!("`{host}` is not trusted: {cause}"), next);
    }
    let next = "check the network, and whether a firewall lets this machine out";
    failed(Place::Tls, Fault::Unreachable, format!("`{host}` does not answer: {cause}"), next)
}

/// Asks the feed.
struct Asker<'a> {
    client: reqwest::Client,
    index: &'a Index,
    token: Option<Token>,
}

impl Asker<'_> {
    /// Gives what a page of the index holds.
    async fn ask(&self, page: &str, place: Place) -> Result<String, Step> {
        let url = format!("{}{page}", self.index.url);
        let mut request = self.client.get(url).header(ACCEPT, "text/html");
        if let Some(token) = &self.token {
            request = request.basic_auth(USER, Some(token.secret.expose()));
        }
        let unreached = |error: &reqwest::Error| Step { place, ..unreached(&self.index.host, error) };
        let response = request.send().await.map_err(|error| unreached(&error))?;
        let status = response.status();
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = http::text(response, MAX_BODY).await.map_err(|error| unreached(&error))?;
        let azure = self.index.azure.as_ref();
        let said = |what: &str| match message(&body).filter(|_| azure.is_some()) {
            Some(message) => format!("{}: {what}: {message}", status.as_u16()),
            None => format!("{}: {what}", status.as_u16()),
        };
        match status {
            StatusCode::OK => match body.matches("<a ").count() {
                0 if azure.is_none() => Ok("0 links: it is empty, or not an index; most end in `/simple/`".to_owned()),
                links => Ok(count(links, "link", "links")),
            },
            StatusCode::UNAUTHORIZED => Err(self.unauthorized(place, said)),
            // A browser would be sent to the sign-in page.
            StatusCode::NON_AUTHORITATIVE_INFORMATION if azure.is_some() => Err(self.unauthorized(place, said)),
            _ if status.is_redirection() && location.as_deref().is_some_and(|to| to.contains("signin")) => {
                Err(self.unauthorized(place, said))
            }
            StatusCode::FORBIDDEN => {
                let next = match azure {
                    Some(Feed { organisation, name, .. }) => format!(
                        "give it access to the organisation `{organisation}`, and the role Feed Reader on `{name}`"
                    ),
                    None => "give the token's owner permission to read this feed".to_owned(),
                };
                let what = match self.token {
                    Some(_) => "the identity is accepted, but may not read this feed",
                    None => "the feed may not be read without a token",
                };
                Err(failed(place, Fault::Forbidden, said(what), next))
            }
            StatusCode::NOT_FOUND if place == Place::Package => {
                let next =
                    "check its name; for a package of the public index, let the feed have it as an upstream source";
                Err(failed(place, Fault::NoPackage, said("the feed has no such package"), next))
            }
            StatusCode::NOT_FOUND => {
                let (what, next) = match azure {
                    Some(_) => (
                        "there is no such organisation, project or feed",
                        "compare each name in the URL with `Connect to feed` in Azure DevOps",
                    ),
                    None => ("there is no index at this URL", "check its path; most indexes end in `/simple/`"),
                };
                Err(failed(place, Fault::NoFeed, said(what), next))
            }
            _ if status.is_redirection() => {
                let to = location.as_deref().and_then(|to| self.index.url.join(to).ok());
                let to = to.map_or("another place".to_owned(), |to| format!("`{}`", shown(to.as_str())));
                Err(failed(place, Fault::Unexpected, said(&format!("it redirects to {to}")), "write that URL"))
            }
            _ => Err(failed(place, Fault::Unexpected, said("not the answer of an index"), "try again later")),
        }
    }

    fn unauthorized(&self, place: Place, said: impl Fn(&str) -> String) -> Step {
        let Index { host, azure, .. } = self.index;
        let (what, next) = match (self.token.as_ref().map(|token| token.source), azure) {
            (None, _) => (
                "the feed is private, and the URL asks for no token".to_owned(),
                format!("write `https://{PRIVATE_PLACEHOLDER}@{host}...`"),
            ),
            (Some(Source::Given), Some(Feed { organisation, .. })) => (
                "the given token is not accepted".to_owned(),
                format!(
                    "it may have expired, or be for another organisation: create one in `{organisation}` with the scope Packaging (read)"
                ),
            ),
            (Some(source), Some(Feed { organisation, .. })) => (
                format!("the token from {source} is not accepted"),
                format!(
                    "add this identity to the users of the organisation `{organisation}`, which must be of the same tenant"
                ),
            ),
            (Some(_), None) => (
                "the given token is not accepted".to_owned(),
                "it may have expired, or be for another feed: set FLOWGATE_FEED_TOKEN to one that may read this feed"
                    .to_owned(),
            ),
        };
        failed(place, Fault::Unauthorized, said(&what), next)
    }
}

/// What Azure DevOps says about an error.
fn message(body: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Answer {
        message: String,
    }
    let answer: Answer = serde_json::from_str(body).ok()?;
    Some(answer.message.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MAX_MESSAGE).collect())
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Url => "url",
            Self::Allowed => "allowed",
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::Identity => "identity",
            Self::Index => "index",
            Self::Package => "package",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn a_credential_in_a_url_is_not_shown() {
        let rest = "pkgs.dev.azure.com/o/_packaging/f/pypi/simple/";
        assert_eq!(shown(&format!("https://{{private}}@{rest}")), format!("https://{{private}}@{rest}"));
        assert_eq!(shown(&format!("https://{rest}")), format!("https://{rest}"));
        assert_eq!(shown(&format!("https://me:hunter2@{rest}")), format!("https://***@{rest}"));
        assert_eq!(shown(&format!("https://{{private}}:hunter2@{rest}")), format!("https://***@{rest}"));
        assert_eq!(shown(&format!("hunter2@{rest}")), format!("***@{rest}"));
    }
}
