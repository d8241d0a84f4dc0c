use crate::coercion;
use crate::context::Context;
use crate::finding::{Finding, Level};
use crate::interface::{self, Accepts, Given};
use crate::rule::{Group, Rule};

pub(super) const RULE: Rule = Rule {
    name: "literal-type-mismatch",
    group: Group::Flow,
    level: Level::Error,
    summary: "A value in a node's `inputs` that cannot be read as the type that its tool declares.",
    cases: &["package-tool-literal", "llm-parameter-literal"],
    why: "The engine refuses the flow (`NodeInputValidationError`). It converts what stands in the flow to the parameter's type, or to the type of its default: an `int` from a number or its text, a `bool` from `true` and `false` only, a `list` from a list or from JSON text.",
    bad: "#- flow.dag.yaml\nnodes:\n- name: echo\n  type: python\n  source: {type: code, path: echo.py}\n  inputs:\n    text: hello\n    loud: 'yes'\noutputs:\n  out: {type: string, reference: '${echo.output}'}\n#- echo.py\nfrom promptflow.core import tool\n\n\n@tool\ndef echo(text: str, loud: bool):\n    return text\n",
    good: "#- flow.dag.yaml\nnodes:\n- name: echo\n  type: python\n  source: {type: code, path: echo.py}\n  inputs:\n    text: hello\n    loud: true\noutputs:\n  out: {type: string, reference: '${echo.output}'}\n#- echo.py\nfrom promptflow.core import tool\n\n\n@tool\ndef echo(text: str, loud: bool):\n    return text\n",
    fix: Some("Writes `yes`, `no`, `on`, `off`, 1 and 0 as a bool. Unsafe: another type may be meant."),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag() else { return Vec::new() };
    let mut findings = Vec::new();
    for (node, interface) in interface::interfaces(context, dag) {
        for (name, value) in &node.inputs {
            let Some(input) = interface.input(&name.value) else { continue };
            let (Accepts::Value(value_type), Given::Literal(value)) =
                (&input.accepts, interface::given(value, dag.text))
            else {
                continue;
            };
            if coercion::may_become(value, *value_type) {
                continue;
            }
            let message = format!("the value of `{}` is no `{}`", name.value, value_type.name());
            let finding = Finding::error(dag.place(value.span), message).engine("NodeInputValidationError");
            let finding = coercion::mend(finding, value, *value_type);
            findings.push(match input.at {
                Some(at) => finding.related(at, "its type"),
                None => finding,
            });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn as_the_engine_converts() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
nodes:
- name: a
  type: python
  source: {path: f.py}
  inputs:
    whole: 1.5
    number: many
#           ^^^^ error[literal-type-mismatch]: the value of `number` is no `double`
    flag: 1
#         ^ error[literal-type-mismatch]: the value of `flag` is no `bool`
    many: a, b
#         ^^^^ error[literal-type-mismatch]: the value of `many` is no `list`
    any: [1]
    text: {a: 1}
    inferred: '2.5'
#             ^^^^^ error[literal-type-mismatch]: the value of `inferred` is no `int`
    picture: 3
#            ^ error[literal-type-mismatch]: the value of `picture` is no `image`
    elsewhere: text
    other: text
- {name: b, type: python, source: {path: f.py}, inputs: {whole: '', number: '${a.output}', flag: 'TRUE', many: '[1]', inferred: '{{x}}', picture: p.png}}
- {name: c, type: llm, api: chat, connection: c, source: {path: p.jinja2}, inputs: {temperature: warm, n: x, stop: END, model: 3}}
#                                                                                                ^^^^ error[literal-type-mismatch]: the value of `temperature` is no `double`
#                                                                                                                  ^^^ error[literal-type-mismatch]: the value of `stop` is no `list`
- {name: d, type: python, source: {type: package, tool: promptflow.tools.serpapi.SerpAPI.search}, inputs: {connection: s, query: x, num: few}}
#                                                                                                                                        ^^^ error[literal-type-mismatch]: the value of `num` is no `int`
#- p.jinja2
#- f.py
from typing import Optional
from promptflow.core import tool
from promptflow.contracts.multimedia import Image
from helpers import Kind


@tool
def f(whole: Optional[int], number: float, flag: bool, many: list, any: dict = None, text: str = '',
      inferred=2, picture: Image = None, elsewhere: Kind = None, other: 'int' = 1):
    pass
",
        );
    }
}
