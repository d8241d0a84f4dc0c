use crate::context::Context;
use crate::finding::{Finding, Level, Place};
use crate::rule::{Group, Rule};
use flowgate_flow::Span;

pub(super) const RULE: Rule = Rule {
    name: "several-flow-files",
    group: Group::Files,
    level: Level::Error,
    summary: "A folder with more than one of `flow.dag.yaml`, `flow.dag.yml`, `flow.flex.yaml` and `flow.flex.yml`.",
    cases: &[],
    why: "Whatever takes the folder for the flow refuses it (`ValidationException`): `pf flow test --flow .`, a run specification with `flow: .`, and every submission to the cloud. Files of other names, such as `flow.dag.other.yaml`, may stand beside them.",
    bad: "#- flow.dag.yaml\nnodes: []\n#- flow.dag.yml\nnodes: []\n",
    good: "#- flow.dag.yaml\nnodes: []\n#- flow.dag.other.yml\nnodes: []\n",
    fix: None,
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let (Some(file), Some(own)) = (context.flow_file(), context.project.flow_file_name()) else { return Vec::new() };
    let names = &context.project.flow_files;
    if names.len() < 2 || !names.iter().any(|name| name == own) {
        return Vec::new();
    }
    let others: Vec<String> = names.iter().filter(|name| *name != own).map(|name| format!("`{name}`")).collect();
    let message = format!("this folder also holds {}", others.join(" and "));
    let at = Place { file: file.file, span: Span::empty(0) };
    vec![Finding::error(at, message).engine("ValidationException").help("keep one, and rename or move the others")]
}
