//! `flowgate graph`.

use flowgate_check::workspace;
use flowgate_flow::load::{self, Disk};
use flowgate_report::graph::{Graph, mermaid, svg};

use super::{Failure, one_flow, print};
use crate::args::{GraphArguments, GraphFormat};

pub(super) fn run(arguments: &GraphArguments) -> Result<u8, Failure> {
    let base = std::env::current_dir()
        .map_err(|error| Failure::usage(format!("cannot read the working directory: {error}")))?;
    let named = arguments.flow.display();
    let flow = one_flow(&base.join(&arguments.flow), &named.to_string())?;
    let project = load::load_project(&Disk, &flow);
    if let Some(reason) = project.files.first().and_then(|file| file.unreadable.as_ref()) {
        return Err(Failure::usage(format!("{named}: {reason}")));
    }
    let findings = workspace::check_project(&Disk, &project).map_err(|error| Failure::usage(error.to_string()))?;
    let Some(graph) = Graph::of(&project, &findings) else {
        return Err(Failure::usage(format!("{named}: a flex flow is Python code and has no graph to draw")));
    };
    let is_svg =
        |path: &std::path::PathBuf| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("svg"));
    let by_name = if arguments.output.as_ref().is_some_and(is_svg) { GraphFormat::Svg } else { GraphFormat::Mermaid };
    let text = match arguments.format.unwrap_or(by_name) {
        GraphFormat::Mermaid => mermaid::render(&graph),
        GraphFormat::Svg => svg::render(&graph),
    };
    match &arguments.output {
        None => print(&text)?,
        Some(path) => std::fs::write(path, text)
            .map_err(|error| Failure::infrastructure(format!("cannot write {}: {error}", path.display())))?,
    }
    Ok(0)
}
