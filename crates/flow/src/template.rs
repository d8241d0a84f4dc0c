//! Prompt templates: Jinja2 text to the names that it asks for.
//!
//! The engine parses a template with Jinja2 when it loads a flow, renders it with
//! `trim_blocks` and `keep_trailing_newline`, and, for chat, splits the result at role lines.
//! The parser here is MiniJinja's, by Jinja2's own author. Where the two languages differ, the
//! template counts as not read ([`Template::complete`]): nothing is said of it that Jinja2 would
//! not say.

use minijinja::machinery::{ast, parse};
use minijinja::syntax::SyntaxConfig;

use crate::span::{Span, Spanned};
use crate::yaml::SyntaxError;
use scan::Scan;

mod bounds;
mod differences;
mod names;
mod roles;
mod scan;
mod variables;

pub use names::{FILTERS, TESTS};
pub use roles::{Opening, ROLES, RoleLine};

/// Longer templates are not read.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;

/// What was read from one template. Without an error, and where `complete` is false, all lists may
/// be short of something.
#[derive(Debug, Clone, Default)]
pub struct Template {
    /// The names that it takes from outside, in order of their first use: what Jinja2's
    /// `meta.find_undeclared_variables` finds.
    pub variables: Vec<Variable>,
    /// Names of variables in the form `![image]({{ name }})`, which the engine gives images.
    pub images: Vec<Spanned<String>>,
    /// Lines of its literal text that start a chat message.
    pub roles: Vec<RoleLine>,
    /// What a rendered text starts with.
    pub opening: Opening,
    /// Filters, tests and other templates that it needs, in no particular order.
    pub lookups: Vec<Lookup>,
    /// Comments `{# ... #}`, in order of place.
    pub comments: Vec<Span>,
    /// Where Jinja2 refuses it.
    pub error: Option<SyntaxError>,
    /// False where it was not understood in full: an error, a construct that only Jinja2 knows, or
    /// nesting without measure.
    pub complete: bool,
}

/// A name that a template takes from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// The name.
    pub name: String,
    /// Where it is used, in order of place; no more than [`MAX_USES`].
    pub uses: Vec<Span>,
    /// True where every use may be skipped or has something in its place: it stands in or under an
    /// `if`, or before `default`, `or` or `is defined`.
    pub guarded: bool,
    /// True where some branch of the template sets it too.
    pub assigned: bool,
}

/// How many uses of one variable are kept.
pub const MAX_USES: usize = 32;

impl Variable {
    /// Its first use.
    pub fn span(&self) -> Span {
        self.uses.first().copied().unwrap_or_default()
    }
}

/// Something that Jinja2 looks up by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// The name; for another template, the keyword of the statement that needs it.
    pub name: Spanned<String>,
    /// What it is.
    pub kind: LookupKind,
    /// True under an `if`, where Jinja2 looks for it only when it gets there.
    pub conditional: bool,
}

/// The kinds of what is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookupKind {
    /// `x | name`
    Filter,
    /// `x is name`
    Test,
    /// `{% include %}`, `{% import %}`, `{% from %}`, `{% extends %}`
    Template,
}

impl Template {
    /// The variable of that name.
    pub fn variable(&self, name: &str) -> Option<&Variable> {
        self.variables.iter().find(|variable| variable.name == name)
    }
}

/// Reads a template.
pub fn read(text: &str) -> Template {
    read_at(text, 0)
}

/// Reads the template that starts at the byte `start` of `text` and goes to its end; its places are
/// places in `text`.
pub fn read_at(text: &str, start: usize) -> Template {
    let Some(body) = text.get(start..).filter(|body| bounds::fits(body)) else { return Template::default() };
    let Ok(syntax) = SyntaxConfig::builder().trim_blocks(true).keep_trailing_newline(true).build() else {
        return Template::default();
    };
    let mut scan = scan::scan(body, &syntax);
    let mut template = Template { comments: std::mem::take(&mut scan.comments), ..Template::default() };
    if scan.bounded {
        parsed(body, syntax, &scan, &mut template);
    }
    template.shift(start);
    template
}

fn parsed(body: &str, syntax: SyntaxConfig, scan: &Scan, template: &mut Template) {
    let tree = match parse(body, "", syntax) {
        Ok(ast::Stmt::Template(tree)) => tree,
        Ok(_) => return,
        Err(error) => {
            template.error = differences::certain(&error, body, scan);
            return;
        }
    };
    if let Some(error) = differences::unknown_tag(&tree.children) {
        template.error = Some(error);
        return;
    }
    let found = variables::find(&tree.children);
    template.variables = found.variables;
    template.lookups = found.lookups;
    template.images = images(body);
    template.roles = roles::lines(&tree.children, body);
    template.opening = roles::opening(&tree.children);
    template.complete = true;
}

/// A span of the parser.
fn span(of: minijinja::machinery::Span) -> Span {
    Span::new(of.start_offset as usize, of.end_offset as usize)
}

/// `![image]({{ name }})`, as the engine looks for it in the bare text: a variable of that form is
/// an image.
fn images(body: &str) -> Vec<Spanned<String>> {
    let mut images = Vec::new();
    for (at, _) in body.match_indices("![") {
        let found = || {
            let rest = body.get(at + 2..)?.trim_start().strip_prefix("image")?.trim_start();
            let rest = rest.strip_prefix("]({{")?;
            let open = body.len() - rest.len();
            let close = rest.find(['{', '}'])?;
            rest.get(close..)?.strip_prefix("}})")?.is_char_boundary(0).then_some(())?;
            let inner = rest.get(..close)?;
            let name = inner.trim();
            let start = open + (inner.len() - inner.trim_start().len());
            (!name.is_empty()).then(|| Spanned::new(name.to_owned(), Span::new(start, start + name.len())))
        };
        images.extend(found());
    }
    images
}

impl Template {
    /// Moves every place by `start`.
    fn shift(&mut self, start: usize) {
        if start == 0 {
            return;
        }
        let shift = |span: &mut Span| *span = Span::new(span.start + start, span.end + start);
        self.variables.iter_mut().flat_map(|variable| &mut variable.uses).for_each(shift);
        self.images.iter_mut().for_each(|image| shift(&mut image.span));
        self.roles.iter_mut().for_each(|role| shift(&mut role.name.span));
        self.lookups.iter_mut().for_each(|lookup| shift(&mut lookup.name.span));
        self.comments.iter_mut().for_each(shift);
        self.error.iter_mut().for_each(|error| shift(&mut error.span));
        match &mut self.opening {
            Opening::Text(span) => shift(span),
            Opening::Inline { role, .. } => shift(&mut role.span),
            Opening::Role | Opening::Empty | Opening::Unknown => {}
        }
    }
}

#[cfg(test)]
mod tests;
