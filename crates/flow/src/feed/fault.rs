//! What is wrong with the URL of a private feed.

use std::ops::Range;

use super::{FEED_HOST, OLD_FEED_HOST, Parts};
use crate::requirements::{self, PRIVATE_PLACEHOLDER};
use crate::{credential, suggest};

/// A fault of a feed's URL. No two edits of one URL overlap. Ranges are bytes of the URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub range: Range<usize>,
    /// What.
    pub message: String,
    /// The next step.
    pub help: String,
    /// Whether it is one.
    pub certainty: Certainty,
    /// The one repair, where there is one.
    pub edit: Option<Edit>,
}

/// Whether a fault is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    /// Always.
    Certain,
    /// It may be meant.
    Doubtful,
    /// It works, and there is a better way.
    Works,
}

/// A repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// What it does.
    pub title: &'static str,
    /// What it replaces.
    pub range: Range<usize>,
    /// By what.
    pub text: &'static str,
    /// False where something else may have been meant.
    pub safe: bool,
}

impl Fault {
    pub(super) fn new(range: Range<usize>, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { range, message: message.into(), help: help.into(), certainty: Certainty::Certain, edit: None }
    }

    fn edit(self, title: &'static str, range: Range<usize>, text: &'static str) -> Self {
        Self { edit: Some(Edit { title, range, text, safe: true }), ..self }
    }

    fn unsafe_edit(self, title: &'static str, range: Range<usize>, text: &'static str) -> Self {
        Self { edit: Some(Edit { title, range, text, safe: false }), ..self }
    }

    fn doubtful(self) -> Self {
        Self { certainty: Certainty::Doubtful, ..self }
    }

    fn works(self) -> Self {
        Self { certainty: Certainty::Works, ..self }
    }
}

/// What is wrong with the URL of a private feed.
pub fn faults(url: &str) -> Vec<Fault> {
    let parts = Parts::of(url);
    let mut found = Vec::new();
    match parts.scheme.as_deref() {
        None => {
            let message = "the URL has no scheme: pip takes it for a folder";
            let fault = Fault::new(0..url.len(), message, "start it with `https://`");
            found.push(fault.edit("add `https://`", 0..0, "https://"));
        }
        Some("https") => {}
        Some("http") => {
            let fault = Fault::new(0..4, "`http` sends the token in the clear", "use `https`");
            found.push(fault.edit("use `https`", 0..4, "https"));
        }
        Some(other) => {
            let message = format!("`{other}` is not the scheme of a feed");
            found.push(Fault::new(0..other.len(), message, "use `https`"));
        }
    }
    if let Some((range, written)) = &parts.placeholder {
        found.extend(placeholder_faults(url, &parts, range, written));
    }
    found.extend(user_fault(url, &parts));
    if let Some(range) = &parts.inner_scheme {
        let fault = Fault::new(range.clone(), "a second scheme stands before the host", "remove it");
        found.push(fault.edit("remove it", range.clone(), ""));
    }
    if parts.is_azure() {
        found.extend(path_fault(url, &parts));
        found.extend(name_faults(url, &parts));
    }
    found.extend(host_fault(&parts));
    found
}

/// What people write for the host of feeds.
const MISSPELT_HOSTS: [&str; 6] = [
    "pkgs.azure.com",
    "pkg.dev.azure.com",
    "packages.dev.azure.com",
    "pkgs.azure.dev.com",
    "pkgs.devazure.com",
    "pkgs.dev.azure.net",
];

fn host_fault(parts: &Parts) -> Option<Fault> {
    let (host, range) = (parts.host.as_str(), parts.host_range.clone());
    if parts.is_azure() {
        let organisation = host.strip_suffix(OLD_FEED_HOST)?;
        let message = "this is the older address of the feed, which still works";
        let help = format!("the newer one is `{FEED_HOST}/{organisation}/...`");
        return Some(Fault::new(range, message, help).works());
    }
    if MISSPELT_HOSTS.contains(&host) {
        let (message, help) = (format!("`{host}` is not a host of feeds"), format!("did you mean `{FEED_HOST}`?"));
        return Some(Fault::new(range.clone(), message, help).edit("write the host", range, FEED_HOST));
    }
    if host == "dev.azure.com" || host.ends_with(".visualstudio.com") {
        let help = "use `https://{private}@pkgs.dev.azure.com/<organisation>/_packaging/<feed>/pypi/simple/`";
        return Some(Fault::new(range, format!("`{host}` is the web page, not the feed"), help));
    }
    if parts.placeholder.is_none() || host.is_empty() {
        return None;
    }
    let message = if is_template(host) {
        format!("`{host}` is a placeholder for the feed's address")
    } else {
        format!("`{host}` is not an Azure DevOps feed: it would be sent a token that is not its own")
    };
    Some(Fault::new(range, message, "`{private}` is for feeds at `pkgs.dev.azure.com`").doubtful())
}

/// True for a name of an example that was not filled in: `<org>`, `{feed}`, `FEED_NAME`.
fn is_template(name: &str) -> bool {
    let (open, close) = (name.starts_with(['<', '{', '[']), name.ends_with(['>', '}', ']']));
    let loud = ["ORGANIZATION", "ORGANISATION", "ORG_", "PROJECT_", "FEED_", "YOUR"];
    let upper = !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || matches!(c, '_' | '-'));
    open && close || upper && loud.iter().any(|word| name.starts_with(word))
}

/// What stands before the host, other than the placeholder alone.
fn user_fault(url: &str, parts: &Parts) -> Option<Fault> {
    let end = parts.host_range.start.checked_sub(1).filter(|end| *end > parts.authority.start)?;
    let range = parts.authority.start..end;
    let user = url.get(range.clone())?;
    if parts.inner_scheme.is_some() || url.get(end..parts.host_range.start) != Some("@") {
        return None;
    }
    if let Some((placeholder, written)) = &parts.placeholder {
        let is_other = *placeholder != range && written == PRIVATE_PLACEHOLDER && placeholder.end <= range.end;
        return is_other.then(|| {
            let message = format!("`{user}` is not the documented form, which is `{{private}}` alone");
            let fault = Fault::new(range.clone(), message, "write `https://{private}@`").doubtful();
            fault.edit("write `{private}` alone", range, PRIVATE_PLACEHOLDER)
        });
    }
    if !parts.is_azure() {
        return None;
    }
    if user.starts_with('{')
        && user.ends_with('}')
        && suggest::nearest(user, [PRIVATE_PLACEHOLDER].into_iter()).is_some()
    {
        let fault = Fault::new(range.clone(), format!("`{user}` is not the placeholder"), "write `{private}`");
        return Some(fault.edit("write `{private}`", range, PRIVATE_PLACEHOLDER));
    }
    if let Some(variable) = requirements::variables(user).next() {
        let written = user.get(variable)?;
        let message = format!("pip replaces `{written}` by an environment variable, which the runtime does not set");
        return Some(Fault::new(range, message, "write `{private}`").doubtful());
    }
    // Whether the feed is public, or an image brings a keyring, is not in the file.
    let is_name = !user.contains([':', '$']) && credential::find(url).is_empty();
    is_name.then(|| {
        let message = format!("`{user}` is a user without a password: for a feed that is not public, pip asks for one");
        let fault = Fault::new(range.clone(), message, "write `{private}`, or nothing before the host").doubtful();
        fault.unsafe_edit("write `{private}`", range, PRIVATE_PLACEHOLDER)
    })
}

/// The names of organisation, project and feed.
fn name_faults(url: &str, parts: &Parts) -> Vec<Fault> {
    let path = url.get(parts.path.clone()).unwrap_or("");
    let mut found = Vec::new();
    let mut doubt = |range: Range<usize>, message: String, help: &str| {
        found.push(Fault::new(range, message, help).doubtful());
    };
    if let Some(double) = path.find("//") {
        let start = parts.path.start + double;
        doubt(start..start + 2, "two slashes: the server may not know the path".to_owned(), "write one");
    }
    let mut start = parts.path.start;
    let mut names = Vec::new();
    for name in path.split('/') {
        let range = start..start + name.len();
        start = range.end + 1;
        // Of that, another fault says more.
        if name == PRIVATE_PLACEHOLDER {
            continue;
        }
        if is_template(name) {
            doubt(range, format!("`{name}` is a placeholder for a name"), "write the name");
        } else if let Some(c) = name.chars().find(|c| !c.is_ascii()) {
            doubt(range, format!("`{c}` cannot stand in a URL as it is"), "write it in percent encoding");
        } else if !name.is_empty() {
            names.push((name, range));
        }
    }
    if let [(organisation, _), ("_packaging", _), (feed, range), ..] = names.as_slice()
        && organisation == feed
        && parts.host == FEED_HOST
    {
        let message = "the feed has the name of the organisation: is it one of the organisation itself?";
        let help = "the name of the feed follows `_packaging/`";
        found.push(Fault::new(range.clone(), message, help).works());
    }
    found
}

fn placeholder_faults(url: &str, parts: &Parts, range: &Range<usize>, written: &str) -> Vec<Fault> {
    let mut found = Vec::new();
    if written == "${PRIVATE}" {
        let message = "pip replaces `${PRIVATE}` by an environment variable, which the runtime does not set";
        found.push(Fault::new(range.clone(), message, "write `{private}`").doubtful());
    } else if written != PRIVATE_PLACEHOLDER {
        let fault = Fault::new(range.clone(), format!("`{written}` is not the placeholder"), "write `{private}`");
        found.push(fault.edit("write `{private}`", range.clone(), PRIVATE_PLACEHOLDER));
    }
    let rest = url.get(range.end..).unwrap_or("");
    if !rest.is_empty() && !rest.starts_with('@') && !rest.starts_with(':') && range.end <= parts.authority.end {
        let message = "there is no `@` between `{private}` and the host: pip takes both for the host's name";
        let fault = Fault::new(range.end..range.end, message, "write `{private}@`");
        found.push(fault.edit("add `@`", range.end..range.end, "@"));
    }
    if range.start >= parts.authority.end {
        let message = "`{private}` is replaced only before the host";
        found.push(Fault::new(range.clone(), message, "write `https://{private}@<feed>`"));
    }
    found
}

fn path_fault(url: &str, parts: &Parts) -> Option<Fault> {
    let path = url.get(parts.path.clone()).unwrap_or("");
    let Some(packaging) = path.find("_packaging/") else {
        let help = "it reads `/<organisation>/_packaging/<feed>/pypi/simple/`";
        return Some(Fault::new(parts.path.clone(), "the path does not name a feed", help));
    };
    let feed = packaging + "_packaging/".len();
    let feed_end = path.get(feed..).and_then(|rest| rest.find('/')).map_or(path.len(), |n| feed + n);
    if feed_end == feed {
        let help = "it reads `/_packaging/<feed>/pypi/simple/`";
        return Some(Fault::new(parts.path.clone(), "the name of the feed is missing", help));
    }
    let tail = path.get(feed_end..).unwrap_or("");
    if tail.trim_end_matches('/') == "/pypi/simple" {
        return None;
    }
    let range = parts.path.start + feed_end..parts.path.end;
    let message = match tail.trim_matches('/') {
        "pypi/upload" => "this is the address for uploads, not the index".to_owned(),
        other if ["nuget", "npm", "maven"].iter().any(|kind| other.starts_with(kind)) => {
            format!("`{other}` is not a Python index")
        }
        _ => "the URL of an index ends in `/pypi/simple/`".to_owned(),
    };
    let shown = if range.is_empty() { parts.path.clone() } else { range.clone() };
    let fault = Fault::new(shown, message, "write `/pypi/simple/` after the feed's name");
    Some(fault.edit("write `/pypi/simple/`", range, "/pypi/simple/"))
}
