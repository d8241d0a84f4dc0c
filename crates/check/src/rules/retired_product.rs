use crate::context::Context;
use crate::finding::{Finding, Level, Place};
use crate::rule::{Group, Rule};
use flowgate_flow::Span;

pub(super) const RULE: Rule = Rule {
    name: "retired-product",
    group: Group::Notices,
    level: Level::Hint,
    summary: "A flow of prompt flow, which Microsoft retires on 20 April 2027.",
    cases: &[],
    why: "Its development ended on 20 April 2026. From 20 April 2027 on it can only be read; flows run until then. The images of its runtime get no updates, not even for security. The way that Microsoft recommends is its Agent Framework: see [the guide](https://github.com/microsoft/promptflow/tree/main/migration-guide/PromptFlow-to-MAF).",
    bad: "#- flow.dag.yaml\ninputs: {}\n",
    good: "#- flow.dag.yaml\n# flowgate: ignore-file[retired-product] it moves in spring\ninputs: {}\n",
    fix: None,
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(flow) = context.flow_file() else { return Vec::new() };
    let text = context.project.text(flow.file);
    let first = flow.document.root.mapping().and_then(|entries| entries.first());
    let line = text.lines().next().map_or(0, str::len);
    let span = first.map_or(Span::new(0, line), |entry| entry.key.span);
    let message = "prompt flow is retired on 20 April 2027: flows run until then";
    let help = "plan the move: https://github.com/microsoft/promptflow/tree/main/migration-guide/PromptFlow-to-MAF";
    vec![Finding::new(Level::Hint, Place { file: flow.file, span }, message).help(help)]
}
