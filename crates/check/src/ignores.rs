//! Comments that silence a rule:
//! - `# flowgate: ignore[rule, other]` at the end of a line, for that line;
//! - the same on a line of its own, for the next line;
//! - `# flowgate: ignore-file[rule]` anywhere, for the file.
//!
//! Whatever follows the bracket is the reason, for people.

use flowgate_flow::Span;
use flowgate_flow::project::FileId;

use crate::context::Context;
use crate::finding::Finding;

/// True where a comment silences the finding.
pub(crate) fn ignored(context: &Context<'_>, finding: &Finding) -> bool {
    let Some(file) = context.project.file(finding.at.file) else { return false };
    let line = file.lines.line_of(finding.at.span.start);
    comments(context, finding.at.file).iter().any(|comment| {
        let Some(directive) = parse(comment.slice(&file.text)) else { return false };
        if !directive.rules.contains(&finding.rule) {
            return false;
        }
        let at = file.lines.line_of(comment.start);
        let alone = file.lines.line(&file.text, at).trim_start().starts_with('#');
        directive.whole_file || at == line || (alone && at + 1 == line)
    })
}

fn comments<'p>(context: &Context<'p>, file: FileId) -> &'p [Span] {
    if let Some(flow) = context.flow_file().filter(|flow| flow.file == file) {
        return &flow.document.comments;
    }
    context.requirements().iter().find(|r| r.file == file).map_or(&[], |r| &r.requirements.comments)
}

struct Directive<'t> {
    whole_file: bool,
    rules: Vec<&'t str>,
}

fn parse(comment: &str) -> Option<Directive<'_>> {
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
        fixture::raises(
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
