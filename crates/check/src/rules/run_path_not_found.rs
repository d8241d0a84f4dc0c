use crate::context::Context;
use crate::finding::{Finding, Level, Place};
use crate::paths::NamedPath;
use crate::rule::{Group, Rule};
use flowgate_flow::project::Presence;

pub(super) const RULE: Rule = Rule {
    name: "run-path-not-found",
    group: Group::Siblings,
    level: Level::Error,
    summary: "A run specification whose `flow`, `data`, `init` or file of `environment_variables` is not there.",
    cases: &["run-flow-not-found", "run-data-not-found"],
    why: "`pf run create` refuses the file (`ValidationException`). Paths start from the folder of the run specification, not from where the command runs.",
    bad: "#- run.yml\nflow: .\ndata: rows.jsonl\n#- flow.dag.yaml\ninputs:\n  text: {type: string}\n#- row.jsonl\n",
    good: "#- run.yml\nflow: .\ndata: row.jsonl\n#- flow.dag.yaml\ninputs:\n  text: {type: string}\n#- row.jsonl\n",
    fix: Some("Writes the path as the file is spelled (safe), or the most similar path (unsafe)."),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(run) = &context.project.run else { return Vec::new() };
    let specification = &run.specification;
    let paths = specification.paths.iter().filter_map(|path| {
        let fact = context.project.paths.get(&path.value)?;
        let is = |named: &Option<flowgate_flow::Spanned<String>>| named.as_ref().is_some_and(|n| n.span == path.span);
        let (noun, help) = if is(&specification.flow) {
            ("flow", "paths start from the folder of this file; a flow in the cloud is `azureml:NAME`")
        } else if is(&specification.data) {
            ("data", "paths start from the folder of this file; data in the cloud are `azureml:NAME:VERSION` or a URL")
        } else {
            ("file", "paths start from the folder of this file")
        };
        let missing = matches!(fact.presence, Presence::Missing | Presence::OtherCase(_));
        let at = Place { file: run.file, span: path.span };
        let named = NamedPath { noun, written: &path.value, at, fact, otherwise: None, help };
        named.finding(context, |_| true).filter(|_| missing).map(|finding| finding.engine("ValidationException"))
    });
    paths.collect()
}
