use std::collections::{HashMap, HashSet};

use crate::context::{Context, Dag};
use crate::finding::{Finding, Level};
use crate::interface::{self, Accepts, Given, Input};
use crate::rule::{Group, Rule};
use flowgate_flow::Spanned;
use flowgate_flow::model::Node;
use flowgate_flow::yaml::Node as Yaml;

pub(super) const RULE: Rule = Rule {
    name: "missing-required-tool-input",
    group: Group::Flow,
    level: Level::Error,
    summary: "A node that does not give an input without which its tool cannot be called.",
    cases: &["empty-tool-input", "missing-init-input", "package-tool-without-required-input"],
    why: "The flow loads, and the node fails in every run (`TypeError`: missing a required argument). The engine drops an input that is null or an empty text before it calls the tool, so that is missing too. What a tool's class takes in its `__init__` is missed when the flow is loaded (`MissingRequiredInputs`). A connection can also be given to the run (`--connections`), so that one is a warning.",
    bad: "#- flow.dag.yaml\nnodes:\n- name: echo\n  type: python\n  source: {type: code, path: echo.py}\n  inputs:\n    times: 2\noutputs:\n  out: {type: string, reference: '${echo.output}'}\n#- echo.py\nfrom promptflow.core import tool\n\n\n@tool\ndef echo(text: str, times: int = 1):\n    return text * times\n",
    good: "#- flow.dag.yaml\nnodes:\n- name: echo\n  type: python\n  source: {type: code, path: echo.py}\n  inputs:\n    text: hello\n    times: 2\noutputs:\n  out: {type: string, reference: '${echo.output}'}\n#- echo.py\nfrom promptflow.core import tool\n\n\n@tool\ndef echo(text: str, times: int = 1):\n    return text * times\n",
    fix: None,
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag().filter(|dag| dag.flow.complete) else { return Vec::new() };
    let mut findings = Vec::new();
    for (node, interface) in interface::interfaces(context, dag) {
        let given: HashMap<&str, _> = node.inputs.iter().map(|given| (given.0.value.as_str(), given)).collect();
        // A mistyped name is one mistake, which `unknown-tool-input` tells.
        let meant = interface.unknown(context, dag, node).into_iter().filter_map(|unknown| unknown.meant);
        let meant: HashSet<&str> = meant.collect();
        for input in interface.inputs.iter().filter(|input| input.required && !meant.contains(input.name)) {
            findings.extend(judge(dag, node, interface.tool, input, given.get(input.name).copied()));
        }
    }
    findings
}

fn judge(
    dag: Dag<'_>,
    node: &Node,
    tool: &str,
    input: &Input<'_>,
    given: Option<&(Spanned<String>, Yaml)>,
) -> Option<Finding> {
    let name = input.name;
    let finding = match given {
        Some((key, value)) => {
            let Given::Nothing = interface::given(value, dag.text) else { return None };
            let at = dag.place(if value.span.is_empty() { key.span } else { value.span });
            let message = format!("`{name}` is empty, which the engine takes for not given, and `{tool}` requires it");
            Finding::error(at, message).help(format!("give a value, or give `{name}` a default in the tool"))
        }
        None => Finding::error(dag.node_place(node), format!("input `{name}` is not given, and `{tool}` requires it"))
            .help(format!("add `{name}` to the node's `inputs`")),
    };
    let finding = match (input.init, &input.accepts) {
        (true, _) => finding.engine("MissingRequiredInputs"),
        // A run may name it: `--connections NODE.INPUT=NAME`.
        (false, Accepts::Connections(_)) => Finding { level: Level::Warning, ..finding },
        (false, _) => finding,
    };
    Some(match input.at {
        Some(at) => finding.related(at, "it has no default"),
        None => finding,
    })
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn of_files_classes_and_packages() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
nodes:
- {name: a, type: python, source: {path: f.py}, inputs: {y: 1}}
#        ^ error[missing-required-tool-input]: input `x` is not given, and `f` requires it
- {name: b, type: python, source: {path: f.py}, inputs: {x: ''}}
#                                                           ^^ error[missing-required-tool-input]: `x` is empty, which the engine takes for not given, and `f` requires it
- {name: c, type: python, source: {path: f.py}, inputs: {x: }}
#                                                        ^ error[missing-required-tool-input]: `x` is empty, which the engine takes for not given, and `f` requires it
- {name: d, type: python, source: {path: f.py}, inputs: {x: '${a.output}'}}
- {name: f, type: python, source: {path: c.py}}
#        ^ error[missing-required-tool-input]: input `b` is not given, and `f` requires it
#        ^ error[missing-required-tool-input]: input `x` is not given, and `f` requires it
- {name: g, type: python, source: {type: package, tool: promptflow.tools.serpapi.SerpAPI.search}, inputs: {query: x}}
#        ^ error[missing-required-tool-input]: input `connection` is not given, and `promptflow.tools.serpapi.SerpAPI.search` requires it
- {name: h, type: custom_llm, source: {type: package_with_prompt, tool: promptflow.tools.llm.llm, path: p.jinja2}, inputs: {temperature: 1}}
#        ^ warning[missing-required-tool-input]: input `connection` is not given, and `promptflow.tools.llm.llm` requires it
#- f.py
from promptflow.core import tool


@tool
def f(x, y=1, *args, z=None, **kwargs):
    pass
#- c.py
from promptflow.core import tool, ToolProvider


class C(ToolProvider):
    def __init__(self, b, d=1):
        super().__init__()

    @tool
    def f(self, x):
        pass
#- p.jinja2
",
        );
    }

    #[test]
    fn silent_where_the_file_does_not_tell() {
        for text in [
            "from promptflow import tool\nfrom functools import wraps\n@tool\n@other\ndef f(x):\n    pass\n",
            "from promptflow import tool\nfrom helpers import *\n@tool\ndef f(x):\n    pass\n",
            "from promptflow import tool\nif x:\n    @tool\n    def f(x):\n        pass\n",
            "from promptflow import tool\n@tool\ndef f(x):\n    pass\n@tool\ndef g(x):\n    pass\n",
            "from helpers import tool\n@tool\ndef f(x):\n    pass\n",
            "from promptflow import tool\n@tool\ndef f(x):\n    pass\ndef g(:\n",
        ] {
            let flow = "#- flow.dag.yaml\nnodes:\n- {name: a, type: python, source: {path: a.py}}\n- {name: b, type: python, source: {path: f.py}}\n#- a.py\n";
            fixture::raises(&super::RULE, &format!("{flow}#- f.py\n{text}"));
        }
    }
}
