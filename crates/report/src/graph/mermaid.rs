//! Mermaid's flowchart, which GitHub draws in Markdown.

use flowgate_check::Level;

use super::{BoxKind, EdgeKind, Graph, GraphBox, Mark};
use crate::escape;

/// More lines in one box help nobody.
const MAX_LINES: usize = 12;

/// The whole diagram. The text of the findings follows as comments, which Mermaid does not draw.
pub fn render(graph: &Graph) -> String {
    let mut out = "flowchart TD\n".to_owned();
    for (index, one) in graph.boxes.iter().enumerate() {
        let (open, close) = match one.kind {
            BoxKind::Inputs | BoxKind::Outputs => ("[/", "/]"),
            BoxKind::Llm => ("([", "])"),
            BoxKind::Code => ("[", "]"),
            BoxKind::Aggregation => ("[[", "]]"),
        };
        out += &format!("  b{index}{open}\"{}\"{close}\n", label(one));
    }
    for edge in &graph.edges {
        let arrow = match edge.kind {
            EdgeKind::Value => "-->",
            EdgeKind::Condition => "-. if .->",
            EdgeKind::Variant => "-. variant .->",
        };
        out += &format!("  b{} {arrow} b{}\n", edge.from, edge.to);
    }
    for (class, level) in [("error", Level::Error), ("warning", Level::Warning), ("hint", Level::Hint)] {
        let marked: Vec<String> = (0..graph.boxes.len())
            .filter(|i| graph.boxes[*i].worst() == Some(level))
            .map(|i| format!("b{i}"))
            .collect();
        if !marked.is_empty() {
            let stroke = match level {
                Level::Error => "#d1242f",
                Level::Warning => "#bf8700",
                Level::Hint => "#0969da",
            };
            out +=
                &format!("  classDef {class} stroke:{stroke},stroke-width:3px\n  class {} {class}\n", marked.join(","));
        }
    }
    let of_boxes = graph.boxes.iter().flat_map(|one| one.marks.iter().map(move |mark| (one.name.as_str(), mark)));
    let all = of_boxes.chain(graph.elsewhere.iter().map(|mark| (graph.title.as_str(), mark)));
    out.extend(all.map(|(place, mark)| comment(place, mark)));
    out
}

fn label(one: &GraphBox) -> String {
    let mut lines = vec![format!("<b>{}</b>", text(&one.name))];
    lines.extend(one.lines.iter().take(MAX_LINES).map(|line| text(line)));
    if one.lines.len() > MAX_LINES {
        lines.push(format!("and {} more", one.lines.len() - MAX_LINES));
    }
    if let Some(counts) = counts(&one.marks) {
        lines.push(format!("<i>{counts}</i>"));
    }
    lines.join("<br/>")
}

/// "2 errors, 1 hint".
pub(super) fn counts(marks: &[Mark]) -> Option<String> {
    let parts: Vec<String> = [(Level::Error, "error"), (Level::Warning, "warning"), (Level::Hint, "hint")]
        .into_iter()
        .filter_map(|(level, word)| match marks.iter().filter(|mark| mark.level == level).count() {
            0 => None,
            1 => Some(format!("1 {word}")),
            n => Some(format!("{n} {word}s")),
        })
        .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Text inside a quoted label: Mermaid's own entity codes for all that it or HTML would read.
fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for c in escape::terminal(raw).chars().take(80) {
        match c {
            '\n' | '\t' => out.push(' '),
            // Mermaid takes `%%{` for a directive even here.
            '"' | '#' | '&' | '<' | '>' | '`' | '\\' | ';' | '%' => out += &format!("#{};", u32::from(c)),
            _ => out.push(c),
        }
    }
    out
}

/// `%%` starts a comment, and `%%{` a directive.
fn comment(place: &str, mark: &Mark) -> String {
    let line = escape::terminal(&format!("{place}: {}", mark.text)).replace(['\n', '\t'], " ");
    format!("%% {}\n", line.replace('{', "(").replace('}', ")"))
}
