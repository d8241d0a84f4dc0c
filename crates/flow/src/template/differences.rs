//! Where MiniJinja and Jinja2 disagree.

use minijinja::Error;
use minijinja::machinery::ast;

use super::scan::Scan;
use crate::span::Span;
use crate::yaml::SyntaxError;

/// The error of the parser, unless Jinja2 may read what it refuses: tuples without parentheses,
/// unary `+`, empty subscripts, calls of what a filter returns, `{% print %}`, more kinds of white space, escapes and
/// numbers.
pub(super) fn certain(error: &Error, body: &str, scan: &Scan) -> Option<SyntaxError> {
    let message = error.detail()?;
    let found = message.strip_prefix("unexpected ").map(|rest| rest.split(", expected").next().unwrap_or(rest));
    let at = error.range().unwrap_or(body.len()..body.len());
    let character = body.get(at.start..).and_then(|rest| rest.chars().next());
    let doubtful = match found {
        Some("`,`" | "`+`" | "`(`") => true,
        // `a[]`
        Some("`]`") => body.get(..at.start).is_some_and(|before| before.trim_end().ends_with('[')),
        // Jinja2 does not look for the end of what starts at the very end.
        Some("end of comment" | "end of raw block") => {
            let text = body.strip_suffix('\n').unwrap_or(body);
            ["{#", "{#-", "{#+", "%}"].iter().any(|start| text.ends_with(start))
        }
        Some("character") => character.is_some_and(|c| c.is_whitespace() || c.is_control()),
        Some(_) => false,
        None => {
            let known = ["unknown ", "expected ", "cannot assign to reserved", "block '", "empty subscript"];
            !known.iter().any(|start| message.starts_with(start))
                || message == "unknown statement print"
                || message.ends_with(" loop")
                || message.ends_with(" self")
        }
    };
    if doubtful {
        return None;
    }
    // Of what ends too early, the start is what is of interest.
    if let (Some((span, message)), true) = (&scan.open, found.is_some_and(|found| found.starts_with("end of "))) {
        return Some(SyntaxError { span: *span, message: message.clone() });
    }
    // An error at the end is reported one past it, and a character may have several bytes.
    let start = at.start.min(body.len());
    let least = character.map_or(start, |c| start + c.len_utf8());
    let end = if body.is_char_boundary(at.end) { at.end.max(least).min(body.len()) } else { least };
    Some(SyntaxError { span: Span::new(start, end), message: message.to_owned() })
}

/// The first statement that MiniJinja knows and Jinja2 does not.
pub(super) fn unknown_tag(statements: &[ast::Stmt<'_>]) -> Option<SyntaxError> {
    let mut found: Option<Span> = None;
    walk(statements, &mut |statement| {
        if let ast::Stmt::Do(tag) = statement {
            let at = super::span(tag.span());
            found = Some(found.map_or(at, |first| first.min(at)));
        }
    });
    found.map(|span| SyntaxError { span, message: "unknown statement do".to_owned() })
}

/// Calls `visit` for every statement, outer ones first.
pub(super) fn walk<'s, 'a>(statements: &'s [ast::Stmt<'a>], visit: &mut dyn FnMut(&'s ast::Stmt<'a>)) {
    for statement in statements {
        visit(statement);
        for body in bodies(statement) {
            walk(body, visit);
        }
    }
}

/// The statements inside a statement.
fn bodies<'s, 'a>(statement: &'s ast::Stmt<'a>) -> [&'s [ast::Stmt<'a>]; 2] {
    let one = |body: &'s Vec<ast::Stmt<'a>>| [body.as_slice(), &[]];
    match statement {
        ast::Stmt::Template(s) => one(&s.children),
        ast::Stmt::ForLoop(s) => [&s.body, &s.else_body],
        ast::Stmt::IfCond(s) => [&s.true_body, &s.false_body],
        ast::Stmt::WithBlock(s) => one(&s.body),
        ast::Stmt::SetBlock(s) => one(&s.body),
        ast::Stmt::AutoEscape(s) => one(&s.body),
        ast::Stmt::FilterBlock(s) => one(&s.body),
        ast::Stmt::Block(s) => one(&s.body),
        ast::Stmt::Macro(s) => one(&s.body),
        ast::Stmt::CallBlock(s) => one(&s.macro_decl.body),
        ast::Stmt::EmitExpr(_)
        | ast::Stmt::EmitRaw(_)
        | ast::Stmt::Set(_)
        | ast::Stmt::Import(_)
        | ast::Stmt::FromImport(_)
        | ast::Stmt::Extends(_)
        | ast::Stmt::Include(_)
        | ast::Stmt::Do(_) => [&[], &[]],
    }
}
