//! The Python file behind a node, as far as it can be known without running it: its tools with their
//! parameters, what it imports, and what of it is not Python.
//!
//! Python decides at run time what a module holds. What this reader cannot be sure of it marks, so
//! that a rule can be silent: a tool under a condition, a parameter of a type from elsewhere, a
//! module that may define more than its text shows.

use std::collections::HashMap;

use ruff_python_ast::PythonVersion;
use ruff_python_ast::token::TokenKind;
use ruff_python_parser::{Mode, ParseOptions, UnsupportedSyntaxErrorKind, parse_unchecked};
use ruff_text_size::{Ranged, TextRange};

use crate::span::{Span, Spanned};
use crate::value_type::ValueType;

mod annotation;
mod bindings;
mod depth;
mod walk;

/// Larger files are not read: no tool comes near it, and memory stays bounded.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;

/// How many errors, and how many uses of newer syntax, are kept of one file.
const MAX_ERRORS: usize = 100;

/// The oldest Python that promptflow runs on; syntax that it lacks is kept in [`Module::newer`].
const OLDEST: PythonVersion = PythonVersion::PY39;

/// One Python file.
#[derive(Debug, Clone, Default)]
pub struct Module {
    /// What the engine takes for tools, in the order of the text.
    pub tools: Vec<Tool>,
    /// The imports that run when the module is loaded, in the order of the text.
    pub imports: Vec<Import>,
    /// The names that the module's own level defines by `def`, `class`, assignment or import.
    pub definitions: Vec<Definition>,
    /// True where the module may define names that its text does not show: `from x import *`,
    /// `exec`, `globals`, `setattr`.
    pub dynamic: bool,
    /// True where there may be tools that the text does not show: `tool(f)`, a decorator or a base
    /// class from another file.
    pub hidden_tools: bool,
    /// True where the file changes where Python looks for modules (`sys.path`).
    pub changes_path: bool,
    /// What is not Python, in order of place; only the first is certain, others may follow from it.
    pub errors: Vec<SyntaxError>,
    /// Syntax that Python has not always had.
    pub newer: Vec<NewerSyntax>,
    /// Comments that speak to flowgate, in order of place; the span includes the `#`.
    pub comments: Vec<Span>,
    /// False where the text could not be read whole: it is broken, or skipped. What is not here may then exist.
    pub complete: bool,
    /// True where nothing was read, because the text is too long, has too many words or nests too deep.
    pub skipped: bool,
}

/// A place that Python refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// The place; may be empty.
    pub span: Span,
    /// What is wrong, as a fragment.
    pub message: String,
}

/// Syntax with the Python that brought it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewerSyntax {
    /// The place.
    pub span: Span,
    /// What an older Python cannot do, as a fragment: "cannot use `match` statement".
    pub message: String,
    /// The minor version of Python 3 that brought it.
    pub since: u8,
}

/// A function that the engine takes for a tool.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// The function's name.
    pub name: Spanned<String>,
    /// The class derived from `ToolProvider` that it is a method of.
    pub class: Option<Spanned<String>>,
    /// The inputs that the class takes before the method does: the parameters of its `__init__`.
    pub init: Vec<Parameter>,
    /// Its parameters in order, without `self`, `*args` and `**kwargs`.
    pub parameters: Vec<Parameter>,
    /// True where it takes any name (`**kwargs`).
    pub has_kwargs: bool,
    /// True where nothing hides what it takes: no other decorator, no inherited `__init__`.
    pub known_signature: bool,
    /// True where it is one for certain: the decorator comes from promptflow and the definition
    /// stands under no condition.
    pub certain: bool,
}

/// A parameter of a tool.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: Spanned<String>,
    /// What the engine takes it for.
    pub accepts: Accepts,
    /// Its default.
    pub default: Option<Default>,
    /// The connection class in its annotation that the engine does not see, and why.
    pub hidden_connection: Option<(String, Hidden)>,
    /// All of it, annotation and default included.
    pub span: Span,
}

impl Tool {
    /// The inputs whose names its class takes as well, each with that one.
    pub fn duplicates(&self) -> impl Iterator<Item = (&Parameter, &Parameter)> {
        let init: HashMap<&str, &Parameter> = self.init.iter().map(|init| (init.name.value.as_str(), init)).collect();
        self.parameters.iter().filter_map(move |parameter| Some((parameter, *init.get(parameter.name.value.as_str())?)))
    }
}

impl Parameter {
    /// True where a node must give it.
    pub fn is_required(&self) -> bool {
        self.default.is_none()
    }
}

/// What the engine takes a parameter for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepts {
    /// A value of that type.
    Value(ValueType),
    /// A connection, by the classes that are accepted.
    Connections(Vec<String>),
    /// Only running the file would tell.
    Unknown,
}

/// Why the engine does not see that an annotation is a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hidden {
    /// `from __future__ import annotations` makes every annotation a text.
    FutureAnnotations,
    /// The annotation is written in quotes.
    Quotes,
    /// `X | None`, which the engine does not take apart as it does `Optional[X]`.
    Bar,
}

/// A parameter's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Default {
    /// The place.
    pub span: Span,
    /// The type that the engine infers from it.
    pub kind: Literal,
}

/// The kinds of literals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Literal {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool,
    /// `1`.
    Int,
    /// `1.0`.
    Float,
    /// `"text"`.
    Str,
    /// `[...]`.
    List,
    /// A dictionary, a set, a tuple, bytes.
    Object,
    /// An expression.
    Other,
}

/// `import a.b` or `from a.b import c`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The module, with its dots; empty for `from . import c`.
    pub module: Spanned<String>,
    /// The number of dots before the module.
    pub level: u32,
    /// The names that are taken from it; empty for `import a.b`.
    pub names: Vec<Spanned<String>>,
    /// True where loading the module fails without it: it stands under no condition and in no
    /// `try`.
    pub required: bool,
}

/// A name that the module defines at its own level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// The name.
    pub name: Spanned<String>,
    /// What it is.
    pub kind: DefinitionKind,
    /// True where it stands under a condition, or in a part that is only done where another fails.
    pub conditional: bool,
}

/// What a name is defined as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefinitionKind {
    /// `def` or `async def`.
    Function,
    /// `class`.
    Class,
    /// An assignment, a loop, a `with`.
    Variable,
    /// `import x` or `from x import y`.
    Import,
}

impl Module {
    /// The last definition of that name at the module's own level.
    pub fn definition(&self, name: &str) -> Option<&Definition> {
        self.definitions.iter().rev().find(|definition| definition.name.value == name)
    }

    /// True where the module has that name, or may have it for all that its text tells.
    pub fn defines(&self, name: &str) -> bool {
        !self.complete || self.dynamic || self.definition(name).is_some()
    }

    /// The one tool, where it is certain that it is one and takes what it shows. There may be more
    /// that the text does not show; then the engine refuses the file.
    pub fn only_tool(&self) -> Option<&Tool> {
        match self.tools.as_slice() {
            [tool] if tool.certain && tool.known_signature && self.complete => Some(tool),
            _ => None,
        }
    }
}

/// Reads `text`. A text over [`MAX_BYTES`], with too deep a nesting or of too many words is
/// skipped.
pub fn read(text: &str) -> Module {
    if text.len() > MAX_BYTES || !depth::is_modest(text) {
        return Module { skipped: true, ..Module::default() };
    }
    let options = ParseOptions::from(Mode::Module).with_target_version(OLDEST);
    let Some(parsed) = parse_unchecked(text, options).try_into_module() else { return Module::default() };
    let mut module = walk::walk(parsed.suite());
    for error in parsed.errors().iter().take(MAX_ERRORS) {
        module.errors.push(SyntaxError { span: span(error.location), message: fragment(&error.error.to_string()) });
    }
    for error in parsed.unsupported_syntax_errors().iter().take(MAX_ERRORS) {
        let message = error.to_string();
        let message = fragment(message.split(" on Python ").next().unwrap_or(&message));
        match since(error.kind) {
            Some(since) => module.newer.push(NewerSyntax { span: span(error.range), message, since }),
            None => module.errors.push(SyntaxError { span: span(error.range), message }),
        }
    }
    module.errors.sort_by_key(|error| error.span);
    module.complete = module.errors.is_empty();
    tokens(&mut module, text, parsed.tokens().iter().map(|token| (token.kind(), span(token.range()))));
    module
}

/// What the words tell that the statements do not.
fn tokens(module: &mut Module, text: &str, tokens: impl Iterator<Item = (TokenKind, Span)>) {
    let mut before = ["", "\n"];
    let mut indents = 0_usize;
    let mut decorator = false;
    for (kind, span) in tokens {
        let word = match kind {
            TokenKind::Comment => {
                if span.slice(text).contains("flowgate:") {
                    module.comments.push(span);
                }
                continue;
            }
            TokenKind::Name | TokenKind::Dot | TokenKind::Lpar | TokenKind::Def => span.slice(text),
            TokenKind::At => {
                decorator |= before[1] == "\n";
                "@"
            }
            TokenKind::Newline => {
                decorator = false;
                "\n"
            }
            // They come between the end of a line and the next.
            TokenKind::Indent => {
                indents += 1;
                continue;
            }
            TokenKind::Dedent => {
                indents = indents.saturating_sub(1);
                continue;
            }
            TokenKind::NonLogicalNewline => continue,
            _ => "",
        };
        match (before, word) {
            ([_, "."], "addsitedir") | (["sys", "."], "path") => module.changes_path = true,
            ([previous, "tool"], "(") if indents == 0 && !decorator && previous != "def" => module.hidden_tools = true,
            ([_, "."], _) => {}
            (_, "exec" | "globals" | "setattr" | "__getattr__") => module.dynamic = true,
            _ => {}
        }
        before = [before[1], word];
    }
}

/// The minor version of Python 3 that brought a syntax; `None` for what no Python that promptflow
/// runs on has.
fn since(kind: UnsupportedSyntaxErrorKind) -> Option<u8> {
    use UnsupportedSyntaxErrorKind as Kind;
    match kind {
        Kind::ParenthesizedKeywordArgumentName => None,
        Kind::Walrus | Kind::StarTuple(_) | Kind::PositionalOnlyParameter => Some(8),
        Kind::UnparenthesizedNamedExpr(_)
        | Kind::RelaxedDecorator { .. }
        | Kind::ParenthesizedContextManager
        | Kind::UnparenthesizedUnpackInFor => Some(9),
        Kind::Match => Some(10),
        Kind::ExceptStar | Kind::StarExpressionInIndex | Kind::StarAnnotation => Some(11),
        Kind::TypeParameterList | Kind::TypeAliasStatement | Kind::Pep701FString(_) => Some(12),
        Kind::TypeParamDefault => Some(13),
        Kind::UnparenthesizedExceptionTypes | Kind::TemplateStrings => Some(14),
        Kind::LazyImportStatement | Kind::UnpackingInComprehension(_) => Some(15),
    }
}

fn span(range: TextRange) -> Span {
    Span::new(range.start().to_usize(), range.end().to_usize())
}

/// A sentence as a fragment: with a small letter, unless it starts with a name.
fn fragment(sentence: &str) -> String {
    let mut chars = sentence.chars();
    match (chars.next(), chars.as_str().chars().next()) {
        (Some(first), Some(second)) if !second.is_uppercase() => {
            first.to_lowercase().collect::<String>() + chars.as_str()
        }
        _ => sentence.to_owned(),
    }
}

#[cfg(test)]
mod tests;
