//! The URLs of private package feeds: what is wrong with one, and the feed that it names. Rules,
//! the package gate and the doctor read them alike.

use std::ops::Range;

mod fault;

pub use fault::{Certainty, Edit, Fault, faults};

use crate::requirements::{Line, LineOption, OptionKind};

/// The host of Azure Artifacts' package feeds.
pub const FEED_HOST: &str = "pkgs.dev.azure.com";
/// What its older hosts end in, behind the organisation's name.
pub const OLD_FEED_HOST: &str = ".pkgs.visualstudio.com";

/// True for an option that names an index.
pub fn is_index(option: &LineOption) -> bool {
    matches!(option.kind, OptionKind::IndexUrl | OptionKind::ExtraIndexUrl)
}

/// True for a line about a private feed: `malformed-private-feed` says what is wrong with it.
pub fn is_about_feed(line: &Line) -> bool {
    is_feed(&line.text)
}

/// True where a word is about a private feed.
pub fn is_feed(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    placeholder(&lower).is_some()
        || lower.contains(FEED_HOST)
        || lower.contains(OLD_FEED_HOST)
        || lower.contains("://dev.azure.com/")
}

/// True for a URL whose host is one of Azure DevOps, or contains one: it is held to the form of Azure's feeds.
pub fn names_azure(url: &str) -> bool {
    let host = Parts::of(url).host;
    host.contains(FEED_HOST) || host.ends_with(OLD_FEED_HOST) || host == "dev.azure.com"
}

/// A URL's parts, found as leniently as a person reads it. Ranges are bytes of the URL.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Before `://`, in lower case.
    pub scheme: Option<String>,
    /// From the scheme's end to the path.
    pub authority: Range<usize>,
    /// `{private}`, or what was written for it.
    pub placeholder: Option<(Range<usize>, String)>,
    /// A second scheme, before the host.
    pub inner_scheme: Option<Range<usize>>,
    /// In lower case, without a port.
    pub host: String,
    /// Where the host stands, with its port.
    pub host_range: Range<usize>,
    /// From the host's end to the query.
    pub path: Range<usize>,
}

impl Parts {
    /// True for Azure Artifacts.
    pub fn is_azure(&self) -> bool {
        self.host.ends_with(FEED_HOST) || self.host.ends_with(OLD_FEED_HOST)
    }

    /// Takes a URL apart.
    pub fn of(url: &str) -> Self {
        let placeholder = placeholder(&url.to_ascii_lowercase())
            .map(|range| (range.clone(), url.get(range).unwrap_or("").to_owned()));
        let scheme_end = url
            .find("://")
            .filter(|end| url.get(..*end).is_some_and(|s| s.chars().all(|c| c.is_ascii_alphanumeric() || c == '+')));
        let start = scheme_end.map_or(0, |end| end + 3);
        // The placeholder's own characters may hold what ends an authority.
        let after = placeholder
            .as_ref()
            .map(|(range, _)| range.clone())
            .filter(|range| range.start == start)
            .map_or(start, |range| range.end);
        let mut host_start = after + usize::from(url.get(after..).is_some_and(|rest| rest.starts_with('@')));
        let inner = url.get(host_start..).and_then(|rest| {
            rest.find("://").filter(|end| rest.get(..*end).is_some_and(|s| s.chars().all(|c| c.is_ascii_alphabetic())))
        });
        let inner_scheme = inner.map(|end| host_start..host_start + end + 3);
        if let Some(range) = &inner_scheme {
            host_start = range.end;
        }
        let rest = url.get(host_start..).unwrap_or("");
        let end = rest.find(['/', '?', '#']).map_or(url.len(), |n| host_start + n);
        let authority = url.get(host_start..end).unwrap_or("");
        let host_at = host_start + authority.rfind('@').map_or(0, |n| n + 1);
        let host = url.get(host_at..end).unwrap_or("");
        let host = host.split(':').next().unwrap_or("").to_ascii_lowercase();
        let path_end = rest.find(['?', '#']).map_or(url.len(), |n| host_start + n);
        Self {
            scheme: scheme_end.map(|end| url.get(..end).unwrap_or("").to_ascii_lowercase()),
            authority: start..end,
            placeholder,
            inner_scheme,
            host,
            host_range: host_at..end,
            path: end..path_end.max(end),
        }
    }
}

/// `{private}` and what people write instead, in a text of lower-case letters.
pub fn placeholder(lower: &str) -> Option<Range<usize>> {
    let start = lower.find("private")?;
    let end = start + "private".len();
    let before = lower.get(..start)?.trim_end();
    let after = lower.get(end..)?;
    let after_at = end + (after.len() - after.trim_start().len());
    let after = after.trim_start();
    for (open, close) in
        [("${{", "}}"), ("{{", "}}"), ("${", "}"), ("{", "}"), ("<", ">"), ("[", "]"), ("(", ")"), ("%7b", "%7d")]
    {
        if before.ends_with(open) && after.starts_with(close) {
            return Some(before.len() - open.len()..after_at + close.len());
        }
    }
    // `$private@`: without braces only directly before the `@`.
    (before.ends_with('$') && after.starts_with('@')).then(|| before.len() - 1..end)
}

/// A feed of Azure Artifacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// In lower case.
    pub host: String,
    /// The organisation, as it is written.
    pub organisation: String,
    /// The project, where it is a project's feed, as it is written.
    pub project: Option<String>,
    /// The feed's name with its view (`tools@Release`), as it is written.
    pub name: String,
    /// The index, with a final `/` and without a placeholder or any other user.
    pub index: String,
}

impl Feed {
    /// Reads a well-formed URL, with or without the placeholder.
    ///
    /// # Errors
    /// What is wrong with it, and what is no feed of Azure Artifacts.
    pub fn parse(url: &str) -> Result<Self, Vec<Fault>> {
        let mut faults = faults(url);
        faults.retain(|fault| fault.certainty != Certainty::Works);
        if faults.iter().any(|fault| fault.certainty == Certainty::Certain) {
            return Err(faults);
        }
        let parts = Parts::of(url);
        let path = url.get(parts.path.clone()).unwrap_or("");
        let host = url.get(parts.host_range.clone()).unwrap_or("");
        let whole = || {
            let (owner, rest) = path.trim_start_matches('/').split_once("_packaging/")?;
            let name = rest.split('/').next()?.to_owned();
            let mut owners = owner.split('/').filter(|part| !part.is_empty());
            let organisation = match parts.host.strip_suffix(OLD_FEED_HOST) {
                Some(organisation) => organisation,
                None => owners.next()?,
            };
            let (project, end) = (owners.next(), owners.next());
            let is_azure = parts.host == FEED_HOST || parts.host.ends_with(OLD_FEED_HOST);
            (is_azure && end.is_none() && parts.host.eq_ignore_ascii_case(host)).then(|| Self {
                host: parts.host.clone(),
                organisation: organisation.to_owned(),
                project: project.map(str::to_owned),
                name,
                index: format!("https://{}{}/", parts.host, path.trim_end_matches('/')),
            })
        };
        whole().ok_or_else(|| {
            if !faults.is_empty() {
                return faults.clone();
            }
            let help = "it reads `https://{private}@pkgs.dev.azure.com/<organisation>/_packaging/<feed>/pypi/simple/`";
            vec![Fault::new(parts.host_range.clone(), format!("`{}` names no Azure DevOps feed", parts.host), help)]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feed_is_read_from_its_url() {
        let shown = |url: &str| match Feed::parse(url) {
            Ok(Feed { organisation, project, name, index, .. }) => {
                format!("{organisation} {} {name} {index}", project.as_deref().unwrap_or("-"))
            }
            Err(faults) => faults[0].message.clone(),
        };
        assert_eq!(
            shown("https://{private}@pkgs.dev.azure.com/contoso/_packaging/tools/pypi/simple"),
            "contoso - tools https://pkgs.dev.azure.com/contoso/_packaging/tools/pypi/simple/"
        );
        assert_eq!(
            shown("https://someone@pkgs.dev.azure.com/contoso/web/_packaging/tools@Release/pypi/simple/"),
            "contoso web tools@Release https://pkgs.dev.azure.com/contoso/web/_packaging/tools@Release/pypi/simple/"
        );
        assert_eq!(
            shown("https://{private}@Contoso.pkgs.visualstudio.com/_packaging/tools/pypi/simple/"),
            "contoso - tools https://contoso.pkgs.visualstudio.com/_packaging/tools/pypi/simple/"
        );
        assert_eq!(
            shown("https://evilpkgs.dev.azure.com/o/_packaging/f/pypi/simple/"),
            "`evilpkgs.dev.azure.com` names no Azure DevOps feed"
        );
        assert_eq!(
            shown("https://pkgs.dev.azure.com:8443/o/_packaging/f/pypi/simple/"),
            "`pkgs.dev.azure.com` names no Azure DevOps feed"
        );
        assert_eq!(
            shown("https://{private}@example.com/simple/"),
            "`example.com` is not an Azure DevOps feed: it would be sent a token that is not its own"
        );
        assert_eq!(
            shown("https://{private}pkgs.dev.azure.com/o/_packaging/f/pypi/simple/"),
            "there is no `@` between `{private}` and the host: pip takes both for the host's name"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_url_is_taken_apart(url in "[a-zA-Z0-9:/@.{}$_? é-]{0,60}") {
            for fault in faults(&url) {
                assert!(url.get(fault.range).is_some());
            }
            if let Ok(feed) = Feed::parse(&url) {
                assert!(feed.host == FEED_HOST || feed.host.ends_with(OLD_FEED_HOST));
            }
        }
    }
}
