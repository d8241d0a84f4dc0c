use crate::context::{Context, Dag};
use crate::finding::{Finding, Level};
use crate::interface::{self, Accepts, Given, Input};
use crate::rule::{Group, Rule};
use flowgate_flow::Reference;
use flowgate_flow::python::Hidden;
use flowgate_flow::yaml::Node as Yaml;

pub(super) const RULE: Rule = Rule {
    name: "connection-type-mismatch",
    group: Group::Flow,
    level: Level::Error,
    summary: "A value that is no name of a connection, where a tool takes a connection; or one that the engine does not look up.",
    cases: &["connection-from-flow-input", "hidden-connection-annotation"],
    why: "The engine looks a connection up by the name that stands in the flow, and refuses the flow where that is no name (`GetConnectionError`). It looks nothing up for a reference to a flow input, nor for an annotation in quotes, under `from __future__ import annotations`, or with `| None`: the tool gets the text, and fails where it uses it as a connection (a warning).",
    bad: "#- flow.dag.yaml\nnodes:\n- name: ask\n  type: python\n  source: {type: code, path: ask.py}\n  inputs:\n    service: [my_service]\noutputs:\n  out: {type: string, reference: '${ask.output}'}\n#- ask.py\nfrom promptflow.connections import CustomConnection\nfrom promptflow.core import tool\n\n\n@tool\ndef ask(service: CustomConnection):\n    return service.url\n",
    good: "#- flow.dag.yaml\nnodes:\n- name: ask\n  type: python\n  source: {type: code, path: ask.py}\n  inputs:\n    service: my_service\noutputs:\n  out: {type: string, reference: '${ask.output}'}\n#- ask.py\nfrom promptflow.connections import CustomConnection\nfrom promptflow.core import tool\n\n\n@tool\ndef ask(service: CustomConnection):\n    return service.url\n",
    fix: None,
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag() else { return Vec::new() };
    let mut findings = Vec::new();
    for (node, interface) in interface::interfaces(context, dag) {
        for (name, value) in &node.inputs {
            findings.extend(interface.input(&name.value).and_then(|input| judge(dag, input, value)));
        }
    }
    findings
}

fn judge(dag: Dag<'_>, input: &Input<'_>, value: &Yaml) -> Option<Finding> {
    let (at, name) = (dag.place(value.span), input.name);
    let finding = match (&input.accepts, input.hidden_connection, interface::given(value, dag.text)) {
        (Accepts::Connections(classes), _, Given::Literal(literal))
            if !literal.scalar().is_some_and(|scalar| scalar.is_string()) =>
        {
            let message = format!("`{name}` takes the name of a connection, and this is {}", kind(literal));
            Finding::error(at, message)
                .engine("GetConnectionError")
                .help(format!("write the name of a connection of type `{}`", classes.join("` or `")))
        }
        // What a node puts out may be a connection; what a flow is given cannot.
        (Accepts::Connections(classes), _, Given::Reference(Reference::FlowInput { .. })) if !input.init => {
            let message = format!("`{name}` takes a connection, and a flow input is none: the tool gets its text");
            Finding::new(Level::Warning, at, message)
                .help(format!("write the name of a connection of type `{}`", classes.join("` or `")))
        }
        (_, Some((class, hidden)), Given::Literal(literal)) if literal.scalar().is_some_and(|s| s.is_string()) => {
            let message = format!("the engine does not see that `{name}` takes a connection: the tool gets this text");
            Finding::new(Level::Warning, at, message).help(match hidden {
                Hidden::FutureAnnotations => "remove `from __future__ import annotations` from the tool".to_owned(),
                Hidden::Quotes => format!("annotate the parameter with `{class}` without quotes"),
                Hidden::Bar => format!("annotate the parameter with `Optional[{class}]`"),
            })
        }
        _ => return None,
    };
    Some(match input.at {
        Some(at) => finding.related(at, "the parameter"),
        None => finding,
    })
}

fn kind(literal: &Yaml) -> &'static str {
    match literal.scalar() {
        Some(_) => "no text",
        None => literal.kind(),
    }
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn what_the_engine_looks_up() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
inputs:
  c: {type: string}
nodes:
- {name: a, type: python, source: {path: f.py}, inputs: {seen: [c], bar: c, quotes: c}}
#                                                              ^^^ error[connection-type-mismatch]: `seen` takes the name of a connection, and this is a list
#                                                                        ^ warning[connection-type-mismatch]: the engine does not see that `bar` takes a connection: the tool gets this text
#                                                                                   ^ warning[connection-type-mismatch]: the engine does not see that `quotes` takes a connection: the tool gets this text
- {name: b, type: python, source: {path: f.py}, inputs: {seen: '${inputs.c}', bar: '${a.output}'}}
#                                                              ^^^^^^^^^^^^^ warning[connection-type-mismatch]: `seen` takes a connection, and a flow input is none: the tool gets its text
- {name: c, type: python, source: {path: f.py}, inputs: {seen: '${a.output}', bar: 3}}
- {name: d, type: python, source: {path: g.py}, inputs: {c: name}}
#                                                           ^^^^ warning[connection-type-mismatch]: the engine does not see that `c` takes a connection: the tool gets this text
- {name: e, type: python, source: {type: package, tool: promptflow.tools.embedding.embedding}, inputs: {connection: 3, input: x}}
#                                                                                                                   ^ error[connection-type-mismatch]: `connection` takes the name of a connection, and this is no text
#- f.py
from promptflow.core import tool
from promptflow.connections import CustomConnection, OpenAIConnection


@tool
def f(seen: OpenAIConnection, bar: CustomConnection | None = None, quotes: 'OpenAIConnection' = None):
    pass
#- g.py
from __future__ import annotations
from promptflow.core import tool
from promptflow.connections import CustomConnection


@tool
def g(c: CustomConnection):
    pass
",
        );
    }
}
