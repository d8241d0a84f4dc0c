use crate::context::Context;
use crate::finding::{Applicability, Edit, Finding, Fix, Level, Place};
use crate::interface;
use crate::rule::{Group, Rule};
use flowgate_flow::Span;
use flowgate_flow::project::PythonFile;
use flowgate_flow::python::{Definition, DefinitionKind, Module};

pub(super) const RULE: Rule = Rule {
    name: "no-tool-in-source",
    group: Group::Flow,
    level: Level::Error,
    summary: "A Python node whose file holds no tool.",
    cases: &[],
    why: "The engine takes the one function with `@tool` in the file, or the one method with `@tool` of a class derived from `ToolProvider`, and refuses the flow where there is none (`NoToolDefined`). What the file imports from elsewhere does not count.",
    bad: "#- flow.dag.yaml\nnodes:\n- name: echo\n  type: python\n  source: {type: code, path: echo.py}\n  inputs:\n    text: hello\noutputs:\n  out: {type: string, reference: '${echo.output}'}\n#- echo.py\nfrom promptflow.core import tool\n\n\ndef echo(text: str):\n    return text\n",
    good: "#- flow.dag.yaml\nnodes:\n- name: echo\n  type: python\n  source: {type: code, path: echo.py}\n  inputs:\n    text: hello\noutputs:\n  out: {type: string, reference: '${echo.output}'}\n#- echo.py\nfrom promptflow.core import tool\n\n\n@tool\ndef echo(text: str):\n    return text\n",
    fix: Some(
        "Decorates the function with `@tool`, and imports it, where the file has exactly one function. Unsafe: another file may be meant.",
    ),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag() else { return Vec::new() };
    let mut findings = Vec::new();
    for (path, file) in interface::sources(context, dag) {
        let text = context.project.text(file.file);
        if !is_without_tools(&file.module, text) {
            continue;
        }
        let finding = Finding::error(dag.place(path.span), format!("there is no tool in `{}`", path.value))
            .engine("NoToolDefined");
        findings.push(match only_function(&file.module) {
            Some(function) => decorate(finding, file, text, function),
            None => finding.help("decorate one function with `@tool`"),
        });
    }
    findings
}

/// True where nothing in the text may make a tool, by whatever way.
fn is_without_tools(module: &Module, text: &str) -> bool {
    let other_ways = ["tool(", "tool as "].iter().any(|way| text.contains(way));
    module.complete && module.tools.is_empty() && !module.hidden_tools && !module.dynamic && !other_ways
}

fn only_function(module: &Module) -> Option<&Definition> {
    let mut functions = module.definitions.iter().filter(|d| d.kind == DefinitionKind::Function);
    functions.next().filter(|function| functions.next().is_none() && !function.conditional)
}

fn decorate(finding: Finding, file: &PythonFile, text: &str, function: &Definition) -> Finding {
    let place = |span| Place { file: file.file, span };
    let at = |offset| place(Span::empty(offset));
    let name = &function.name.value;
    let mut finding = finding
        .help(format!("decorate `{name}` with `@tool`"))
        .related(place(function.name.span), "the only function of the file");
    let start = line_start(text, function.name.span.start);
    let above = text.get(..start).unwrap_or("").trim_end();
    let starts_at_margin = ["def ", "async def "].iter().any(|word| text.get(start..).unwrap_or("").starts_with(word));
    // A tool under another decorator is none.
    if !starts_at_margin || line(above, above.len()).starts_with('@') {
        return finding;
    }
    let has_name = |name: &str| file.module.definition(name).is_some();
    let edit = |at, text: &str| Edit { at, text: text.to_owned() };
    let import = "from promptflow.core import tool\n";
    let edits = if has_name("tool") {
        vec![edit(at(start), "@tool\n")]
    } else {
        match first_import(&file.module, text) {
            Some(first) => vec![edit(at(first), import), edit(at(start), "@tool\n")],
            None => vec![edit(at(start), &format!("{import}\n\n@tool\n"))],
        }
    };
    finding.fix =
        Some(Fix { title: format!("decorate `{name}` with `@tool`"), applicability: Applicability::Unsafe, edits });
    finding
}

/// Where the first import stands that another may be put before.
fn first_import(module: &Module, text: &str) -> Option<usize> {
    let imports = module.imports.iter().filter(|import| import.module.value != "__future__");
    let mut starts = imports.map(|import| line_start(text, import.module.span.start));
    starts.find(|start| ["import ", "from "].iter().any(|word| text.get(*start..).unwrap_or("").starts_with(word)))
}

fn line_start(text: &str, offset: usize) -> usize {
    text.get(..offset).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1)
}

fn line(text: &str, offset: usize) -> &str {
    text.get(line_start(text, offset)..offset).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    const FLOW: &str = "#- flow.dag.yaml
nodes:
- {name: a, type: python, source: {path: f.py}}
#                                        ^^^^ error[no-tool-in-source]: there is no tool in `f.py`
- {name: b, type: python, source: {path: f.py}}
#- f.py
";

    #[test]
    fn files_that_hold_none() {
        for text in [
            "import os\n",
            "from promptflow.core import tool\n\ndef f(x):\n    return tool\n",
            "from helpers import a_tool\n",
            "from promptflow.core import ToolProvider, tool\n\nclass C(ToolProvider):\n    def f(self):\n        pass\n",
            "if __name__ == '__main__':\n    import tools\n",
        ] {
            fixture::raises(&super::RULE, &format!("{FLOW}{text}"));
        }
    }

    #[test]
    fn silent_where_there_may_be_one() {
        let flow: String = FLOW.lines().filter(|line| !line.contains('^')).map(|line| format!("{line}\n")).collect();
        for text in [
            "from promptflow.core import tool\n\ndef f(x):\n    pass\n\nf = tool(f)\n",
            "from promptflow.core import tool as t\n\ndef f(x):\n    pass\n\ng = t(f)\n",
            "from helpers import *\n",
            "from helpers import my_tool\n\n@my_tool\ndef f(x):\n    pass\n",
            "from helpers import Base\n\nclass C(Base):\n    pass\n",
            "def f(:\n",
        ] {
            fixture::raises(&super::RULE, &format!("{flow}{text}"));
        }
    }

    #[test]
    fn the_import_goes_where_imports_are() {
        let fixed = |text: &str| {
            fixture::fixed_by(&super::RULE, &format!("{FLOW}{text}"))
                .split_once("#- f.py\n")
                .map(|(_, text)| text.to_owned())
        };
        assert_eq!(
            fixed("\"\"\"Doc.\"\"\"\nfrom __future__ import annotations\nimport os\n\n\ndef f(x):\n    return x\n")
                .as_deref(),
            Some(
                "\"\"\"Doc.\"\"\"\nfrom __future__ import annotations\nfrom promptflow.core import tool\nimport os\n\n\n@tool\ndef f(x):\n    return x\n"
            ),
        );
        assert_eq!(
            fixed("async def f(x):\n    return x\n").as_deref(),
            Some("from promptflow.core import tool\n\n\n@tool\nasync def f(x):\n    return x\n"),
        );
        let decorated = "import functools\n\n@functools.cache\ndef f(x):\n    return x\n";
        assert_eq!(fixed(decorated).as_deref(), Some(decorated));
    }
}
