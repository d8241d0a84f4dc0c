use crate::context::Context;
use crate::finding::{Finding, Level, Place};
use crate::interface;
use crate::rule::{Group, Rule};

pub(super) const RULE: Rule = Rule {
    name: "duplicate-tool-input",
    group: Group::Flow,
    level: Level::Error,
    summary: "A tool that takes an input of the same name as its class's `__init__`.",
    cases: &[],
    why: "A node gives the inputs of both by their names, so the engine refuses the flow (`BadFunctionInterface`: Duplicate inputs found).",
    bad: "#- flow.dag.yaml\nnodes:\n- name: echo\n  type: python\n  source: {type: code, path: echo.py}\n  inputs:\n    text: hello\noutputs:\n  out: {type: string, reference: '${echo.output}'}\n#- echo.py\nfrom promptflow.core import ToolProvider, tool\n\n\nclass Echo(ToolProvider):\n    def __init__(self, text: str):\n        super().__init__()\n        self.before = text\n\n    @tool\n    def echo(self, text: str):\n        return self.before + text\n",
    good: "#- flow.dag.yaml\nnodes:\n- name: echo\n  type: python\n  source: {type: code, path: echo.py}\n  inputs:\n    text: hello\n    before: '>'\noutputs:\n  out: {type: string, reference: '${echo.output}'}\n#- echo.py\nfrom promptflow.core import ToolProvider, tool\n\n\nclass Echo(ToolProvider):\n    def __init__(self, before: str):\n        super().__init__()\n        self.before = before\n\n    @tool\n    def echo(self, text: str):\n        return self.before + text\n",
    fix: None,
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag() else { return Vec::new() };
    let mut findings = Vec::new();
    for (_, file) in interface::sources(context, dag) {
        let place = |span| Place { file: file.file, span };
        let Some(tool) = file.module.only_tool() else { continue };
        findings.extend(tool.duplicates().map(|(parameter, init)| {
            let message = format!("`{}` is also an input of `__init__`", parameter.name.value);
            Finding::error(place(parameter.name.span), message)
                .engine("BadFunctionInterface")
                .help("give one of them another name")
                .related(place(init.name.span), "the input of `__init__`")
        }));
    }
    findings
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn of_the_one_tool() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
nodes:
- {name: a, type: python, source: {path: f.py}, inputs: {x: 1, y: 2}}
#- f.py
from promptflow.core import ToolProvider, tool


class C(ToolProvider):
    def __init__(self, x, y):
        super().__init__()

    @tool
    def g(self, z, x=1):
#                  ^ error[duplicate-tool-input]: `x` is also an input of `__init__`
        pass
",
        );
    }
}
