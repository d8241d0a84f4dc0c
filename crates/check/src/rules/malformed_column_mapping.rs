use crate::context::Context;
use crate::finding::{Finding, Level, Place};
use crate::rule::{Group, Rule};
use flowgate_flow::project::RunFile;
use flowgate_flow::yaml::Node;

pub(super) const RULE: Rule = Rule {
    name: "malformed-column-mapping",
    group: Group::Siblings,
    level: Level::Error,
    summary: "A `column_mapping` that names nothing that a run has: a value is `${data.COLUMN}`, `${run.inputs.COLUMN}`, `${run.outputs.OUTPUT}`, or a literal.",
    cases: &[],
    why: "The run fails before its first line (`Couldn't find these mapping relations`). A value with anything around the reference is a literal, and a mapping of literals alone is refused (`ValidationException`).",
    bad: "#- run.yml\nflow: .\ndata: data.jsonl\ncolumn_mapping:\n  text: ${inputs.text}\n#- flow.dag.yaml\ninputs:\n  text: {type: string}\n#- data.jsonl\n",
    good: "#- run.yml\nflow: .\ndata: data.jsonl\ncolumn_mapping:\n  text: ${data.text}\n#- flow.dag.yaml\ninputs:\n  text: {type: string}\n#- data.jsonl\n",
    fix: None,
    check,
};

const FORMS: &str = "use `${data.COLUMN}`, `${run.inputs.COLUMN}` or `${run.outputs.OUTPUT}`";

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(run) = &context.project.run else { return Vec::new() };
    let mapping = &run.specification.column_mapping;
    let mut findings: Vec<Finding> = mapping.iter().filter_map(|(_, value)| of_value(run, value)).collect();
    let bound = |value: &Node| value.scalar().is_some_and(|scalar| scalar.is_string() && scalar.text.starts_with('$'));
    if run.specification.complete && !mapping.is_empty() && !mapping.iter().any(|(_, value)| bound(value)) {
        let at = run.document.root.get("column_mapping").map(|entry| entry.key.span);
        findings.extend(at.map(|span| {
            let message = "`column_mapping` maps nothing: all its values are literals";
            Finding::error(Place { file: run.file, span }, message).engine("ValidationException").help(FORMS)
        }));
    }
    findings
}

fn of_value(run: &RunFile, value: &Node) -> Option<Finding> {
    let scalar = value.scalar().filter(|scalar| scalar.is_string())?;
    let at = Place { file: run.file, span: value.span };
    let text = scalar.text.as_str();
    let inner = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    let Some(inner) = inner.filter(|inner| !inner.is_empty() && !inner.contains(['{', '}'])) else {
        let meant = ["data.", "run.inputs.", "run.outputs."];
        let looks = text.contains("${") || text.contains("{{") || text.starts_with('$');
        let looks = looks && meant.iter().any(|prefix| text.contains(prefix));
        let message = format!("`{text}` is no reference: the flow gets this text");
        return looks.then(|| Finding::new(Level::Warning, at, message).help(FORMS));
    };
    let has = |key: &str| !run.specification.complete || run.document.root.get(key).is_some();
    let (source, key) = if inner.starts_with("data.") {
        ("data", "data")
    } else if inner.starts_with("run.inputs.") || inner.starts_with("run.outputs.") {
        ("an earlier run", "run")
    } else {
        let message = format!("`{text}` names nothing that a run has");
        return Some(Finding::error(at, message).engine("ApplyInputMappingError").help(FORMS));
    };
    let message = format!("`{text}` needs {source}, and there is no `{key}`");
    let needs =
        Finding::new(Level::Hint, at, message).help(format!("add `{key}`, or give `--{key}` to `pf run create`"));
    (!has(key)).then_some(needs)
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn forms() {
        fixture::raises(
            &super::RULE,
            "#- run.yml
flow: azureml:x
data: azureml:d:1
column_mapping:
  a: ${data.a.b}
  b: ${data}
#    ^^^^^^^ error[malformed-column-mapping]: `${data}` names nothing that a run has
  c: '{{data.c}}'
#    ^^^^^^^^^^^^ warning[malformed-column-mapping]: `{{data.c}}` is no reference: the flow gets this text
  d: ${run.outputs.d}
#    ^^^^^^^^^^^^^^^^ hint[malformed-column-mapping]: `${run.outputs.d}` needs an earlier run, and there is no `run`
  e: ${run.d}
#    ^^^^^^^^ error[malformed-column-mapping]: `${run.d}` names nothing that a run has
  f: 'costs $5'
  g: [1, '${inputs.x}']
",
        );
        fixture::raises(
            &super::RULE,
            "#- run.yml
flow: azureml:x
data: azureml:d:1
column_mapping:
#^^^^^^^^^^^^^ error[malformed-column-mapping]: `column_mapping` maps nothing: all its values are literals
  a: data.a
",
        );
    }
}
