use std::collections::HashMap;

use crate::context::Context;
use crate::finding::{Finding, Level, Place};
use crate::rule::{Group, Rule};
use flowgate_flow::project::FileId;
use flowgate_flow::yaml::{Node, Value};

pub(super) const RULE: Rule = Rule {
    name: "duplicate-yaml-key",
    group: Group::Files,
    level: Level::Error,
    summary: "A key that stands twice in one mapping.",
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
            let mut seen = HashMap::new();
            for entry in entries {
                let key = entry.key.scalar().map(|scalar| scalar.text.as_str());
                // `<<` may stand several times: each merges another mapping.
                if let Some(key) = key.filter(|key| *key != "<<") {
                    let at = Place { file, span: entry.key.span };
                    match seen.get(key) {
                        Some(first) => findings.push(
                            Finding::error(at, format!("key `{key}` stands twice"))
                                .engine("YAMLError")
                                .related(*first, "first here"),
                        ),
                        None => {
                            seen.insert(key, at);
                        }
                    }
                }
                walk(&entry.value, file, findings);
            }
        }
    }
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
#            ^ error[duplicate-yaml-key]: key `a` stands twice
y: *x
z: [{b: [], 'b': 1}]
#           ^^^ error[duplicate-yaml-key]: key `b` stands twice
",
        );
    }
}
