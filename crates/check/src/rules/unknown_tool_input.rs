use crate::context::Context;
use crate::finding::{Applicability, Finding, Level};
use crate::interface::{self, Unknown};
use crate::rule::{Group, Rule};
use crate::suggest;

pub(super) const RULE: Rule = Rule {
    name: "unknown-tool-input",
    group: Group::Flow,
    level: Level::Error,
    summary: "A node's input that its tool does not take.",
    cases: &["unknown-package-tool-input"],
    why: "The flow loads, and the node fails in every run (`TypeError`: got an unexpected keyword argument). An input that is null or an empty text is dropped, and does no harm.",
    bad: "#- flow.dag.yaml\nnodes:\n- name: echo\n  type: python\n  source: {type: code, path: echo.py}\n  inputs:\n    txet: hello\noutputs:\n  out: {type: string, reference: '${echo.output}'}\n#- echo.py\nfrom promptflow.core import tool\n\n\n@tool\ndef echo(text: str, times: int = 1):\n    return text * times\n",
    good: "#- flow.dag.yaml\nnodes:\n- name: echo\n  type: python\n  source: {type: code, path: echo.py}\n  inputs:\n    text: hello\noutputs:\n  out: {type: string, reference: '${echo.output}'}\n#- echo.py\nfrom promptflow.core import tool\n\n\n@tool\ndef echo(text: str, times: int = 1):\n    return text * times\n",
    fix: Some("Writes the most similar name among those that the node does not give. Unsafe: another may be meant."),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag().filter(|dag| dag.flow.complete) else { return Vec::new() };
    let mut findings = Vec::new();
    for (node, interface) in interface::interfaces(context, dag) {
        let names = || interface.inputs.iter().map(|input| input.name).collect::<Vec<_>>().join("`, `");
        for Unknown { name, meant } in interface.unknown(context, dag, node) {
            let at = dag.place(name.span);
            let finding = Finding::error(at, format!("`{}` takes no input `{}`", interface.tool, name.value));
            findings.push(match meant {
                Some(meant) => finding.help(suggest::did_you_mean(meant)).fix(
                    Applicability::Unsafe,
                    format!("write `{meant}`"),
                    at,
                    meant,
                ),
                None if interface.inputs.is_empty() => finding.help("remove it; the tool takes no inputs"),
                None => finding.help(format!("remove it; the tool takes `{}`", names())),
            });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn what_a_tool_takes() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
nodes:
- {name: a, type: python, source: {path: f.py}, inputs: {x: 1, z: 2}}
#                                                              ^ error[unknown-tool-input]: `f` takes no input `z`
- {name: b, type: python, source: {path: f.py}, inputs: {x: 1, y: 1, z: ''}}
- {name: c, type: python, source: {path: any.py}, inputs: {x: 1, z: 2}}
- {name: d, type: python, source: {type: package, tool: promptflow.tools.embedding.embedding}, inputs: {connection: c, input: x, text: x}}
#                                                                                                                                ^^^^ error[unknown-tool-input]: `promptflow.tools.embedding.embedding` takes no input `text`
- {name: e, type: python, source: {type: package, tool: my.own.tool}, inputs: {text: x}}
- {name: g, type: llm, api: chat, connection: c, source: {type: code, path: p.jinja2}, inputs: {text: x}}
#- f.py
from promptflow import tool


@tool
def f(x, *, y=1):
    pass
#- any.py
#- p.jinja2
# system:
{{text}}
",
        );
    }

    #[test]
    fn a_name_that_is_given_is_not_what_was_meant() {
        let tool = "#- f.py\nfrom promptflow import tool\n@tool\ndef f(text, test=1):\n    pass\n";
        let flow = |inputs: &str| {
            format!(
                "#- flow.dag.yaml\nnodes:\n- {{name: a, type: python, source: {{path: f.py}}, inputs: {inputs}}}\n{tool}"
            )
        };
        assert_eq!(fixture::fixed_by(&super::RULE, &flow("{text: 1, tests: 2}")), flow("{text: 1, test: 2}"));
        assert_eq!(
            fixture::fixed_by(&super::RULE, &flow("{text: 1, test: 2, tests: 3}")),
            flow("{text: 1, test: 2, tests: 3}")
        );
    }
}
