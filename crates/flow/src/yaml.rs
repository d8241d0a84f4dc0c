//! YAML 1.2 as a spanned tree that survives half-typed text.
//!
//! The parser stops at its first error. To find the others, and to keep what stands around a
//! broken line, the line is blanked (replaced by spaces, so that no offset moves) and the text is
//! read again, a bounded number of times.

use std::collections::HashMap;
use std::sync::Arc;

use granit_parser::{Event, Parser, ScalarStyle};

use crate::span::Span;

/// Larger texts are not read: no flow comes near it, and memory stays bounded.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;

/// How often a text is read again after an error; each round finds one more broken line.
const MAX_ROUNDS: usize = 8;

/// What was read from one YAML text.
#[derive(Debug, Clone)]
pub struct Document {
    /// The first document's root; `Null` for an empty text.
    pub root: Node,
    /// What is not YAML, in order of place.
    pub errors: Vec<SyntaxError>,
    /// Comments, in order of place; the span includes the `#`.
    pub comments: Vec<Span>,
    /// Lines that were left out so that the rest could be read. Whatever seems to be missing next
    /// to one of them may only be unreadable.
    pub blanked: Vec<Span>,
}

/// A place that the parser refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// The place; may be empty, at the end of the text.
    pub span: Span,
    /// The parser's words.
    pub message: String,
}

/// A value with its place. An alias carries its anchor's value at the alias's own place.
#[derive(Debug, Clone)]
pub struct Node {
    /// The place of the value itself; empty for an implicit null.
    pub span: Span,
    /// What stands there, shared between an anchor and its aliases.
    pub value: Arc<Value>,
    /// True for `*alias`: its parts have places elsewhere, so walks do not descend into it (an
    /// alias bomb stays as small as its text).
    pub alias: bool,
}

/// The kinds of YAML values.
#[derive(Debug)]
pub enum Value {
    /// Text, number, boolean or null.
    Scalar(Scalar),
    /// `[a, b]` or `- a`.
    Sequence(Vec<Node>),
    /// `{a: b}` or `a: b`, in the order of the text, duplicates included.
    Mapping(Vec<Entry>),
}

/// One key of a mapping.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key.
    pub key: Node,
    /// The value; an implicit null where nothing follows the colon.
    pub value: Node,
}

/// A scalar after escape processing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// The text.
    pub text: String,
    /// True for `plain` scalars, which YAML may read as null, boolean or number.
    pub plain: bool,
    /// True where a tag such as `!!str` fixes the type.
    pub tagged: bool,
    /// True for `|` and `>` blocks, whose span holds their indicator and their indentation.
    pub block: bool,
}

impl Scalar {
    /// True where YAML 1.2's core schema reads null.
    pub fn is_null(&self) -> bool {
        self.plain && !self.tagged && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// The boolean that YAML 1.2's core schema reads, if it does.
    pub fn as_bool(&self) -> Option<bool> {
        if !self.plain || self.tagged {
            return None;
        }
        match self.text.as_str() {
            "true" | "True" | "TRUE" => Some(true),
            "false" | "False" | "FALSE" => Some(false),
            _ => None,
        }
    }

    /// True where YAML 1.2's core schema reads a string.
    pub fn is_string(&self) -> bool {
        if !self.plain || self.tagged {
            return true;
        }
        !self.is_null() && self.as_bool().is_none() && !is_number(&self.text)
    }
}

fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    if let Some(hex) = unsigned.strip_prefix("0x") {
        return !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit());
    }
    if let Some(octal) = unsigned.strip_prefix("0o") {
        return !octal.is_empty() && octal.bytes().all(|b| (b'0'..=b'7').contains(&b));
    }
    unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') && unsigned.parse::<f64>().is_ok()
}

impl Node {
    fn new(span: Span, value: Value) -> Self {
        Self { span, value: Arc::new(value), alias: false }
    }

    fn null(at: usize) -> Self {
        let scalar = Scalar { text: String::new(), plain: true, tagged: false, block: false };
        Self::new(Span::empty(at), Value::Scalar(scalar))
    }

    /// The scalar, if it is one.
    pub fn scalar(&self) -> Option<&Scalar> {
        match &*self.value {
            Value::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// The scalar's text where it is not null.
    pub fn text(&self) -> Option<&str> {
        self.scalar().filter(|s| !s.is_null()).map(|s| s.text.as_str())
    }

    /// True for an explicit or implicit null.
    pub fn is_null(&self) -> bool {
        self.scalar().is_some_and(Scalar::is_null)
    }

    /// The mapping's entries, if it is one.
    pub fn mapping(&self) -> Option<&[Entry]> {
        match &*self.value {
            Value::Mapping(entries) => Some(entries),
            _ => None,
        }
    }

    /// The sequence's items, if it is one.
    pub fn sequence(&self) -> Option<&[Node]> {
        match &*self.value {
            Value::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The last entry of that key, as YAML loaders that allow duplicates take it.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.mapping()?.iter().rev().find(|entry| entry.key.text() == Some(key))
    }

    /// What a message calls this value: "a list", "a mapping", "text", ...
    pub fn kind(&self) -> &'static str {
        match &*self.value {
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
            Value::Scalar(scalar) if scalar.is_null() => "nothing",
            Value::Scalar(_) => "a single value",
        }
    }
}

/// Reads `text`. Texts over [`MAX_BYTES`] give an empty tree and an error at their start.
pub fn read(text: &str) -> Document {
    if text.len() > MAX_BYTES {
        let mib = text.len() as f64 / f64::from(1 << 20);
        let message = format!("the file is {mib:.1} MiB long; flowgate reads up to {} MiB", MAX_BYTES >> 20);
        let errors = vec![SyntaxError { span: Span::empty(0), message }];
        return Document { root: Node::null(0), errors, comments: Vec::new(), blanked: Vec::new() };
    }
    let bom = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let mut current = text.get(bom..).unwrap_or("").to_owned();
    // A second reading of a long text costs as much as the first: the longer, the fewer.
    let rounds = (MAX_BYTES / text.len().max(1)).clamp(1, MAX_ROUNDS);
    let mut errors = Vec::new();
    let mut blanked = Vec::new();
    loop {
        let mut builder = Builder { text: &current, bom, stack: Vec::new(), anchors: HashMap::new(), root: None, comments: Vec::new() };
        let error = builder.run();
        let (root, comments) = builder.finish();
        let Some(error) = error else {
            return sorted(Document { root, errors, comments, blanked });
        };
        let at = error.span.start - bom;
        errors.push(error);
        let line = broken_line(&current, at);
        if errors.len() >= rounds || line.is_empty() {
            return sorted(Document { root, errors, comments, blanked });
        }
        current.replace_range(line.start..line.end, &" ".repeat(line.end - line.start));
        blanked.push(Span::new(line.start + bom, line.end + bom));
    }
}

fn sorted(mut document: Document) -> Document {
    document.errors.sort_by_key(|error| error.span);
    document.errors.dedup_by_key(|error| error.span);
    document.blanked.sort();
    document
}

/// The line to leave out after an error at `at`: its own, or the last one before it that holds
/// something (the parser notices an unclosed bracket only at the end).
fn broken_line(text: &str, at: usize) -> Span {
    let mut end = at.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut start = text[..end].rfind('\n').map_or(0, |n| n + 1);
    end = text[end..].find('\n').map_or(text.len(), |n| end + n);
    while text[start..end].trim().is_empty() && start > 0 {
        end = start - 1;
        start = text[..end].rfind('\n').map_or(0, |n| n + 1);
    }
    let line = &text[start..end];
    let content = line.trim_end();
    if content.is_empty() { Span::empty(start) } else { Span::new(start, start + content.len()) }
}

/// A collection whose end has not been seen yet.
enum Open {
    Sequence { start: usize, anchor: usize, items: Vec<Node> },
    Mapping { start: usize, anchor: usize, entries: Vec<Entry>, key: Option<Node> },
}

struct Builder<'t> {
    text: &'t str,
    bom: usize,
    stack: Vec<Open>,
    anchors: HashMap<usize, Arc<Value>>,
    root: Option<Node>,
    comments: Vec<Span>,
}

impl Builder<'_> {
    fn span(&self, span: granit_parser::Span) -> Span {
        let range = span.byte_range().unwrap_or(0..0);
        let clamp = |at: usize| {
            let mut at = at.min(self.text.len());
            while !self.text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        Span::new(clamp(range.start) + self.bom, clamp(range.end) + self.bom)
    }

    fn run(&mut self) -> Option<SyntaxError> {
        let options = granit_parser::options! { emit_unresolved_aliases: false };
        let text = self.text;
        for next in Parser::new_from_str_with_options(text, options) {
            let (event, place) = match next {
                Ok(next) => next,
                Err(error) => {
                    let at = error.marker().byte_offset().unwrap_or(0).min(self.text.len());
                    let at = (0..=at).rev().find(|at| self.text.is_char_boundary(*at)).unwrap_or(0);
                    let rest = &self.text[at..];
                    let width = rest.chars().next().filter(|c| !c.is_whitespace()).map_or(0, char::len_utf8);
                    let span = Span::new(at + self.bom, at + width + self.bom);
                    return Some(SyntaxError { span, message: error.kind().to_string() });
                }
            };
            let span = self.span(place);
            match event {
                Event::Scalar(text, style, anchor, tag) => {
                    let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                    let plain = matches!(style, ScalarStyle::Plain);
                    // The parser gives an implicit null the text "~" and no width.
                    let text = if plain && span.is_empty() { String::new() } else { text.into_owned() };
                    let scalar = Scalar { text, plain, tagged: tag.is_some(), block };
                    self.push(Node::new(span, Value::Scalar(scalar)), anchor);
                }
                Event::SequenceStart(_, anchor, _) => self.stack.push(Open::Sequence { start: span.start, anchor, items: Vec::new() }),
                Event::MappingStart(_, anchor, _) => {
                    self.stack.push(Open::Mapping { start: span.start, anchor, entries: Vec::new(), key: None });
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(span.end),
                Event::Alias(anchor) => {
                    let node = match self.anchors.get(&anchor) {
                        Some(value) => Node { span, value: Arc::clone(value), alias: true },
                        // An alias inside its own anchor: the value is not there yet.
                        None => Node::null(span.start),
                    };
                    self.push(node, 0);
                }
                Event::Comment(..) => self.comments.push(span),
                _ => {}
            }
        }
        None
    }

    /// The tree so far; after an error the open collections are closed where they stand.
    fn finish(mut self) -> (Node, Vec<Span>) {
        let end = self.text.len() + self.bom;
        while !self.stack.is_empty() {
            self.close(end);
        }
        (self.root.unwrap_or_else(|| Node::null(self.bom)), self.comments)
    }

    fn close(&mut self, end: usize) {
        match self.stack.pop() {
            Some(Open::Sequence { start, anchor, items }) => {
                let end = trimmed(self.text, self.bom, end, items.last().map(|n| n.span.end));
                self.push(Node::new(Span::new(start, end), Value::Sequence(items)), anchor);
            }
            Some(Open::Mapping { start, anchor, mut entries, key }) => {
                if let Some(key) = key {
                    let value = Node::null(key.span.end);
                    entries.push(Entry { key, value });
                }
                let start = entries.first().map_or(start, |e| start.min(e.key.span.start));
                let last = entries.last().map(|e| e.value.span.end.max(e.key.span.end));
                let end = trimmed(self.text, self.bom, end, last);
                self.push(Node::new(Span::new(start, end), Value::Mapping(entries)), anchor);
            }
            None => {}
        }
    }

    fn push(&mut self, node: Node, anchor: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, Arc::clone(&node.value));
        }
        match self.stack.last_mut() {
            Some(Open::Sequence { items, .. }) => items.push(node),
            Some(Open::Mapping { entries, key, .. }) => match key.take() {
                Some(key) => entries.push(Entry { key, value: node }),
                None => *key = Some(node),
            },
            // A second document of the stream is not part of a flow.
            None => {
                self.root.get_or_insert(node);
            }
        }
    }
}

/// A block collection ends, for the parser, where the next token starts: here it ends with its
/// last child, and a flow collection with its bracket.
fn trimmed(text: &str, bom: usize, end: usize, last_child: Option<usize>) -> usize {
    let bracket = end > bom && matches!(text.as_bytes().get(end - bom - 1), Some(b']' | b'}'));
    if bracket { end } else { last_child.unwrap_or(end).min(end) }
}

#[cfg(test)]
mod tests;
