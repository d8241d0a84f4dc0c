//! What can go wrong between an installer and an index.

use std::fmt;

use url::Url;

/// A request that got no answer of use, and why. Its text holds neither a credential nor a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What was asked for: a URL without user, password, query and fragment.
    pub place: String,
    /// Why it was not had.
    pub cause: Cause,
}

/// Why a request got no answer of use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The gate did not send it; a lower-case fragment that follows "refused: ".
    Refused(String),
    /// 401.
    Unauthorized {
        /// Whether a credential was sent.
        credential: bool,
    },
    /// 403.
    Forbidden {
        /// Whether a credential was sent.
        credential: bool,
    },
    /// 404 or 410.
    NotFound,
    /// Another status that is no success.
    Status(u16),
    /// The name has no address.
    Dns(String),
    /// No encrypted connection with a host that is who it says.
    Tls(String),
    /// Nobody listens.
    ConnectionRefused,
    /// No connection, or no byte of an answer, for that many seconds.
    Timeout(u64),
    /// The connection broke for another reason.
    Broken(String),
    /// The answer was redirected too often.
    Redirects,
    /// The answer is not an index page.
    NotAnIndex(String),
    /// A file's content is not what the index says.
    WrongHash {
        /// What the index says, in hexadecimal.
        expected: String,
        /// What came.
        got: String,
    },
    /// A file ended early.
    Truncated {
        /// How many bytes came.
        got: u64,
        /// How many were announced, where that is known.
        expected: Option<u64>,
    },
    /// An answer larger than what is taken.
    TooLarge(u64),
    /// The disk of this machine; the operating system's words.
    Disk(String),
}

impl Trouble {
    pub(super) fn new(url: &Url, cause: Cause) -> Self {
        Self { place: shown(url), cause }
    }

    pub(super) fn refused(place: impl Into<String>, why: impl Into<String>) -> Self {
        Self { place: place.into(), cause: Cause::Refused(why.into()) }
    }

    /// The status that an installer gets: none that it tries again after.
    pub fn status(&self) -> u16 {
        match self.cause {
            Cause::Refused(_) | Cause::Unauthorized { .. } | Cause::Forbidden { .. } => 403,
            Cause::NotFound => 404,
            _ => 424,
        }
    }

    /// What would help, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self.cause {
            Cause::Unauthorized { credential: false } => {
                "write `{private}@` before the host of its URL, and give flowgate a token for it"
            }
            Cause::Unauthorized { credential: true } => {
                "the token is wrong, has expired, or was issued for another directory: `flowgate doctor feed`"
            }
            Cause::Forbidden { credential: true } => {
                "the identity is known, but may not read this feed: make it a reader of the feed"
            }
            Cause::Dns(_) => "look at the spelling of the host, and at the network",
            Cause::Tls(_) => "where a proxy replaces certificates, name its authority with SSL_CERT_FILE",
            Cause::NotAnIndex(_) => "an index URL ends in `/simple/`",
            Cause::WrongHash { .. } => "the file was changed on its way or on the index: do not install it",
            Cause::Truncated { .. } | Cause::Timeout(_) | Cause::Broken(_) => "try again",
            _ => return None,
        })
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, cause } = self;
        match cause {
            Cause::Refused(why) => write!(f, "{place} was refused: {why}"),
            Cause::Unauthorized { credential: true } => {
                write!(f, "{place} answered 401: it does not take the credential")
            }
            Cause::Unauthorized { credential: false } => write!(f, "{place} answered 401: it asks for a credential"),
            Cause::Forbidden { credential: true } => {
                write!(f, "{place} answered 403: the credential's owner may not read it")
            }
            Cause::Forbidden { credential: false } => write!(f, "{place} answered 403: it may not be read"),
            Cause::NotFound => write!(f, "{place} answered 404: there is nothing of that name"),
            Cause::Status(status) => write!(f, "{place} answered {status}"),
            Cause::Dns(why) => write!(f, "{place}: the name of the host has no address: {why}"),
            Cause::Tls(why) => write!(f, "{place}: no trusted encrypted connection: {why}"),
            Cause::ConnectionRefused => write!(f, "{place}: connection refused"),
            Cause::Timeout(seconds) => write!(f, "{place}: nothing came for {seconds} s"),
            Cause::Broken(why) => write!(f, "{place}: the connection broke: {why}"),
            Cause::Redirects => write!(f, "{place}: too many redirects"),
            Cause::NotAnIndex(why) => write!(f, "{place} is not an index page: {why}"),
            Cause::WrongHash { expected, got } => {
                write!(f, "{place}: wrong hash: the index says sha256 {expected}, and {got} came")
            }
            Cause::Truncated { got, expected: Some(expected) } => {
                write!(f, "{place}: truncated: {got} of {expected} bytes came")
            }
            Cause::Truncated { got, expected: None } => write!(f, "{place}: truncated after {got} bytes"),
            Cause::TooLarge(limit) => write!(f, "{place} is larger than {limit} bytes"),
            Cause::Disk(why) => write!(f, "{place}: cannot keep it on this machine's disk: {why}"),
        }
    }
}

impl std::error::Error for Trouble {}

/// A URL as it may be shown: without user, password, query and fragment.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    crate::wire::clip(url.into(), 300)
}
