//! `requirements.txt` as pip reads it: logical lines, with the place of every part.
//!
//! pip joins physical lines that end in a backslash, drops comments, splits each logical line at
//! the first word that starts with `-`, and reads what stands before it as one requirement and
//! what follows as options. It is silent about much of what it then ignores; this reader keeps it.

use std::str::FromStr;

use pep508_rs::{Requirement as Pep508, VerbatimUrl};

use crate::span::{Span, Spanned};

/// Longer files are not read: no requirements file comes near it, and memory stays bounded.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;

/// The text that Azure's runtime replaces by a token in an index URL.
pub const PRIVATE_PLACEHOLDER: &str = "{private}";

/// One requirements file.
#[derive(Debug, Clone, Default)]
pub struct Requirements {
    /// Its logical lines that hold anything, in order.
    pub lines: Vec<Line>,
    /// Comments, in order; the span includes the `#`.
    pub comments: Vec<Span>,
}

/// One logical line.
#[derive(Debug, Clone)]
pub struct Line {
    /// From its first to its last word; a line continued by a backslash spans several.
    pub span: Span,
    /// The words before the first option, joined as pip joins them; empty for an option line.
    pub requirement: Option<Requirement>,
    /// The options, in order.
    pub options: Vec<LineOption>,
    /// Words after the options that belong to none of them: pip drops them without a word.
    pub stray: Vec<Spanned<String>>,
}

/// `-r file`, `--index-url=URL`, ...
#[derive(Debug, Clone)]
pub struct LineOption {
    /// The name as written, without a value joined to it.
    pub name: Spanned<String>,
    /// The value, where the option takes one and one is there.
    pub value: Option<Spanned<String>>,
}

impl LineOption {
    /// The option's meaning, whichever of its names was written.
    pub fn kind(&self) -> OptionKind {
        match self.name.value.as_str() {
            "-i" | "--index-url" | "--pypi-url" => OptionKind::IndexUrl,
            "--extra-index-url" => OptionKind::ExtraIndexUrl,
            "-r" | "--requirement" => OptionKind::Requirement,
            "-c" | "--constraint" => OptionKind::Constraint,
            "-e" | "--editable" => OptionKind::Editable,
            _ => OptionKind::Other,
        }
    }
}

/// The options that flowgate tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionKind {
    /// `-i`, `--index-url`: replaces the default index for the whole file.
    IndexUrl,
    /// `--extra-index-url`.
    ExtraIndexUrl,
    /// `-r`: another requirements file.
    Requirement,
    /// `-c`: a constraints file.
    Constraint,
    /// `-e`: an editable install.
    Editable,
    /// Any other.
    Other,
}

/// One requirement.
#[derive(Debug, Clone)]
pub struct Requirement {
    /// All of it, up to the first option.
    pub span: Span,
    /// Its text, with continued lines joined.
    pub text: String,
    /// The project's name as written; `None` for a bare URL or a path.
    pub name: Option<Spanned<String>>,
    /// `[a,b]`, brackets included.
    pub extras: Option<Span>,
    /// `==1.0,<2`, or `@ URL`: what restricts the version, without the blanks before it.
    pub specifier: Option<Spanned<String>>,
    /// The standard's reading, or why it refuses the line.
    pub parsed: Result<Box<Pep508<VerbatimUrl>>, String>,
}

impl Requirement {
    /// The name as PEP 503 compares it: lower-case, with `-` for any run of `-`, `_` and `.`.
    pub fn normalized_name(&self) -> Option<String> {
        self.name.as_ref().map(|name| normalize(&name.value))
    }
}

/// A project's name as PEP 503 compares it.
pub fn normalize(name: &str) -> String {
    let parts: Vec<_> = name.split(['-', '_', '.']).filter(|part| !part.is_empty()).collect();
    parts.join("-").to_ascii_lowercase()
}

impl Requirements {
    /// Every option of the file, with its line.
    pub fn options(&self) -> impl Iterator<Item = (&Line, &LineOption)> {
        self.lines.iter().flat_map(|line| line.options.iter().map(move |option| (line, option)))
    }

    /// Every requirement of the file.
    pub fn requirements(&self) -> impl Iterator<Item = &Requirement> {
        self.lines.iter().filter_map(|line| line.requirement.as_ref())
    }
}

/// Reads `text`; a text over [`MAX_BYTES`] gives an empty file.
pub fn read(text: &str) -> Requirements {
    let mut file = Requirements::default();
    if text.len() > MAX_BYTES {
        return file;
    }
    let mut at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    while at < text.len() {
        let (logical, next) = Logical::take(text, at);
        at = next;
        file.comments.extend(logical.comment);
        file.lines.extend(line(&logical));
    }
    file
}

/// A logical line: its characters without continuation marks and comment, each with its offset.
struct Logical {
    chars: Vec<(usize, char)>,
    comment: Option<Span>,
}

impl Logical {
    fn take(text: &str, start: usize) -> (Self, usize) {
        let mut logical = Self { chars: Vec::new(), comment: None };
        let mut at = start;
        loop {
            let end = text[at..].find('\n').map_or(text.len(), |n| at + n);
            let next = (end + 1).min(text.len());
            let line = text[at..end].trim_end_matches('\r');
            let comment = comment_at(line);
            let continued = comment.is_none() && line.ends_with('\\');
            let content = &line[..comment.unwrap_or(line.len())];
            let content = if continued { content.trim_end_matches('\\') } else { content };
            logical.chars.extend(content.char_indices().map(|(offset, c)| (at + offset, c)));
            if let Some(offset) = comment {
                logical.comment = Some(Span::new(at + offset, at + line.len()));
            }
            if !continued || end == text.len() {
                return (logical, next);
            }
            at = next;
        }
    }

    fn text(&self, range: std::ops::Range<usize>) -> String {
        self.chars.get(range).unwrap_or(&[]).iter().map(|(_, c)| c).collect()
    }

    fn span(&self, range: std::ops::Range<usize>) -> Span {
        let place = |index: usize| self.chars.get(index).copied();
        let start = place(range.start).map_or(0, |(offset, _)| offset);
        match range.end.checked_sub(1).filter(|last| *last >= range.start).and_then(place) {
            Some((offset, c)) => Span::new(start, offset + c.len_utf8()),
            None => Span::empty(start),
        }
    }

    fn spanned(&self, range: std::ops::Range<usize>) -> Spanned<String> {
        Spanned::new(self.text(range.clone()), self.span(range))
    }

    fn words(&self) -> Vec<std::ops::Range<usize>> {
        let mut words = Vec::new();
        let mut start = None;
        for (index, (_, c)) in self.chars.iter().enumerate() {
            // pip splits at ASCII blanks only: a no-break space stays part of a word.
            match (c.is_ascii_whitespace(), start) {
                (true, Some(from)) => {
                    words.push(from..index);
                    start = None;
                }
                (false, None) => start = Some(index),
                _ => {}
            }
        }
        if let Some(from) = start {
            words.push(from..self.chars.len());
        }
        words
    }
}

/// Where a comment starts: a `#` at the start of the line or after a blank.
fn comment_at(line: &str) -> Option<usize> {
    let mut before = ' ';
    for (offset, c) in line.char_indices() {
        if c == '#' && before.is_whitespace() {
            return Some(offset);
        }
        before = c;
    }
    None
}

fn line(logical: &Logical) -> Option<Line> {
    let words = logical.words();
    let (first, last) = (words.first()?, words.last()?);
    let is_option = |word: &std::ops::Range<usize>| logical.chars.get(word.start).is_some_and(|(_, c)| *c == '-');
    let split = words.iter().position(is_option).unwrap_or(words.len());
    let requirement = words[..split].last().map(|end| requirement(logical, first.start..end.end));
    let mut options: Vec<LineOption> = Vec::new();
    let mut stray = Vec::new();
    for word in &words[split..] {
        if is_option(word) {
            options.push(option(logical, word.clone()));
            continue;
        }
        match options.last_mut().filter(|o| o.value.is_none() && takes_value(&o.name.value)) {
            Some(option) => option.value = Some(logical.spanned(word.clone())),
            None => stray.push(logical.spanned(word.clone())),
        }
    }
    Some(Line { span: logical.span(first.start..last.end), requirement, options, stray })
}

fn takes_value(name: &str) -> bool {
    !matches!(name, "--no-index" | "--prefer-binary" | "--require-hashes" | "--pre")
}

/// Splits `--name=value` and `-rfile`.
fn option(logical: &Logical, word: std::ops::Range<usize>) -> LineOption {
    let text = logical.text(word.clone());
    let split = if text.starts_with("--") {
        text.chars().position(|c| c == '=').map(|at| (at, at + 1))
    } else {
        (text.chars().count() > 2).then_some((2, 2))
    };
    match split {
        Some((name, value)) => LineOption {
            name: logical.spanned(word.start..word.start + name),
            value: Some(logical.spanned(word.start + value..word.end)),
        },
        None => LineOption { name: logical.spanned(word), value: None },
    }
}

fn requirement(logical: &Logical, range: std::ops::Range<usize>) -> Requirement {
    let text = logical.text(range.clone());
    let chars: Vec<char> = text.chars().collect();
    let skip = |mut at: usize, keep: &dyn Fn(char) -> bool| {
        while chars.get(at).is_some_and(|c| keep(*c)) {
            at += 1;
        }
        at
    };
    let blank = |c: char| c.is_whitespace();
    let place = |from: usize, to: usize| logical.spanned(range.start + from..range.start + to);

    let name_end = skip(0, &|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    let after_name = skip(name_end, &blank);
    // A path or a URL starts like a name; what follows tells them apart.
    let named = name_end > 0
        && !text.starts_with('.')
        && !matches!(chars.get(after_name), Some('/' | '\\' | ':' | '+'))
        && ![".whl", ".zip", ".tar.gz"]
            .iter()
            .any(|suffix| text.to_ascii_lowercase().ends_with(suffix) && !text.contains('@'));
    let mut requirement = Requirement {
        span: logical.span(range.clone()),
        parsed: parse(&text),
        text: text.clone(),
        name: None,
        extras: None,
        specifier: None,
    };
    if !named {
        return requirement;
    }
    requirement.name = Some(place(0, name_end));
    let mut at = after_name;
    if chars.get(at) == Some(&'[') {
        let end = (skip(at, &|c| c != ']') + 1).min(chars.len());
        requirement.extras = Some(place(at, end).span);
        at = skip(end, &blank);
    }
    let end = if chars.get(at) == Some(&'@') {
        // In a URL, only a blank before the semicolon ends it.
        (at..chars.len())
            .find(|i| chars[*i] == ';' && chars.get(i.wrapping_sub(1)).is_some_and(|c| c.is_whitespace()))
            .unwrap_or(chars.len())
    } else {
        skip(at, &|c| c != ';')
    };
    let end = (at..end).rev().find(|i| !chars[*i].is_whitespace()).map_or(at, |last| last + 1);
    if end > at {
        requirement.specifier = Some(place(at, end));
    }
    requirement
}

/// The standard's reading of one requirement.
///
/// The names are looked at first: the library panics where one ends in `-`, `_` or `.` and
/// anything follows.
fn parse(text: &str) -> Result<Box<Pep508<VerbatimUrl>>, String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let text = text.trim();
    let (before_extras, extras) = text.split_once('[').unwrap_or((text, ""));
    let extras = extras.split(']').next().unwrap_or("");
    let head = before_extras.find(|c| !is_name(c)).map_or(before_extras, |end| &before_extras[..end]);
    let bad = |name: &str| !name.is_empty() && !name.ends_with(|c: char| c.is_ascii_alphanumeric());
    if bad(head) {
        return Err(format!("`{head}` does not end in a letter or a digit"));
    }
    if let Some(extra) = extras.split(',').map(str::trim).find(|extra| bad(extra) || !extra.chars().all(is_name)) {
        return Err(format!("`{extra}` is not the name of an extra"));
    }
    Pep508::from_str(text).map(Box::new).map_err(|error| error.message.to_string())
}

#[cfg(test)]
mod tests;
