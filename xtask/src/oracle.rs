//! `cargo xtask oracle`: does `flowgate check` find what the real engine refuses, and is it silent
//! about what the engine loads?
//!
//! The engine loads every DAG flow of a tree, which executes the code of the flows: run it on trees
//! that you trust.

mod compare;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use flowgate_flow::load;
use serde::Deserialize;

use crate::command::{Result, at, flowgate, output, root, say};
use crate::python;
use compare::Comparison;

/// Names the tree.
const VARIABLE: &str = "FLOWGATE_ORACLE_TREE";
/// The seconds that the engine has for one flow.
const TIMEOUT: u32 = 60;

/// Compares engine and checker over the tree, and prints the tables and lists as Markdown.
///
/// # Errors
/// The engine or the checker could not be asked, or the engine refuses a flow for a static reason
/// that the checker does not name.
pub(crate) fn compare() -> Result<()> {
    let tree = tree(VARIABLE)?;
    let flows = flows(&tree)?;
    say(&format!("oracle: {} flows below {}", flows.len(), tree.display()));
    let engine = engine(&tree, &flows)?;
    let checker = flowgate()?;
    let mut comparison = Comparison::default();
    for answer in engine {
        let findings = findings(&checker, &tree, &answer.flow)?;
        comparison.add(answer, findings);
    }
    std::io::stdout().write_all(comparison.report().as_bytes()).map_err(|error| format!("standard output: {error}"))?;
    match comparison.misses() {
        0 => Ok(()),
        misses => Err(format!("oracle: {misses} flows with a static refusal without a finding of the engine's class")),
    }
}

/// The folder that an environment variable names.
///
/// # Errors
/// It names none.
pub(crate) fn tree(variable: &str) -> Result<PathBuf> {
    let tree = std::env::var_os(variable).ok_or(format!("set {variable} to a folder with flows"))?;
    let tree = PathBuf::from(tree);
    tree.canonicalize().map_err(at(&tree))
}

/// Every DAG flow of a tree, relative to it.
///
/// # Errors
/// The tree cannot be read.
pub(crate) fn flows(tree: &Path) -> Result<Vec<String>> {
    let found = load::discover(tree).map_err(at(tree))?;
    let is_dag = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("flow.dag."));
    let relative = |path: PathBuf| Some(path.strip_prefix(tree).ok()?.to_str()?.to_owned());
    Ok(found.into_iter().filter(is_dag).filter_map(relative).collect())
}

/// What the engine says of one flow.
#[derive(Debug, Deserialize)]
struct Answer {
    flow: String,
    /// Empty where the engine loads the flow.
    refusals: Vec<Refusal>,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    /// The exception's class, without the wrapper around every tool's error.
    class: String,
    message: String,
    blame: Blame,
}

/// What made the engine refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Blame {
    /// The flow's files.
    Flow,
    /// A package that is not installed.
    Package,
    /// A connection of a type that could not be made up.
    Connection,
    /// A flow for another engine.
    Csharp,
    /// What the flow's code did when it was imported.
    Code,
}

fn engine(tree: &Path, flows: &[String]) -> Result<Vec<Answer>> {
    let python = python::with_engine()?;
    let script = root().join("xtask/src/oracle/oracle.py");
    let task = serde_json::json!({ "tree": tree, "flows": flows, "timeout": TIMEOUT }).to_string();
    let mut command = Command::new(python);
    command.arg("-I").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| format!("cannot start the engine's Python: {error}"))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(task.as_bytes()).map_err(|error| format!("the engine's Python ended: {error}"))?;
    }
    let said = child.wait_with_output().map_err(|error| format!("the engine's Python: {error}"))?;
    let answers: Vec<Answer> = String::from_utf8_lossy(&said.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).map_err(|error| format!("the engine's Python said `{line}`: {error}")))
        .collect::<Result<_>>()?;
    if answers.len() == flows.len() {
        return Ok(answers);
    }
    Err(format!("the engine answered for {} flows of {}: {}", answers.len(), flows.len(), said.status))
}

/// A part of `flowgate check --format json`.
#[derive(Debug, Deserialize)]
struct Report {
    findings: Vec<Found>,
}

#[derive(Debug, Deserialize)]
struct Found {
    rule: String,
    level: String,
    path: String,
    start: Position,
    message: String,
    engine: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Position {
    line: usize,
    column: usize,
}

/// The error-level findings of one flow.
fn findings(checker: &Path, tree: &Path, flow: &str) -> Result<Vec<Found>> {
    let words = ["check", "--format", "json", "--fail-on", "never", flow];
    let json = output(Command::new(checker).args(words).current_dir(tree))?;
    let report: Report = serde_json::from_str(&json).map_err(|error| format!("{flow}: {error}"))?;
    Ok(report.findings.into_iter().filter(|found| found.level == "error").collect())
}
