use crate::context::Context;
use crate::finding::{Applicability, Finding, Level, Place};
use crate::rule::{Group, Rule};
use crate::suggest;
use flowgate_flow::Span;
use flowgate_flow::classify::RUN_KEYS;
use flowgate_flow::project::{RunFile, RunFlow};
use flowgate_flow::yaml::{Entry, Node};

pub(super) const RULE: Rule = Rule {
    name: "invalid-run-specification",
    group: Group::Siblings,
    level: Level::Error,
    summary: "A run specification that `pf run create --file` refuses: a value of the wrong kind, an empty value, a key that `resources` or `identity` does not have, a flow that cannot be run over data.",
    why: "The SDK checks the file against its schema (`ValidationException`). An unknown key at the top is only a line in the log: what it should say is not done. A flow without inputs cannot be run over data at all.",
    bad: "#- run.yml\nflow: .\ndata: data.jsonl\ncolumn_mapping:\n  text: ${data.text}\nresources:\n  instance: Standard_D2\n#- flow.dag.yaml\ninputs:\n  text: {type: string}\n#- data.jsonl\n",
    good: "#- run.yml\nflow: .\ndata: data.jsonl\ncolumn_mapping:\n  text: ${data.text}\nresources:\n  instance_type: Standard_D2\n#- flow.dag.yaml\ninputs:\n  text: {type: string}\n#- data.jsonl\n",
    fix: Some("Writes the most similar key (unsafe)."),
    check,
};

/// Keys whose value is text.
const TEXTS: [&str; 8] = ["flow", "data", "run", "variant", "runtime", "name", "display_name", "description"];
/// Keys whose value is a mapping to texts, or to nothing.
const LABELS: [&str; 2] = ["tags", "properties"];
const RESOURCES: [&str; 2] = ["instance_type", "compute"];

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(run) = &context.project.run else { return Vec::new() };
    let mut checker = Checker { context, run, findings: Vec::new() };
    if run.document.root.mapping().is_none() {
        if run.specification.complete {
            let message = format!("a run specification is a mapping, not {}", run.document.root.kind());
            checker.error(Span::empty(0), message);
        }
        return checker.findings;
    }
    for entry in run.document.root.mapping().unwrap_or(&[]) {
        checker.entry(entry);
    }
    if run.specification.complete {
        checker.completeness();
    }
    checker.findings
}

struct Checker<'p> {
    context: &'p Context<'p>,
    run: &'p RunFile,
    findings: Vec<Finding>,
}

impl Checker<'_> {
    fn place(&self, span: Span) -> Place {
        Place { file: self.run.file, span }
    }

    fn error(&mut self, span: Span, message: String) {
        self.findings.push(Finding::error(self.place(span), message).engine("ValidationException"));
    }

    fn entry(&mut self, entry: &Entry) {
        let Some(key) = entry.key.text() else { return };
        let value = &entry.value;
        if !RUN_KEYS.contains(&key) {
            let message = format!("`{key}` is no key of a run specification: the SDK ignores it");
            let finding = Finding::new(Level::Warning, self.place(entry.key.span), message);
            self.findings.push(nearest(self.context, finding, key, &RUN_KEYS));
            return;
        }
        if matches!(key, "$schema" | "status" | "command" | "outputs") {
            return;
        }
        if value.is_null() {
            let at = if value.span.is_empty() { entry.key.span } else { value.span };
            self.error(at, format!("`{key}` is empty: give it a value, or leave it out"));
            return;
        }
        match key {
            _ if TEXTS.contains(&key) => self.text(key, value),
            _ if LABELS.contains(&key) => self.texts(key, value, true),
            "environment_variables" if value.scalar().is_none() => self.texts(key, value, false),
            "environment_variables" | "init" if value.mapping().is_none() => self.text(key, value),
            "column_mapping" => {
                self.mapping(key, value);
                for input in value.mapping().unwrap_or(&[]).iter().filter(|input| !is_text(&input.key)) {
                    self.error(input.key.span, "an input's name is text: put it in quotes".to_owned());
                }
            }
            "connections" => {
                self.mapping(key, value);
                for node in value.mapping().unwrap_or(&[]) {
                    self.mapping("connections", &node.value);
                }
            }
            "resources" => self.known("resources", value, &RESOURCES),
            "identity" => self.identity(value),
            _ => {}
        }
    }

    fn mapping(&mut self, key: &str, value: &Node) {
        if value.mapping().is_none() {
            self.error(value.span, format!("`{key}` is a mapping, not {}", value.kind()));
        }
    }

    fn text(&mut self, key: &str, value: &Node) {
        if !is_text(value) {
            self.error(value.span, format!("`{key}` is text, not {}", kind(value)));
        }
    }

    fn texts(&mut self, key: &str, value: &Node, or_nothing: bool) {
        self.mapping(key, value);
        for entry in value.mapping().unwrap_or(&[]) {
            let fits = is_text(&entry.value) || (or_nothing && entry.value.is_null());
            if !fits {
                let at = if entry.value.span.is_empty() { entry.key.span } else { entry.value.span };
                let message = format!("a value of `{key}` is text, not {}", kind(&entry.value));
                let finding = Finding::error(self.place(at), message).engine("ValidationException");
                self.findings.push(finding.help("put it in quotes"));
            }
        }
    }

    fn known(&mut self, of: &str, value: &Node, keys: &[&'static str]) {
        self.mapping(of, value);
        for entry in value.mapping().unwrap_or(&[]) {
            let Some(key) = entry.key.text().filter(|key| !keys.contains(key)) else { continue };
            let message = format!("`{of}` has no key `{key}`");
            let finding = Finding::error(self.place(entry.key.span), message).engine("ValidationException");
            self.findings.push(nearest(self.context, finding, key, keys));
        }
    }

    fn identity(&mut self, value: &Node) {
        let Some(r#type) = value.get("type").filter(|_| self.run.specification.complete) else {
            self.mapping("identity", value);
            if value.mapping().is_some() && self.run.specification.complete {
                self.error(value.span, "`identity` has no `type`: it is `managed` or `user_identity`".to_owned());
            }
            return;
        };
        let name = r#type.value.text().unwrap_or("").to_ascii_lowercase();
        match name.as_str() {
            "managed" => self.known("identity", value, &["type", "client_id"]),
            "user_identity" => self.known("identity", value, &["type"]),
            _ => self.error(r#type.value.span, "the type of `identity` is `managed` or `user_identity`".to_owned()),
        }
    }

    fn completeness(&mut self) {
        let run = &self.run.specification;
        let root = &self.run.document.root;
        let has = |key: &str| root.get(key).is_some();
        let first = root.mapping().and_then(|entries| entries.first()).map_or(Span::empty(0), |entry| entry.key.span);
        if !has("flow") {
            let message = "there is no `flow`: `pf run create` needs it here or as `--flow`";
            self.findings.push(Finding::new(Level::Warning, self.place(first), message));
        }
        if !has("data") && !has("run") {
            let message = "there is neither `data` nor `run`: `pf run create` needs one here or as an option";
            self.findings.push(Finding::new(Level::Warning, self.place(first), message));
        }
        let Some(written) = &run.flow else { return };
        match &self.run.flow {
            Some(RunFlow::Folder(names)) if names.is_empty() => {
                let message = format!("folder `{}` holds no flow file", written.value);
                self.findings.push(
                    Finding::error(self.place(written.span), message)
                        .engine("UserErrorException")
                        .help("name the flow's file"),
                );
            }
            Some(RunFlow::Folder(names)) => {
                let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
                let message = format!("folder `{}` holds {}", written.value, names.join(" and "));
                self.error(written.span, message);
            }
            Some(RunFlow::Flow(flow)) if !flow.flow.flex && flow.flow.complete => {
                let declares = flow.document.root.get("inputs").is_some_and(|entry| {
                    !entry.value.is_null() && entry.value.mapping().is_none_or(|entries| !entries.is_empty())
                });
                if !declares && flow.document.root.mapping().is_some() {
                    let message = format!("flow `{}` has no inputs: it cannot be run over data", written.value);
                    self.findings
                        .push(Finding::error(self.place(written.span), message).help("give the flow an input"));
                }
            }
            _ => {}
        }
    }
}

fn is_text(value: &Node) -> bool {
    value.scalar().is_some_and(|scalar| scalar.is_string() && !scalar.is_date())
}

fn kind(value: &Node) -> &'static str {
    match value.scalar() {
        Some(scalar) if scalar.is_null() => "nothing",
        Some(scalar) if scalar.as_bool().is_some() => "a boolean",
        Some(scalar) if scalar.is_string() => "a date",
        Some(_) => "a number",
        None => value.kind(),
    }
}

fn nearest(context: &Context<'_>, finding: Finding, typed: &str, keys: &[&'static str]) -> Finding {
    match context.nearest(typed, keys.iter().copied()) {
        Some(near) => {
            let at = finding.at;
            finding.help(suggest::did_you_mean(near)).fix(Applicability::Unsafe, format!("write `{near}`"), at, near)
        }
        None => finding.help(format!("use one of {}", keys.join(", "))),
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
