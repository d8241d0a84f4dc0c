//! The one HTTP client of this crate: rustls on `ring`, the system's root certificates, no
//! redirects, no proxies, bounded times.

use std::time::Duration;

/// How long a connection may take, name and TLS included.
pub(crate) const CONNECT_WITHIN: Duration = Duration::from_secs(15);
/// How long a server may be silent.
pub(crate) const READ_WITHIN: Duration = Duration::from_secs(60);

/// How we name ourselves.
pub(crate) const USER_AGENT: &str = concat!("flowgate/", env!("CARGO_PKG_VERSION"));

/// A client to be adapted. Redirects are not followed: a credential is for the host that it was
/// meant for.
pub(crate) fn builder() -> reqwest::ClientBuilder {
    use_ring();
    reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_WITHIN)
        .read_timeout(READ_WITHIN)
        .no_proxy()
}

/// Names the provider of cryptography, for crates that build a client of their own. It is set once
/// a process; where somebody was first, theirs stays.
pub(crate) fn use_ring() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Reads a body as text, and no more than `limit` bytes of it.
///
/// # Errors
/// The connection broke.
pub(crate) async fn text(mut response: reqwest::Response, limit: usize) -> Result<String, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend(chunk.iter().take(limit - body.len()));
        if body.len() == limit {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// The innermost cause of an error: what happened, without who noticed.
pub(crate) fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// True where TLS itself failed: a certificate that is not trusted, or another protocol.
pub(crate) fn is_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    // An I/O error's source is the source of what it wraps, not that itself.
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>() || wrapped.is_some_and(|wrapped| is_tls(wrapped)) || error.source().is_some_and(is_tls)
}
