//! `flowgate graph`.

use std::path::Path;

use flowgate_check::workspace;
use flowgate_flow::load;
use flowgate_report::file;
use flowgate_report::graph::{Graph, mermaid, svg};

use super::{Failure, is_standard_output, one_flow};
use crate::args::{GraphArguments, GraphFormat};
use crate::places;
use crate::say::{self, Text};

pub(super) fn run(arguments: &GraphArguments) -> Result<u8, Failure> {
    let format = match (arguments.format, &arguments.output) {
        (Some(format), _) => format,
        (None, Some(path)) => by_name(path)?,
        (None, None) => GraphFormat::Mermaid,
    };
    let base = places::working_directory()?;
    let named = arguments.flow.display();
    let flow = one_flow(&base.join(&arguments.flow), &named.to_string())?;
    let fs = super::within(&base, std::slice::from_ref(&arguments.flow));
    let project = load::load_project(&fs, &flow);
    if let Some(reason) = project.files.first().and_then(|file| file.unreadable.as_ref()) {
        return Err(Failure::usage(format!("{named}: {reason}")));
    }
    let findings = workspace::check_project(&fs, &project).map_err(|error| Failure::usage(error.to_string()))?;
    let Some(graph) = Graph::of(&project, &findings) else {
        return Err(Failure::usage(format!("{named}: a flex flow is Python code and has no graph to draw")));
    };
    let (text, kind) = match format {
        GraphFormat::Mermaid => (mermaid::render(&graph), Text::People),
        GraphFormat::Svg => (svg::render(&graph), Text::Xml),
    };
    match arguments.output.as_deref().filter(|path| !is_standard_output(path)) {
        None => say::print(&text, kind)?,
        Some(path) => file::write(path, text.as_bytes()).map_err(|error| Failure::of_file(path, &error))?,
    }
    Ok(0)
}

/// What a file of that name holds; a name without an extension says nothing.
fn by_name(path: &Path) -> Result<GraphFormat, Failure> {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    match extension.as_deref() {
        Some("svg") => Ok(GraphFormat::Svg),
        None | Some("mmd" | "mermaid") => Ok(GraphFormat::Mermaid),
        Some(_) => Err(Failure {
            hint: Some(
                "name the file `.svg` for a picture or `.mmd` for Mermaid, or say which with `--format`".to_owned(),
            ),
            ..Failure::usage(format!("--output {}: flowgate draws no picture of that kind", path.display()))
        }),
    }
}
