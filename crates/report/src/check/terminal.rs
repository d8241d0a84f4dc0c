//! Findings with excerpts of the source, as compilers print them.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level as Title, Renderer, Snippet};
use flowgate_check::Level;
use flowgate_flow::SourceFile;

use crate::check::{CheckReport, LocatedFinding, plural};
use crate::escape::terminal as escape;

/// A finding that covers more lines is shown by its first.
const MAX_LINES: usize = 6;
/// Longer lines are cut around the finding, so that a hostile file costs little.
const MAX_WIDTH: usize = 400;

/// Every finding, then a summary line, then what `--fix` would do about them; fixes that are a guess count where the
/// user asked for them. With `color`, ANSI sequences.
pub fn render(report: &CheckReport, color: bool, unsafe_fixes: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() }.decor_style(DecorStyle::Ascii);
    let mut out = String::new();
    for finding in report.findings() {
        out += &renderer.render(&groups(report, finding));
        out += "\n\n";
    }
    out + &summary(report) + &fixable(report, unsafe_fixes)
}

/// How many findings have a fix.
pub(crate) fn fixable(report: &CheckReport, unsafe_fixes: bool) -> String {
    let fixes = || report.findings().filter_map(|finding| finding.fix.as_ref());
    let safe = fixes().filter(|fix| fix.safe).count();
    let guesses = fixes().count() - safe;
    match (safe, guesses, unsafe_fixes) {
        (0, 0, _) => String::new(),
        (_, _, true) => format!("{} fixable with `--fix --unsafe-fixes`\n", safe + guesses),
        (0, _, false) => format!("{guesses} fixable with `--fix --unsafe-fixes`\n"),
        (_, 0, false) => format!("{safe} fixable with `--fix`\n"),
        (_, _, false) => format!("{safe} fixable with `--fix`, {guesses} more with `--unsafe-fixes`\n"),
    }
}

fn groups<'r>(report: &'r CheckReport, finding: &'r LocatedFinding) -> Vec<Group<'r>> {
    let title = match finding.level {
        Level::Error => Title::ERROR,
        Level::Warning => Title::WARNING,
        Level::Hint => Title::NOTE.with_name("hint"),
    };
    let excerpt = Excerpt::of(report.text(&finding.path), finding.bytes);
    let mut snippet =
        excerpt.snippet(&finding.path).annotation(AnnotationKind::Primary.span(excerpt.span.0..excerpt.span.1));
    let mut elsewhere = Vec::new();
    for related in &finding.related {
        match excerpt.local(related.bytes).filter(|_| related.path == finding.path) {
            Some(span) => {
                snippet =
                    snippet.annotation(AnnotationKind::Context.span(span.0..span.1).label(escape(&related.message)))
            }
            None => {
                let other = Excerpt::of(report.text(&related.path), related.bytes);
                let span = other.span;
                elsewhere.push(
                    other
                        .snippet(&related.path)
                        .annotation(AnnotationKind::Context.span(span.0..span.1).label(escape(&related.message))),
                );
            }
        }
    }
    let mut group = title.primary_title(escape(&finding.message)).id(finding.rule).element(snippet).elements(elsewhere);
    if let Some(help) = &finding.help {
        group = group.element(Title::HELP.message(escape(help)));
    }
    vec![group]
}

/// The lines of a finding, cut out of the file: rendering costs what is shown, not the whole file.
struct Excerpt {
    text: String,
    line: usize,
    span: (usize, usize),
    offset: usize,
}

impl Excerpt {
    fn of(file: Option<&SourceFile>, (start, end): (usize, usize)) -> Self {
        let Some(SourceFile { text, lines: index, .. }) = file else {
            return Self { text: String::new(), line: 1, span: (0, 0), offset: 0 };
        };
        let line = index.line_of(start);
        let from = index.start_of(line).unwrap_or(0);
        let last = index.line_of(end.saturating_sub(1).max(start)).min(line + MAX_LINES - 1);
        let to = index.start_of(last).unwrap_or(from) + index.line(text, last).len();
        let near = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        // A line longer than a screen is cut on both sides of the finding.
        let from = if start - from > MAX_WIDTH { near(start - MAX_WIDTH) } else { from };
        let to = near(to.min(end.max(start) + MAX_WIDTH)).max(from);
        let shown = text.get(from..to).unwrap_or("").to_owned();
        let clamp = |at: usize| at.clamp(from, to) - from;
        Self { text: shown, line: line + 1, span: (clamp(start), clamp(end)), offset: from }
    }

    fn local(&self, (start, end): (usize, usize)) -> Option<(usize, usize)> {
        let span = (start.checked_sub(self.offset)?, end.checked_sub(self.offset)?);
        (span.1 <= self.text.len()).then_some(span)
    }

    fn snippet<'r>(&self, path: &'r str) -> Snippet<'r, annotate_snippets::Annotation<'r>> {
        Snippet::source(self.text.clone()).line_start(self.line).path(escape(path)).fold(false)
    }
}

/// The last line.
pub(crate) fn summary(report: &CheckReport) -> String {
    let checked = report.checked();
    let counts: Vec<String> = [(Level::Error, "error"), (Level::Warning, "warning"), (Level::Hint, "hint")]
        .into_iter()
        .filter(|(level, _)| report.count(*level) > 0)
        .map(|(level, noun)| plural(report.count(level), noun))
        .collect();
    let found = if counts.is_empty() { "nothing found".to_owned() } else { counts.join(", ") };
    format!("{checked} checked: {found}\n")
}
