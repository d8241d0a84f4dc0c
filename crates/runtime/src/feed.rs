//! The doctor of a private feed: walks the way that a package takes, step by step, and says where it
//! ends and what to do there.

use std::fmt;
use std::time::Duration;

use azure_core::time::{OffsetDateTime, to_rfc3339};
use flowgate_flow::feed::{Feed, Parts};
use flowgate_flow::requirements::{PRIVATE_PLACEHOLDER, normalize};
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, LOCATION};

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
    /// The host's address.
    Dns,
    /// The connection, and the server's certificate.
    Tls,
    /// Our token.
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
    /// The way ends here.
    Failed(Fault),
}

/// Why a way ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The URL is not that of a feed's index.
    Malformed,
    /// The host has no address.
    UnknownHost,
    /// Nobody answers there.
    Unreachable,
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

/// What was found on the way to one feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// The URL, without any user but the placeholder.
    pub url: String,
    /// The steps that were made; the last one is where the way ends.
    pub steps: Vec<Step>,
}

impl Diagnosis {
    /// True where a package can be had.
    pub fn is_usable(&self) -> bool {
        !self.steps.iter().any(|step| matches!(step.ended, Ended::Failed(_)))
    }
}

/// Walks the way to a feed. The token is sent to a host of Azure Artifacts only, over TLS.
pub async fn diagnose(url: &str, package: Option<&str>, identity: &Identity) -> Diagnosis {
    let mut walk = Walk { steps: Vec::new() };
    // `Err` is where the way ends, which is a step like any other.
    if let Err(end) = walk.go(url, package, identity).await {
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

    async fn go(&mut self, url: &str, package: Option<&str>, identity: &Identity) -> Result<(), Step> {
        let feed = self.url(url)?;
        let addresses = resolve(&feed.host).await?;
        self.passed(Place::Dns, format!("`{}` has {}", feed.host, count(addresses, "address", "addresses")));
        let client = http::builder().build();
        let client = client
            .map_err(|error| failed(Place::Tls, Fault::Unexpected, http::cause(&error), "mend this machine's TLS"))?;
        let host = format!("https://{}/", feed.host);
        client.head(&host).send().await.map_err(|error| unreached(&feed.host, &error))?;
        self.passed(Place::Tls, "connected; the certificate is trusted");

        let token = if Parts::of(url).placeholder.is_some() { Some(self.identity(identity).await?) } else { None };
        let asker = Asker { client, feed: &feed, token };
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

    fn url(&mut self, url: &str) -> Result<Feed, Step> {
        let feed = Feed::parse(url).map_err(|faults| {
            let said: Vec<&str> = faults.iter().map(|fault| fault.message.as_str()).collect();
            let next: Vec<&str> = faults.iter().map(|fault| fault.help.as_str()).collect();
            failed(Place::Url, Fault::Malformed, said.join("; "), next.join("; "))
        })?;
        let project = feed.project.as_ref().map(|project| format!(", project `{project}`")).unwrap_or_default();
        let said = format!("feed `{}` of the organisation `{}`{project}", feed.name, feed.organisation);
        let parts = Parts::of(url);
        let note = match &parts.placeholder {
            Some((_, written)) if written == PRIVATE_PLACEHOLDER => None,
            Some((_, written)) => {
                Some(format!("write `{PRIVATE_PLACEHOLDER}`, which a runtime knows, for `{written}`"))
            }
            None if parts.authority.start < parts.host_range.start => Some(format!(
                "the user in the URL is not sent: write `{PRIVATE_PLACEHOLDER}` in its place, and revoke it if it is a token"
            )),
            None => None,
        };
        let ended = if note.is_some() { Ended::Noted } else { Ended::Passed };
        self.steps.push(Step { place: Place::Url, ended, said, next: note });
        Ok(feed)
    }

    async fn identity(&mut self, identity: &Identity) -> Result<Token, Step> {
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

async fn resolve(host: &str) -> Result<usize, Step> {
    let next = "check the host's name, and this machine's name server";
    let end = |said: String| failed(Place::Dns, Fault::UnknownHost, said, next);
    let found = tokio::time::timeout(RESOLVE_WITHIN, tokio::net::lookup_host((host, 443))).await;
    let found = found.map_err(|_| end(format!("no name server answers for `{host}`")))?;
    match found.map(Iterator::count) {
        Ok(0) => Err(end(format!("`{host}` has no address"))),
        Ok(addresses) => Ok(addresses),
        Err(error) => Err(end(format!("`{host}` has no address: {error}"))),
    }
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
    feed: &'a Feed,
    token: Option<Token>,
}

impl Asker<'_> {
    /// Gives what a page of the index holds.
    async fn ask(&self, page: &str, place: Place) -> Result<String, Step> {
        let url = format!("{}{page}", self.feed.index);
        let mut request = self.client.get(url).header(ACCEPT, "text/html");
        if let Some(token) = &self.token {
            request = request.basic_auth(USER, Some(token.secret.expose()));
        }
        let response = request.send().await.map_err(|error| Step { place, ..unreached(&self.feed.host, &error) })?;
        let status = response.status();
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = http::text(response, MAX_BODY)
            .await
            .map_err(|error| Step { place, ..unreached(&self.feed.host, &error) })?;
        let said = |what: &str| match message(&body) {
            Some(message) => format!("{}: {what}: {message}", status.as_u16()),
            None => format!("{}: {what}", status.as_u16()),
        };
        match status {
            StatusCode::OK => Ok(count(body.matches("<a ").count(), "link", "links")),
            // A browser would be sent to the sign-in page.
            StatusCode::UNAUTHORIZED | StatusCode::NON_AUTHORITATIVE_INFORMATION => Err(self.unauthorized(place, said)),
            _ if status.is_redirection() && location.as_deref().is_some_and(|to| to.contains("signin")) => {
                Err(self.unauthorized(place, said))
            }
            StatusCode::FORBIDDEN => {
                let what = said("the identity is accepted, and may not read this feed");
                let Feed { organisation, name, .. } = self.feed;
                let next = format!(
                    "give it access to the organisation `{organisation}`, and the role Feed Reader on `{name}`"
                );
                Err(failed(place, Fault::Forbidden, what, next))
            }
            StatusCode::NOT_FOUND if place == Place::Package => {
                let next =
                    "check its name; for a package of the public index, let the feed have it as an upstream source";
                Err(failed(place, Fault::NoPackage, said("the feed has no such package"), next))
            }
            StatusCode::NOT_FOUND => {
                let what = said("there is no such organisation, project or feed");
                let next = "compare each name in the URL with `Connect to feed` in Azure DevOps";
                Err(failed(place, Fault::NoFeed, what, next))
            }
            _ => Err(failed(place, Fault::Unexpected, said("an answer that is none of an index"), "try again later")),
        }
    }

    fn unauthorized(&self, place: Place, said: impl Fn(&str) -> String) -> Step {
        let Feed { organisation, .. } = self.feed;
        let (what, next) = match self.token.as_ref().map(|token| token.source) {
            None => (
                "the feed is private, and the URL asks for no token".to_owned(),
                format!("write `https://{PRIVATE_PLACEHOLDER}@{}...`", self.feed.host),
            ),
            Some(Source::Given) => (
                "the given token is not accepted".to_owned(),
                format!(
                    "it may have ended, or be of another organisation: make one in `{organisation}` with the scope Packaging (read)"
                ),
            ),
            Some(source) => (
                format!("the token from {source} is not accepted"),
                format!(
                    "add this identity to the users of the organisation `{organisation}`, which must be of the same tenant"
                ),
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
