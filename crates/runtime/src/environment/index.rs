//! Where packages come from, as pip understands the options of a requirements file.

use flowgate_flow::requirements::{self, OptionKind};

/// The public Python index: pip's own default.
pub const PUBLIC_INDEX: &str = "https://pypi.org/simple/";

/// Indexes in pip's order, and pages of archives. The URLs are as written: with the placeholder,
/// where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Indexes {
    /// The index and its extras.
    pub urls: Vec<String>,
    /// What `--find-links` names.
    pub find_links: Vec<String>,
}

impl Default for Indexes {
    fn default() -> Self {
        Self { urls: vec![PUBLIC_INDEX.to_owned()], find_links: Vec::new() }
    }
}

impl Indexes {
    /// What those options come to: `-i` replaces all that was named so far, `--no-index` takes everything away.
    pub(crate) fn of<'o>(options: impl Iterator<Item = &'o str>) -> Self {
        let mut indexes = Self::default();
        let mut none = false;
        for option in options {
            let read = requirements::read(option);
            for (_, option) in read.options() {
                let value = option.value.as_ref().map(|value| value.value.clone());
                match (option.kind, value) {
                    (OptionKind::IndexUrl, Some(url)) => indexes.urls = vec![url],
                    (OptionKind::ExtraIndexUrl, Some(url)) => indexes.urls.push(url),
                    (OptionKind::FindLinks, Some(url)) => indexes.find_links.push(url),
                    (OptionKind::NoIndex, _) => none = true,
                    _ => {}
                }
            }
        }
        if none {
            indexes.urls.clear();
        }
        indexes
    }

    /// True for an option line that names, or takes away, an index.
    pub(crate) fn is_one(line: &str) -> bool {
        let kinds = [OptionKind::IndexUrl, OptionKind::ExtraIndexUrl, OptionKind::FindLinks, OptionKind::NoIndex];
        requirements::read(line).options().any(|(_, option)| kinds.contains(&option.kind))
    }

    /// Each without user and password, in one spelling.
    pub fn addresses(&self) -> Vec<String> {
        self.urls.iter().chain(&self.find_links).map(|url| address(url)).collect()
    }

    /// The hosts, each once, in order.
    pub fn hosts(&self) -> Vec<String> {
        let mut hosts: Vec<String> = Vec::new();
        for url in self.addresses() {
            let host = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
            let host = host.split('/').next().unwrap_or_default().to_owned();
            if !host.is_empty() && !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        hosts
    }

    /// True where a URL holds the placeholder for a token.
    pub fn is_private(&self) -> bool {
        self.urls.iter().chain(&self.find_links).any(|url| url.contains(crate::plan::PLACEHOLDER))
    }
}

/// `HTTPS://user:pw@Host/simple` as `https://host/simple/`.
fn address(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host).to_ascii_lowercase();
    let path = path.trim_end_matches('/');
    let path = if path.is_empty() { String::new() } else { format!("{path}/") };
    match scheme {
        "" => format!("{host}/{path}"),
        scheme => format!("{}://{host}/{path}", scheme.to_ascii_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(options: &[&str]) -> Vec<String> {
        Indexes::of(options.iter().copied()).addresses()
    }

    #[test]
    fn as_pip_understands_them() {
        assert_eq!(of(&[]), [PUBLIC_INDEX]);
        assert_eq!(of(&["--extra-index-url https://a/simple"]), [PUBLIC_INDEX, "https://a/simple/"]);
        assert_eq!(of(&["--extra-index-url https://a/s", "-i https://b/s/"]), ["https://b/s/"]);
        assert_eq!(of(&["-i https://b/s", "--no-index", "-f https://c/wheels"]), ["https://c/wheels/"]);
    }

    #[test]
    fn an_address_holds_no_user() {
        assert_eq!(of(&["-i HTTPS://{private}@Pkgs.Dev.Azure.com/Org/"]), ["https://pkgs.dev.azure.com/Org/"]);
        let indexes = Indexes::of(["-i https://{private}@host/x", "--extra-index-url https://host/y"].into_iter());
        assert_eq!(indexes.hosts(), ["host"]);
        assert!(indexes.is_private());
    }
}
