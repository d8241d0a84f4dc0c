//! `flowgate check --format junit`: JUnit's XML as Jenkins, GitLab and others read it.
//!
//! A suite for every flow, and for every other file with findings. A case is a finding; where a flow has none, its
//! one case is the check itself. A case fails where the finding makes the command fail, so that the colour of the
//! report and the exit code say the same.

use std::collections::{BTreeMap, HashMap};

use flowgate_check::Level;
use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use crate::check::{CheckReport, LocatedFinding, level_name, with_help};
use crate::escape::xml as escape;

/// The report as XML with a final line break. Findings below `failing` pass, with their text as output; without
/// one, all of them do.
///
/// # Errors
/// None in practice: it is written to memory.
pub fn render(report: &CheckReport, failing: Option<Level>) -> Result<String, SerializeError> {
    let mut files: BTreeMap<&str, Vec<&LocatedFinding>> = report.flow_paths().map(|path| (path, Vec::new())).collect();
    for finding in report.findings() {
        files.entry(&finding.path).or_default().push(finding);
    }
    let mut out = Report::new("flowgate check");
    out.add_test_suites(files.into_iter().map(|(path, findings)| suite(path, &findings, failing)));
    out.to_string()
}

fn suite(path: &str, findings: &[&LocatedFinding], failing: Option<Level>) -> TestSuite {
    let mut suite = TestSuite::new(escape(path));
    if findings.is_empty() {
        suite.add_test_case(case(path, "flowgate check", TestCaseStatus::success()));
    }
    // Systems compare cases by name, so it has no line, which moves; equal ones are numbered.
    let mut seen: HashMap<String, usize> = HashMap::new();
    for finding in findings {
        let mut name = format!("{}: {}", finding.rule, finding.message);
        let number = seen.entry(name.clone()).or_default();
        *number += 1;
        if *number > 1 {
            name += &format!(" ({number})");
        }
        suite.add_test_case(of_finding(&name, finding, failing));
    }
    suite
}

fn of_finding(name: &str, finding: &LocatedFinding, failing: Option<Level>) -> TestCase {
    let (line, column) = (finding.start.line + 1, finding.start.column + 1);
    let place = format!("{}:{line}:{column}", finding.path);
    let text = format!("{place}: {}[{}]: {}", level_name(finding.level), finding.rule, with_help(finding));
    let fails = failing.is_some_and(|level| finding.level >= level);
    let mut status = TestCaseStatus::success();
    if fails {
        status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_type(level_name(finding.level)).set_message(escape(&finding.message)).set_description(escape(&text));
    }
    let mut case = case(&finding.path, name, status);
    case.extra.insert("line".into(), line.to_string().into());
    if !fails {
        case.set_system_out(escape(&text));
    }
    case
}

/// `file` is where GitLab and others link to.
fn case(path: &str, name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(escape(name), status);
    case.set_classname(escape(path));
    case.extra.insert("file".into(), escape(path).into());
    case
}
