//! What the SDK's schemas refuse; the rules about runs, connections, prompty files and flex flows
//! share it. No message holds a value: it may be a secret.

use flowgate_flow::Span;
use flowgate_flow::load;
use flowgate_flow::project::{FileId, Presence};
use flowgate_flow::yaml::{Entry, Node};

use crate::context::Context;
use crate::finding::{Finding, Level, Place};
use crate::paths::NamedPath;
use crate::suggest;

/// The keys of every flow that no graph describes, which `base` looks at.
const BASE_TEXTS: [&str; 2] = ["description", "display_name"];
const BASE_MAPPINGS: [&str; 2] = ["environment", "environment_variables"];
const FLOW_TYPES: [&str; 3] = ["standard", "evaluation", "chat"];
const LANGUAGES: [&str; 2] = ["python", "csharp"];

/// Gathers what is wrong with one file.
pub(crate) struct Schema<'p> {
    pub(crate) context: &'p Context<'p>,
    file: FileId,
    /// What the SDK raises.
    class: &'static str,
    pub(crate) findings: Vec<Finding>,
}

impl<'p> Schema<'p> {
    pub(crate) fn new(context: &'p Context<'p>, file: FileId, class: &'static str) -> Self {
        Self { context, file, class, findings: Vec::new() }
    }

    pub(crate) fn place(&self, span: Span) -> Place {
        Place { file: self.file, span }
    }

    /// The SDK refuses it.
    pub(crate) fn error(&mut self, span: Span, message: impl Into<String>) {
        self.push(self.refused(span, message));
    }

    /// The same, to be added to before it is pushed.
    pub(crate) fn refused(&self, span: Span, message: impl Into<String>) -> Finding {
        Finding::error(self.place(span), message).engine(self.class)
    }

    /// The SDK takes it.
    pub(crate) fn warning(&self, span: Span, message: impl Into<String>) -> Finding {
        Finding::new(Level::Warning, self.place(span), message)
    }

    pub(crate) fn push(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Refuses what is null; true where it was not.
    pub(crate) fn given(&mut self, key: &str, entry: &Entry) -> bool {
        if entry.value.is_null() {
            self.error(beside(entry), format!("`{key}` is empty: give it a value, or leave it out"));
        }
        !entry.value.is_null()
    }

    pub(crate) fn mapping(&mut self, key: &str, value: &Node) {
        if value.mapping().is_none() {
            self.error(value.span, format!("`{key}` is a mapping, not {}", value.kind()));
        }
    }

    pub(crate) fn text(&mut self, key: &str, value: &Node) {
        if !is_text(value) {
            let finding = self.refused(value.span, format!("`{key}` is text, not {}", kind(value)));
            self.push(quoted(finding, value));
        }
    }

    /// A mapping to texts, or to nothing.
    pub(crate) fn texts(&mut self, key: &str, value: &Node, or_nothing: bool) {
        self.mapping(key, value);
        for entry in value.mapping().unwrap_or(&[]) {
            let fits = is_text(&entry.value) || (or_nothing && entry.value.is_null());
            if !fits {
                let message = format!("a value of `{key}` is text, not {}", kind(&entry.value));
                let finding = self.refused(beside(entry), message);
                self.push(quoted(finding, &entry.value));
            }
        }
    }

    /// Refuses other keys than these.
    pub(crate) fn known(&mut self, of: &str, value: &Node, keys: &[&'static str]) {
        self.mapping(of, value);
        for entry in value.mapping().unwrap_or(&[]).iter().filter(|entry| !entry.is_merge()) {
            let Some(key) = entry.key.text().filter(|key| !keys.contains(key)) else { continue };
            let finding = self.refused(entry.key.span, format!("`{of}` has no key `{key}`"));
            let finding = self.nearest(finding, key, keys);
            self.push(finding);
        }
    }

    /// Refuses other texts than these.
    pub(crate) fn one_of(&mut self, key: &str, value: &Node, names: &[&'static str]) {
        let Some(text) = value.text().filter(|_| is_text(value)) else { return self.text(key, value) };
        if !names.contains(&text) {
            let finding = self.refused(value.span, format!("`{key}` is one of {}", names.join(", ")));
            let finding = self.nearest(finding, text, names);
            self.push(finding);
        }
    }

    /// What the SDK refuses of the keys that flex flows and prompty files share.
    pub(crate) fn base(&mut self, entry: &Entry) {
        let (Some(key), value) = (entry.key.text(), &entry.value) else { return };
        let ours = matches!(key, "type" | "language" | "tags" | "additional_includes");
        if !(ours || BASE_TEXTS.contains(&key) || BASE_MAPPINGS.contains(&key)) || !self.given(key, entry) {
            return;
        }
        match key {
            "type" => self.one_of(key, value, &FLOW_TYPES),
            "language" => self.one_of(key, value, &LANGUAGES),
            "tags" => self.texts(key, value, false),
            "additional_includes" => match value.sequence() {
                Some(items) => items.iter().for_each(|item| self.text("an entry of `additional_includes`", item)),
                None => self.error(value.span, format!("`{key}` is a list, not {}", value.kind())),
            },
            _ if BASE_TEXTS.contains(&key) => self.text(key, value),
            _ => self.mapping(key, value),
        }
    }

    /// Every `${file:PATH}` below a value that leads nowhere.
    pub(crate) fn references(&mut self, root: &Node) {
        for path in load::file_references(root) {
            let Some(fact) = self.context.project.paths.get(&path.value) else { continue };
            if !matches!(fact.presence, Presence::Missing | Presence::OtherCase(_)) {
                continue;
            }
            let source = path.span.slice(self.context.project.text(self.file));
            let start = path.span.start + source.find(&path.value).unwrap_or(0);
            let at = self.place(Span::new(start, (start + path.value.len()).min(path.span.end)));
            let help = "paths start from the folder of this file";
            let named = NamedPath { noun: "file", written: &path.value, at, fact, otherwise: None, help };
            if let Some(mut finding) = named.finding(self.context, |_| true) {
                // It stands in the middle of a text: quotes would be a part of it.
                finding.fix = finding.fix.filter(|fix| fix.edits.iter().all(|edit| !edit.text.starts_with('\'')));
                self.push(finding.engine("UserErrorException"));
            }
        }
    }

    /// The first line of a value.
    pub(crate) fn first_line(&self, value: &Node) -> Span {
        let text = self.context.project.text(self.file);
        let line = value.span.slice(text).lines().next().map_or(0, str::len);
        Span::new(value.span.start, value.span.start + line)
    }

    /// Adds which of these was meant.
    pub(crate) fn nearest(&self, finding: Finding, typed: &str, keys: &[&'static str]) -> Finding {
        match self.context.nearest(typed, keys.iter().copied()) {
            Some(near) => suggest::meant(finding, near),
            None => finding.help(format!("use one of {}", keys.join(", "))),
        }
    }
}

/// The value, or its key where there is none.
pub(crate) fn beside(entry: &Entry) -> Span {
    if entry.value.span.is_empty() { entry.key.span } else { entry.value.span }
}

/// True for what YAML reads as text.
pub(crate) fn is_text(value: &Node) -> bool {
    value.scalar().is_some_and(|scalar| scalar.is_string() && !scalar.is_date())
}

/// True for text that the SDK replaces by something else: `${env:NAME}` or `${file:PATH}`.
pub(crate) fn is_resolved(value: &Node) -> bool {
    value.text().is_some_and(|text| text.starts_with("${"))
}

fn quoted(finding: Finding, value: &Node) -> Finding {
    if value.scalar().is_some_and(|scalar| !scalar.is_null()) { finding.help("put it in quotes") } else { finding }
}

fn kind(value: &Node) -> &'static str {
    match value.scalar() {
        Some(scalar) if scalar.is_null() => "nothing",
        Some(scalar) if scalar.as_bool().is_some() => "a boolean",
        Some(scalar) if scalar.is_string() => "a date",
        Some(_) => "a number",
        None => value.kind(),
    }
}
