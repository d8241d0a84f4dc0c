use std::collections::HashMap;

use crate::context::Context;
use crate::finding::{Finding, Level, Place};
use crate::rule::{Group, Rule};
use flowgate_flow::project::FileId;
use flowgate_flow::yaml::{Entry, Node, Value};

pub(super) const RULE: Rule = Rule {
    name: "duplicate-yaml-key",
    group: Group::Files,
    level: Level::Error,
    summary: "A duplicate key in a mapping.",
    cases: &[],
    why: "The engine refuses the file (`YAMLError`); readers that accept it keep one of the two values without saying which.",
    bad: "#- flow.dag.yaml\noutputs:\n  answer:\n    type: string\n    reference: a\n    reference: b\n",
    good: "#- flow.dag.yaml\noutputs:\n  answer:\n    type: string\n    reference: b\n",
    fix: None,
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let mut all = Vec::new();
    for (file, document) in context.project.documents() {
        let mut findings = Vec::new();
        // Not by recursion over the call stack alone: nesting is capped by the parser.
        walk(&document.root, file, &mut findings);
        // A line that could not be read may have begun another mapping between the two.
        findings.retain(|finding| {
            let first = finding.related.first().map_or(finding.at.span, |related| related.at.span);
            let between = flowgate_flow::Span::new(first.end, finding.at.span.start);
            !document.blanked.iter().any(|blanked| blanked.overlaps(between))
        });
        all.append(&mut findings);
    }
    all
}

fn walk(node: &Node, file: FileId, findings: &mut Vec<Finding>) {
    if node.alias {
        return;
    }
    match &*node.value {
        Value::Scalar(_) => {}
        Value::Sequence(items) => items.iter().for_each(|item| walk(item, file, findings)),
        Value::Mapping(entries) => {
            // A table pays for itself in a long mapping only.
            let mut seen = (entries.len() > SHORT).then(HashMap::new);
            for (index, entry) in entries.iter().enumerate() {
                let key = entry.key.scalar().map(|scalar| scalar.text.as_str());
                // `<<` may stand several times: each merges another mapping.
                if let Some(key) = key.filter(|key| *key != "<<") {
                    let at = Place { file, span: entry.key.span };
                    let first = match &mut seen {
                        Some(seen) => *seen.entry(key).or_insert(index),
                        None => entries.iter().position(|entry| is(entry, key)).unwrap_or(index),
                    };
                    if let Some(first) = entries.get(first).filter(|_| first < index) {
                        findings.push(
                            Finding::error(at, format!("duplicate key `{key}`"))
                                .engine("YAMLError")
                                .related(Place { file, span: first.key.span }, "first here"),
                        );
                    }
                }
                walk(&entry.value, file, findings);
            }
        }
    }
}

/// A mapping of at most so many keys is gone through for each.
const SHORT: usize = 16;

fn is(entry: &Entry, key: &str) -> bool {
    entry.key.scalar().is_some_and(|scalar| scalar.text == key)
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn at_any_depth_but_not_through_aliases() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
x: &x {a: 1, a: 2}
#            ^ error[duplicate-yaml-key]: duplicate key `a`
y: *x
z: [{b: [], 'b': 1}]
#           ^^^ error[duplicate-yaml-key]: duplicate key `b`
<<: {c: 1}
<<: {c: 1}
",
        );
    }

    #[test]
    fn in_a_long_mapping() {
        let others: String = (0..super::SHORT).map(|n| format!("k{n}: 1\n")).collect();
        let error = "#^ error[duplicate-yaml-key]: duplicate key `a`\n";
        fixture::raises(&super::RULE, &format!("#- flow.dag.yaml\na: 1\n{others}a: 2\n{error}a: 3\n{error}"));
    }
}
