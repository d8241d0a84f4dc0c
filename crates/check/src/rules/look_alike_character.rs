use flowgate_flow::project::FileId;
use flowgate_flow::yaml::Node;
use flowgate_flow::{SourceFile, Span};

use crate::context::Context;
use crate::finding::{Applicability, Edit, Finding, Fix, Level, Place};
use crate::look_alike;
use crate::rule::{Group, Rule};

pub(super) const RULE: Rule = Rule {
    name: "look-alike-character",
    group: Group::Files,
    level: Level::Error,
    summary: "A character that looks like a blank, a colon, a dash or a quote and is another.",
    cases: &["full-width-colon", "no-break-space", "typographic-quote"],
    why: "Texts copied from web pages and chats bring them. The engine's YAML reader takes `environment\u{ff1a}` for text, a no-break space for a part of a name, and pip asks an index whose URL starts with a no-break space. All of them look right on the screen.",
    bad: "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirements.txt\n#- requirements.txt\n-i\u{a0}https://pypi.example.com/simple/\nrequests\n",
    good: "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirements.txt\n#- requirements.txt\n-i https://pypi.example.com/simple/\nrequests\n",
    fix: Some("Writes the character that it looks like. Safe: it is what was meant."),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(flow) = context.flow_file()
        && let Some(source) = context.project.file(flow.file)
    {
        // What is left of a line that could not be read is not in the tree.
        let broken = flow.document.errors.iter().map(|error| source.lines.line_of(error.span.start));
        let broken = broken.chain(flow.document.blanked.iter().map(|part| source.lines.line_of(part.start)));
        let mut lines: Vec<usize> = broken.flat_map(|line| [line.saturating_sub(1), line]).collect();
        lines.sort_unstable();
        lines.dedup();
        for line in lines {
            let start = source.lines.start_of(line).unwrap_or(0);
            let text = source.lines.line(&source.text, line);
            // Values, quoted text and comments may hold any character.
            let key = text.find(": ").unwrap_or(text.len());
            let end = text.find(['#', '"', '\'']).unwrap_or(text.len()).min(key);
            let span = Span::new(start, start + end);
            findings.extend(finding(flow.file, source, span, Level::Error).map(|f| f.engine("YAMLError")));
        }
        for key in keys(&flow.document.root) {
            findings.extend(finding(flow.file, source, key, Level::Warning));
        }
    }
    for file in context.requirements() {
        let Some(source) = context.project.file(file.file) else { continue };
        for line in &file.requirements.lines {
            let accepted = line.options.is_empty() && line.requirement.as_ref().is_some_and(|r| r.parsed.is_ok());
            if !accepted && look_alike::find(&line.text).is_some() {
                findings.extend(finding(file.file, source, line.span, Level::Error));
            }
        }
    }
    findings
}

/// One finding for a place: at its first look-alike, with a fix for all of them.
fn finding(file: FileId, source: &SourceFile, span: Span, level: Level) -> Option<Finding> {
    let text = span.slice(&source.text);
    let mut edits = Vec::new();
    let mut at = 0;
    let first = look_alike::find(text)?;
    while let Some(found) = text.get(at..).and_then(look_alike::find) {
        let start = span.start + at;
        let place = Place { file, span: Span::new(start + found.range.start, start + found.range.end) };
        edits.push(Edit { at: place, text: found.like.to_owned() });
        at += found.range.end;
        if edits.len() == MAX_EDITS {
            break;
        }
    }
    let place = edits.first()?.at;
    let message = match first.like {
        "" => format!("invisible character: {}", first.name),
        " " => format!("{} instead of a space", first.name),
        like => format!("{} stands here, not `{like}`", first.name),
    };
    let mut finding = Finding::new(level, place, message).help("write the character of the keyboard");
    finding.fix =
        Some(Fix { title: "write the usual characters".to_owned(), applicability: Applicability::Safe, edits });
    Some(finding)
}

/// More look-alikes of one line are not repaired at once.
const MAX_EDITS: usize = 100;

/// The keys that have a meaning: of the file, of inputs, outputs and nodes, of `environment`.
fn keys(root: &Node) -> Vec<Span> {
    let mut found = Vec::new();
    let mut of = |node: &Node| {
        let entries = node.mapping().unwrap_or(&[]).iter();
        found.extend(entries.filter(|entry| entry.key.text().is_some_and(|key| !key.is_ascii())).map(|e| e.key.span));
    };
    of(root);
    for name in ["environment", "inputs", "outputs"] {
        let Some(entry) = root.get(name) else { continue };
        if name == "environment" {
            of(&entry.value);
        } else {
            entry.value.mapping().unwrap_or(&[]).iter().for_each(|entry| of(&entry.value));
        }
    }
    if let Some(nodes) = root.get("nodes") {
        nodes.value.sequence().unwrap_or(&[]).iter().for_each(of);
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn in_requirements() {
        fixture::raises(
            &super::RULE,
            "#- requirements.txt
–i https://pypi.example.com/simple
#^ error[look-alike-character]: an en dash stands here, not `-`
requests\u{a0}==\u{a0}1.0
#       ^ error[look-alike-character]: a no-break space instead of a space
\u{feff}flask
#^ error[look-alike-character]: invisible character: a byte order mark
numpy ; sys_platform == '–'
pandas # \u{a0}
",
        );
    }

    #[test]
    fn in_flows() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
inputs:
  a:
    type\u{a0}: string
#       ^ warning[look-alike-character]: a no-break space instead of a space
    default: x – y
environment：
#          ^ error[look-alike-character]: a full-width colon stands here, not `:`
  image: x
# ：
",
        );
    }
}
