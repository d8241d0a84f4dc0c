use crate::context::Context;
use crate::finding::{Applicability, Finding, Level, Place};
use crate::rule::{Group, Rule};
use flowgate_flow::Span;
use flowgate_flow::project::FileId;
use flowgate_flow::yaml::{Document, Node as Yaml, Value};

pub(super) const RULE: Rule = Rule {
    name: "misplaced-tab",
    group: Group::Files,
    level: Level::Error,
    summary: "A tab outside of quotes, block texts, brackets and comments.",
    cases: &[],
    why: "YAML allows a tab between a value and the end of its line. The engine's reader does not: it refuses the file (`found character '\\t' that cannot start any token`), also for a tab on an empty line, which no editor shows.",
    bad: "#- flow.dag.yaml\ninputs:\n  question:\t# what the user asks\n    type: string\n",
    good: "#- flow.dag.yaml\ninputs:\n  question: # what the user asks\n    type: string\n",
    fix: Some("Removes a tab at the end of a line, and writes a space for one inside it."),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(flow) = context.flow_file() else { return Vec::new() };
    let text = context.project.text(flow.file);
    if !text.contains('\t') {
        return Vec::new();
    }
    let allowed = allowed(&flow.document, text);
    let mut findings = Vec::new();
    let (mut at, mut next) = (0, 0);
    for line in text.split_inclusive('\n') {
        let start = at;
        at += line.len();
        // The first of a line is what the reader stops at; removing it shows the next.
        let tab = line.match_indices('\t').map(|(offset, _)| start + offset).find(|tab| {
            while allowed.get(next).is_some_and(|span| span.end <= *tab) {
                next += 1;
            }
            !allowed.get(next).is_some_and(|span| span.contains(*tab))
        });
        findings.extend(tab.map(|tab| finding(flow.file, text, tab, at)));
    }
    findings
}

fn finding(file: FileId, text: &str, tab: usize, line_end: usize) -> Finding {
    let rest = Span::new(tab, line_end).slice(text);
    let run = rest.len() - rest.trim_start_matches(['\t', ' ']).len();
    let last = rest.trim().is_empty();
    let at =
        Place { file, span: Span::new(tab, tab + if last { rest.trim_end_matches(['\n', '\r']).len() } else { run }) };
    let finding = Finding::error(at, "a tab stands where the engine's YAML reader takes none").engine("YAMLError");
    // Before a value, or between a key and its colon, a space means the same.
    let indents = Span::new(0, tab).slice(text).rsplit('\n').next().is_some_and(|before| before.trim().is_empty());
    match (last, indents) {
        (true, _) => finding.help("remove it").fix(Applicability::Safe, "remove the tab", at, ""),
        (false, false) => finding.help("write a space").fix(Applicability::Safe, "write a space", at, " "),
        // How deep was it meant to be?
        (false, true) => finding.help("indent with spaces"),
    }
}

/// Where a tab is text: sorted, and without overlaps but for what lies inside another one.
fn allowed(document: &Document, text: &str) -> Vec<Span> {
    let mut spans: Vec<Span> = document.comments.iter().chain(&document.blanked).copied().collect();
    // What the parser refused is reported as such.
    spans.extend(document.errors.iter().map(|error| {
        let line = text.get(..error.span.start).map_or(0, |before| before.rfind('\n').map_or(0, |at| at + 1));
        Span::new(
            line,
            text.get(error.span.start..).and_then(|rest| rest.find('\n')).map_or(text.len(), |n| error.span.start + n),
        )
    }));
    let mut left = vec![&document.root];
    while let Some(node) = left.pop() {
        if node.alias {
            continue;
        }
        if is_delimited(node, text) {
            spans.push(node.span);
            continue;
        }
        match &*node.value {
            Value::Sequence(items) => left.extend(items),
            Value::Mapping(entries) => left.extend(entries.iter().flat_map(|entry| [&entry.key, &entry.value])),
            Value::Scalar(_) => {}
        }
    }
    spans.sort();
    let mut merged: Vec<Span> = Vec::new();
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.start < last.end => last.end = last.end.max(span.end),
            _ => merged.push(span),
        }
    }
    merged
}

/// Quoted text, block text, and collections in brackets.
fn is_delimited(node: &Yaml, text: &str) -> bool {
    match &*node.value {
        Value::Scalar(scalar) => scalar.block || node.span.slice(text).starts_with(['\'', '"']),
        Value::Sequence(_) | Value::Mapping(_) => node.span.slice(text).starts_with(['[', '{']),
    }
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn where_the_engine_stops() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
inputs:
  a: {type: string,\tdefault: 'x\ty'}
  b:
    type:\tstring
#        ^ error[misplaced-tab]: a tab stands where the engine's YAML reader takes none
    default: |
      x\ty
    description: x # a\tb
outputs:\t
#       ^ error[misplaced-tab]: a tab stands where the engine's YAML reader takes none
\t
#^ error[misplaced-tab]: a tab stands where the engine's YAML reader takes none
  c: {type: string, reference: x}
",
        );
    }

    #[test]
    fn the_fix_leaves_no_tab() {
        let fixed = fixture::fixed("#- flow.dag.yaml\ninputs:\t \n\t\n  b:\n    type:\t\tstring \t\n");
        assert_eq!(fixed, "#- flow.dag.yaml\ninputs:\n\n  b:\n    type: string \t\n");
    }
}
