//! Small flows for the tests, and what `flowgate run` reports of them.

use std::fs::File;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::{Finished, Folder, command};

/// Where its standard error goes, so that it can be read while it runs.
const LOG: &str = "stderr.log";

/// A Python file with a tool that takes whatever a node gives it.
pub const ANY_TOOL: &str = "from promptflow.core import tool\n\n\n@tool\ndef run(**inputs):\n    return inputs\n";

/// Three faults: a missing requirements file, an unknown node, and an output without a reference.
pub const THREE_FAULTS: &str = "\
environment:
  python_requirements_txt: requirements.txt
inputs:
  text:
    type: string
outputs:
  answer:
    type: string
    reference: ${wrong.output}
nodes:
- name: answer
  type: python
  source:
    type: code
    path: missing.py
  inputs:
    text: ${inputs.text}
";

/// Writes a flow of one Python node `work`, which gets the input `text` and gives the output
/// `out`. `code` is the body of its function; `before` stands before it, at the module's level.
pub fn python(folder: &Folder, name: &str, before: &str, code: &str) {
    let flow = "inputs:\n  text: {type: string, default: hello}\n\
                outputs:\n  out: {type: string, reference: \"${work.output}\"}\n\
                nodes:\n- name: work\n  type: python\n  source: {type: code, path: work.py}\n  inputs: {text: \"${inputs.text}\"}\n";
    folder.write(&format!("{name}/flow.dag.yaml"), flow);
    let body: String = code.lines().map(|line| format!("    {line}\n")).collect();
    folder.write(
        &format!("{name}/work.py"),
        format!("{before}\nfrom promptflow.core import tool\n\n@tool\ndef work(text: str) -> str:\n{body}"),
    );
}

/// A `flowgate run` that goes on.
#[derive(Debug)]
pub struct Running<'f> {
    /// The process.
    pub child: Child,
    folder: &'f Folder,
}

/// A `flowgate run` that has ended.
#[derive(Debug)]
pub struct Ran {
    /// What the process left.
    pub done: Finished,
    /// Its report.
    pub report: Value,
    /// Its process number.
    pub process: u32,
}

/// Starts `flowgate run` in a folder, with a report.
///
/// # Panics
/// Where it cannot be started.
pub fn start<'f>(folder: &'f Folder, arguments: &[&str], variables: &[(&str, &str)]) -> Running<'f> {
    let mut run = command(folder.path(), &["run", "--report", "report.json"]);
    run.args(arguments).envs(variables.iter().copied());
    let log = File::create(folder.path().join(LOG)).expect("a log");
    let child = run.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().expect("flowgate starts");
    Running { child, folder }
}

impl Running<'_> {
    /// Whether it has said that on its standard error.
    pub fn has_said(&self, text: &str) -> bool {
        std::fs::read_to_string(self.folder.path().join(LOG)).is_ok_and(|log| log.contains(text))
    }

    /// Waits until it ends.
    ///
    /// # Panics
    /// Where it left no report.
    pub fn finish(self) -> Ran {
        let process = self.child.id();
        let log = self.folder.path().join(LOG);
        let mut done = Finished::of(self.child.wait_with_output().expect("flowgate ends"));
        done.stderr = std::fs::read_to_string(log).expect("its log");
        let report = std::fs::read(self.folder.path().join("report.json"));
        let report = report.unwrap_or_else(|error| panic!("no report: {error}\n{done:?}"));
        Ran { report: serde_json::from_slice(&report).expect("a report in JSON"), done, process }
    }
}

/// Runs `flowgate run` to its end.
///
/// # Panics
/// Where it cannot be started or leaves no report.
pub fn run(folder: &Folder, arguments: &[&str]) -> Ran {
    start(folder, arguments, &[]).finish()
}

impl Ran {
    /// The report of the flow in that folder.
    ///
    /// # Panics
    /// Where there is none.
    pub fn flow(&self, name: &str) -> &Value {
        let flows = self.report["flows"].as_array().expect("flows");
        let file = format!("{name}/flow.dag.yaml");
        flows
            .iter()
            .find(|flow| flow["flow"] == file.as_str())
            .unwrap_or_else(|| panic!("no flow {name}: {:#}", self.report))
    }

    /// Asserts the exit code, and shows everything where it is another.
    ///
    /// # Panics
    /// Where it is another.
    pub fn assert_code(&self, code: i32) -> &Self {
        assert_eq!(self.done.code, Some(code), "{}\n{}\n{:#}", self.done.stdout, self.done.stderr, self.report);
        assert_eq!(self.report["exit_code"], code);
        self
    }
}
