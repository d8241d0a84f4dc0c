//! Which indexes may be asked, and which of them with a credential.

use std::sync::Arc;

use flowgate_flow::feed::{FEED_HOST, OLD_FEED_HOST};
use flowgate_flow::requirements::PRIVATE_PLACEHOLDER;
use url::Url;

use super::trouble::{Trouble, shown};
use crate::secret::Secret;

/// The host that the files of the public index are on.
const PUBLIC_FILES: &str = "files.pythonhosted.org";

/// Where feeds of Azure DevOps redirect a download to.
const AZURE_FILES: [&str; 2] = [".blob.core.windows.net", ".vsblob.vsassets.io"];

/// `${PRIVATE}`: what pip itself would replace from the environment.
const PRIVATE_VARIABLE: &str = "${PRIVATE}";
/// The user name beside a token. Any is accepted; it is no secret.
pub(super) const USER: &str = "flowgate";

/// Which indexes may be asked. It comes from the workflow's inputs or the base revision's
/// configuration, never from what a pull request says.
#[derive(Debug, Clone, Default)]
pub struct GatePolicy {
    feeds: Vec<Arc<Feed>>,
    /// How a user of this door allows one more; empty where none can be added.
    advice: &'static str,
}

impl GatePolicy {
    /// Nothing but the public Python index and the host of its files.
    pub fn public() -> Self {
        let root = Root { scheme: "https".to_owned(), host: "pypi.org".to_owned(), port: 443, path: Vec::new() };
        let feed =
            Feed { roots: vec![root], files: vec![PUBLIC_FILES.to_owned()], credential: None, private_network: false };
        Self { feeds: vec![Arc::new(feed)], advice: "" }
    }

    /// Nothing at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// Allows one more feed. The first that covers a URL counts.
    #[must_use]
    pub fn with(mut self, feed: Feed) -> Self {
        self.feeds.push(Arc::new(feed));
        self
    }

    /// Says how a user allows one more feed: an imperative with `it` for the feed's URL.
    #[must_use]
    pub fn with_advice(mut self, advice: &'static str) -> Self {
        self.advice = advice;
        self
    }

    /// Every host that indexes may be on, for a plan or a message.
    pub fn index_hosts(&self) -> impl Iterator<Item = &str> {
        self.feeds.iter().flat_map(|feed| feed.roots.iter().map(|root| root.host.as_str()))
    }

    /// The index that a text of a requirements file names.
    pub(super) fn index(&self, text: &str) -> Result<Index, Trouble> {
        let mut index = self.place(text, |feed, url| feed.covers(url))?;
        index.url.set_query(None);
        if !index.url.path().ends_with('/') {
            index.url.set_path(&format!("{}/", index.url.path()));
        }
        Ok(index)
    }

    /// The file that a requirement of the form `name @ URL` names: its URL, and what allows it.
    pub(super) fn file(&self, text: &str) -> Result<Index, Trouble> {
        self.place(text, |feed, url| feed.covers(url) || feed.may_serve(url))
    }

    fn place(&self, text: &str, allows: impl Fn(&Feed, &Url) -> bool) -> Result<Index, Trouble> {
        let fail = |why: String| Trouble::refused(masked(text), why);
        let url = Url::parse(text).map_err(|error| fail(format!("it is no URL: {error}")))?;
        let user = |text: &str| text == "%7Bprivate%7D" || text == "$%7BPRIVATE%7D";
        let (name, password) = (url.username(), url.password().unwrap_or(""));
        let private = user(name) || user(password);
        let place = shown(&url);
        let fail = |why: String| Trouble::refused(place.clone(), why);
        let rest = text.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
        if rest.contains(PRIVATE_PLACEHOLDER) || rest.contains(PRIVATE_VARIABLE) {
            return Err(fail("`{private}` stands for a credential, and is replaced before the host only".to_owned()));
        }
        if text.replace(PRIVATE_VARIABLE, "").contains("${") {
            return Err(fail("it holds an environment variable, and none is known here".to_owned()));
        }
        let own = !name.is_empty() || !password.is_empty();
        if own && !private {
            return Err(fail(
                "it holds a user or a password of its own; write `{private}@` and give flowgate the token".to_owned(),
            ));
        }
        let Some(feed) = self.feeds.iter().find(|feed| allows(feed, &url)) else {
            let advice = if self.advice.is_empty() { String::new() } else { format!("; {}", self.advice) };
            return Err(fail(format!("it is not an allowed feed{advice}")));
        };
        if private && feed.credential.is_none() {
            return Err(fail("`{private}` stands for a token, and there is none for this feed".to_owned()));
        }
        let mut url = url;
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_fragment(None);
        Ok(Index { url, feed: feed.clone(), private })
    }

    /// Whether a feed covers an index.
    pub(crate) fn covers(&self, index: &Url) -> bool {
        self.feeds.iter().any(|feed| feed.covers(index))
    }

    /// Whether pages and redirects of an allowed index may lead there. A credential does not follow.
    pub(super) fn allows(&self, url: &Url) -> bool {
        self.feeds.iter().any(|feed| feed.covers(url) || feed.may_serve(url))
    }

    /// Whether a host may have an address of a private network.
    pub(super) fn is_private(&self, host: &str) -> bool {
        self.feeds
            .iter()
            .filter(|feed| feed.private_network)
            .any(|feed| feed.roots.iter().any(|root| root.host == host) || feed.files.iter().any(|file| file == host))
    }
}

/// A text with an index URL, for a message: nothing of it can be a secret.
fn masked(text: &str) -> String {
    let text = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
    crate::wire::clip(text.split(['?', '#']).next().unwrap_or("").to_owned(), 300)
}

/// One index that an install asks, or one file of it.
#[derive(Debug, Clone)]
pub(super) struct Index {
    /// Its root, which ends in `/`; or the file's.
    pub(super) url: Url,
    /// What allows it.
    pub(super) feed: Arc<Feed>,
    /// Whether it is asked with the feed's credential.
    pub(super) private: bool,
}

/// A feed, or a group of feeds, that may be asked.
#[derive(Debug, Clone)]
pub struct Feed {
    roots: Vec<Root>,
    files: Vec<String>,
    credential: Option<Secret>,
    private_network: bool,
}

/// Scheme, host, port, and the first segments of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Root {
    scheme: String,
    host: String,
    port: u16,
    path: Vec<String>,
}

impl Feed {
    /// The feed of a URL: of Azure DevOps all feeds of the organisation, in both forms of its
    /// URLs; of others all below the path, where a last `simple/` does not count.
    ///
    /// # Errors
    /// Why that is no URL of a feed, as a lower-case fragment.
    pub fn new(url: &str) -> Result<Self, String> {
        let parsed = Url::parse(url).map_err(|error| format!("`{}` is not a URL: {error}", masked(url)))?;
        let place = shown(&parsed);
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(format!("`{place}` is written with a user: a feed's token is given beside its URL"));
        }
        let root = Root::of(&parsed)
            .ok_or_else(|| format!("`{place}` is not the URL of a feed: it needs https and a host"))?;
        let azure = |organisation: &str| {
            let root = |host: String, path| Root { scheme: "https".to_owned(), host, port: 443, path };
            Self {
                roots: vec![
                    root(FEED_HOST.to_owned(), vec![organisation.to_owned()]),
                    root(format!("{organisation}{OLD_FEED_HOST}"), Vec::new()),
                ],
                files: AZURE_FILES.map(str::to_owned).to_vec(),
                credential: None,
                private_network: false,
            }
        };
        if root.host == FEED_HOST || root.host.ends_with(OLD_FEED_HOST) {
            let organisation =
                root.host.strip_suffix(OLD_FEED_HOST).map(str::to_owned).or_else(|| root.path.first().cloned());
            return match organisation {
                Some(name) if root.scheme == "https" && root.port == 443 && !name.is_empty() => {
                    Ok(azure(&name.to_ascii_lowercase()))
                }
                _ => Err(format!("`{place}` names no organisation: write https://{FEED_HOST}/ORGANISATION/")),
            };
        }
        let mut root = root;
        if root.path.last().is_some_and(|last| last == "simple" || last == "+simple") {
            root.path.pop();
        }
        Ok(Self { roots: vec![root], files: Vec::new(), credential: None, private_network: false })
    }

    /// Whether it is one of Azure DevOps, which takes Azure's own tokens.
    pub(crate) fn is_azure(&self) -> bool {
        self.roots.iter().any(|root| root.host == FEED_HOST)
    }

    /// Allows its pages to name files on that host, which never gets its credential.
    #[must_use]
    pub fn with_files_on(mut self, host: &str) -> Self {
        self.files.push(host.to_ascii_lowercase());
        self
    }

    /// Allows its hosts to have addresses of a private network or of this machine.
    #[must_use]
    pub fn on_private_network(mut self) -> Self {
        self.private_network = true;
        self
    }

    /// The token that takes the place of `{private}`.
    ///
    /// # Errors
    /// It would be sent over a network without encryption.
    pub fn with_credential(mut self, token: Secret) -> Result<Self, String> {
        let loopback = |host: &str| host == "localhost" || host.starts_with("127.") || host == "[::1]";
        if let Some(root) = self.roots.iter().find(|root| root.scheme != "https" && !loopback(&root.host)) {
            return Err(format!("no token is sent to `{}` without encryption: use https", root.host));
        }
        self.credential = Some(token);
        Ok(self)
    }

    /// Its token.
    pub(super) fn credential(&self) -> Option<&Secret> {
        self.credential.as_ref()
    }

    /// Whether a URL is within it: only then may the credential go there.
    pub(super) fn covers(&self, url: &Url) -> bool {
        self.roots.iter().any(|root| root.holds(url)) && !is_disguised(url)
    }

    /// Whether its pages and redirects may lead there, without the credential.
    fn may_serve(&self, url: &Url) -> bool {
        let Some(place) = host(url) else { return false };
        self.roots.iter().any(|root| root.is_spoken_by(url))
            && self
                .files
                .iter()
                .any(|host| place == host || host.starts_with('.') && place.len() > host.len() && place.ends_with(host))
    }

    /// What its private files are kept under: no other feed's are found there.
    pub(super) fn scope(&self) -> String {
        use sha2::{Digest, Sha256};
        let mut hash = Sha256::new();
        for Root { scheme, host, port, path } in &self.roots {
            hash.update(format!("{scheme}://{host}:{port}/{}\n", path.join("/")));
        }
        let hex: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        format!("feed-{hex}")
    }
}

impl Root {
    fn of(url: &Url) -> Option<Self> {
        if !matches!(url.scheme(), "https" | "http") {
            return None;
        }
        let path = url.path_segments()?.filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let host = host(url)?.to_owned();
        Some(Self { scheme: url.scheme().to_owned(), host, port: url.port_or_known_default()?, path })
    }

    /// Whether a URL is at it or below. A page names thousands of them: nothing is copied.
    fn holds(&self, url: &Url) -> bool {
        let azure = self.host == FEED_HOST;
        let same = |a: &str, b: &str| if azure { a.eq_ignore_ascii_case(b) } else { a == b };
        let mut path = url.path_segments().into_iter().flatten().filter(|part| !part.is_empty());
        self.is_spoken_by(url)
            && host(url) == Some(&self.host)
            && self.path.iter().all(|part| path.next().is_some_and(|of_url| same(part, of_url)))
    }

    /// Whether a URL has its scheme and its port.
    fn is_spoken_by(&self, url: &Url) -> bool {
        url.scheme() == self.scheme && url.port_or_known_default() == Some(self.port)
    }
}

/// The host of a URL of http(s), which is in lower case, without the dot that may end it.
fn host(url: &Url) -> Option<&str> {
    url.host_str().map(|host| host.trim_end_matches('.'))
}

/// A path that a server could read as another one: an encoded slash, backslash or dot.
fn is_disguised(url: &Url) -> bool {
    let path = url.path().to_ascii_lowercase();
    ["%2f", "%5c", "%2e", "%25", "%00"].iter().any(|code| path.contains(code)) || url.path().contains("//")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> GatePolicy {
        let azure = Feed::new("https://pkgs.dev.azure.com/Org/project/_packaging/feed/pypi/simple/").unwrap();
        let other = Feed::new("https://pypi.example.com/team/simple/").unwrap();
        GatePolicy::public().with(azure.with_credential(Secret::new("s3cret".to_owned())).unwrap()).with(other)
    }

    #[test]
    fn an_index_is_allowed_by_host_and_organisation() {
        let policy = policy();
        for (text, private) in [
            ("https://pypi.org/simple", false),
            ("https://{private}@pkgs.dev.azure.com/org/_packaging/f/pypi/simple/", true),
            ("https://${PRIVATE}@pkgs.dev.azure.com/ORG/p/_packaging/f@Release/pypi/simple", true),
            ("https://x:{private}@org.pkgs.visualstudio.com/p/_packaging/f/pypi/simple/", true),
            ("https://pypi.example.com/team/simple/", false),
        ] {
            let index = policy.index(text).unwrap();
            assert_eq!(index.private, private, "{text}");
            assert!(index.url.as_str().ends_with('/') && !index.url.as_str().contains('@') || text.contains("f@"));
        }
    }

    #[test]
    fn all_else_is_refused_and_nothing_secret_is_said() {
        let policy = policy();
        for (text, why) in [
            ("https://{private}@pkgs.dev.azure.com/other/_packaging/f/pypi/simple/", "not an allowed feed"),
            ("https://{private}@evil.example/org/simple/", "not an allowed feed"),
            ("https://{private}@pkgs.dev.azure.com.evil.example/org/simple/", "not an allowed feed"),
            ("https://{private}@pkgs.dev.azure.com@evil.example/org/simple/", "of its own"),
            ("https://{private}@pkgs.dev.azure.com:444/org/simple/", "not an allowed feed"),
            ("http://{private}@pkgs.dev.azure.com/org/simple/", "not an allowed feed"),
            ("https://{private}@pkgs.dev.azure.com/org/../other/simple/", "not an allowed feed"),
            ("https://{private}@pkgs.dev.azure.com/org/%2e%2e/other/simple/", "not an allowed feed"),
            ("https://{private}@pkgs.dev.azure.com/org/..%2fother/simple/", "not an allowed feed"),
            ("https://{private}@pkgs.dev.azure.com/org\\..\\other/simple/", "not an allowed feed"),
            ("https://org.evil.pkgs.visualstudio.com/simple/", "not an allowed feed"),
            ("https://pypi.example.com/teammate/simple/", "not an allowed feed"),
            ("https://evil.example/{private}/simple/", "before the host only"),
            ("https://pypi.org/simple/?x=${PRIVATE}", "before the host only"),
            ("https://pypi.org/${HOME}/simple/", "environment variable"),
            ("https://t0ken@pypi.org/simple/", "of its own"),
            ("https://me:t0ken@pypi.org/simple/", "of its own"),
            ("https://{private}@pypi.org/simple/", "there is none for this feed"),
            ("file:///etc/", "not an allowed feed"),
            ("t0ken@host", "no URL"),
        ] {
            let trouble = policy.index(text).map(|_| ()).unwrap_err();
            let said = trouble.to_string();
            assert!(said.contains(why), "{text}: {said}");
            assert!(!said.contains("t0ken") && !said.contains("s3cret"), "{said}");
            assert_eq!(trouble.status(), 403);
        }
    }

    #[test]
    fn files_come_from_the_feed_or_its_file_hosts() {
        let policy = policy();
        let of = |text: &str| policy.file(text).is_ok();
        assert!(of("https://files.pythonhosted.org/packages/a.whl"));
        assert!(of("https://pkgs.dev.azure.com/org/_packaging/5f2/pypi/download/a.whl"));
        assert!(of("https://x1.blob.core.windows.net/y/a.whl?sig=1"));
        assert!(!of("http://files.pythonhosted.org/packages/a.whl"));
        assert!(!of("https://blob.core.windows.net/a.whl"));
        assert!(!of("https://xblob.core.windows.net.evil.example/a.whl"));
    }

    #[test]
    fn a_token_is_not_sent_in_the_clear() {
        let token = || Secret::new("s3cret".to_owned());
        assert!(Feed::new("http://pypi.example.com/").unwrap().with_credential(token()).is_err());
        assert!(Feed::new("http://127.0.0.1:8080/").unwrap().with_credential(token()).is_ok());
        assert!(Feed::new("https://me:pw@host/").unwrap_err().contains("beside its URL"));
        assert!(Feed::new("https://pkgs.dev.azure.com/").unwrap_err().contains("organisation"));
    }
}
