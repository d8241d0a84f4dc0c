use crate::context::Context;
use crate::finding::{Finding, Level, Place};
use crate::rule::{Group, Rule};

pub(super) const RULE: Rule = Rule {
    name: "python-syntax",
    group: Group::Flow,
    level: Level::Error,
    summary: "A Python file of the flow that is not Python.",
    cases: &[],
    why: "The engine imports the file when it loads the flow, and refuses the flow (`PythonLoadError`). Only the first fault of a file is told: others may follow from it.",
    bad: "#- flow.dag.yaml\nnodes:\n- name: echo\n  type: python\n  source: {type: code, path: echo.py}\n  inputs:\n    text: hello\noutputs:\n  out: {type: string, reference: '${echo.output}'}\n#- echo.py\nfrom promptflow.core import tool\n\n\n@tool\ndef echo(text: str)\n  return text\n",
    good: "#- flow.dag.yaml\nnodes:\n- name: echo\n  type: python\n  source: {type: code, path: echo.py}\n  inputs:\n    text: hello\noutputs:\n  out: {type: string, reference: '${echo.output}'}\n#- echo.py\nfrom promptflow.core import tool\n\n\n@tool\ndef echo(text: str):\n  return text\n",
    fix: None,
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let files = context.project.python_files();
    let first = files.filter_map(|file| Some((file.file, file.module.errors.first()?)));
    first
        .map(|(file, error)| {
            Finding::error(Place { file, span: error.span }, format!("this is not Python: {}", error.message))
                .engine("PythonLoadError")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn the_first_fault_of_each_file() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
nodes:
- {name: a, type: python, source: {path: f.py}}
- {name: b, type: python, source: {path: ./f.py}}
- {name: c, type: python, source: {path: g.py}}
#- f.py
def f(x:
#       ^ error[python-syntax]: this is not Python: expected `)`, found newline
    return x
def g(
#- g.py
match = 1
print(f'{match=}')
",
        );
    }

    #[test]
    fn the_module_of_an_entry() {
        fixture::raises(
            &super::RULE,
            "#- flow.flex.yaml
entry: m:f
#- m.py
f = = 1
#   ^ error[python-syntax]: this is not Python: expected an expression
",
        );
    }
}
