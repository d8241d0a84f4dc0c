//! Findings of many flows, collected for a front end.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{MAIN_SEPARATOR, Path};

use flowgate_check::{Applicability, Edit, Finding, Level, Place, Rule, rules};
use flowgate_flow::project::FileId;
use flowgate_flow::{ColumnUnit, Position, Project, SourceFile, include};

pub mod fixed;
pub mod github;
pub mod json;
pub mod junit;
pub mod sarif;
pub mod statistics;
pub mod terminal;

/// What was checked and what was found.
#[derive(Debug, Default)]
pub struct CheckReport {
    /// Each with the projects that have it.
    findings: BTreeMap<LocatedFinding, BTreeSet<usize>>,
    /// Each with the number of projects that read it.
    files: HashMap<PathHash, u32>,
    /// Projects by their first file.
    projects: HashMap<PathHash, usize>,
    flows: BTreeSet<Box<str>>,
    /// Texts of the files that findings point to, for excerpts; secrets in them are masked.
    texts: BTreeMap<String, SourceFile>,
}

/// Stands for a path: a large repository has more of them than memory should hold. Two among a million are the same
/// once in forty million repositories; then one file is not counted.
type PathHash = u64;

fn path_hash(path: &str) -> PathHash {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

/// What a report keeps of one checked project.
#[derive(Debug)]
pub struct Checked {
    /// Its files, the project's own first.
    files: Vec<PathHash>,
    flow: Option<Box<str>>,
    findings: Vec<LocatedFinding>,
    texts: BTreeMap<String, SourceFile>,
}

/// A finding with its place in lines and columns, ready for every format. The order of the fields
/// is the order of a report: path, start, rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocatedFinding {
    /// The file's path relative to the working directory, with `/`.
    pub path: String,
    /// First character, from 0, in Unicode scalar values.
    pub start: Position,
    /// One past the last character.
    pub end: Position,
    /// The rule's name.
    pub rule: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What is wrong.
    pub message: String,
    /// The next step.
    pub help: Option<String>,
    /// Places that explain it.
    pub related: Vec<LocatedRelated>,
    /// How to repair it.
    pub fix: Option<LocatedFix>,
    /// The exception class that the engine raises for it, where it raises one.
    pub engine: Option<&'static str>,
    /// The bytes in the file's text.
    pub bytes: (usize, usize),
}

/// A related place with its lines and columns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocatedRelated {
    /// Its file.
    pub path: String,
    /// Where it starts.
    pub start: Position,
    /// One past its end.
    pub end: Position,
    /// What is there.
    pub message: String,
    /// The bytes in the file's text.
    pub bytes: (usize, usize),
}

/// A fix with its lines and columns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocatedFix {
    /// What it does.
    pub title: String,
    /// True where it may be applied without looking.
    pub safe: bool,
    /// The changes.
    pub edits: Vec<LocatedEdit>,
}

/// A change with its lines and columns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocatedEdit {
    /// Its file.
    pub path: String,
    /// Where it starts.
    pub start: Position,
    /// One past its end.
    pub end: Position,
    /// What to put there.
    pub text: String,
}

impl Checked {
    /// Takes one project's findings. `base` is the working directory.
    pub fn new(project: &Project, findings: &[Finding], base: &Path) -> Self {
        let paths: Vec<String> = project.files.iter().map(|file| display_path(&file.path, base)).collect();
        let path = |index: usize| paths.get(index).cloned().unwrap_or_default();
        let mut files: Vec<PathHash> = paths.iter().map(|path| path_hash(path)).collect();
        // The first stays where it is: it is the project's own.
        if let Some((first, others)) = files.split_first_mut() {
            others.sort_unstable();
            let first = *first;
            files.dedup();
            let mut seen = 0;
            files.retain(|file| *file != first || std::mem::replace(&mut seen, 1) == 0);
        }
        let mut texts = BTreeMap::new();
        for place in findings.iter().flat_map(|f| f.related.iter().map(|related| related.at).chain([f.at])) {
            if let Some(file) = project.file(place.file) {
                texts.entry(path(place.file.0)).or_insert_with(|| masked(project, place.file, file));
            }
        }
        let flow = project.flow.as_ref().map(|flow| path(flow.file.0).into_boxed_str());
        Self { files, flow, findings: findings.iter().map(|f| located(project, f, &paths)).collect(), texts }
    }
}

fn located(project: &Project, finding: &Finding, paths: &[String]) -> LocatedFinding {
    let path = |place: Place| paths.get(place.file.0).cloned().unwrap_or_default();
    let position = |place: Place, offset: usize| {
        project
            .file(place.file)
            .map_or(Position { line: 0, column: 0 }, |file| file.lines.position(&file.text, offset, ColumnUnit::Scalar))
    };
    let related = finding.related.iter().map(|related| LocatedRelated {
        path: path(related.at),
        start: position(related.at, related.at.span.start),
        end: position(related.at, related.at.span.end),
        message: related.message.clone(),
        bytes: (related.at.span.start, related.at.span.end),
    });
    let edit = |edit: &Edit| LocatedEdit {
        path: path(edit.at),
        start: position(edit.at, edit.at.span.start),
        end: position(edit.at, edit.at.span.end),
        text: edit.text.clone(),
    };
    let fix = finding.fix.as_ref().map(|fix| LocatedFix {
        title: fix.title.clone(),
        safe: fix.applicability == Applicability::Safe,
        edits: fix.edits.iter().map(edit).collect(),
    });
    let at = finding.at;
    LocatedFinding {
        path: path(at),
        start: position(at, at.span.start),
        end: position(at, at.span.end),
        rule: finding.rule,
        level: finding.level,
        message: finding.message.clone(),
        help: finding.help.clone(),
        related: related.collect(),
        fix,
        engine: finding.engine,
        bytes: (at.span.start, at.span.end),
    }
}

impl CheckReport {
    /// Adds a project; a finding that another project has given already (two flows that share a
    /// requirements file) counts once.
    pub fn add(&mut self, checked: Checked) {
        let next = self.projects.len();
        let number = *self.projects.entry(checked.files.first().copied().unwrap_or_default()).or_insert(next);
        if number == next {
            self.flows.extend(checked.flow);
            for file in checked.files {
                *self.files.entry(file).or_default() += 1;
            }
        }
        for (path, text) in checked.texts {
            self.texts.entry(path).or_insert(text);
        }
        for finding in checked.findings {
            self.findings.entry(finding).or_default().insert(number);
        }
    }

    /// The findings in order of path, place and rule.
    pub fn findings(&self) -> impl Iterator<Item = &LocatedFinding> {
        // An ignore comment in a file that flows share is unused where none of them needs it.
        let agreed = |(finding, projects): &(&LocatedFinding, &BTreeSet<usize>)| {
            finding.rule != "unused-ignore"
                || self.files.get(&path_hash(&finding.path)).is_some_and(|count| *count as usize == projects.len())
        };
        // A notice is not about the one flow; it stands on the first.
        let mut said = BTreeSet::new();
        let first = move |finding: &&LocatedFinding| !is_notice(finding.rule) || said.insert(finding.rule);
        self.findings.iter().filter(agreed).map(|(finding, _)| finding).filter(first)
    }

    /// How many files were read.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// How many of them were flows, DAG or flex.
    pub fn flows(&self) -> usize {
        self.flows.len()
    }

    /// The paths of the flows.
    fn flow_paths(&self) -> impl Iterator<Item = &str> {
        self.flows.iter().map(|path| &**path)
    }

    /// `2 flows`; `1 file` where something else was checked.
    fn checked(&self) -> String {
        if self.flows() == 0 && self.files() > 0 { plural(self.files(), "file") } else { plural(self.flows(), "flow") }
    }

    /// How many findings have that level.
    pub fn count(&self, level: Level) -> usize {
        self.findings().filter(|finding| finding.level == level).count()
    }

    /// The worst level found.
    pub fn worst(&self) -> Option<Level> {
        self.findings().map(|finding| finding.level).max()
    }

    /// A file that findings point to.
    fn text(&self, path: &str) -> Option<&SourceFile> {
        self.texts.get(path)
    }
}

fn is_notice(rule: &str) -> bool {
    rules::find(rule).is_some_and(Rule::is_notice)
}

/// A file as it may be shown: no format prints a password, whatever else stands on its line.
fn masked(project: &Project, id: FileId, file: &SourceFile) -> SourceFile {
    SourceFile { text: project.masked(id).into(), ..file.clone() }
}

/// A path as a report shows it: relative to `base` where it lies below it, with `/`.
pub fn display_path(path: &Path, base: &Path) -> String {
    let path = include::lexical(path);
    let shown = path.strip_prefix(base).unwrap_or(&path);
    let shown = shown.to_string_lossy();
    if MAIN_SEPARATOR == '/' { shown.into_owned() } else { shown.replace(MAIN_SEPARATOR, "/") }
}

/// `1 flow`, `2 flows`.
pub fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// A finding's message with the next step on a line of its own.
fn with_help(finding: &LocatedFinding) -> String {
    let help = finding.help.as_ref().map_or(String::new(), |help| format!("\nhelp: {help}"));
    format!("{}{help}", finding.message)
}

/// A level's name in every format.
pub(crate) fn level_name(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Hint => "hint",
    }
}
