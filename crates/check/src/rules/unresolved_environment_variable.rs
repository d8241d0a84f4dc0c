use crate::context::{Context, Dag};
use crate::finding::{Finding, Level};
use crate::rule::{Group, Rule};
use flowgate_flow::yaml::Entry;

pub(super) const RULE: Rule = Rule {
    name: "unresolved-environment-variable",
    group: Group::Environment,
    level: Level::Warning,
    summary: "A value in `environment_variables` that looks like a reference and names no key of a connection.",
    cases: &["flow-input-as-environment-variable", "connection-without-key"],
    why: "Only `${connection.key}`, with one dot and as the whole value, is replaced. Any other text stays as it is, and the code finds `${...}` in its environment. Flow inputs and nodes cannot be named there: `${inputs.x}` is looked up as a connection named `inputs`.",
    bad: "#- flow.dag.yaml\nenvironment_variables:\n  API_KEY: ${my_connection}\n",
    good: "#- flow.dag.yaml\nenvironment_variables:\n  API_KEY: ${my_connection.api_key}\n",
    fix: None,
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag() else { return Vec::new() };
    let root = context.flow_file().map(|file| &file.document.root);
    let entries = root.and_then(|root| root.get("environment_variables")).and_then(|entry| entry.value.mapping());
    let Some(entries) = entries else { return Vec::new() };
    entries.iter().filter_map(|entry| judge(context, dag, entry)).collect()
}

fn judge(context: &Context<'_>, dag: Dag<'_>, entry: &Entry) -> Option<Finding> {
    let text = entry.value.text()?;
    let reference = text.trim().strip_prefix("${")?;
    let warning = |message: String| Finding::new(Level::Warning, dag.place(entry.value.span), message);
    let help = "write `${CONNECTION.KEY}`, for example `${my_connection.api_key}`";
    let parts: Option<Vec<&str>> = reference.strip_suffix('}').map(|body| body.split('.').collect());
    match parts.as_deref() {
        Some([name @ ("inputs" | "flow"), key]) if !key.is_empty() => {
            let message = format!("`{text}` is the key `{key}` of a connection named `{name}`, not a flow input");
            Some(warning(message).help("a flow input cannot be an environment variable"))
        }
        Some([name, "output"]) if context.node_index(name).is_some() => {
            let message = format!("`{text}` is the key `output` of a connection named `{name}`, not a node's output");
            Some(warning(message).help("a node's output cannot be an environment variable"))
        }
        Some([name, key]) if !name.is_empty() && !key.is_empty() => None,
        _ => Some(warning(format!("`{text}` stays as it is: it names no key of a connection")).help(help)),
    }
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn one_dot_and_nothing_around_it() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
environment_variables:
  A: ${conn.key}
  B: ' ${conn.key} '
  C: text ${HOME}
  D: [1]
  E: ${HOME}
#    ^^^^^^^ warning[unresolved-environment-variable]: `${HOME}` stays as it is: it names no key of a connection
  F: ${a.b.c}
#    ^^^^^^^^ warning[unresolved-environment-variable]: `${a.b.c}` stays as it is: it names no key of a connection
  G: ${inputs.x}
#    ^^^^^^^^^^^ warning[unresolved-environment-variable]: `${inputs.x}` is the key `x` of a connection named `inputs`, not a flow input
  H: ${n.output}
#    ^^^^^^^^^^^ warning[unresolved-environment-variable]: `${n.output}` is the key `output` of a connection named `n`, not a node's output
  I: ${conn.key
#    ^^^^^^^^^^ warning[unresolved-environment-variable]: `${conn.key` stays as it is: it names no key of a connection
nodes:
- {name: n}
",
        );
    }
}
