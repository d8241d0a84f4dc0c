use crate::context::Context;
use crate::finding::{Finding, Level};
use crate::interface::{self, Given};
use crate::rule::{Group, Rule};

pub(super) const RULE: Rule = Rule {
    name: "non-literal-init-input",
    group: Group::Flow,
    level: Level::Error,
    summary: "A reference for an input that a tool's class takes in its `__init__`.",
    cases: &[],
    why: "The engine makes the object when it loads the flow, before any line runs and any node has an output, and refuses the flow (`InputTypeMismatch`). So do the package tools that are made with their connection.",
    bad: "#- flow.dag.yaml\ninputs:\n  sign: {type: string, default: '>'}\nnodes:\n- name: echo\n  type: python\n  source: {type: code, path: echo.py}\n  inputs:\n    text: hello\n    before: ${inputs.sign}\noutputs:\n  sign: {type: string, reference: '${inputs.sign}'}\n  out: {type: string, reference: '${echo.output}'}\n#- echo.py\nfrom promptflow.core import ToolProvider, tool\n\n\nclass Echo(ToolProvider):\n    def __init__(self, before: str):\n        super().__init__()\n        self.before = before\n\n    @tool\n    def echo(self, text: str):\n        return self.before + text\n",
    good: "#- flow.dag.yaml\ninputs:\n  sign: {type: string, default: '>'}\nnodes:\n- name: echo\n  type: python\n  source: {type: code, path: echo.py}\n  inputs:\n    text: hello\n    before: '>'\noutputs:\n  sign: {type: string, reference: '${inputs.sign}'}\n  out: {type: string, reference: '${echo.output}'}\n#- echo.py\nfrom promptflow.core import ToolProvider, tool\n\n\nclass Echo(ToolProvider):\n    def __init__(self, before: str):\n        super().__init__()\n        self.before = before\n\n    @tool\n    def echo(self, text: str):\n        return self.before + text\n",
    fix: None,
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag() else { return Vec::new() };
    let mut findings = Vec::new();
    for (node, interface) in interface::interfaces(context, dag) {
        for (name, value) in &node.inputs {
            let Some(input) = interface.input(&name.value).filter(|input| input.init) else { continue };
            let Given::Reference(_) = interface::given(value, dag.text) else { continue };
            let message = format!("`{}` is set when the flow is loaded, and cannot be a reference", name.value);
            let finding = Finding::error(dag.place(value.span), message).engine("InputTypeMismatch");
            findings.push(match input.at {
                Some(at) => finding
                    .help(format!("write a value, or let `{}` take the input instead of `__init__`", interface.tool))
                    .related(at, "a parameter of `__init__`"),
                None => finding.help("write a value"),
            });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn of_package_tools() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
inputs:
  c: {type: string}
nodes:
- {name: a, type: python, source: {type: package, tool: promptflow.tools.serpapi.SerpAPI.search}, inputs: {query: '${inputs.c}', connection: '${inputs.c}'}}
#                                                                                                                                            ^^^^^^^^^^^^^ error[non-literal-init-input]: `connection` is set when the flow is loaded, and cannot be a reference
",
        );
    }
}
