//! Flows whose files are made to be slow.

use std::fs;
use std::path::{Path, PathBuf};

use crate::command::{Result, at};

const LONG: usize = 50 << 20;
/// Just below the size over which files are refused unread.
const ALLOWED: usize = (4 << 20) - 1024;

const FLOW: &str = "\
inputs:
  text: {type: string}
outputs:
  text: {type: string, reference: \"${hello.output}\"}
nodes:
- name: say
  type: python
  source: {type: code, path: say.py}
  inputs:
    text: ${inputs.text}
- name: hello
  type: prompt
  source: {type: code, path: hello.jinja2}
  inputs:
    text: ${say.output}
";
const TOOL: &str = "from promptflow.core import tool\n\n\n@tool\ndef say(text: str) -> str:\n    return text\n";

/// Flows by what is hostile about them.
pub(super) fn files(folder: &Path) -> Result<Vec<(&'static str, PathBuf)>> {
    let cases = [
        ("50 MiB of YAML", "flow.dag.yaml", long(LONG, "- name: node\n  inputs: {a: ${b.output}}\n")),
        ("50 MiB of YAML in one line", "flow.dag.yaml", long(LONG, "a")),
        ("50 MiB of requirements", "requirements.txt", long(LONG, "package==1.0 --hash=sha256:00\n")),
        ("50 MiB of Python", "say.py", TOOL.to_owned() + &long(LONG, "f(lambda: [x for x in (1, 2)])\n")),
        ("50 MiB of template", "hello.jinja2", long(LONG, "{% if a %}{{ b | c }}{% endif %}\n")),
        ("4 MiB of open brackets in YAML", "flow.dag.yaml", long(ALLOWED, "[")),
        ("4 MiB of lists in lists in YAML", "flow.dag.yaml", long(ALLOWED, "- ")),
        ("4 MiB of aliases of aliases in YAML", "flow.dag.yaml", aliases(ALLOWED)),
        ("4 MiB of YAML in one line", "flow.dag.yaml", format!("inputs: [{}]", long(ALLOWED, "a, "))),
        ("4 MiB of nodes with unknown references", "flow.dag.yaml", nodes(ALLOWED)),
        ("4 MiB of short requirements", "requirements.txt", long(ALLOWED, "a==1\n")),
        ("4 MiB of continued lines in requirements", "requirements.txt", long(ALLOWED, "a\\\n")),
        ("4 MiB of open brackets in Python", "say.py", long(ALLOWED, "((")),
        ("4 MiB of tools in Python", "say.py", TOOL.to_owned() + &long(ALLOWED, "@tool\ndef f(a): pass\n")),
        ("4 MiB of open blocks in a template", "hello.jinja2", long(ALLOWED, "{% if a %}{{ (")),
        ("4 MiB of uses of a variable in a template", "hello.jinja2", long(ALLOWED, "{{ v }}")),
    ];
    let mut found = Vec::new();
    for (number, (title, name, text)) in cases.into_iter().enumerate() {
        let place = folder.join(number.to_string());
        fs::create_dir_all(&place).map_err(at(&place))?;
        let usual = [("flow.dag.yaml", FLOW), ("say.py", TOOL), ("hello.jinja2", "{{ text }}\n")];
        for (name, text) in usual.into_iter().chain([(name, text.as_str())]) {
            let path = place.join(name);
            fs::write(&path, text).map_err(at(&path))?;
        }
        found.push((title, place.join("flow.dag.yaml")));
    }
    Ok(found)
}

fn long(length: usize, part: &str) -> String {
    part.repeat(length / part.len())
}

/// Each line has the one before it nine times.
fn aliases(length: usize) -> String {
    let mut text = "a0: &a0 [x]\n".to_owned();
    for number in 1.. {
        if text.len() >= length {
            break;
        }
        let before = format!("*a{}, ", number - 1).repeat(9);
        text += &format!("a{number}: &a{number} [{before}]\n");
    }
    text
}

fn nodes(length: usize) -> String {
    let mut text = "nodes:\n".to_owned();
    for number in 0.. {
        if text.len() >= length {
            break;
        }
        text += &format!(
            "- name: n{number}\n  type: python\n  source: {{type: code, path: p{number}.py}}\n  inputs: {{a: \"${{m{number}.output}}\"}}\n"
        );
    }
    text
}
