//! The notation of rule tests.
//!
//! A fixture holds several files; each starts with a line `#- NAME`. Below a line, a comment with
//! carets names what is found there: `#  ^^^ error[rule]: message`. The carets stand under the
//! characters that the finding covers. Both are comments of YAML and of requirements files, so a
//! fixture's files are what they look like; from a template, which has no such comments, they are
//! taken out.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use flowgate_flow::config::{CheckConfig, RuleLevel};
use flowgate_flow::load::{self, Entry, FileSystem, Memory};
use flowgate_flow::{ColumnUnit, FileKind, Project, classify, include};

use crate::{Facts, Finding, Level, apply};

const FOLDER: &str = "/flow";

/// The files of a fixture, whose folder is its repository.
struct Repository(Memory);

impl FileSystem for Repository {
    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        self.0.read(path, limit)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<(String, Entry)>> {
        self.0.list(folder)
    }

    fn reaches(&self, path: &Path) -> bool {
        include::lexical(path).starts_with(FOLDER)
    }
}

/// Splits a fixture into its files.
pub(crate) fn files(fixture: &str) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = Vec::new();
    for line in fixture.split_inclusive('\n') {
        match line.strip_prefix("#- ") {
            Some(name) => files.push((name.trim().to_owned(), String::new())),
            None => files.last_mut().expect("a fixture starts with `#- NAME`").1.push_str(line),
        }
    }
    files
}

/// Loads what a fixture's first file is of, where that is a run specification, a connection or a
/// prompty; else its flow; else its first file.
pub(crate) fn project(files: &[(String, String)]) -> Project {
    let on_disk: HashMap<PathBuf, Vec<u8>> =
        files.iter().map(|(name, text)| (Path::new(FOLDER).join(name), content(name, text).into_bytes())).collect();
    let memory = Repository(Memory { files: on_disk });
    let first = Path::new(FOLDER).join(&files[0].0);
    match classify::classify_text(&first, &files[0].1) {
        FileKind::RunSpecification | FileKind::Connection | FileKind::Prompty => {
            return load::load_sibling(&memory, &first);
        }
        FileKind::Flow | FileKind::Requirements | FileKind::Other => {}
    }
    match files.iter().find(|(name, _)| classify::classify(Path::new(name)) == FileKind::Flow) {
        Some((name, _)) => load::load_project(&memory, &Path::new(FOLDER).join(name)),
        None => load::load_requirements(&memory, &first),
    }
}

/// An empty Python file stands for one whose content does not matter; carets are no comment of a
/// template.
fn content(name: &str, text: &str) -> String {
    let any_tool = "from promptflow.core import tool


@tool
def run(**inputs):
    return inputs
";
    if name.ends_with(".jinja2") {
        return text.split_inclusive('\n').filter(|line| !is_expectation(line)).collect();
    }
    if name.ends_with(".py") && text.is_empty() { any_tool.to_owned() } else { text.to_owned() }
}

/// All findings of a fixture, as the lines that a fixture writes below the text.
pub(crate) fn findings(files: &[(String, String)]) -> (Project, Vec<Finding>) {
    findings_by(&CheckConfig::default(), files)
}

/// All findings of a fixture that shows a rule: one that is off by default is on.
pub(crate) fn findings_of(rule: &crate::Rule, files: &[(String, String)]) -> Vec<Finding> {
    let mut config = CheckConfig::default();
    if rule.is_notice() {
        config.rules.insert(rule.name.to_owned(), RuleLevel::Hint);
    }
    findings_by(&config, files).1
}

fn findings_by(config: &CheckConfig, files: &[(String, String)]) -> (Project, Vec<Finding>) {
    let project = project(files);
    let findings = crate::check(&project, config, &Facts::default());
    (project, findings)
}

/// Asserts that a fixture raises exactly what its carets say of one rule.
#[track_caller]
pub(crate) fn raises(rule: &crate::Rule, fixture: &str) {
    let (project, findings) = findings(&files(fixture));
    let findings: Vec<_> = findings.into_iter().filter(|finding| finding.rule == rule.name).collect();
    compare(fixture, &project, &findings);
}

/// Asserts that a fixture raises exactly what its carets say of all rules.
#[track_caller]
pub(crate) fn raises_of_all_rules(fixture: &str) {
    let (project, findings) = findings(&files(fixture));
    compare(fixture, &project, &findings);
}

#[track_caller]
fn compare(fixture: &str, project: &Project, findings: &[Finding]) {
    let files = files(fixture);
    let mut found = String::new();
    for (name, text) in &files {
        found += &format!("#- {name}\n");
        let path = Path::new(FOLDER).join(name);
        let lines: Vec<&str> = text.split_inclusive('\n').filter(|line| !is_expectation(line)).collect();
        let mut marks: HashMap<String, Vec<String>> = HashMap::new();
        for finding in findings.iter().filter(|f| project.file(f.at.file).is_some_and(|file| file.path == path)) {
            let file = project.file(finding.at.file).expect("the finding's file");
            let start = file.lines.position(&file.text, finding.at.span.start, ColumnUnit::Scalar);
            let end = file.lines.position(&file.text, finding.at.span.end, ColumnUnit::Scalar);
            let width = if end.line == start.line {
                (end.column - start.column).max(1)
            } else {
                file.lines.line(&file.text, start.line).chars().count().saturating_sub(start.column).max(1)
            };
            let level = match finding.level {
                Level::Error => "error",
                Level::Warning => "warning",
                Level::Hint => "hint",
            };
            // The `#` takes the place of the first column.
            let indent = if start.column == 0 { String::new() } else { " ".repeat(start.column - 1) };
            let carets = "^".repeat(width - usize::from(start.column == 0).min(width - 1));
            let mark = format!("#{indent}{carets} {level}[{}]: {}\n", finding.rule, finding.message);
            let line = file.lines.line(&file.text, start.line).to_owned();
            marks.entry(format!("{}\u{0}{line}", nth(&file.text, start.line))).or_default().push(mark);
        }
        for (number, line) in lines.iter().enumerate() {
            found += line;
            let content = line.trim_end_matches(['\n', '\r']);
            found += &marks.remove(&format!("{number}\u{0}{content}")).unwrap_or_default().concat();
        }
        assert!(marks.is_empty(), "findings on lines that the fixture does not show: {marks:?}");
    }
    assert_eq!(found, fixture);
}

fn is_expectation(line: &str) -> bool {
    let rest = line.trim_start_matches('#').trim_start();
    line.starts_with('#') && rest.starts_with('^')
}

/// The number of the line among those that are no expectation.
fn nth(text: &str, line: usize) -> usize {
    text.split_inclusive('\n').take(line).filter(|l| !is_expectation(l)).count()
}

/// Applies every fix of a fixture's findings and gives its files back.
pub(crate) fn fixed(fixture: &str) -> String {
    fixed_where(fixture, |_| true)
}

/// Applies every fix of one rule's findings and gives the fixture's files back.
pub(crate) fn fixed_by(rule: &crate::Rule, fixture: &str) -> String {
    fixed_where(fixture, |finding| finding.rule == rule.name)
}

fn fixed_where(fixture: &str, wanted: impl Fn(&Finding) -> bool) -> String {
    let files = files(fixture);
    let (project, findings) = findings(&files);
    let mut out = String::new();
    for (name, text) in &files {
        let path = Path::new(FOLDER).join(name);
        let fixes = findings.iter().filter(|finding| wanted(finding)).filter_map(|finding| finding.fix.as_ref());
        let edits = fixes.flat_map(|fix| &fix.edits);
        let edits = edits.filter(|edit| project.file(edit.at.file).is_some_and(|file| file.path == path));
        out += &format!("#- {name}\n{}", apply(text, edits));
    }
    out
}
