//! Requests to indexes: to allowed hosts at allowed addresses, with the credential where it belongs.

use std::error::Error;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use flate2::read::GzDecoder;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, LOCATION};
use reqwest::{Client, Response, StatusCode, Url};
use tokio::sync::Semaphore;

use super::address::{self, Kind};
use super::page;
use super::policy::{GatePolicy, Index, USER};
use super::trouble::{Cause, Trouble, shown};
use super::{GateOptions, Resolver};

/// Redirects that are followed.
const MAX_REDIRECTS: usize = 8;
/// How often a request that broke before its answer is sent, and what is waited between.
const PAUSES: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(1500)];
/// A page of an index is not larger, in bytes.
const MAX_PAGE: usize = 64 << 20;
/// How a page may be packed: to a quarter of its size.
const GZIP: &str = "gzip";

/// A page of an index.
pub(super) struct PageBody {
    /// Where it came from in the end.
    pub(super) url: Url,
    /// Its type, with its parameters.
    pub(super) kind: String,
    pub(super) bytes: Vec<u8>,
}

/// Speaks HTTP for all sessions.
#[derive(Debug)]
pub(super) struct Fetcher {
    client: Client,
    policy: Arc<GatePolicy>,
    stall: Duration,
}

impl Fetcher {
    pub(super) fn new(policy: Arc<GatePolicy>, options: &GateOptions) -> Result<Self, String> {
        let resolver = Checked { policy: policy.clone(), resolver: options.resolver.clone() };
        // No proxy, no redirect and no credential of the client's own: each would be a way round the policy.
        let client = crate::http::builder()
            .referer(false)
            .dns_resolver(Arc::new(resolver))
            .connect_timeout(options.connect_limit)
            .read_timeout(options.stall_limit)
            .build()
            .map_err(|error| crate::http::cause(&error))?;
        Ok(Self { client, policy, stall: options.stall_limit })
    }

    /// Gets a page of an index whole. `room` bounds how many are read at once.
    pub(super) async fn page(&self, index: &Index, url: Url, room: &Semaphore) -> Result<PageBody, Trouble> {
        let mut response = self.get(index, url, page::ACCEPT, GZIP).await?;
        let url = response.url().clone();
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
        let (kind, is_packed) = (header(CONTENT_TYPE), header(CONTENT_ENCODING).eq_ignore_ascii_case(GZIP));
        let fail = |cause| Trouble::new(&url, cause);
        let _room = room.acquire().await;
        let mut bytes = Vec::new();
        while let Some(part) = response.chunk().await.map_err(|error| fail(self.cause(&error)))? {
            if bytes.len() + part.len() > MAX_PAGE {
                return Err(fail(Cause::TooLarge(MAX_PAGE as u64)));
            }
            bytes.extend_from_slice(&part);
        }
        if is_packed {
            bytes = unpacked(&bytes).map_err(fail)?;
        }
        Ok(PageBody { url, kind, bytes })
    }

    /// Asks for a file that a page of an index names.
    pub(super) async fn file(&self, index: &Index, url: Url) -> Result<Response, Trouble> {
        // It is taken as it is: some servers name a `.gz` itself an encoding.
        self.get(index, url, "*/*", "identity").await
    }

    /// The credential goes along only where the index is private and the URL within its feed.
    async fn get(&self, index: &Index, url: Url, accept: &str, encoding: &str) -> Result<Response, Trouble> {
        let mut url = url;
        for _ in 0..=MAX_REDIRECTS {
            self.admit(&url)?;
            let credential = index.private && index.feed.covers(&url);
            let response = self.send(index, &url, [accept, encoding], credential).await?;
            let status = response.status();
            if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
                let next = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
                let next = next.and_then(|to| url.join(to).ok());
                let next = next.ok_or_else(|| Trouble::new(&url, Cause::Broken("a redirect to nowhere".to_owned())))?;
                self.admit(&next).map_err(|trouble| match trouble.cause {
                    Cause::Refused(why) => {
                        Trouble::new(&url, Cause::Refused(format!("it redirects to {}: {why}", shown(&next))))
                    }
                    _ => trouble,
                })?;
                url = next;
                continue;
            }
            let cause = match status {
                _ if status.is_success() => return Ok(response),
                StatusCode::UNAUTHORIZED => Cause::Unauthorized { credential },
                StatusCode::FORBIDDEN => Cause::Forbidden { credential },
                StatusCode::NOT_FOUND | StatusCode::GONE => Cause::NotFound,
                _ => Cause::Status(status.as_u16()),
            };
            return Err(Trouble::new(&url, cause));
        }
        Err(Trouble::new(&url, Cause::Redirects))
    }

    /// Why nothing may be sent to a URL. Names are checked again when they are resolved.
    fn admit(&self, url: &Url) -> Result<(), Trouble> {
        let refuse = |why: String| Err(Trouble::new(url, Cause::Refused(why)));
        let address = match url.host() {
            Some(url::Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(url::Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            _ => None,
        };
        if let Some(address) = address
            && let Err(why) = check(address, self.policy.is_private(url.host_str().unwrap_or("")))
        {
            return refuse(why);
        }
        if self.policy.allows(url) {
            return Ok(());
        }
        refuse("nothing allows an index to lead there".to_owned())
    }

    async fn send(
        &self,
        index: &Index,
        url: &Url,
        [accept, encoding]: [&str; 2],
        credential: bool,
    ) -> Result<Response, Trouble> {
        let mut pauses = PAUSES.iter();
        loop {
            let mut request = self.client.get(url.clone()).header(ACCEPT, accept).header(ACCEPT_ENCODING, encoding);
            if credential && let Some(token) = index.feed.credential() {
                request = request.basic_auth(USER, Some(token.expose()));
            }
            let trouble = match request.send().await {
                Ok(response) if matches!(response.status().as_u16(), 429 | 502 | 503 | 504) => {
                    Trouble::new(url, Cause::Status(response.status().as_u16()))
                }
                Ok(response) => return Ok(response),
                Err(error) => Trouble::new(url, self.cause(&error)),
            };
            let again = matches!(trouble.cause, Cause::Status(_) | Cause::Broken(_));
            match pauses.next() {
                Some(pause) if again => tokio::time::sleep(*pause).await,
                _ => return Err(trouble),
            }
        }
    }

    /// What a failure of the client means.
    pub(super) fn cause(&self, error: &reqwest::Error) -> Cause {
        let mut source: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(error) = source {
            if let Some(denied) = error.downcast_ref::<Denied>() {
                return Cause::Refused(denied.0.clone());
            }
            if let Some(unknown) = error.downcast_ref::<Unresolved>() {
                return Cause::Dns(unknown.0.clone());
            }
            if let Some(tls) = find_tls(error) {
                return Cause::Tls(tls);
            }
            if let Some(error) = error.downcast_ref::<io::Error>() {
                match error.kind() {
                    io::ErrorKind::ConnectionRefused => return Cause::ConnectionRefused,
                    io::ErrorKind::TimedOut => return Cause::Timeout(self.stall.as_secs()),
                    _ => {}
                }
            }
            source = error.source();
        }
        if error.is_timeout() {
            Cause::Timeout(self.stall.as_secs())
        } else {
            Cause::Broken(crate::wire::clip(crate::http::cause(error), 200))
        }
    }
}

/// The words of an error of the TLS library, which hides in an error of input and output.
fn find_tls(error: &(dyn Error + 'static)) -> Option<String> {
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref).map(|inner| inner as &dyn Error)?;
    let text = inner.to_string();
    (text.contains("certificate") || text.contains("handshake") || text.contains("corrupt message")).then_some(text)
}

/// Resolves a name once, and lets only allowed addresses through: to these the connection goes.
#[derive(Debug)]
struct Checked {
    policy: Arc<GatePolicy>,
    resolver: Arc<dyn Resolver>,
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let (resolver, host) = (self.resolver.clone(), name.as_str().to_owned());
        let private = self.policy.is_private(&host);
        Box::pin(async move {
            let found = resolver.resolve(&host).await;
            let found = found.map_err(|error| Unresolved(error.to_string()))?;
            if found.is_empty() {
                return Err(Unresolved("it has no address".to_owned()).into());
            }
            // One bad address spoils the name: it would be tried when the others do not answer.
            for address in &found {
                check(*address, private).map_err(|why| Denied(format!("its host leads to {why}")))?;
            }
            let addresses: Vec<SocketAddr> = found.into_iter().map(|address| SocketAddr::new(address, 0)).collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

fn unpacked(bytes: &[u8]) -> Result<Vec<u8>, Cause> {
    let mut unpacked = Vec::new();
    let mut decoder = GzDecoder::new(bytes).take(MAX_PAGE as u64 + 1);
    match decoder.read_to_end(&mut unpacked) {
        Ok(length) if length > MAX_PAGE => Err(Cause::TooLarge(MAX_PAGE as u64)),
        Ok(_) => Ok(unpacked),
        Err(error) => Err(Cause::Broken(format!("its gzip is broken: {error}"))),
    }
}

pub(crate) fn check(address: IpAddr, private: bool) -> Result<(), String> {
    match address::kind(address) {
        None => Ok(()),
        Some(Kind::Private(_)) if private => Ok(()),
        Some(Kind::Private(what)) => {
            Err(format!("{what} ({address}), and no feed allows this host to be on a private network"))
        }
        Some(Kind::Never(what)) => Err(format!("{what} ({address})")),
    }
}

#[derive(Debug)]
struct Denied(String);

#[derive(Debug)]
struct Unresolved(String);

impl std::fmt::Display for Denied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Display for Unresolved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Denied {}
impl Error for Unresolved {}
