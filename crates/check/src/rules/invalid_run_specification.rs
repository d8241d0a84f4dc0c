use crate::context::Context;
use crate::finding::{Finding, Level};
use crate::rule::{Group, Rule};
use crate::schema::{self, Schema};
use flowgate_flow::Span;
use flowgate_flow::classify::RUN_KEYS;
use flowgate_flow::project::{RunFile, RunFlow};
use flowgate_flow::yaml::{Entry, Node};

pub(super) const RULE: Rule = Rule {
    name: "invalid-run-specification",
    group: Group::Siblings,
    level: Level::Error,
    summary: "A run specification that `pf run create --file` refuses: a value of the wrong kind, an empty value, a key that `resources` or `identity` does not have, a flow that cannot be run over data.",
    cases: &["flow-without-inputs", "runtime-in-ci"],
    why: "The SDK checks the file against its schema (`ValidationException`). An unknown key at the top is only a line in the log: what it should say is not done. A flow without inputs cannot be run over data at all. A `runtime` other than `automatic` counts in the cloud only; a run that a service principal submits there has no access to a compute instance that is a person's.",
    bad: "#- run.yml\nflow: .\ndata: data.jsonl\ncolumn_mapping:\n  text: ${data.text}\nresources:\n  instance: Standard_D2\n#- flow.dag.yaml\ninputs:\n  text: {type: string}\n#- data.jsonl\n",
    good: "#- run.yml\nflow: .\ndata: data.jsonl\ncolumn_mapping:\n  text: ${data.text}\nresources:\n  instance_type: Standard_D2\n#- flow.dag.yaml\ninputs:\n  text: {type: string}\n#- data.jsonl\n",
    fix: Some("Writes the most similar key (unsafe)."),
    check,
};

/// Keys whose value is text.
const TEXTS: [&str; 8] = ["flow", "data", "run", "variant", "runtime", "name", "display_name", "description"];
/// Keys whose value is a mapping to texts, or to nothing.
const LABELS: [&str; 2] = ["tags", "properties"];
/// The name that the SDK itself gives a run without a `runtime`.
const COMPUTE_SESSION: &str = "automatic";
const RESOURCES: [&str; 2] = ["instance_type", "compute"];

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(run) = &context.project.run else { return Vec::new() };
    let mut checker = Checker { run, schema: Schema::new(context, run.file, "ValidationException") };
    if run.document.root.mapping().is_none() {
        if run.specification.complete {
            let message = format!("a run specification is a mapping, not {}", run.document.root.kind());
            checker.schema.error(Span::empty(0), message);
        }
        return checker.schema.findings;
    }
    for entry in run.document.root.mapping().unwrap_or(&[]) {
        checker.entry(entry);
    }
    if run.specification.complete {
        checker.completeness();
    }
    checker.schema.findings
}

struct Checker<'p> {
    run: &'p RunFile,
    schema: Schema<'p>,
}

impl Checker<'_> {
    fn entry(&mut self, entry: &Entry) {
        let Some(key) = entry.key.text() else { return };
        let (value, schema) = (&entry.value, &mut self.schema);
        if !RUN_KEYS.contains(&key) {
            let message = format!("`{key}` is no key of a run specification: the SDK ignores it");
            let finding = schema.nearest(schema.warning(entry.key.span, message), key, &RUN_KEYS);
            schema.push(finding);
            return;
        }
        if matches!(key, "$schema" | "status" | "command" | "outputs") || !schema.given(key, entry) {
            return;
        }
        if key == "runtime" && value.text().is_some_and(|name| !name.is_empty() && name != COMPUTE_SESSION) {
            let message = "`runtime` names a compute of the workspace: a service principal, as in CI, cannot use one that is a person's";
            let finding = schema.warning(entry.key.span, message);
            schema.push(finding.help("leave it out: the run then gets a compute session of its own"));
        }
        match key {
            _ if TEXTS.contains(&key) => schema.text(key, value),
            _ if LABELS.contains(&key) => schema.texts(key, value, true),
            "environment_variables" if value.scalar().is_none() => schema.texts(key, value, false),
            "environment_variables" | "init" if value.mapping().is_none() => schema.text(key, value),
            "column_mapping" => {
                schema.mapping(key, value);
                for input in value.mapping().unwrap_or(&[]).iter().filter(|input| !schema::is_text(&input.key)) {
                    schema.error(input.key.span, "an input's name is text: put it in quotes");
                }
            }
            "connections" => {
                schema.mapping(key, value);
                for node in value.mapping().unwrap_or(&[]) {
                    schema.mapping("connections", &node.value);
                }
            }
            "resources" => schema.known("resources", value, &RESOURCES),
            "identity" => self.identity(value),
            _ => {}
        }
    }

    fn identity(&mut self, value: &Node) {
        let schema = &mut self.schema;
        let Some(r#type) = value.get("type").filter(|_| self.run.specification.complete) else {
            schema.mapping("identity", value);
            if value.mapping().is_some() && self.run.specification.complete {
                schema.error(value.span, "`identity` has no `type`: it is `managed` or `user_identity`");
            }
            return;
        };
        let name = r#type.value.text().unwrap_or("").to_ascii_lowercase();
        match name.as_str() {
            "managed" => schema.known("identity", value, &["type", "client_id"]),
            "user_identity" => schema.known("identity", value, &["type"]),
            _ => schema.error(r#type.value.span, "the type of `identity` is `managed` or `user_identity`"),
        }
    }

    fn completeness(&mut self) {
        let run = &self.run.specification;
        let root = &self.run.document.root;
        let has = |key: &str| root.get(key).is_some();
        let first = root.mapping().and_then(|entries| entries.first()).map_or(Span::empty(0), |entry| entry.key.span);
        if !has("flow") {
            let message = "there is no `flow`: `pf run create` needs it here or as `--flow`";
            self.schema.push(self.schema.warning(first, message));
        }
        if !has("data") && !has("run") {
            let message = "there is neither `data` nor `run`: `pf run create` needs one here or as an option";
            self.schema.push(self.schema.warning(first, message));
        }
        let Some(written) = &run.flow else { return };
        match &self.run.flow {
            Some(RunFlow::Folder(names)) if names.is_empty() => {
                let message = format!("folder `{}` holds no flow file", written.value);
                let finding = self.schema.refused(written.span, message).engine("UserErrorException");
                self.schema.push(finding.help("name the flow's file"));
            }
            Some(RunFlow::Folder(names)) => {
                let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
                let message = format!("folder `{}` holds {}", written.value, names.join(" and "));
                self.schema.error(written.span, message);
            }
            Some(RunFlow::Flow(flow)) if !flow.flow.flex && flow.flow.complete => {
                let declares = flow.document.root.get("inputs").is_some_and(|entry| {
                    !entry.value.is_null() && entry.value.mapping().is_none_or(|entries| !entries.is_empty())
                });
                if !declares && flow.document.root.mapping().is_some() {
                    let message = format!("flow `{}` has no inputs: it cannot be run over data", written.value);
                    let at = self.schema.place(written.span);
                    self.schema.push(Finding::error(at, message).help("give the flow an input"));
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn what_the_schema_refuses() {
        fixture::raises(
            &super::RULE,
            "#- run.yml
$schema: https://azuremlschemas.azureedge.net/promptflow/latest/Run.schema.json
flow: .
data:
#^^^ error[invalid-run-specification]: `data` is empty: give it a value, or leave it out
runtime: mine
#^^^^^^ warning[invalid-run-specification]: `runtime` names a compute of the workspace: a service principal, as in CI, cannot use one that is a person's
name: 3
#     ^ error[invalid-run-specification]: `name` is text, not a number
colum_mapping: {}
#^^^^^^^^^^^^ warning[invalid-run-specification]: `colum_mapping` is no key of a run specification: the SDK ignores it
tags: {a: 1, b: x, c: }
#         ^ error[invalid-run-specification]: a value of `tags` is text, not a number
environment_variables: {A: true}
#                          ^^^^ error[invalid-run-specification]: a value of `environment_variables` is text, not a boolean
connections: {n: gpt}
#                ^^^ error[invalid-run-specification]: `connections` is a mapping, not a single value
column_mapping: [a]
#               ^^^ error[invalid-run-specification]: `column_mapping` is a mapping, not a list
resources: {idle_time: 3}
#           ^^^^^^^^^ error[invalid-run-specification]: `resources` has no key `idle_time`
identity: {type: user_identity, client_id: x}
#                               ^^^^^^^^^ error[invalid-run-specification]: `identity` has no key `client_id`
#- flow.dag.yaml
inputs:
  text: {type: string}
",
        );
    }

    #[test]
    fn the_flow() {
        let run = |flow: &str, rest: &str| {
            format!(
                "#- run.yml\nflow: {flow}\ndata: d.jsonl\ncolumn_mapping: {{a: '${{data.a}}'}}\n{rest}\n#- d.jsonl\n"
            )
        };
        let error = "error[invalid-run-specification]";
        let below = |flow: &str, message: &str, files: &str| {
            fixture::raises(
                &super::RULE,
                &(run(flow, "").replacen(
                    "data:",
                    &format!("#     {} {error}: {message}\ndata:", "^".repeat(flow.len())),
                    1,
                ) + files),
            );
        };
        below("empty", "folder `empty` holds no flow file", "#- empty/x.py\n");
        below(
            "both",
            "folder `both` holds `flow.dag.yaml` and `flow.flex.yaml`",
            "#- both/flow.dag.yaml\n#- both/flow.flex.yaml\n",
        );
        below("none", "flow `none` has no inputs: it cannot be run over data", "#- none/flow.dag.yaml\nnodes: []\n");
        fixture::raises(&super::RULE, &run("azureml:x", ""));
        fixture::raises(&super::RULE, &(run("p", "") + "#- p/flow.dag.yml\ninputs: {a: {type: string}}\n"));
    }
}
