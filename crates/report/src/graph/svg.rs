//! A picture that stands alone: no script, no font, no link; light or dark as its reader is.

use flowgate_check::Level;

use super::layout::{self, Size};
use super::{BoxKind, EdgeKind, Graph, GraphBox, mermaid};
use crate::escape;

/// More lines in one box help nobody.
const MAX_LINES: usize = 10;
/// Characters of a line; the rest is in the tooltip.
const MAX_CHARS: usize = 44;
/// The width of a character of the text, roughly, and the height of a line.
const CHAR: f64 = 6.9;
const LINE: f64 = 17.0;

/// Plain colours first: not every viewer knows CSS variables or colour schemes.
const STYLE: &str = "\
svg{background:#fff}
text{font:13px ui-sans-serif,system-ui,sans-serif;fill:#1f2328;text-anchor:middle}
text.line{font-size:12px;fill:#59636e}text.name{font-weight:600}
rect{fill:#f6f8fa;stroke:#818b98;stroke-width:1.2}.llm rect{fill:#ddf4ff}.end rect{fill:#fff;stroke-dasharray:5 3}
.error rect.front{stroke:#d1242f;stroke-width:2.4}.warning rect.front{stroke:#bf8700;stroke-width:2.4}.hint rect.front{stroke:#0969da;stroke-width:2.4}
.badge circle{fill:#d1242f}.warning .badge circle{fill:#9a6700}.hint .badge circle{fill:#0969da}.badge text{fill:#fff;font-size:11px;font-weight:700}
path.edge{fill:none;stroke:#818b98;stroke-width:1.4}path.condition{stroke-dasharray:6 4}path.variant{stroke-dasharray:2 4}
marker path{fill:#818b98}
@media(prefers-color-scheme:dark){
svg{background:#0d1117}text{fill:#f0f6fc}text.line{fill:#9198a1}
rect{fill:#21262d;stroke:#6e7681}.llm rect{fill:#10243e}.end rect{fill:#0d1117}
path.edge{stroke:#6e7681}marker path{fill:#6e7681}
}
";

/// The whole picture.
pub fn render(graph: &Graph) -> String {
    let shown: Vec<Shown> = graph.boxes.iter().map(Shown::of).collect();
    let sizes: Vec<Size> = shown.iter().map(|one| one.size).collect();
    let edges: Vec<(usize, usize)> = graph.edges.iter().map(|edge| (edge.from, edge.to)).collect();
    let layout = layout::layered(&sizes, &edges);
    let (width, height) = (layout.width.ceil(), layout.height.ceil());
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n\
         <defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\"/></marker></defs>\n",
        text(&graph.title)
    );
    for (edge, route) in graph.edges.iter().zip(&layout.routes) {
        let (class, words) = match edge.kind {
            EdgeKind::Value => ("edge", ""),
            EdgeKind::Condition => ("edge condition", "condition: "),
            EdgeKind::Variant => ("edge variant", "in a variant: "),
        };
        let name = |index: usize| text(&graph.boxes[index].name);
        out += &format!(
            "<path class=\"{class}\" marker-end=\"url(#arrow)\" d=\"{}\"><title>{words}{} → {}</title></path>\n",
            curve(route, edge.from == edge.to),
            name(edge.from),
            name(edge.to)
        );
    }
    for ((one, shown), center) in graph.boxes.iter().zip(&shown).zip(&layout.centers) {
        out += &shown.draw(one, *center);
    }
    out + "</svg>\n"
}

/// A curve through the points that leaves and enters boxes upright.
fn curve(points: &[(f64, f64)], is_loop: bool) -> String {
    let Some(((x, y), rest)) = points.split_first() else { return String::new() };
    let mut path = format!("M{x:.1} {y:.1}");
    let mut from = (*x, *y);
    for to in rest {
        let middle = (from.1 + to.1) / 2.0;
        path += &if is_loop {
            let out = from.0 + 26.0;
            format!("C{out:.1} {:.1} {out:.1} {:.1} {:.1} {:.1}", from.1, to.1, to.0, to.1)
        } else {
            format!("C{:.1} {middle:.1} {:.1} {middle:.1} {:.1} {:.1}", from.0, to.0, to.0, to.1)
        };
        from = *to;
    }
    path
}

/// What is drawn of a box.
struct Shown {
    lines: Vec<String>,
    size: Size,
}

impl Shown {
    fn of(one: &GraphBox) -> Self {
        let mut lines: Vec<String> = one.lines.iter().take(MAX_LINES).map(|line| clip(line)).collect();
        if one.lines.len() > MAX_LINES {
            lines.push(format!("and {} more", one.lines.len() - MAX_LINES));
        }
        let longest = lines.iter().map(|line| columns(line)).chain([columns(&clip(&one.name)) + 2]).max().unwrap_or(0);
        let size = Size { width: longest as f64 * CHAR + 28.0, height: (lines.len() + 1) as f64 * LINE + 16.0 };
        Self { lines, size }
    }

    fn draw(&self, one: &GraphBox, (x, y): (f64, f64)) -> String {
        let Size { width, height } = self.size;
        let (left, top) = (x - width / 2.0, y - height / 2.0);
        let kind = match one.kind {
            BoxKind::Inputs | BoxKind::Outputs => "end",
            BoxKind::Llm => "llm",
            BoxKind::Code => "code",
            BoxKind::Aggregation => "aggregation",
        };
        let level = match one.worst() {
            Some(Level::Error) => " error",
            Some(Level::Warning) => " warning",
            Some(Level::Hint) => " hint",
            None => "",
        };
        let mut tip = one.name.clone();
        for line in one.lines.iter().chain(one.marks.iter().map(|mark| &mark.text)) {
            tip += &format!("\n{line}");
        }
        let mut out = format!("<g class=\"{kind}{level}\"><title>{}</title>\n", text(&tip));
        let radius = if one.kind == BoxKind::Llm { height.min(36.0) / 2.0 } else { 6.0 };
        let mut rect = |left: f64, top: f64, class: &str| {
            out += &format!(
                "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"{radius:.1}\"/>\n"
            );
        };
        if one.kind == BoxKind::Aggregation {
            // A pile: many lines become one value.
            rect(left + 5.0, top + 5.0, "back");
        }
        rect(left, top, "front");
        let first = top + 8.0 + LINE * 0.75;
        out += &format!("<text class=\"name\" x=\"{x:.1}\" y=\"{first:.1}\">{}</text>\n", text(&clip(&one.name)));
        for (index, line) in self.lines.iter().enumerate() {
            let at = first + LINE * (index + 1) as f64;
            out += &format!("<text class=\"line\" x=\"{x:.1}\" y=\"{at:.1}\">{}</text>\n", text(line));
        }
        if let Some(counts) = mermaid::counts(&one.marks) {
            let (x, y) = (left + width, top);
            out += &format!(
                "<g class=\"badge\"><title>{counts}</title><circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"9\"/><text x=\"{x:.1}\" y=\"{:.1}\">{}</text></g>\n",
                y + 4.0,
                one.marks.len()
            );
        }
        out + "</g>\n"
    }
}

fn clip(line: &str) -> String {
    match line.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

/// Columns of a line, with two for what is not Latin, Greek or Cyrillic.
fn columns(line: &str) -> usize {
    line.chars().map(|c| if u32::from(c) < 0x1100 { 1 } else { 2 }).sum()
}

/// Text content of XML; what XML cannot hold becomes visible.
fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for c in escape::terminal(raw).chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
    out
}
