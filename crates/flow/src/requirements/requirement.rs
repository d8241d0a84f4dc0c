//! One requirement, as pip's `install_req_from_line` understands it.

use std::ops::Range;
use std::str::FromStr;

use pep508_rs::{Requirement as Pep508, VerbatimUrl};

use super::logical::Logical;
use crate::span::{Span, Spanned};

/// One requirement.
#[derive(Debug, Clone)]
pub struct Requirement {
    /// All of it, up to the first option.
    pub span: Span,
    /// Its text, with continued lines joined.
    pub text: String,
    /// What pip takes it for.
    pub form: Form,
    /// The project's name as written; `None` for a bare URL or a path.
    pub name: Option<Spanned<String>>,
    /// `[a,b]`, brackets included.
    pub extras: Option<Span>,
    /// `==1.0,<2`, or `@ URL`: what restricts the version, without the blanks before it.
    pub specifier: Option<Spanned<String>>,
    /// The standard's reading, or why it refuses the line.
    pub parsed: Result<Box<Pep508<VerbatimUrl>>, String>,
}

/// What pip takes a requirement for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A name, with what restricts its version.
    Name,
    /// A bare URL: pip fetches the package from there.
    Url,
    /// A folder or an archive on the disk.
    Path,
}

impl Requirement {
    /// The name as PEP 503 compares it: lower-case, with `-` for any run of `-`, `_` and `.`.
    pub fn normalized_name(&self) -> Option<String> {
        self.name.as_ref().map(|name| super::normalize(&name.value))
    }

    /// True for a path that ends as an archive does.
    pub fn is_archive(&self) -> bool {
        is_archive(bare(&self.text))
    }

    /// The URL of `name @ URL`, or the bare one.
    pub fn url(&self) -> Option<&str> {
        match self.form {
            Form::Url => self.text.split(' ').next(),
            _ => self.specifier.as_ref()?.value.strip_prefix('@').map(str::trim),
        }
    }
}

/// The endings by which pip knows an archive.
const ARCHIVES: [&str; 11] =
    [".zip", ".whl", ".tar.gz", ".tgz", ".tar", ".tar.bz2", ".tbz", ".tar.xz", ".txz", ".tlz", ".tar.lz"];

pub(super) fn read(logical: &Logical, range: Range<usize>) -> Requirement {
    let text = logical.text(range.clone());
    let form = form(&text);
    let mut requirement = Requirement {
        span: logical.span(range.clone()),
        form,
        name: None,
        extras: None,
        specifier: None,
        parsed: Err("this is not the name of a package".to_owned()),
        text,
    };
    if form == Form::Name {
        named(&mut requirement, logical, range.start);
        requirement.parsed = parse(&requirement.text);
    }
    requirement
}

fn form(text: &str) -> Form {
    if is_url(text) {
        return Form::Url;
    }
    let bare = bare(text);
    let looks_like_path = |text: &str| text.starts_with('.') || text.contains('/');
    let has_url = bare.split_once('@').is_some_and(|(name, _)| !looks_like_path(name));
    let is_path = is_archive(bare) || looks_like_path(bare) && !bare.contains(' ');
    if !has_url && is_path { Form::Path } else { Form::Name }
}

/// A requirement without its marker and its extras.
fn bare(text: &str) -> &str {
    let before_marker = text.split(';').next().unwrap_or("").trim_end();
    before_marker.strip_suffix(']').and_then(|t| t.rsplit_once('[')).map_or(before_marker, |(t, _)| t)
}

fn is_archive(bare: &str) -> bool {
    let lower = bare.to_ascii_lowercase();
    ARCHIVES.iter().any(|ending| lower.ends_with(ending))
}

/// True for what pip takes for a URL by its scheme.
fn is_url(text: &str) -> bool {
    let Some((scheme, _)) = text.split_once(':') else { return false };
    let scheme = scheme.to_ascii_lowercase();
    matches!(scheme.as_str(), "http" | "https" | "file" | "ftp")
        || scheme.split_once('+').is_some_and(|(tool, _)| matches!(tool, "git" | "hg" | "svn" | "bzr"))
}

/// Finds the parts as a person sees them, also where the standard refuses the whole.
fn named(requirement: &mut Requirement, logical: &Logical, start: usize) {
    let chars: Vec<char> = requirement.text.chars().collect();
    let skip = |mut at: usize, keep: &dyn Fn(char) -> bool| {
        while chars.get(at).is_some_and(|c| keep(*c)) {
            at += 1;
        }
        at
    };
    let blank = |c: char| c.is_whitespace();
    let place = |from: usize, to: usize| logical.spanned(start + from..start + to);

    let name_end = skip(0, &is_name_char);
    let after_name = skip(name_end, &blank);
    if name_end == 0 || matches!(chars.get(after_name), Some('/' | '\\' | ':' | '+')) {
        return;
    }
    requirement.name = Some(place(0, name_end));
    let mut at = after_name;
    if chars.get(at) == Some(&'[') {
        let end = (skip(at, &|c| c != ']') + 1).min(chars.len());
        requirement.extras = Some(place(at, end).span);
        at = skip(end, &blank);
    }
    let end = skip(at, &|c| c != ';');
    let end = (at..end).rev().find(|i| chars.get(*i).is_some_and(|c| !blank(*c))).map_or(at, |last| last + 1);
    if end > at {
        requirement.specifier = Some(place(at, end));
    }
}

/// The library is not given more, in bytes.
const MAX_PARSED: usize = 4096;
/// Nor markers with more `and`s, `or`s and brackets: it recurses, and compares each with each.
const MAX_MARKER_TERMS: usize = 32;

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// The standard's reading of one requirement.
///
/// pip cuts the marker off at the first semicolon, even in a URL, and takes an empty one for none;
/// the standard's reader is given what is left. What makes the library panic, recurse without end
/// or take long is kept from it: names that end in `-`, `_` or `.` with anything behind them,
/// characters outside ASCII, and markers that no one writes.
fn parse(text: &str) -> Result<Box<Pep508<VerbatimUrl>>, String> {
    let (before, marker) = text.split_once(';').unwrap_or((text, ""));
    let (before, marker) = (before.trim(), marker.trim());
    let has_version = before.contains(['=', '<', '>']) && !before.contains('@');
    let before = before.strip_suffix(',').filter(|_| has_version).map_or(before, str::trim_end);
    let (before_extras, extras) = before.split_once('[').unwrap_or((before, ""));
    let extras = extras.split(']').next().unwrap_or("");
    let head = before_extras.find(|c| !is_name_char(c)).map_or(before_extras, |end| &before_extras[..end]);
    let bad = |name: &str| !name.is_empty() && !name.ends_with(|c: char| c.is_ascii_alphanumeric());
    if bad(head) {
        return Err(format!("`{head}` does not end in a letter or a digit"));
    }
    if let Some(extra) = extras.split(',').map(str::trim).find(|extra| bad(extra) || !extra.chars().all(is_name_char)) {
        return Err(format!("`{extra}` is not the name of an extra"));
    }
    let terms: usize = ["and", "or", "("].iter().map(|term| marker.matches(term).count()).sum();
    if before.len() > MAX_PARSED || marker.len() > MAX_PARSED || terms > MAX_MARKER_TERMS {
        return Err("the requirement is too long".to_owned());
    }
    // Before the `@` of a URL stands a name.
    let written = before.split('@').next().unwrap_or(before);
    if let Some(c) = written.chars().find(|c| !c.is_ascii()) {
        return Err(format!("`{}` is not part of a name or a version", c.escape_debug()));
    }
    // A URL holds them in another spelling; in a marker they can only stand in a text.
    let before: String = before.chars().map(|c| if c.is_ascii() { c } else { '_' }).collect();
    let marker: String = marker.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect();
    let whole = if marker.is_empty() { before.to_owned() } else { format!("{before} ; {marker}") };
    Pep508::from_str(&whole).map(Box::new).map_err(|error| error.message.to_string())
}
