//! Where packages come from, as pip understands the options of a requirements file.

use super::{OptionKind, PRIVATE_PLACEHOLDER, Requirements};

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
    /// What the option lines of a file come to, as pip takes them: of one line first `-i`, which replaces all that was
    /// named so far, then the extras; `--no-index` takes everything away for good. On the line of a package, none
    /// counts.
    pub fn of(file: &Requirements) -> Self {
        let mut indexes = Self::default();
        let mut none = false;
        for line in file.lines.iter().filter(|line| !line.requires()) {
            let values = |kind| {
                let options = line.options.iter().filter(move |option| option.kind == kind);
                options.filter_map(|option| option.value.as_ref()).map(|value| value.value.clone())
            };
            none |= line.options.iter().any(|option| option.kind == OptionKind::NoIndex);
            if let Some(url) = values(OptionKind::IndexUrl).next_back() {
                indexes.urls = vec![url];
            }
            indexes.urls.extend(values(OptionKind::ExtraIndexUrl));
            indexes.find_links.extend(values(OptionKind::FindLinks));
        }
        if none {
            indexes.urls.clear();
        }
        indexes
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
        self.urls.iter().chain(&self.find_links).any(|url| url.contains(PRIVATE_PLACEHOLDER))
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
    use crate::requirements;

    fn of(text: &str) -> Vec<String> {
        Indexes::of(&requirements::read(text)).addresses()
    }

    #[test]
    fn as_pip_understands_them() {
        assert_eq!(of(""), [PUBLIC_INDEX]);
        assert_eq!(of("--extra-index-url https://a/simple"), [PUBLIC_INDEX, "https://a/simple/"]);
        assert_eq!(of("--extra-index-url https://a/s\n-i https://b/s/"), ["https://b/s/"]);
        assert_eq!(of("--extra-index-url https://a/s -i https://b/s/"), ["https://b/s/", "https://a/s/"]);
        assert_eq!(of("-i https://a/s -i https://b/s"), ["https://b/s/"]);
        assert_eq!(of("-i https://b/s\n--no-index\n-f https://c/wheels"), ["https://c/wheels/"]);
        assert_eq!(of("numpy -i https://b/s"), [PUBLIC_INDEX]);
    }

    #[test]
    fn an_address_holds_no_user() {
        assert_eq!(of("-i HTTPS://{private}@Pkgs.Dev.Azure.com/Org/"), ["https://pkgs.dev.azure.com/Org/"]);
        let file = requirements::read("-i https://{private}@host/x\n--extra-index-url https://host/y");
        let indexes = Indexes::of(&file);
        assert_eq!(indexes.hosts(), ["host"]);
        assert!(indexes.is_private());
    }
}
