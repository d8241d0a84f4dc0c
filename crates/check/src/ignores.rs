//! Comments that silence a rule:
//! - `# flowgate: ignore[rule, other]` at the end of a line, for that line;
//! - the same on a line of its own, for the next line;
//! - `# flowgate: ignore-file[rule]` anywhere, for the file.
//!
//! In a prompt template, a comment is `{# flowgate: ... #}`.
//!
//! Whatever follows the bracket is the reason, for people. A comment that names `unused-ignore` is
//! kept, whatever else it names.

use std::cell::Cell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use flowgate_flow::config::CheckConfig;
use flowgate_flow::project::FileId;
use flowgate_flow::{SourceFile, Span};

use crate::config::rule_name;
use crate::context::Context;
use crate::finding::{Applicability, Finding, Place};
use crate::rules::{self, unused_ignore};
use crate::suggest;

/// The ignore comments of a project, and which of them silenced something.
pub(crate) struct Ignores<'p> {
    comments: Vec<Comment<'p>>,
    /// The comment and the name in it that silence a rule on a line.
    lines: HashMap<(FileId, usize, &'p str), (usize, usize)>,
    /// The same for a file.
    files: HashMap<(FileId, &'p str), (usize, usize)>,
}

/// One comment.
struct Comment<'p> {
    at: Place,
    names: Vec<Name<'p>>,
}

/// One name in a comment.
struct Name<'p> {
    text: &'p str,
    span: Span,
    used: Cell<bool>,
}

impl<'p> Ignores<'p> {
    /// Reads them.
    pub(crate) fn of(context: &Context<'p>) -> Self {
        let mut ignores = Self { comments: Vec::new(), lines: HashMap::new(), files: HashMap::new() };
        for (file, document) in context.project.documents() {
            ignores.read(context, file, &document.comments);
        }
        for file in context.requirements() {
            ignores.read(context, file.file, &file.requirements.comments);
        }
        for definition in context.project.assistants.values() {
            ignores.read(context, definition.file, &definition.document.comments);
        }
        for file in context.project.python_files() {
            ignores.read(context, file.file, &file.module.comments);
        }
        for file in context.project.templates.values() {
            ignores.read(context, file.file, &file.template.comments);
        }
        ignores
    }

    /// Reads those among the comments of one file; a span includes the marks of its comment.
    fn read(&mut self, context: &Context<'p>, id: FileId, comments: &[Span]) {
        let Some(file) = context.project.file(id) else { return };
        for span in comments {
            let Some(directive) = parse(file.text.get(span.start..span.end).unwrap_or("")) else { continue };
            let line = target(file, *span);
            let comment = self.comments.len();
            let mut names = Vec::new();
            for (offset, text) in directive.names {
                let (at, index) = (span.start + offset, names.len());
                names.push(Name { text, span: Span::new(at, at + text.len()), used: Cell::new(false) });
                // A name that stands twice does its work once.
                if directive.whole_file {
                    vacant(self.files.entry((id, text)), (comment, index));
                } else {
                    vacant(self.lines.entry((id, line, text)), (comment, index));
                }
            }
            self.comments.push(Comment { at: Place { file: id, span: *span }, names });
        }
    }

    /// True where a comment silences the finding.
    pub(crate) fn silence(&self, context: &Context<'_>, finding: &Finding) -> bool {
        let Some(file) = context.project.file(finding.at.file) else { return false };
        let line = file.lines.line_of(finding.at.span.start);
        let of_line = self.lines.get(&(finding.at.file, line, finding.rule));
        let of_file = self.files.get(&(finding.at.file, finding.rule));
        for name in of_line
            .into_iter()
            .chain(of_file)
            .filter_map(|(comment, name)| self.comments.get(*comment)?.names.get(*name))
        {
            name.used.set(true);
        }
        of_line.is_some() || of_file.is_some()
    }

    /// What the comments name in vain, once every finding was offered to [`Self::silence`].
    pub(crate) fn unused(&self, context: &Context<'_>, config: &CheckConfig) -> Vec<Finding> {
        let project = context.project;
        let complete = project.flow.as_ref().is_none_or(|flow| flow.flow.complete)
            && project.files.iter().all(|file| file.unreadable.is_none());
        if !complete {
            return Vec::new();
        }
        let in_vain =
            |name: &&Name<'_>| !name.used.get() && rules::find(name.text).is_none_or(|rule| rule.is_on(config));
        let kept = |comment: &&Comment<'_>| comment.names.iter().any(|name| name.text == unused_ignore::RULE.name);
        let mut findings = Vec::new();
        for comment in self.comments.iter().filter(|comment| !kept(comment)) {
            let unused: Vec<&Name<'_>> = comment.names.iter().filter(in_vain).collect();
            let known: Vec<&str> =
                unused.iter().map(|name| name.text).filter(|name| rules::find(name).is_some()).collect();
            if known.len() < comment.names.len() {
                findings.extend(unused.iter().map(|name| of_name(comment, name)));
                continue;
            }
            let message = match known.as_slice() {
                [] => "this comment ignores no rule".to_owned(),
                [name] => format!("`{name}` is not found where this comment ignores it"),
                [most @ .., last] => {
                    format!("neither `{}` nor `{last}` is found where this comment ignores it", most.join("`, `"))
                }
            };
            let finding = Finding::new(unused_ignore::RULE.level, comment.at, message);
            findings.push(if known.is_empty() {
                finding.help("write `flowgate: ignore[rule] the reason`")
            } else {
                let at = Place { span: whole(context, comment.at), ..comment.at };
                let remove = "remove the comment";
                finding.help(remove).fix(Applicability::Safe, remove, at, "")
            });
        }
        for finding in &mut findings {
            finding.rule = unused_ignore::RULE.name;
        }
        findings
    }
}

fn vacant<K, V>(entry: Entry<'_, K, V>, value: V) {
    if let Entry::Vacant(entry) = entry {
        entry.insert(value);
    }
}

/// A name in vain in a comment that has others.
fn of_name(comment: &Comment<'_>, name: &Name<'_>) -> Finding {
    let place = |span: Span| Place { span, ..comment.at };
    let new = |message: String| Finding::new(unused_ignore::RULE.level, place(name.span), message);
    let around = place(with_comma(comment, name));
    let near = match rule_name(name.text) {
        Ok(_) => {
            let finding = new(format!("`{}` is not found where this comment ignores it", name.text));
            return finding.help("remove the name").fix(Applicability::Safe, "remove the name", around, "");
        }
        Err(error) => error.nearest,
    };
    let finding = new(format!("there is no rule `{}`", name.text));
    match near {
        Some(near) if comment.names.iter().all(|other| other.text != near) => suggest::meant(finding, near),
        _ if comment.names.len() > 1 => {
            finding.help("remove the name").fix(Applicability::Unsafe, "remove the name", around, "")
        }
        _ => finding.help("`flowgate rule` lists all"),
    }
}

/// A name with the comma that goes with it.
fn with_comma(comment: &Comment<'_>, name: &Name<'_>) -> Span {
    let index = comment.names.iter().position(|other| other.span == name.span).unwrap_or(0);
    match (comment.names.get(index + 1), index.checked_sub(1).and_then(|before| comment.names.get(before))) {
        (Some(next), _) => Span::new(name.span.start, next.span.start),
        (None, Some(before)) => Span::new(before.span.end, name.span.end),
        (None, None) => name.span,
    }
}

/// A comment with the blanks before it, or with its line where nothing else stands there.
fn whole(context: &Context<'_>, at: Place) -> Span {
    let Some(file) = context.project.file(at.file) else { return at.span };
    let line = file.lines.line_of(at.span.start);
    let start = file.lines.start_of(line).unwrap_or(at.span.start);
    let before = file.text.get(start..at.span.start).unwrap_or("");
    let after = file.text.get(at.span.end..start + file.lines.line(&file.text, line).len()).unwrap_or("");
    if is_blank(before) && is_blank(after) {
        let mark = before.len() - before.trim_start_matches('\u{feff}').len();
        return Span::new(start + mark, file.lines.start_of(line + 1).unwrap_or(file.text.len()));
    }
    Span::new(start + before.trim_end_matches([' ', '\t']).len(), at.span.end)
}

/// The line that a comment is about: its own, or the next where it stands alone.
fn target(file: &SourceFile, comment: Span) -> usize {
    let line = file.lines.line_of(comment.end.saturating_sub(1).max(comment.start));
    let start = file.lines.start_of(file.lines.line_of(comment.start)).unwrap_or(comment.start);
    let before = file.text.get(start..comment.start).is_some_and(is_blank);
    let text = file.lines.line(&file.text, line);
    let after = file.lines.start_of(line).and_then(|start| text.get(comment.end.saturating_sub(start)..));
    line + usize::from(before && after.is_none_or(is_blank))
}

/// True for blanks and a byte order mark.
fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || c == '\u{feff}')
}

struct Directive<'t> {
    whole_file: bool,
    /// The names, each with its place in the comment; none where the comment is not as it must be.
    names: Vec<(usize, &'t str)>,
}

fn parse(comment: &str) -> Option<Directive<'_>> {
    let comment = comment.strip_prefix("{#").map_or(comment, |inside| inside.trim_start_matches(['-', '+']));
    let rest = comment.trim_start_matches('#').trim_start().strip_prefix("flowgate:")?.trim_start();
    let (whole_file, rest) = match rest.strip_prefix("ignore-file") {
        Some(rest) => (true, rest),
        None => (false, rest.strip_prefix("ignore")?),
    };
    // "ignored", "ignore-files": other words.
    if rest.starts_with(|c: char| c.is_alphanumeric() || c == '-') {
        return None;
    }
    let list =
        rest.trim_start().strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or("", |(list, _reason)| list);
    let offset = |part: &str| part.as_ptr() as usize - comment.as_ptr() as usize;
    let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
    Some(Directive { whole_file, names: names.map(|name| (offset(name), name)).collect() })
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn on_the_line_above_it_and_for_the_file() {
        fixture::raises_of_all_rules(
            "#- flow.dag.yaml
inputs:
  # flowgate: ignore[missing-type] known
  a: {}
  b: {} # flowgate: ignore[unused-ignore, missing-type]
  # flowgate: ignore[invalid-type-name, unused-ignore]
  c: {}
# ^ error[missing-type]: input `c` has no `type`
  # flowgate: ignore[missing-type
# ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning[unused-ignore]: this comment ignores no rule
  d: {}
# ^ error[missing-type]: input `d` has no `type`
environment: {python_requirements_txt: requirements.txt}
#- requirements.txt
# flowgate: ignore-file[pinned-promptflow] the image is ours
requests
promptflow==1.0
",
        );
    }
}
