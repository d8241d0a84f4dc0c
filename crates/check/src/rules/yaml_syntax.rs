use crate::context::Context;
use crate::finding::{Finding, Level, Place};
use crate::rule::{Group, Rule};

pub(super) const RULE: Rule = Rule {
    name: "yaml-syntax",
    group: Group::Files,
    level: Level::Error,
    summary: "A line that is not YAML.",
    cases: &[],
    why: "The engine stops at the first such line (`YAMLError`) and says nothing about the rest of the file. flowgate leaves the line out and goes on.",
    bad: "#- flow.dag.yaml\noutputs:\n  answer: {type: string, reference: hello]\n",
    good: "#- flow.dag.yaml\noutputs:\n  answer: {type: string, reference: hello}\n",
    fix: None,
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let documents = context.project.documents().filter(|(file, _)| !context.project.text(*file).contains('\0'));
    documents
        .flat_map(|(file, document)| document.errors.iter().map(move |error| (file, error)))
        .map(|(file, error)| {
            Finding::error(Place { file, span: error.span }, error.message.clone()).engine("YAMLError")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn what_is_left_of_a_broken_line_is_not_judged() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
nodes:
- name: a
  type: python
  source:
    path: [a.py
#         ^ error[yaml-syntax]: the bracket `[` is not closed
  inputs: {}
",
        );
    }

    #[test]
    fn other_lines_are_still_checked() {
        fixture::raises_of_all_rules(
            "#- flow.dag.yaml
inputs:
  a:
    type: str
#         ^^^ error[invalid-type-name]: `str` is not a type
  b: 'x' y
#        ^ error[yaml-syntax]: invalid trailing content after single-quoted scalar
  c:
    type: int
outputs: {o: {type: string, reference: x]}
#            ^ error[yaml-syntax]: mismatched bracket '{' closed by ']'
",
        );
    }

    #[test]
    fn a_flow_is_one_document() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
---
inputs:
  a: {type: string}
---
#^^ error[yaml-syntax]: a second document starts here, and a flow is one
outputs: {}
...
",
        );
    }
}
