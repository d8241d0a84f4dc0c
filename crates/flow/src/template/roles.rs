//! Role lines: how a rendered chat prompt is split into messages.
//!
//! promptflow-tools splits at `(?i)^\s*#?\s*(system|user|...)\s*:\s*\n`, in multi-line mode, and
//! refuses a prompt whose first part is anything else.

use minijinja::machinery::ast::{self, Stmt};

use crate::span::{Span, Spanned};

/// The roles that it knows.
pub const ROLES: [&str; 5] = ["system", "user", "assistant", "function", "tool"];

/// How many parts of a template are looked at for what it starts with.
const MAX_PARTS: usize = 64;

/// A line that starts a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleLine {
    /// The role in lower case; the span is the word's.
    pub name: Spanned<String>,
}

/// What a rendered template starts with, white space aside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Opening {
    /// What only a run can tell: a variable, a condition, a loop.
    #[default]
    Unknown,
    /// Nothing at all follows.
    Empty,
    /// A role line.
    Role,
    /// Text that is no role line; the span is its first line, as far as it is literal.
    Text(Span),
    /// A role and a colon with text behind them on the same line, which makes it no role line.
    Inline {
        /// The role in lower case, at its place.
        role: Spanned<String>,
        /// False where the text behind it is a variable, which could start with a line break.
        certain: bool,
    },
}

enum Match {
    Role(Span),
    /// A role and a colon, and something else than a line break.
    Inline(Span),
    No,
    /// The text ended too early; behind a colon, with the place of the role.
    Partial(Option<Span>),
}

/// Matches the separator at the start of a line.
fn separator(text: &str) -> Match {
    let white = |at: usize| {
        let rest = text.get(at..).unwrap_or("");
        at + (rest.len() - rest.trim_start().len())
    };
    let mut at = white(0);
    if text.get(at..).is_some_and(|rest| rest.starts_with('#')) {
        at = white(at + 1);
    }
    let rest = text.get(at..).unwrap_or("");
    let word = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let name = rest.get(..word).unwrap_or("");
    if word == rest.len() {
        // The rest of the word, or what follows it, may be in the next part of the template.
        let begins = |role: &str| role.get(..word).is_some_and(|start| start.eq_ignore_ascii_case(name));
        return if ROLES.iter().any(|role| begins(role)) { Match::Partial(None) } else { Match::No };
    }
    if !ROLES.iter().any(|role| role.eq_ignore_ascii_case(name)) {
        return Match::No;
    }
    let role = Span::new(at, at + word);
    at = white(role.end);
    let Some(behind) = text.get(at..).and_then(|rest| rest.strip_prefix(':')) else {
        return if at == text.len() { Match::Partial(None) } else { Match::No };
    };
    let text = behind.trim_start();
    if behind.get(..behind.len() - text.len()).is_some_and(|white| white.contains('\n')) {
        Match::Role(role)
    } else if text.is_empty() {
        Match::Partial(Some(role))
    } else {
        Match::Inline(role)
    }
}

/// The role lines of all literal text. A part of it may follow a tag on the same line: whether
/// that renders to the start of a line is not known, so it counts.
pub(super) fn lines(statements: &[Stmt<'_>], body: &str) -> Vec<RoleLine> {
    let mut found = Vec::new();
    super::differences::walk(statements, &mut |statement| {
        let Stmt::EmitRaw(raw) = statement else { return };
        let start = raw.span().start_offset as usize;
        let mut at = 0;
        for line in raw.raw.split_inclusive('\n') {
            if !line.trim().is_empty()
                && let Match::Role(role) = separator(raw.raw.get(at..).unwrap_or(""))
                // The mark and the role may stand on two lines, which are one separator.
                && found.last().is_none_or(|last: &RoleLine| last.name.span.start < start + at)
            {
                let span = Span::new(start + at + role.start, start + at + role.end);
                let name = Spanned::new(span.slice(body).to_ascii_lowercase(), span);
                found.push(RoleLine { name });
            }
            at += line.len();
        }
    });
    found.sort_by_key(|line| line.name.span.start);
    found
}

/// What the rendered text starts with.
pub(super) fn opening(statements: &[Stmt<'_>]) -> Opening {
    let mut text = String::new();
    // Where the text started, as far as one part of the template holds it.
    let mut first: Option<(usize, &str)> = None;
    let mut parts = 0;
    for statement in statements {
        match statement {
            Stmt::EmitRaw(raw) => {
                parts += 1;
                if parts > MAX_PARTS {
                    return Opening::Unknown;
                }
                text.push_str(raw.raw);
                if text.trim().is_empty() {
                    text.clear();
                    continue;
                }
                let (start, part) = *first.get_or_insert_with(|| (raw.span().start_offset as usize, raw.raw));
                // Only as much white space was left out as there was in front of the first part.
                match separator(&text) {
                    Match::Partial(_) => {}
                    Match::Role(_) => return Opening::Role,
                    Match::No => return first_line(start, part),
                    Match::Inline(role) => return inline(start, part, &text, role, true),
                }
            }
            Stmt::Set(_) | Stmt::SetBlock(_) | Stmt::Macro(_) | Stmt::Import(_) | Stmt::FromImport(_) | Stmt::Do(_) => {
            }
            Stmt::EmitExpr(printed) => {
                return match (first, separator(&text), constant(&printed.expr)) {
                    (Some((start, part)), Match::Partial(Some(role)), false) => inline(start, part, &text, role, false),
                    _ => Opening::Unknown,
                };
            }
            _ => return Opening::Unknown,
        }
    }
    match (first, separator(&text)) {
        (Some((start, part)), Match::Partial(Some(role))) => inline(start, part, &text, role, true),
        (Some((start, part)), _) => first_line(start, part),
        (None, _) => Opening::Empty,
    }
}

/// `{{ "\n" }}` is a way to write a line break.
fn constant(expression: &ast::Expr<'_>) -> bool {
    matches!(expression, ast::Expr::Const(_))
}

fn inline(start: usize, part: &str, text: &str, role: Span, certain: bool) -> Opening {
    if !text.starts_with(part) || role.end > part.len() {
        return Opening::Unknown;
    }
    let span = Span::new(start + role.start, start + role.end);
    Opening::Inline { role: Spanned::new(role.slice(text).to_ascii_lowercase(), span), certain }
}

fn first_line(start: usize, part: &str) -> Opening {
    let trimmed = part.trim_start();
    let line = trimmed.lines().next().unwrap_or("").trim_end();
    let at = start + (part.len() - trimmed.len());
    Opening::Text(Span::new(at, at + line.len()))
}
