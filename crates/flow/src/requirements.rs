//! `requirements.txt` as pip reads it, with the place of every part.
//!
//! pip joins physical lines that end in a backslash, drops comments, splits each logical line at
//! the first word that starts with `-`, and reads what stands before it as one requirement and
//! what follows as options. It is silent about much of what it then ignores; this reader keeps it.
//! pip itself was asked about each of these facts: 23.2.1, which older base images hold, and 25.3,
//! which the newest holds. Where they differ, the newer one is followed.

mod encoding;
mod hashes;
mod indexes;
mod logical;
mod options;
mod requirement;
#[cfg(test)]
mod tests;

pub use encoding::{Encoding, decode};
pub use hashes::{HashFault, digits_of, is_hash};
pub use indexes::{Indexes, PUBLIC_INDEX};
pub use options::{LineOption, OptionKind, Refusal, long_names};
pub use requirement::{Form, Requirement};

use crate::credential::{self, Credential};
use crate::span::{Span, Spanned};
use logical::Logical;

/// Longer files are not read: no requirements file comes near it, and memory stays bounded.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Nor files of more lines, for each takes far more memory than its text. The lock of a large project, with several
/// hashes for each package, has ten thousand.
pub const MAX_LINES: usize = 50_000;

/// The text that Azure's runtime replaces by a token in an index URL.
pub const PRIVATE_PLACEHOLDER: &str = "{private}";

/// One requirements file.
#[derive(Debug, Clone, Default)]
pub struct Requirements {
    /// Its logical lines that hold anything, in order.
    pub lines: Vec<Line>,
    /// Comments, in order; the span includes the `#`. One that ends in a backslash goes on in the
    /// next line, as pip joins lines before it drops comments.
    pub comments: Vec<Span>,
    /// Users and passwords written into URLs, comments included.
    pub credentials: Vec<Credential>,
}

/// One logical line.
#[derive(Debug, Clone)]
pub struct Line {
    /// From its first to its last word; a line continued by a backslash spans several.
    pub span: Span,
    /// Its text as pip gets it: continued lines joined, without a comment.
    pub text: String,
    /// What stands before the first option; `None` for an option line.
    pub requirement: Option<Requirement>,
    /// The options, in order.
    pub options: Vec<LineOption>,
    /// Words after the first option that belong to none: pip drops them without a word.
    pub stray: Vec<Spanned<String>>,
    /// Why pip refuses the options, and with them the whole file.
    pub refusal: Option<Refusal>,
}

impl Line {
    /// The file that pip reads in place of this line, and whether as constraints (`-c`). pip takes
    /// one per line, and none where the line also requires something.
    pub fn nested(&self) -> Option<(&Spanned<String>, bool)> {
        if self.refusal.is_some() || self.requires() {
            return None;
        }
        let first = |kind| self.options.iter().find(|option| option.kind == kind)?.value.as_ref();
        first(OptionKind::Requirement)
            .map(|path| (path, false))
            .or_else(|| first(OptionKind::Constraint).map(|path| (path, true)))
    }

    /// True where the line names something to install: its other options are then ignored.
    pub fn requires(&self) -> bool {
        self.requirement.is_some() || self.options.iter().any(|option| option.kind == OptionKind::Editable)
    }
}

/// A project's name as PEP 503 compares it: lower-case, with `-` for any run of `-`, `_` and `.`.
pub fn normalize(name: &str) -> String {
    let parts: Vec<_> = name.split(['-', '_', '.']).filter(|part| !part.is_empty()).collect();
    parts.join("-").to_ascii_lowercase()
}

/// The parts of `text` that pip replaces by an environment variable where it is set: `${NAME}`, in
/// upper case.
pub fn variables(text: &str) -> impl Iterator<Item = std::ops::Range<usize>> {
    let is_name = |name: &&str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    };
    text.match_indices("${").filter_map(move |(start, _)| {
        let name = text.get(start + 2..)?.split('}').next().filter(is_name)?;
        let end = start + 2 + name.len() + 1;
        (end <= text.len()).then_some(start..end)
    })
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

/// True for a text that is not read.
pub fn is_too_long(text: &str) -> bool {
    text.len() > MAX_BYTES || logical::breaks(text).nth(MAX_LINES).is_some()
}

/// Reads `text`; one that [`is_too_long`] gives an empty file.
pub fn read(text: &str) -> Requirements {
    let mut file = Requirements::default();
    if is_too_long(text) {
        return file;
    }
    let mut at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    while at < text.len() {
        let (logical, next) = Logical::take(text, at);
        at = next;
        file.comments.extend(logical.comment);
        file.lines.extend(line(&logical));
    }
    file.credentials = credential::find(text);
    file
}

fn line(logical: &Logical) -> Option<Line> {
    let end = logical.chars.len();
    if end == 0 {
        return None;
    }
    // pip looks for the options at spaces only: a tab does not separate a package from them.
    let is_option = |index: usize| {
        logical.chars.get(index).is_some_and(|(_, c)| *c == '-')
            && index.checked_sub(1).is_none_or(|before| logical.chars.get(before).is_some_and(|(_, c)| *c == ' '))
    };
    let split = (0..end).find(|index| is_option(*index)).unwrap_or(end);
    let required = logical.trimmed(0..split);
    let requirement = (!required.is_empty()).then(|| requirement::read(logical, required));
    let read = options::read(logical, split..end);
    Some(Line {
        span: logical.span(0..end),
        text: logical.text(0..end),
        requirement,
        options: read.options,
        stray: read.stray,
        refusal: read.refusal,
    })
}
