//! `flowgate graph`.

use flowgate_check::workspace::{self, Target, Unit};
use flowgate_flow::load::{self, Disk};
use flowgate_report::graph::{Graph, mermaid, svg};

use super::{Failure, print};
use crate::args::{GraphArguments, GraphFormat};

pub(super) fn run(arguments: &GraphArguments) -> Result<u8, Failure> {
    let base = std::env::current_dir()
        .map_err(|error| Failure::usage(format!("cannot read the working directory: {error}")))?;
    let named = arguments.flow.display();
    let found = workspace::targets(&Disk, &base.join(&arguments.flow))
        .map_err(|error| Failure::usage(error.with_path(&named.to_string())))?;
    let flow = match found.targets.as_slice() {
        [Target { unit: Unit::Flow(flow), .. }] => flow,
        [] => return Err(Failure::usage(format!("{named}: no flow.dag.yaml was found"))),
        [_] => return Err(Failure::usage(format!("{named}: not a flow"))),
        many => {
            let hint = "name one of them, for example its flow.dag.yaml".to_owned();
            let message = format!("{named}: there are {} flows, and one can be drawn at a time", many.len());
            return Err(Failure { hint: Some(hint), ..Failure::usage(message) });
        }
    };
    let project = load::load_project(&Disk, flow);
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
