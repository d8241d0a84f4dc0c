use std::collections::HashSet;

use crate::context::Context;
use crate::finding::{Finding, Level, Place};
use crate::rule::{Group, Rule};
use crate::suggest;
use flowgate_flow::project::{Project, RunFlow};

pub(super) const RULE: Rule = Rule {
    name: "unknown-run-input",
    group: Group::Siblings,
    level: Level::Warning,
    summary: "A `column_mapping` for an input that the flow does not have.",
    cases: &[],
    why: "The value is dropped without a word, and the input that was meant gets its default, or the column of its own name.",
    bad: "#- run.yml\nflow: .\ndata: data.jsonl\ncolumn_mapping:\n  question: ${data.question}\n  contxt: ${data.context}\n#- flow.dag.yaml\ninputs:\n  question: {type: string}\n  context: {type: string}\n#- data.jsonl\n",
    good: "#- run.yml\nflow: .\ndata: data.jsonl\ncolumn_mapping:\n  question: ${data.question}\n  context: ${data.context}\n#- flow.dag.yaml\ninputs:\n  question: {type: string}\n  context: {type: string}\n#- data.jsonl\n",
    fix: Some("Writes the most similar input (unsafe)."),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(run) = &context.project.run else { return Vec::new() };
    let Some(inputs) = run.flow.as_ref().and_then(|flow| inputs(context.project, flow)) else { return Vec::new() };
    let known: HashSet<&str> = inputs.iter().copied().collect();
    let mapping = run.specification.column_mapping.iter().map(|(input, _)| input);
    mapping
        .filter(|input| !known.contains(input.value.as_str()) && input.value != "line_number")
        .map(|input| {
            let at = Place { file: run.file, span: input.span };
            let finding = Finding::new(Level::Warning, at, format!("the flow has no input `{}`", input.value));
            let free = inputs
                .iter()
                .copied()
                .filter(|name| !run.specification.column_mapping.iter().any(|(mapped, _)| mapped.value == *name));
            match context.nearest(&input.value, free) {
                Some(near) => suggest::meant(finding, near),
                None => finding.help("remove it, or add the input to the flow"),
            }
        })
        .collect()
}

/// The names of a flow's inputs, where all of them are known. Those of a flex flow are the
/// parameters of its code.
fn inputs<'p>(_: &'p Project, flow: &'p RunFlow) -> Option<Vec<&'p str>> {
    match flow {
        RunFlow::Flow(flow) if !flow.flow.flex && flow.flow.complete && !flow.flow.inputs.is_empty() => {
            Some(flow.flow.inputs.iter().map(|input| input.name.value.as_str()).collect())
        }
        RunFlow::Prompty(file) if !file.prompty.inputs.is_empty() && file.prompty.document.errors.is_empty() => {
            Some(file.prompty.inputs.iter().map(|input| input.name.value.as_str()).collect())
        }
        RunFlow::Flow(_) | RunFlow::Prompty(_) | RunFlow::Folder(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn a_prompty_is_a_flow() {
        fixture::raises(
            &super::RULE,
            "#- run.yml
flow: p.prompty
data: d.jsonl
column_mapping:
  q: ${data.q}
  r: ${data.r}
# ^ warning[unknown-run-input]: the flow has no input `r`
#- p.prompty
---
inputs:
  q: {type: string}
---
system:
{{q}}
#- d.jsonl
",
        );
    }
}
