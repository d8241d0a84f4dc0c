use crate::context::Context;
use crate::finding::{Finding, Level, Place};
use crate::interface;
use crate::rule::{Group, Rule};
use flowgate_flow::python::Tool;

pub(super) const RULE: Rule = Rule {
    name: "several-tools-in-source",
    group: Group::Flow,
    level: Level::Error,
    summary: "A Python node whose file holds more than one tool.",
    cases: &[],
    why: "A node names a file, not a function: the engine does not know which tool is meant, and refuses the flow (`MultipleToolsDefined`). Helpers need no `@tool`; `@trace` shows them in a trace.",
    bad: "#- flow.dag.yaml\nnodes:\n- name: echo\n  type: python\n  source: {type: code, path: echo.py}\n  inputs:\n    text: hello\noutputs:\n  out: {type: string, reference: '${echo.output}'}\n#- echo.py\nfrom promptflow.core import tool\n\n\n@tool\ndef echo(text: str):\n    return text\n\n\n@tool\ndef shout(text: str):\n    return text.upper()\n",
    good: "#- flow.dag.yaml\nnodes:\n- name: echo\n  type: python\n  source: {type: code, path: echo.py}\n  inputs:\n    text: hello\noutputs:\n  out: {type: string, reference: '${echo.output}'}\n#- echo.py\nfrom promptflow.core import tool\n\n\n@tool\ndef echo(text: str):\n    return text\n\n\ndef shout(text: str):\n    return text.upper()\n",
    fix: None,
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag() else { return Vec::new() };
    let mut findings = Vec::new();
    for (path, file) in interface::sources(context, dag).filter(|(_, file)| file.module.complete) {
        let place = |span| Place { file: file.file, span };
        let mut tools = file.module.tools.iter().filter(|tool| tool.certain);
        let Some(first) = tools.next() else { continue };
        // A method of the same name in the same class takes the first one's place.
        let Some(second) = tools.find(|tool| name(tool) != name(first)) else { continue };
        let message = format!("`{}` has a second tool, `{}`", path.value, second.name.value);
        findings.push(
            Finding::error(place(second.name.span), message)
                .engine("MultipleToolsDefined")
                .help("move it to a file of its own, or take `@tool` off what no node runs")
                .related(place(first.name.span), "the first tool")
                .related(dag.place(path.span), "the node's source"),
        );
    }
    findings
}

/// A tool's class and name.
fn name(tool: &Tool) -> (Option<&str>, &str) {
    (tool.class.as_ref().map(|class| class.value.as_str()), &tool.name.value)
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    const FLOW: &str = "#- flow.dag.yaml\nnodes:\n- {name: a, type: python, source: {path: f.py}}\n#- f.py\n";

    #[test]
    fn methods_count() {
        let text = "from promptflow.core import ToolProvider, tool


@tool
def f():
    pass


class C(ToolProvider):
    @tool
    def g(self):
#       ^ error[several-tools-in-source]: `f.py` has a second tool, `g`
        pass
";
        fixture::raises(&super::RULE, &format!("{FLOW}{text}"));
    }

    #[test]
    fn silent_where_one_may_not_be_there() {
        let head = "from promptflow.core import tool\n@tool\ndef f(): pass\n";
        for text in [
            "@tool\ndef f(): pass\n",
            "@tool\ndef g(): pass\ndel g\n",
            "@tool\ndef g(): pass\ng = None\n",
            "if x:\n    @tool\n    def g(): pass\n",
            "@other\n@tool\ndef g(): pass\n",
            "def g(:\n",
        ] {
            fixture::raises(&super::RULE, &format!("{FLOW}{head}{text}"));
        }
    }
}
