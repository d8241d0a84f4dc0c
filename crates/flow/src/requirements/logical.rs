//! Physical lines to logical ones, before anything is understood.

use std::ops::Range;

use crate::span::{Span, Spanned};

/// A logical line: its characters without continuation marks, comment and outer blanks, each with
/// its offset in the file.
pub(super) struct Logical {
    pub(super) chars: Vec<(usize, char)>,
    pub(super) comment: Option<Span>,
}

impl Logical {
    /// The logical line that starts at `start`, and where the next one does.
    pub(super) fn take(text: &str, start: usize) -> (Self, usize) {
        let mut chars: Vec<(usize, char)> = Vec::new();
        let mut at = start;
        loop {
            let (line, next) = physical(text, at);
            let comment_only = line.trim_start_matches(is_blank).starts_with('#');
            let continued = line.ends_with('\\') && !comment_only;
            let kept = if continued { line.trim_matches('\\') } else { line };
            let offset = at + if continued { line.len() - line.trim_start_matches('\\').len() } else { 0 };
            if comment_only {
                // A blank, so that it stays a comment when it is joined to the line before.
                chars.push((at, ' '));
            }
            chars.extend(kept.char_indices().map(|(index, c)| (offset + index, c)));
            at = next;
            if !continued || at >= text.len() {
                break;
            }
        }
        let hash = (0..chars.len()).find(|index| {
            chars.get(*index).is_some_and(|(_, c)| *c == '#')
                && index.checked_sub(1).is_none_or(|before| chars.get(before).is_some_and(|(_, c)| is_blank(*c)))
        });
        let end_of = |last: Option<&(usize, char)>| last.map_or(start, |(offset, c)| offset + c.len_utf8());
        let comment = hash.and_then(|hash| chars.get(hash)).map(|(from, _)| Span::new(*from, end_of(chars.last())));
        chars.truncate(hash.unwrap_or(chars.len()));
        let logical = Self { chars, comment };
        let kept = logical.trimmed(0..logical.chars.len());
        let chars = logical.chars.get(kept).unwrap_or(&[]).to_vec();
        (Self { chars, comment }, at)
    }

    /// `range` without the blanks at both ends.
    pub(super) fn trimmed(&self, range: Range<usize>) -> Range<usize> {
        let blank = |index: &usize| self.chars.get(*index).is_some_and(|(_, c)| is_blank(*c));
        let start = range.clone().find(|index| !blank(index)).unwrap_or(range.end);
        let end = (start..range.end).rev().find(|index| !blank(index)).map_or(start, |last| last + 1);
        start..end
    }

    pub(super) fn text(&self, range: Range<usize>) -> String {
        self.chars.get(range).unwrap_or(&[]).iter().map(|(_, c)| c).collect()
    }

    pub(super) fn span(&self, range: Range<usize>) -> Span {
        span_of(self.chars.get(range.clone()).unwrap_or(&[]))
            .unwrap_or_else(|| Span::empty(self.chars.get(range.start).or(self.chars.last()).map_or(0, |(at, _)| *at)))
    }

    pub(super) fn spanned(&self, range: Range<usize>) -> Spanned<String> {
        Spanned::new(self.text(range.clone()), self.span(range))
    }
}

/// From the first of some characters to the last.
pub(super) fn span_of(chars: &[(usize, char)]) -> Option<Span> {
    let ((start, _), (end, last)) = (chars.first()?, chars.last()?);
    Some(Span::new(*start, end + last.len_utf8()))
}

/// Where lines break: where Python's `splitlines` breaks them.
pub(super) fn breaks(text: &str) -> impl Iterator<Item = usize> {
    let is_second_half = |at: usize| text.get(..=at).is_some_and(|before| before.ends_with("\r\n"));
    text.match_indices(is_break).map(|(at, _)| at).filter(move |at| !is_second_half(*at))
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// The line at `at` without its break, and where the next one starts.
fn physical(text: &str, at: usize) -> (&str, usize) {
    let rest = text.get(at..).unwrap_or("");
    let Some(end) = rest.find(is_break) else { return (rest, text.len()) };
    let broken = rest.get(end..).unwrap_or("");
    let width = if broken.starts_with("\r\n") { 2 } else { broken.chars().next().map_or(0, char::len_utf8) };
    (rest.get(..end).unwrap_or(""), at + end + width)
}

/// What Python calls white space in text.
pub(super) fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}
