//! The options of a line, as Python's `shlex` and `optparse` read them for pip.

use std::ops::Range;

use super::logical::{Logical, span_of};
use crate::span::{Span, Spanned};

/// `-r file`, `--index-url=URL`, ...
#[derive(Debug, Clone)]
pub struct LineOption {
    /// The name as written, without a value joined to it.
    pub name: Spanned<String>,
    /// The value without quotes, where the option takes one and one is there.
    pub value: Option<Spanned<String>>,
    /// The option's meaning, whichever of its names was written.
    pub kind: OptionKind,
}

/// The options that pip takes in a requirements file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionKind {
    /// `-i`, `--index-url`: replaces every index that was named so far.
    IndexUrl,
    /// `--extra-index-url`.
    ExtraIndexUrl,
    /// `--no-index`: no index at all, whatever else is named.
    NoIndex,
    /// `-f`: a page or folder of archives.
    FindLinks,
    /// `--trusted-host`: a host whose certificate is not looked at.
    TrustedHost,
    /// `-r`: another requirements file.
    Requirement,
    /// `-c`: a constraints file.
    Constraint,
    /// `-e`: an editable install.
    Editable,
    /// `--hash`, of the requirement on the same line.
    Hash,
    /// `--config-settings`, of the requirement on the same line.
    ConfigSettings,
    /// `--global-option`, of the requirement on the same line; pip 25.3 refuses it.
    GlobalOption,
    /// `--no-binary`, `--pre` and others that say how packages are chosen.
    Other,
    /// None that pip takes here.
    Unknown,
}

impl OptionKind {
    /// True for the options that say where packages come from.
    pub fn is_of_indexes(self) -> bool {
        matches!(self, Self::IndexUrl | Self::ExtraIndexUrl | Self::FindLinks | Self::NoIndex)
    }

    /// True for the options that belong to the requirement on their line.
    pub fn is_per_requirement(self) -> bool {
        matches!(self, Self::Hash | Self::ConfigSettings | Self::GlobalOption)
    }
}

/// Why pip refuses a line's options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is no option of that name.
    Unknown(Spanned<String>),
    /// Several options start like that.
    Ambiguous(Spanned<String>, Vec<&'static str>),
    /// The value is missing.
    NoValue(Spanned<String>),
    /// The option takes no value.
    Value(Spanned<String>),
    /// The value is not what the option takes; what it takes.
    BadValue(Spanned<String>, &'static str),
    /// A quote that is not closed, or a backslash at the end.
    Quotes(Span),
}

struct Declared {
    short: Option<char>,
    long: &'static [&'static str],
    takes_value: bool,
    kind: OptionKind,
}

const fn option(short: Option<char>, long: &'static [&'static str], takes_value: bool, kind: OptionKind) -> Declared {
    Declared { short, long, takes_value, kind }
}

const OPTIONS: &[Declared] = &[
    option(Some('i'), &["--index-url", "--pypi-url"], true, OptionKind::IndexUrl),
    option(None, &["--extra-index-url"], true, OptionKind::ExtraIndexUrl),
    option(None, &["--no-index"], false, OptionKind::NoIndex),
    option(Some('c'), &["--constraint"], true, OptionKind::Constraint),
    option(Some('r'), &["--requirement"], true, OptionKind::Requirement),
    option(Some('e'), &["--editable"], true, OptionKind::Editable),
    option(Some('f'), &["--find-links"], true, OptionKind::FindLinks),
    option(None, &["--no-binary"], true, OptionKind::Other),
    option(None, &["--only-binary"], true, OptionKind::Other),
    option(None, &["--prefer-binary"], false, OptionKind::Other),
    option(None, &["--require-hashes"], false, OptionKind::Other),
    option(None, &["--pre"], false, OptionKind::Other),
    option(None, &["--trusted-host"], true, OptionKind::TrustedHost),
    option(None, &["--use-feature"], true, OptionKind::Other),
    option(None, &["--hash"], true, OptionKind::Hash),
    option(Some('C'), &["--config-settings"], true, OptionKind::ConfigSettings),
    option(None, &["--global-option"], true, OptionKind::GlobalOption),
];

/// The long names that pip takes in a requirements file.
pub fn long_names() -> impl Iterator<Item = &'static str> {
    OPTIONS.iter().flat_map(|declared| declared.long.iter().copied())
}

#[derive(Default)]
pub(super) struct Read {
    pub(super) options: Vec<LineOption>,
    pub(super) stray: Vec<Spanned<String>>,
    pub(super) refusal: Option<Refusal>,
}

/// Reads the options in `range`. After the first that pip refuses, the rest is read as if it had
/// not.
pub(super) fn read(logical: &Logical, range: Range<usize>) -> Read {
    let (words, unclosed) = split(logical, range);
    let mut read = Read { refusal: unclosed.map(Refusal::Quotes), ..Read::default() };
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let text = word.text();
        if text == "--" {
            read.stray.extend(words.by_ref().map(|word| word.spanned(0)));
        } else if let Some((name, joined)) = word.option() {
            read.option(name, joined, &mut words);
        } else {
            read.stray.push(word.spanned(0));
        }
    }
    read
}

impl Read {
    fn refuse(&mut self, refusal: Refusal) {
        self.refusal.get_or_insert(refusal);
    }

    fn option(
        &mut self,
        name: Spanned<String>,
        joined: Option<Spanned<String>>,
        words: &mut impl Iterator<Item = Word>,
    ) {
        let declared = match declared(&name.value) {
            Ok(declared) => declared,
            Err(candidates) => {
                self.refuse(match candidates.as_slice() {
                    [] => Refusal::Unknown(name.clone()),
                    _ => Refusal::Ambiguous(name.clone(), candidates),
                });
                self.options.push(LineOption { name, value: joined, kind: OptionKind::Unknown });
                return;
            }
        };
        let value = match (declared.takes_value, joined) {
            (true, None) => words.next().map(|word| word.spanned(0)),
            (_, joined) => joined,
        };
        match (declared.takes_value, &value) {
            (true, None) => self.refuse(Refusal::NoValue(name.clone())),
            (false, Some(value)) => self.refuse(Refusal::Value(value.clone())),
            (true, Some(value)) => {
                if let Some(wanted) = wanted(declared, &value.value) {
                    self.refuse(Refusal::BadValue(value.clone(), wanted));
                }
            }
            (false, None) => {}
        }
        self.options.push(LineOption { name, value, kind: declared.kind });
    }
}

/// What an option takes, where the value is not that.
fn wanted(declared: &Declared, value: &str) -> Option<&'static str> {
    let strong = |value: &str| {
        value.split_once(':').is_some_and(|(algorithm, _)| matches!(algorithm, "sha256" | "sha384" | "sha512"))
    };
    match declared.kind {
        OptionKind::Hash if !strong(value) => Some("`sha256:`, `sha384:` or `sha512:` and the hash"),
        OptionKind::ConfigSettings if !value.contains('=') => Some("`KEY=VALUE`"),
        OptionKind::Other if value.starts_with('-') && declared.long.iter().any(|name| name.ends_with("binary")) => {
            Some("names of packages, `:all:` or `:none:`")
        }
        OptionKind::Other if declared.long == ["--use-feature"] && !FEATURES.contains(&value) => {
            Some("a feature of pip")
        }
        _ => None,
    }
}

/// The features that any pip since 20.3 knew.
const FEATURES: [&str; 7] = [
    "2020-resolver",
    "build-constraint",
    "fast-deps",
    "in-tree-build",
    "inprocess-build-deps",
    "no-binary-enable-wheel-cache",
    "truststore",
];

/// The option of that name or of which it is the one possible beginning; else those that it could
/// stand for.
fn declared(name: &str) -> Result<&'static Declared, Vec<&'static str>> {
    let mut chars = name.chars();
    if !name.starts_with("--") {
        let short = chars.nth(1);
        return OPTIONS.iter().find(|declared| short.is_some() && declared.short == short).ok_or_else(Vec::new);
    }
    if let Some(exact) = OPTIONS.iter().find(|declared| declared.long.contains(&name)) {
        return Ok(exact);
    }
    let beginning = |long: &&'static str| long.starts_with(name);
    let candidates: Vec<&'static str> = long_names().filter(beginning).collect();
    match candidates.as_slice() {
        [one] => OPTIONS.iter().find(|declared| declared.long.contains(one)).ok_or_else(Vec::new),
        _ => Err(candidates),
    }
}

/// A word with the place of each of its characters; quotes and escapes are gone.
struct Word {
    chars: Vec<(usize, char)>,
    /// Where it stands, quotes included.
    span: Span,
}

impl Word {
    fn text(&self) -> String {
        self.chars.iter().map(|(_, c)| c).collect()
    }

    /// What follows the first `from` characters.
    fn spanned(&self, from: usize) -> Spanned<String> {
        let chars = self.chars.get(from..).unwrap_or(&[]);
        let span = span_of(chars).unwrap_or(Span::empty(self.span.end));
        Spanned::new(chars.iter().map(|(_, c)| c).collect(), span)
    }

    /// Name and joined value, where the word is an option.
    fn option(&self) -> Option<(Spanned<String>, Option<Spanned<String>>)> {
        let text = self.text();
        let (name, value) = if text.starts_with("--") {
            let equals = text.chars().position(|c| c == '=');
            (equals.unwrap_or(self.chars.len()), equals.map(|at| at + 1))
        } else if text.starts_with('-') && self.chars.len() > 1 {
            (2, (self.chars.len() > 2).then_some(2))
        } else {
            return None;
        };
        let head = self.chars.get(..name)?;
        let name = Spanned::new(head.iter().map(|(_, c)| c).collect(), span_of(head).unwrap_or(self.span));
        Some((name, value.map(|from| self.spanned(from))))
    }
}

/// Splits into words as a shell would. A quote that is never closed is told by its place; what
/// follows it is then one word.
fn split(logical: &Logical, range: Range<usize>) -> (Vec<Word>, Option<Span>) {
    let mut words: Vec<Word> = Vec::new();
    let mut word: Option<Word> = None;
    // The open quote, and where it stands.
    let mut quote: Option<(char, usize)> = None;
    let mut chars = logical.chars.get(range).unwrap_or(&[]).iter().copied().peekable();
    let mut broken = None;
    while let Some((at, c)) = chars.next() {
        if quote.is_none() && matches!(c, ' ' | '\t' | '\r' | '\n') {
            words.extend(word.take());
            continue;
        }
        let word = word.get_or_insert_with(|| Word { chars: Vec::new(), span: Span::empty(at) });
        word.span.end = at + c.len_utf8();
        match (quote, c) {
            (Some((open, _)), c) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some((c, at)),
            (None | Some(('"', _)), '\\') => match chars.next() {
                None => broken = Some(Span::new(at, at + 1)),
                Some((next_at, next)) => {
                    // In quotes, a backslash escapes only itself and the quote.
                    if quote.is_some() && !matches!(next, '\\' | '"') {
                        word.chars.push((at, c));
                    }
                    word.chars.push((next_at, next));
                    word.span.end = next_at + next.len_utf8();
                }
            },
            _ => word.chars.push((at, c)),
        }
    }
    words.extend(word);
    (words, broken.or(quote.map(|(c, at)| Span::new(at, at + c.len_utf8()))))
}
