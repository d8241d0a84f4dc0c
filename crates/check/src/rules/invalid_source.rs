use crate::context::{Context, Dag};
use crate::finding::{Finding, Level, Place};
use crate::rule::{Group, Rule};
use crate::suggest;
use flowgate_flow::model::{Node, Source};

pub(super) const RULE: Rule = Rule {
    name: "invalid-source",
    group: Group::Flow,
    level: Level::Error,
    summary: "A node whose `source` is missing, or does not fit its `type`.",
    cases: &["node-without-source", "source-without-path", "package-without-tool", "source-type-mismatch"],
    why: "The engine stops with `Node fetch does not have source defined.`, `The source path is 'None'.`, `Package tool 'None' is not found` or `Tool source type ... is not supported yet.`, and looks no further.",
    bad: "#- flow.dag.yaml\nnodes:\n- name: fetch\n  type: python\n  source: {type: Code, path: a.py}\n#- a.py\n",
    good: "#- flow.dag.yaml\nnodes:\n- name: fetch\n  type: python\n  source: {type: code, path: a.py}\n#- a.py\n",
    fix: Some("Writes the source type in lower case (safe), or the most similar one (unsafe)."),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag() else { return Vec::new() };
    // With a line that could not be read, what is missing may stand there.
    dag.bodies().filter(|node| !node.use_variants).filter_map(|node| judge(dag, node)).collect()
}

fn judge(dag: Dag<'_>, node: &Node) -> Option<Finding> {
    let Some(source) = &node.source else {
        return match node.yaml.get("source") {
            None => dag.flow.complete.then(|| {
                Finding::error(dag.node_place(node), format!("node `{}` has no `source`", node.name()))
                    .engine("UserErrorException")
                    .help("add `source: {type: code, path: FILE}`")
            }),
            Some(entry) => {
                let message = format!("`source` is {}, not a mapping", entry.value.kind());
                let at = if entry.value.span.is_empty() { entry.key.span } else { entry.value.span };
                let help = "write `source: {type: code, path: FILE}`";
                Some(Finding::error(dag.place(at), message).engine("AttributeError").help(help))
            }
        };
    };
    let kind = source.r#type.as_ref().map_or("code", |t| t.value.as_str());
    match node.r#type.as_ref()?.value.as_str() {
        "python" | "custom_llm" if source.r#type.is_none() && written_type(node).is_some() => {
            let at = written_type(node).map_or_else(|| place(dag, source), |span| dag.place(span));
            let message = format!("the source of node `{}` has a `type` that is no text", node.name());
            Some(
                Finding::error(at, message)
                    .engine("NotImplementedError")
                    .help("use one of code, package, package_with_prompt"),
            )
        }
        "python" => match kind {
            "code" => path(dag, node, source),
            "package" => tool(dag, node, source),
            _ => Some(wrong(dag, source, "python", &["code", "package"])),
        },
        "custom_llm" => match kind {
            "package_with_prompt" => tool(dag, node, source).or_else(|| path(dag, node, source)),
            _ => Some(wrong(dag, source, "custom_llm", &["package_with_prompt"])),
        },
        // The engine reads the prompt file, whatever the type says.
        "llm" | "prompt" => path(dag, node, source),
        _ => None,
    }
}

/// The key of a `source.type` that is there, whatever its value.
fn written_type(node: &Node) -> Option<flowgate_flow::Span> {
    node.yaml.get("source")?.value.get("type").map(|entry| entry.key.span)
}

fn path(dag: Dag<'_>, node: &Node, source: &Source) -> Option<Finding> {
    let missing = source.path.as_ref().is_none_or(|path| path.value.is_empty()) && dag.flow.complete;
    missing.then(|| {
        Finding::error(place(dag, source), format!("the source of node `{}` has no `path`", node.name()))
            .engine("InvalidSource")
            .help("name the file: `path: FILE`, relative to the flow's folder")
    })
}

fn tool(dag: Dag<'_>, node: &Node, source: &Source) -> Option<Finding> {
    let missing = source.tool.as_ref().is_none_or(|tool| tool.value.is_empty()) && dag.flow.complete;
    missing.then(|| {
        Finding::error(place(dag, source), format!("the source of node `{}` names no `tool`", node.name()))
            .engine("PackageToolNotFoundError")
            .help("name the package's tool: `tool: package.module.function`")
    })
}

fn wrong(dag: Dag<'_>, source: &Source, node_type: &str, types: &[&'static str]) -> Finding {
    let (at, written) = match &source.r#type {
        Some(t) => (dag.place(t.span), t.value.as_str()),
        None => (place(dag, source), "code"),
    };
    let message = match source.r#type {
        Some(_) => format!("a {node_type} node cannot have a source of type `{written}`"),
        None => format!(
            "a {node_type} node needs a source of type `{}`; without a `type` it is `code`",
            types.join("` or `")
        ),
    };
    let finding = Finding::error(at, message).engine("NotImplementedError");
    match &source.r#type {
        Some(t) => {
            let lower = t.value.to_ascii_lowercase();
            suggest::name(finding, &t.value, types.iter().copied().find(|name| *name == lower), types)
        }
        None => finding.help(format!("add `type: {}`", types.join("` or `type: "))),
    }
}

/// The first line of the mapping.
fn place(dag: Dag<'_>, source: &Source) -> Place {
    let line = source.span.slice(dag.text).lines().next().map_or(0, str::len);
    dag.place(flowgate_flow::Span::new(source.span.start, source.span.start + line))
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn type_and_source_have_to_fit() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
nodes:
- {name: a, type: python}
#        ^ error[invalid-source]: node `a` has no `source`
- {name: b, type: python, source: }
#                         ^^^^^^ error[invalid-source]: `source` is nothing, not a mapping
- {name: c, type: python, source: p.py}
#                                 ^^^^ error[invalid-source]: `source` is a single value, not a mapping
- {name: d, type: python, source: {}}
#                                 ^^ error[invalid-source]: the source of node `d` has no `path`
- {name: e, type: python, source: {type: package, path: p.py}}
#                                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^ error[invalid-source]: the source of node `e` names no `tool`
- {name: f, type: python, source: {type: package_with_prompt, tool: x, path: p.jinja2}}
#                                        ^^^^^^^^^^^^^^^^^^^ error[invalid-source]: a python node cannot have a source of type `package_with_prompt`
- {name: g, type: prompt, source: {type: package, path: p.jinja2}}
- {name: h, type: prompt, source: {type: code}}
#                                 ^^^^^^^^^^^^ error[invalid-source]: the source of node `h` has no `path`
- {name: l, type: llm, source: {type: package, path: p.jinja2}, connection: c, api: chat}
- {name: m, type: llm, source: {type: package, tool: t}, connection: c, api: chat}
#                              ^^^^^^^^^^^^^^^^^^^^^^^^ error[invalid-source]: the source of node `m` has no `path`
- {name: i, type: custom_llm, source: {path: p.jinja2}}
#                                     ^^^^^^^^^^^^^^^^ error[invalid-source]: a custom_llm node needs a source of type `package_with_prompt`; without a `type` it is `code`
- {name: j, type: csharp, source: {type: csharp}}
- {name: k, use_variants: true}
node_variants:
  k:
    default_variant_id: v
    variants:
      v: {node: {type: python}}
#               ^^^^^^^^^^^^^^ error[invalid-source]: node `k` has no `source`
#- p.py
#- p.jinja2
",
        );
    }
}
