//! What a rule says, as plain data.

use flowgate_flow::Span;
use flowgate_flow::credential::mask;
use flowgate_flow::project::FileId;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Worth knowing.
    Hint,
    /// Works today, or may be meant; likely to hurt.
    Warning,
    /// Fails: at load, at run time, in the image build, or in the hosted runtime.
    Error,
}

/// A place in a file of the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file.
    pub file: FileId,
    /// The bytes; an empty span is a point.
    pub span: Span,
}

/// One fault at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule's name; set by [`crate::check`].
    pub rule: &'static str,
    /// How bad it is.
    pub level: Level,
    /// Where.
    pub at: Place,
    /// What is wrong, as a lower-case fragment with the names in backquotes.
    pub message: String,
    /// The next step.
    pub help: Option<String>,
    /// Other places that explain it.
    pub related: Vec<Related>,
    /// How to repair it.
    pub fix: Option<Fix>,
    /// The exception class that the engine raises for it, where it raises one.
    pub engine: Option<&'static str>,
}

/// A place that explains a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Related {
    /// Where.
    pub at: Place,
    /// What is there, as a lower-case fragment.
    pub message: String,
}

/// A repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// What it does, in the imperative: "remove the version".
    pub title: String,
    /// How sure it is.
    pub applicability: Applicability,
    /// The changes; they do not overlap.
    pub edits: Vec<Edit>,
}

/// How sure a fix is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applicability {
    /// Says what was meant; may be applied without looking.
    Safe,
    /// A guess, or a change of behaviour; look at it.
    Unsafe,
}

/// One change of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The bytes to replace.
    pub at: Place,
    /// What to put there.
    pub text: String,
}

/// A name in a hostile file may be as long as the file: a message is not. And no message holds a
/// password.
fn clip(message: String) -> String {
    let mut message = match mask(&message) {
        std::borrow::Cow::Owned(masked) => masked,
        std::borrow::Cow::Borrowed(_) => message,
    };
    if let Some((end, _)) = message.char_indices().nth(MAX_MESSAGE) {
        message.truncate(end);
        message.push('…');
    }
    message
}

/// The length of a message, in characters.
const MAX_MESSAGE: usize = 500;

impl Finding {
    /// An error at a place.
    pub fn error(at: Place, message: impl Into<String>) -> Self {
        Self::new(Level::Error, at, message)
    }

    /// A finding of that level.
    pub fn new(level: Level, at: Place, message: impl Into<String>) -> Self {
        Self {
            rule: "",
            level,
            at,
            message: clip(message.into()),
            help: None,
            related: Vec::new(),
            fix: None,
            engine: None,
        }
    }

    /// Adds the next step.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(clip(help.into()));
        self
    }

    /// Adds the next step where there is one to give.
    #[must_use]
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help.map(clip).or(self.help);
        self
    }

    /// Names the engine's exception class.
    #[must_use]
    pub fn engine(mut self, class: &'static str) -> Self {
        self.engine = Some(class);
        self
    }

    /// Adds a place that explains it.
    #[must_use]
    pub fn related(mut self, at: Place, message: impl Into<String>) -> Self {
        self.related.push(Related { at, message: clip(message.into()) });
        self
    }

    /// Adds a repair of one change.
    ///
    /// The text that it writes is shown as it is: it must hold no password.
    #[must_use]
    pub fn fix(
        mut self,
        applicability: Applicability,
        title: impl Into<String>,
        at: Place,
        text: impl Into<String>,
    ) -> Self {
        let edits = vec![Edit { at, text: text.into() }];
        self.fix = Some(Fix { title: title.into(), applicability, edits });
        self
    }
}
