//! One pass over the tokens before the parser: comments, which it drops, and what stands open at
//! the end, which it does not say.

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::bounds::Bounds;
use crate::span::Span;

/// Statements that always have an end.
const BLOCKS: [&str; 8] = ["if", "for", "macro", "call", "filter", "with", "block", "autoescape"];

/// What the tokens say.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) comments: Vec<Span>,
    /// True where the parser may be given the text.
    pub(super) bounded: bool,
    /// What is open at the end, and what is said of it.
    pub(super) open: Option<(Span, String)>,
}

/// Reads every token, up to the first error.
pub(super) fn scan(body: &str, syntax: &SyntaxConfig) -> Scan {
    let mut scan = Scan::default();
    let mut bounds = Bounds::default();
    let mut blocks: Vec<(&str, Span)> = Vec::new();
    // The start of the tag that is being read.
    let mut tag: Option<(&str, Span)> = None;
    let mut first_in_tag = false;
    let mut end = 0;
    for token in tokenize(body, false, syntax.clone()) {
        let Ok((token, at)) = token else { break };
        let at = super::span(at);
        if tag.is_none() {
            between(body, end, at.start, &mut scan.comments);
        }
        bounds.count(&token);
        match token {
            Token::VariableStart => tag = Some(("{{", at)),
            Token::BlockStart => tag = Some(("{%", at)),
            Token::VariableEnd | Token::BlockEnd => tag = None,
            Token::Ident(name) if first_in_tag => match name.strip_prefix("end") {
                Some(name) if blocks.last().is_some_and(|(open, _)| *open == name) => {
                    blocks.pop();
                }
                None if BLOCKS.contains(&name) => blocks.push((name, at)),
                _ => {}
            },
            _ => {}
        }
        first_in_tag = matches!(token, Token::BlockStart);
        end = at.end;
    }
    scan.bounded = bounds.kept();
    scan.open = match (tag, blocks.last()) {
        (Some((mark, at)), _) => Some((at, format!("`{mark}` is not closed"))),
        (None, Some((name, at))) => Some((*at, format!("`{name}` is not closed: `{{% end{name} %}}` is missing"))),
        (None, None) => {
            between(body, end, body.len(), &mut scan.comments);
            None
        }
    };
    let rest = scan.comments.last().map_or(end, |last| last.end.max(end));
    if tag.is_none()
        && let Some(comment) = body.get(rest..).and_then(|rest| rest.find("{#"))
    {
        scan.open = Some((Span::new(rest + comment, rest + comment + 2), "`{#` is not closed".to_owned()));
    }
    scan
}

/// Finds comments in a gap between two parts of a template: it holds nothing but white space,
/// comments and the tags of raw blocks.
fn between(body: &str, start: usize, end: usize, comments: &mut Vec<Span>) {
    let mut at = start;
    while let Some(gap) = body.get(at..end) {
        let Some(open) = gap.find("{#") else { return };
        let Some(length) = gap.get(open + 2..).and_then(|rest| rest.find("#}")) else { return };
        let comment = Span::new(at + open, at + open + length + 4);
        comments.push(comment);
        at = comment.end;
    }
}
