//! YAML 1.2 as a spanned tree that survives half-typed text.
//!
//! The parser stops at its first error. To find the others, and to keep what stands around a
//! broken line, the line is blanked (replaced by spaces, so that no offset moves) and the text is
//! read again, a bounded number of times.

use std::collections::HashMap;
use std::sync::Arc;

use granit_parser::{Event, Parser, ScalarStyle};

use crate::span::Span;
use crate::text::LineIndex;

/// Larger texts are not read: no flow comes near it, and memory stays bounded.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;

/// How deep and how wide merge keys are followed: a text can make them cost more than it is long.
const MAX_MERGES: usize = 4;

/// How often a text is read again after an error; each round finds one more broken line.
const MAX_ROUNDS: usize = 16;

/// What was read from one YAML text.
#[derive(Debug, Clone)]
pub struct Document {
    /// The first document's root; `Null` for an empty text.
    pub root: Node,
    /// What is not YAML, in order of place.
    pub errors: Vec<SyntaxError>,
    /// Comments, in order of place; the span includes the `#`.
    pub comments: Vec<Span>,
    /// What was left out so that the rest could be read: lines and brackets. Whatever seems to be missing next
    /// to one of them may only be unreadable.
    pub blanked: Vec<Span>,
}

impl Document {
    /// True where every part was read.
    pub fn is_complete(&self) -> bool {
        self.errors.is_empty() && self.blanked.is_empty()
    }
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

/// Without recursion: a chain of aliases is as deep as its text is long.
impl Drop for Value {
    fn drop(&mut self) {
        let mut left = self.take_children();
        while let Some(node) = left.pop() {
            if let Some(mut value) = Arc::into_inner(node.value) {
                left.append(&mut value.take_children());
            }
        }
    }
}

impl Value {
    fn take_children(&mut self) -> Vec<Node> {
        match self {
            Self::Scalar(_) => Vec::new(),
            Self::Sequence(items) => std::mem::take(items),
            Self::Mapping(entries) => {
                std::mem::take(entries).into_iter().flat_map(|entry| [entry.key, entry.value]).collect()
            }
        }
    }
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

impl Entry {
    /// True for the merge key `<<`.
    pub fn is_merge(&self) -> bool {
        self.key.scalar().is_some_and(|key| key.plain && key.text == "<<")
    }
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

    /// True for what the engine's reader takes for a date: `2024-02-01`, also with a time.
    pub fn is_date(&self) -> bool {
        let digits = |part: Option<&str>| part.is_some_and(|part| part.bytes().all(|b| b.is_ascii_digit()));
        let separator = |at: usize| self.text.as_bytes().get(at) == Some(&b'-');
        let date = digits(self.text.get(..4)) && separator(4) && digits(self.text.get(5..7)) && separator(7);
        let rest = self.text.get(10..).map(|rest| rest.trim_start_matches(['T', 't', ' ']));
        let time = |rest: &str| rest.len() >= 7 && digits(rest.get(..1)) && rest.contains(':');
        self.plain
            && !self.tagged
            && date
            && digits(self.text.get(8..10))
            && rest.is_some_and(|r| r.is_empty() || time(r))
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

    /// What Python takes for true: everything but null, `false`, zero, and what is empty. The engine asks in
    /// this way, so the text `"false"` is true.
    pub fn is_truthy(&self) -> bool {
        match &*self.value {
            Value::Sequence(items) => !items.is_empty(),
            Value::Mapping(entries) => !entries.is_empty(),
            Value::Scalar(scalar) if scalar.is_string() => !scalar.text.is_empty(),
            Value::Scalar(scalar) => {
                !scalar.is_null() && scalar.as_bool() != Some(false) && scalar.text.parse() != Ok(0.0)
            }
        }
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

    /// The last entry of that key, as YAML loaders that allow duplicates take it; else what a merge
    /// key (`<<: *defaults`) brings in.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.get_merged(key, MAX_MERGES)
    }

    fn get_merged(&self, key: &str, depth: usize) -> Option<&Entry> {
        let entries = self.mapping()?;
        let own = entries.iter().rev().find(|entry| entry.key.text() == Some(key));
        if own.is_some() || depth == 0 {
            return own;
        }
        let merged = entries.iter().filter(|entry| entry.is_merge()).map(|entry| &entry.value);
        merged
            .flat_map(|value| value.sequence().unwrap_or(std::slice::from_ref(value)))
            .take(MAX_MERGES)
            .find_map(|value| value.get_merged(key, depth - 1))
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
    let body = text.get(bom..).unwrap_or("");
    let lines = LineIndex::new(body);
    // A second reading of a long text costs as much as the first: the longer, the fewer.
    let rounds = (MAX_BYTES / text.len().max(1)).clamp(1, MAX_ROUNDS);
    let mut recovery = Recovery { body, lines: &lines, out: Vec::new(), errors: Vec::new(), last: None, trial: None };
    let mut round = 1;
    loop {
        let current = recovery.text();
        let mut builder = Builder {
            text: &current,
            body,
            bom,
            stack: Vec::new(),
            anchors: HashMap::new(),
            root: None,
            comments: Vec::new(),
        };
        let error = builder.run();
        let bracket = builder.open_bracket();
        let (root, comments) = builder.finish();
        let again = error.is_some_and(|error| recovery.next(error, bracket, bom) && round < rounds);
        if !again {
            return recovery.finish(root, comments, bom);
        }
        round += 1;
    }
}

/// What is left out so that the rest can be read, and which errors are faults of their own.
///
/// The parser often notices a fault below its cause: an unclosed bracket, or a forgotten dash, is an
/// error on every line that follows. So the likely cause is left out first, on trial: an open
/// bracket of a line above, or the line above one that was left out already. Only where the text
/// still cannot be read past that line, the line itself is at fault.
struct Recovery<'t> {
    /// The text without its byte order mark.
    body: &'t str,
    lines: &'t LineIndex,
    /// What is left out, in bytes of the body.
    out: Vec<Span>,
    errors: Vec<SyntaxError>,
    /// The last line that was left out.
    last: Option<usize>,
    trial: Option<Trial>,
}

/// A likely cause that is left out on trial.
struct Trial {
    /// The line with the error that led to the trial.
    line: usize,
    /// The cause.
    cause: Span,
    /// The error, in case the trial fails.
    error: SyntaxError,
    /// Lines that are left out in case the trial fails.
    otherwise: Vec<usize>,
    /// What is reported in case it succeeds; nothing where the cause is reported already.
    report: Option<SyntaxError>,
}

impl Recovery<'_> {
    /// The text with spaces for what is left out: no byte moves.
    fn text(&self) -> String {
        let mut text = self.body.to_owned();
        for span in &self.out {
            text.replace_range(span.start..span.end, &" ".repeat(span.end - span.start));
        }
        text
    }

    fn line(&self, line: usize) -> Span {
        let start = self.lines.start_of(line).unwrap_or(self.body.len());
        Span::new(start, start + self.lines.line(self.body, line).len())
    }

    fn is_blank(&self, line: usize) -> bool {
        let span = self.line(line);
        self.out.contains(&span) || span.slice(self.body).trim().is_empty()
    }

    /// The nearest line at `line` or above it that holds something.
    fn filled_at_or_above(&self, line: usize) -> Option<usize> {
        (0..=line).rev().find(|line| !self.is_blank(*line))
    }

    fn leave_out(&mut self, line: usize) {
        self.out.push(self.line(line));
        self.last = Some(line);
    }

    /// Takes the next error in; false where nothing is left to leave out. `bracket` is the outermost
    /// one that was open at the error.
    fn next(&mut self, error: SyntaxError, bracket: Option<usize>, bom: usize) -> bool {
        // The parser notices an unclosed quote or bracket only at the end of the text.
        let at = error.span.start - bom;
        let Some(line) = self.filled_at_or_above(self.lines.line_of(at)) else {
            self.errors.push(error);
            return false;
        };
        if let Some(trial) = self.trial.take() {
            if line <= trial.line {
                self.out.retain(|span| *span != trial.cause);
                trial.otherwise.iter().for_each(|line| self.leave_out(*line));
                self.errors.push(trial.error);
                return true;
            }
            self.errors.extend(trial.report);
        }
        let bracket = bracket.map(|at| at - bom).filter(|at| self.lines.line_of(*at) < line);
        if let Some(at) = bracket {
            let cause = Span::new(at, at + 1);
            let place = Span::new(at + bom, at + 1 + bom);
            let message = format!("the bracket `{}` is not closed", cause.slice(self.body));
            self.out.push(cause);
            self.trial = Some(Trial {
                line,
                cause,
                error,
                otherwise: vec![line],
                report: Some(SyntaxError { span: place, message }),
            });
            return true;
        }
        let previous = self.last.filter(|last| *last < line && (*last + 1..line).all(|between| self.is_blank(between)));
        let above = previous.and_then(|previous| self.filled_at_or_above(previous.checked_sub(1)?));
        match (previous, above) {
            (Some(previous), Some(above)) => {
                let restored = self.line(previous);
                let cause = self.line(above);
                self.out.retain(|span| *span != restored);
                self.out.push(cause);
                self.trial = Some(Trial { line, cause, error, otherwise: vec![previous, line], report: None });
            }
            _ => {
                self.leave_out(line);
                self.errors.push(error);
            }
        }
        true
    }

    fn finish(mut self, root: Node, comments: Vec<Span>, bom: usize) -> Document {
        self.errors.extend(self.trial.take().and_then(|trial| trial.report));
        let mut blanked: Vec<Span> = self.out.iter().map(|span| Span::new(span.start + bom, span.end + bom)).collect();
        blanked.sort();
        self.errors.sort_by_key(|error| error.span);
        self.errors.dedup_by_key(|error| error.span);
        Document { root, errors: self.errors, comments, blanked }
    }
}

/// A collection whose end has not been seen yet.
enum Open {
    Sequence { start: usize, anchor: usize, items: Vec<Node> },
    Mapping { start: usize, anchor: usize, entries: Vec<Entry>, key: Option<Node> },
}

struct Builder<'t> {
    /// What is read.
    text: &'t str,
    /// The text as it was: spaces stand for what is left out, and a span must not end in a character.
    body: &'t str,
    bom: usize,
    stack: Vec<Open>,
    anchors: HashMap<usize, Arc<Value>>,
    root: Option<Node>,
    comments: Vec<Span>,
}

impl Builder<'_> {
    fn span(&self, span: granit_parser::Span) -> Span {
        let range = span.byte_range().unwrap_or(0..0);
        Span::new(self.boundary(range.start) + self.bom, self.boundary(range.end) + self.bom)
    }

    /// The nearest place at `at` or before it where a character starts.
    fn boundary(&self, at: usize) -> usize {
        let mut at = at.min(self.body.len());
        while !self.body.is_char_boundary(at) {
            at -= 1;
        }
        at
    }

    fn run(&mut self) -> Option<SyntaxError> {
        let options = granit_parser::options! { emit_unresolved_aliases: false };
        let text = self.text;
        for next in Parser::new_from_str_with_options(text, options) {
            let (event, place) = match next {
                Ok(next) => next,
                Err(error) => {
                    let at = self.boundary(error.marker().byte_offset().unwrap_or(0));
                    let rest = self.body.get(at..).unwrap_or("");
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
                Event::SequenceStart(_, anchor, _) => {
                    self.stack.push(Open::Sequence { start: span.start, anchor, items: Vec::new() })
                }
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
                Event::DocumentStart(..) if self.root.is_some() => {
                    let message = "a second document starts here, and a flow is one".to_owned();
                    return Some(SyntaxError { span, message });
                }
                _ => {}
            }
        }
        None
    }

    /// Where the outermost bracket stands that is open: none in block style.
    fn open_bracket(&self) -> Option<usize> {
        let starts = self.stack.iter().map(|open| match open {
            Open::Sequence { start, .. } | Open::Mapping { start, .. } => *start,
        });
        starts.into_iter().find(|start| matches!(self.text.as_bytes().get(start - self.bom), Some(b'[' | b'{')))
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
