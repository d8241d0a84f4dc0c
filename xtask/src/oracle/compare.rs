//! The confusion table of engine and checker.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::{Answer, Blame, Found};

/// Where one flow stands in the table; the order is the order of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cell {
    Same,
    Other,
    Missed,
    Clean,
    Alarm,
    Apart(Blame),
}

impl Cell {
    fn of(answer: &Answer, findings: &[Found]) -> Self {
        let own = classes(answer);
        match answer.refusals.first() {
            None if findings.is_empty() => Self::Clean,
            None => Self::Alarm,
            Some(refusal) if own.is_empty() => Self::Apart(refusal.blame),
            Some(_) if own.iter().all(|class| names(findings, class)) => Self::Same,
            Some(_) if findings.is_empty() => Self::Missed,
            Some(_) => Self::Other,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Same => "refused, found with every class of the engine",
            Self::Other => "refused, found without a class of the engine",
            Self::Missed => "refused, not found",
            Self::Clean => "loads, without an error-level finding",
            Self::Alarm => "loads, with an error-level finding",
            Self::Apart(Blame::Package) => "apart: refused for a package that is not installed",
            Self::Apart(Blame::Connection) => "apart: refused for a connection that cannot be made up",
            Self::Apart(Blame::Csharp) => "apart: C# flow",
            Self::Apart(_) => "apart: refused for what its code does when it is imported",
        }
    }
}

/// The classes of what the engine refuses for the flow's own files.
fn classes(answer: &Answer) -> BTreeSet<&str> {
    let own = answer.refusals.iter().filter(|refusal| refusal.blame == Blame::Flow);
    own.map(|refusal| refusal.class.as_str()).collect()
}

fn names(findings: &[Found], class: &str) -> bool {
    findings.iter().any(|found| found.engine.as_deref() == Some(class))
}

/// Flows by their cell.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    cells: BTreeMap<Cell, Vec<(Answer, Vec<Found>)>>,
}

impl Comparison {
    /// Adds one flow with the checker's error-level findings.
    pub(super) fn add(&mut self, answer: Answer, findings: Vec<Found>) {
        self.cells.entry(Cell::of(&answer, &findings)).or_default().push((answer, findings));
    }

    /// How many flows the engine refuses for what their files say, and the checker does not name
    /// every reason.
    pub(super) fn misses(&self) -> usize {
        [Cell::Other, Cell::Missed].iter().filter_map(|cell| self.cells.get(cell)).map(Vec::len).sum()
    }

    /// The tables, then the lists.
    pub(super) fn report(&self) -> String {
        let mut text = String::from("| flows | the engine, and the checker |\n|---:|---|\n");
        for (cell, flows) in &self.cells {
            let _ = writeln!(text, "| {} | {} |", flows.len(), cell.title());
        }
        text += "\n| class of the refusal | found | flows |\n|---|---:|---:|\n";
        for (class, (found, flows)) in self.recall() {
            let _ = writeln!(text, "| `{class}` | {found} | {flows} |");
        }
        text += "\n| error-level finding on a flow that loads | times | flows |\n|---|---:|---:|\n";
        for (rule, (times, flows)) in self.alarms() {
            let _ = writeln!(text, "| `{rule}` | {times} | {} |", flows.len());
        }
        for (cell, flows) in self.cells.iter().filter(|(cell, _)| **cell != Cell::Clean) {
            let _ = writeln!(text, "\n## {}\n", cell.title());
            for (answer, findings) in flows {
                text += &told(answer, findings);
            }
        }
        text
    }

    /// By class: in how many flows it is found, and how many the engine refuses with it.
    fn recall(&self) -> BTreeMap<&str, (usize, usize)> {
        let mut recall: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for (answer, findings) in self.cells.values().flatten() {
            for class in classes(answer) {
                let (found, flows) = recall.entry(class).or_default();
                *found += usize::from(names(findings, class));
                *flows += 1;
            }
        }
        recall
    }

    /// By rule: how often it is found in flows that load, and in which.
    fn alarms(&self) -> BTreeMap<&str, (usize, BTreeSet<&str>)> {
        let mut alarms: BTreeMap<&str, (usize, BTreeSet<&str>)> = BTreeMap::new();
        for (answer, findings) in self.cells.get(&Cell::Alarm).into_iter().flatten() {
            for found in findings {
                let (times, flows) = alarms.entry(&found.rule).or_default();
                *times += 1;
                flows.insert(&answer.flow);
            }
        }
        alarms
    }
}

/// One flow: what the engine refuses, and what the checker finds besides.
fn told(answer: &Answer, findings: &[Found]) -> String {
    let mut text = format!("- {}\n", answer.flow);
    for refusal in &answer.refusals {
        let mark = match refusal.blame {
            Blame::Flow if names(findings, &refusal.class) => "found",
            Blame::Flow => "missed",
            _ => "apart",
        };
        let _ = writeln!(text, "  - engine, {mark}: {}: {}", refusal.class, one_line(&refusal.message));
    }
    for found in findings {
        let Found { rule, path, start, message, engine, .. } = found;
        let raised = engine.as_ref().is_some_and(|class| answer.refusals.iter().any(|of| of.class == *class));
        if !raised {
            let class = engine.as_deref().unwrap_or("no class");
            let (line, column) = (start.line, start.column);
            let _ = writeln!(text, "  - check, not raised: {rule} ({class}) {path}:{line}:{column} {message}");
        }
    }
    text
}

fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Position, Refusal};
    use super::*;

    #[test]
    fn a_refusal_counts_as_found_only_with_every_class_of_the_engine() {
        let answer = |refusals: &[(&str, Blame)]| Answer {
            flow: "flow.dag.yaml".to_owned(),
            refusals: refusals
                .iter()
                .map(|&(class, blame)| Refusal { class: class.to_owned(), message: String::new(), blame })
                .collect(),
        };
        let found = |engine: Option<&str>| Found {
            rule: "rule".to_owned(),
            level: "error".to_owned(),
            path: "flow.dag.yaml".to_owned(),
            start: Position { line: 1, column: 1 },
            message: String::new(),
            engine: engine.map(str::to_owned),
        };
        let source = ("InvalidSource", Blame::Flow);
        let (cycle, package) = (("NodeCircularDependency", Blame::Flow), ("PythonLoadError", Blame::Package));
        for (refusals, findings, cell) in [
            (vec![source], vec![found(None), found(Some("InvalidSource"))], Cell::Same),
            (vec![source], vec![found(Some("KeyError"))], Cell::Other),
            (vec![source, cycle], vec![found(Some("InvalidSource"))], Cell::Other),
            (vec![source], vec![], Cell::Missed),
            (vec![package, cycle], vec![], Cell::Missed),
            (vec![package], vec![found(None)], Cell::Apart(Blame::Package)),
            (vec![], vec![found(None)], Cell::Alarm),
            (vec![], vec![], Cell::Clean),
        ] {
            assert_eq!(Cell::of(&answer(&refusals), &findings), cell);
        }
    }
}
