//! Comments that silence a rule:
//! - `# flowgate: ignore[rule, other]` at the end of a line, for that line;
//! - the same on a line of its own, for the next line;
//! - `# flowgate: ignore-file[rule]` anywhere, for the file.
//!
//! In a prompt template, a comment is `{# flowgate: ... #}`.
//!
//! Whatever follows the bracket is the reason, for people.

use std::collections::HashSet;

use flowgate_flow::project::FileId;
use flowgate_flow::{SourceFile, Span};

use crate::context::Context;
use crate::finding::Finding;

/// The ignore comments of a project.
pub(crate) struct Ignores<'p> {
    lines: HashSet<(FileId, usize, &'p str)>,
    files: HashSet<(FileId, &'p str)>,
}

impl<'p> Ignores<'p> {
    /// Reads them.
    pub(crate) fn of(context: &Context<'p>) -> Self {
        let mut ignores = Self { lines: HashSet::new(), files: HashSet::new() };
        if let Some(flow) = context.flow_file() {
            ignores.read(context, flow.file, &flow.document.comments);
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

    fn read(&mut self, context: &Context<'p>, id: FileId, comments: &[Span]) {
        let Some(file) = context.project.file(id) else { return };
        for comment in comments {
            let Some(directive) = parse(comment.slice(&file.text)) else { continue };
            let line = target(file, *comment);
            for rule in directive.rules {
                if directive.whole_file {
                    self.files.insert((id, rule));
                } else {
                    self.lines.insert((id, line, rule));
                }
            }
        }
    }

    /// True where a comment silences the finding.
    pub(crate) fn silence(&self, context: &Context<'_>, finding: &Finding) -> bool {
        let Some(file) = context.project.file(finding.at.file) else { return false };
        let line = file.lines.line_of(finding.at.span.start);
        self.lines.contains(&(finding.at.file, line, finding.rule))
            || self.files.contains(&(finding.at.file, finding.rule))
    }
}

/// The line that a comment is about: its own, or the next where it stands alone.
fn target(file: &SourceFile, comment: Span) -> usize {
    let line = file.lines.line_of(comment.end.saturating_sub(1).max(comment.start));
    let text = file.lines.line(&file.text, line).trim();
    let alone = text.starts_with('#') || (text.starts_with("{#") && text.find("#}") == Some(text.len() - 2));
    line + usize::from(alone)
}

struct Directive<'t> {
    whole_file: bool,
    rules: Vec<&'t str>,
}

fn parse(comment: &str) -> Option<Directive<'_>> {
    let comment = comment.strip_prefix("{#").map_or(comment, |inside| inside.trim_start_matches(['-', '+']));
    let rest = comment.trim_start_matches('#').trim_start().strip_prefix("flowgate:")?.trim_start();
    let (whole_file, rest) = match rest.strip_prefix("ignore-file") {
        Some(rest) => (true, rest),
        None => (false, rest.strip_prefix("ignore")?),
    };
    let (names, _reason) = rest.trim_start().strip_prefix('[')?.split_once(']')?;
    Some(Directive { whole_file, rules: names.split(',').map(str::trim).collect() })
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
  b: {} # flowgate: ignore[other, missing-type]
  # flowgate: ignore[invalid-type-name]
  c: {}
# ^ error[missing-type]: input `c` has no `type`
  # flowgate: ignore[missing-type
  d: {}
# ^ error[missing-type]: input `d` has no `type`
#- requirements.txt
# flowgate: ignore-file[pinned-promptflow] the image is ours
requests
promptflow==1.0
",
        );
    }
}
