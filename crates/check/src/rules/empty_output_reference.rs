use crate::context::Context;
use crate::finding::{Finding, Level};
use crate::rule::{Group, Rule};

pub(super) const RULE: Rule = Rule {
    name: "empty-output-reference",
    group: Group::Graph,
    level: Level::Error,
    summary: "A flow output without a `reference`.",
    cases: &["null-output-reference"],
    why: "The engine refuses the flow (`EmptyOutputReference`). `reference: null` passes and gives `None` for every line, without a word.",
    bad: "#- flow.dag.yaml\noutputs:\n  answer:\n    type: string\n    reference: ''\n",
    good: "#- flow.dag.yaml\ninputs:\n  question:\n    type: string\noutputs:\n  answer:\n    type: string\n    reference: ${inputs.question}\n",
    fix: None,
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag() else { return Vec::new() };
    let mut findings = Vec::new();
    for output in dag.flow.outputs.iter().filter(|output| output.well_formed) {
        let name = &output.name.value;
        let help = "name a node's output: `reference: ${node.output}`";
        match &output.reference {
            None if dag.flow.complete => {
                findings.push(
                    Finding::error(dag.place(output.name.span), format!("output `{name}` has no `reference`"))
                        .engine("EmptyOutputReference")
                        .help(help),
                );
            }
            Some(value) if value.is_null() => {
                let message = format!("output `{name}` refers to nothing: it is `None` for every line");
                findings.push(Finding::new(Level::Warning, dag.place(output.name.span), message).help(help));
            }
            Some(value) if value.text() == Some("") => {
                findings.push(
                    Finding::error(dag.place(value.span), format!("output `{name}` has an empty `reference`"))
                        .engine("EmptyOutputReference")
                        .help(help),
                );
            }
            _ => {}
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn absent_null_and_empty() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
outputs:
  a: {type: string}
# ^ error[empty-output-reference]: output `a` has no `reference`
  b: {type: string, reference: }
# ^ warning[empty-output-reference]: output `b` refers to nothing: it is `None` for every line
  c: {type: string, reference: \"\"}
#                              ^^ error[empty-output-reference]: output `c` has an empty `reference`
  d: {type: string, reference: text}
",
        );
    }
}
