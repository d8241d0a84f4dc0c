//! The confusion table of engine and checker.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Answer, Blame, Found, Verdict};

/// Where one flow stands in the table; the order is the order of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cell {
    Same,
    Other,
    Missed,
    Alarm,
    Clean,
    Apart(Blame),
}

impl Cell {
    fn of(answer: &Answer, findings: &[Found]) -> Self {
        match (&answer.verdict, answer.blame) {
            (Verdict::Loads, _) if findings.is_empty() => Self::Clean,
            (Verdict::Loads, _) => Self::Alarm,
            (Verdict::Refused, Blame::Flow) => {
                if findings.iter().any(|found| found.engine.as_ref() == Some(&answer.class)) {
                    Self::Same
                } else if findings.is_empty() {
                    Self::Missed
                } else {
                    Self::Other
                }
            }
            (Verdict::Refused, blame) => Self::Apart(blame),
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Same => "refused, found with the engine's class",
            Self::Other => "refused, found with another class only",
            Self::Missed => "refused, not found",
            Self::Alarm => "loads, with an error-level finding",
            Self::Clean => "loads, without one",
            Self::Apart(Blame::Package) => "apart: refused for a package that is not installed",
            Self::Apart(Blame::Connection) => "apart: refused for a connection that cannot be made up",
            Self::Apart(Blame::Csharp) => "apart: C# flow",
            Self::Apart(_) => "apart: refused for what its code does when it is imported",
        }
    }

    /// True where every flow is named in the report.
    fn is_listed(self) -> bool {
        !matches!(self, Self::Same | Self::Clean)
    }
}

/// Flows by their cell.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    cells: BTreeMap<Cell, Vec<(Answer, Vec<Found>)>>,
    classes: BTreeMap<String, (usize, usize)>,
}

impl Comparison {
    /// Adds one flow with the checker's error-level findings.
    pub(super) fn add(&mut self, answer: Answer, findings: Vec<Found>) {
        let cell = Cell::of(&answer, &findings);
        if matches!(cell, Cell::Same | Cell::Other | Cell::Missed) {
            let (refused, found) = self.classes.entry(answer.class.clone()).or_default();
            *refused += 1;
            *found += usize::from(cell == Cell::Same);
        }
        self.cells.entry(cell).or_default().push((answer, findings));
    }

    /// How many flows the engine refuses for what their files say, and the checker does not name
    /// that reason.
    pub(super) fn misses(&self) -> usize {
        [Cell::Other, Cell::Missed].iter().filter_map(|cell| self.cells.get(cell)).map(Vec::len).sum()
    }

    /// The lists, then the table.
    pub(super) fn report(&self) -> String {
        let mut text = String::new();
        for (cell, flows) in self.cells.iter().filter(|(cell, _)| cell.is_listed()) {
            let _ = writeln!(text, "\n== {}", cell.title());
            for (answer, findings) in flows {
                let _ = writeln!(text, "{}", answer.flow);
                if answer.verdict == Verdict::Refused {
                    let _ = writeln!(text, "    engine: {}: {}", answer.class, one_line(&answer.message));
                }
                for found in findings {
                    let Found { rule, path, start, message, engine, .. } = found;
                    let class = engine.as_deref().unwrap_or("-");
                    let _ =
                        writeln!(text, "    check: {rule} ({class}) {path}:{}:{} {message}", start.line, start.column);
                }
            }
        }
        let _ = writeln!(text, "\n== static refusals by class: found of refused");
        for (class, (refused, found)) in &self.classes {
            let _ = writeln!(text, "{found:>5} of {refused:<3} {class}");
        }
        let _ = writeln!(text, "\n== flows");
        for (cell, flows) in &self.cells {
            let _ = writeln!(text, "{:>5} {}", flows.len(), cell.title());
        }
        text
    }
}

fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Position;
    use super::*;

    #[test]
    fn a_refusal_counts_as_found_only_with_the_class_of_the_engine() {
        let answer = |verdict, blame| Answer {
            flow: "flow.dag.yaml".to_owned(),
            verdict,
            class: "InvalidSource".to_owned(),
            message: String::new(),
            blame,
        };
        let found = |engine: Option<&str>| Found {
            rule: "rule".to_owned(),
            level: "error".to_owned(),
            path: "flow.dag.yaml".to_owned(),
            start: Position { line: 1, column: 1 },
            message: String::new(),
            engine: engine.map(str::to_owned),
        };
        for (verdict, blame, findings, cell) in [
            (Verdict::Refused, Blame::Flow, vec![found(None), found(Some("InvalidSource"))], Cell::Same),
            (Verdict::Refused, Blame::Flow, vec![found(Some("KeyError"))], Cell::Other),
            (Verdict::Refused, Blame::Flow, vec![], Cell::Missed),
            (Verdict::Refused, Blame::Package, vec![], Cell::Apart(Blame::Package)),
            (Verdict::Loads, Blame::Flow, vec![found(None)], Cell::Alarm),
            (Verdict::Loads, Blame::Flow, vec![], Cell::Clean),
        ] {
            assert_eq!(Cell::of(&answer(verdict, blame), &findings), cell);
        }
    }
}
