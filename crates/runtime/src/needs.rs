//! What a flow needs that no runtime gives, as far as its text tells: said before an environment is made for it.

use flowgate_flow::model::Node;
use flowgate_flow::project::{FlowFile, Presence};
use flowgate_flow::python::Accepts;
use flowgate_flow::yaml::{Node as Yaml, Value};
use flowgate_flow::{Project, graph};

use crate::outcome::CONNECTION_REQUIRED;
use crate::wire::ErrorBody;

/// The first reason why the engine will refuse the flow, in the worker's words; `None` where only loading it would tell.
pub(crate) fn unmet(project: &Project) -> Option<ErrorBody> {
    let file = project.flow.as_ref()?;
    if let Some(error) = file.document.errors.first() {
        let source = project.file(file.file)?;
        let line = source.lines.line_of(error.span.start) + 1;
        let name = source.path.file_name()?.to_string_lossy();
        return Some(body("YAMLError", None, format!("{name}:{line}: {}", error.message)));
    }
    if !file.document.is_complete() {
        return None;
    }
    let nodes = graph::effective(&file.flow);
    let missing = nodes.iter().find_map(|node| missing_source(project, node));
    missing.or_else(|| nodes.iter().find_map(|node| connection(project, file, node)))
}

fn missing_source(project: &Project, node: &Node) -> Option<ErrorBody> {
    let source = node.source.as_ref()?;
    let is_code = source.r#type.as_ref().is_none_or(|kind| kind.value == "code");
    let path = source.path.as_ref().filter(|_| is_code)?;
    let is_missing = project.paths.get(&path.value).is_some_and(|fact| fact.presence == Presence::Missing);
    is_missing.then(|| body("MissingSourceFile", Some(node), format!("source file `{}` is not there", path.value)))
}

/// A connection that a node names: those of LLM nodes, and those that the parameters of a Python tool take.
fn connection(project: &Project, file: &FlowFile, node: &Node) -> Option<ErrorBody> {
    let kind = node.r#type.as_ref()?.value.as_str();
    let named = match kind {
        "llm" => node.connection.as_ref().map(|connection| connection.value.as_str()),
        "python" => of_tool(project, node),
        _ => None,
    };
    let named = named.filter(|name| !name.is_empty() && !file.flow.flex)?;
    Some(body(CONNECTION_REQUIRED, Some(node), format!("node `{}` needs the connection `{named}`", node.name())))
}

fn of_tool<'p>(project: &Project, node: &'p Node) -> Option<&'p str> {
    let module = &project.python.get(&node.python_source()?.value)?.module;
    // Of several, or of one that may be none, only the engine knows which counts.
    let [tool] = module.tools.as_slice() else { return None };
    let takes_connection = |name: &str| {
        tool.certain
            && tool
                .parameters
                .iter()
                .any(|parameter| parameter.name.value == name && matches!(parameter.accepts, Accepts::Connections(_)))
    };
    node.inputs.iter().filter(|(name, _)| takes_connection(&name.value)).find_map(|(_, value)| literal(value))
}

fn literal(value: &Yaml) -> Option<&str> {
    match &*value.value {
        Value::Scalar(scalar) if scalar.is_string() && !scalar.text.contains("${") => Some(&scalar.text),
        _ => None,
    }
}

fn body(name: &str, node: Option<&Node>, message: String) -> ErrorBody {
    ErrorBody { r#type: name.to_owned(), message, node: node.map(|node| node.name().to_owned()), traceback: None }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use flowgate_flow::load::{self, Memory};

    use super::*;

    const TOOL: &str = "from promptflow.core import tool\nfrom promptflow.connections import CustomConnection\n\n@tool\ndef f(x, c: CustomConnection = None):\n    return x\n";

    fn of(nodes: &str) -> String {
        let files = [
            ("/f/flow.dag.yaml", format!("nodes:\n{nodes}")),
            ("/f/a.py", TOOL.to_owned()),
            ("/f/p.jinja2", "user:\nhi\n".to_owned()),
        ];
        let files = files.map(|(path, text)| (path.into(), text.into_bytes())).into();
        let project = load::load_project(&Memory { files }, Path::new("/f/flow.dag.yaml"));
        unmet(&project).map_or(String::new(), |body| format!("{}: {}", body.r#type, body.message))
    }

    #[test]
    fn what_the_text_tells() {
        let llm = "{name: ask, type: llm, source: {type: code, path: p.jinja2}, api: chat";
        for (nodes, said) in [
            ("- {name: a, type: python, source: {path: a.py}, inputs: {x: 1}}\n", ""),
            (
                "- {name: a, type: python, source: {path: a.py}, inputs: {x: 1, c: mine}}\n",
                "ConnectionRequired: node `a` needs the connection `mine`",
            ),
            ("- {name: a, type: python, source: {path: a.py}, inputs: {x: mine, c: '${inputs.c}'}}\n", ""),
            (&format!("- {llm}, connection: azure}}\n"), "ConnectionRequired: node `ask` needs the connection `azure`"),
            (&format!("- {llm}, connection: ''}}\n"), ""),
            (
                &format!(
                    "- {llm}, connection: azure}}\n- {{name: b, type: python, source: {{type: code, path: gone.py}}}}\n"
                ),
                "MissingSourceFile: source file `gone.py` is not there",
            ),
            ("- {name: a, type: python\n- b\n", "YAMLError: flow.dag.yaml:"),
        ] {
            let told = of(nodes);
            assert!(told.starts_with(said) && told.is_empty() == said.is_empty(), "{nodes}: {told}");
        }
    }
}
