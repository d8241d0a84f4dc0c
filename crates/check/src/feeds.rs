//! The URLs of private package feeds; the rules about indexes share it.

use flowgate_flow::requirements::{Line, LineOption, OptionKind};

/// Hosts of Azure Artifacts' package feeds.
pub(crate) const FEED_HOST: &str = "pkgs.dev.azure.com";
pub(crate) const OLD_FEED_HOST: &str = ".pkgs.visualstudio.com";

/// True for an option that names an index.
pub(crate) fn is_index(option: &LineOption) -> bool {
    matches!(option.kind, OptionKind::IndexUrl | OptionKind::ExtraIndexUrl)
}

/// True for a line about a private feed: `malformed-private-feed` says what is wrong with it.
pub(crate) fn is_about_feed(line: &Line) -> bool {
    is_feed(&line.text)
}

/// True where a word is about a private feed.
pub(crate) fn is_feed(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    placeholder(&lower).is_some()
        || lower.contains(FEED_HOST)
        || lower.contains(OLD_FEED_HOST)
        || lower.contains("://dev.azure.com/")
}

/// A URL's parts, found as leniently as a person reads it. Ranges are bytes of the URL.
pub(crate) struct Parts {
    pub(crate) scheme: Option<String>,
    pub(crate) authority: std::ops::Range<usize>,
    pub(crate) placeholder: Option<(std::ops::Range<usize>, String)>,
    pub(crate) inner_scheme: Option<std::ops::Range<usize>>,
    pub(crate) host: String,
    pub(crate) host_range: std::ops::Range<usize>,
    pub(crate) path: std::ops::Range<usize>,
}

impl Parts {
    /// True for Azure Artifacts.
    pub(crate) fn is_azure(&self) -> bool {
        self.host.ends_with(FEED_HOST) || self.host.ends_with(OLD_FEED_HOST)
    }

    /// Takes a URL apart.
    pub(crate) fn of(url: &str) -> Self {
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
pub(crate) fn placeholder(lower: &str) -> Option<std::ops::Range<usize>> {
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
