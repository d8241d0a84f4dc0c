//! A repository of many flows, no two of them alike.

use std::fs;
use std::path::Path;

use crate::command::{Result, at};

/// Writes `count` flows below `folder`, each with `faults` of at most three faults.
pub(super) fn write(folder: &Path, count: usize, faults: usize) -> Result<()> {
    for number in 0..count {
        let place = folder.join(format!("team-{:02}/flow-{number:05}", number / 100));
        fs::create_dir_all(&place).map_err(at(&place))?;
        for (name, text) in files(number, faults) {
            let path = place.join(name);
            fs::write(&path, text).map_err(at(&path))?;
        }
    }
    Ok(())
}

fn files(number: usize, faults: usize) -> [(&'static str, String); 5] {
    let fault = |at: usize, right: &'static str, wrong: &'static str| if at < faults { wrong } else { right };
    let question = fault(0, "question", "qestion");
    let search = fault(1, "search", "serach");
    let rank = fault(2, "python", "Python");
    let flow = format!(
        "\
$schema: https://azuremlschemas.azureedge.net/promptflow/latest/Flow.schema.json
description: Answers questions from shelf {number}.
inputs:
  question:
    type: string
    default: What stands on shelf {number}?
  limit:
    type: int
    default: {limit}
outputs:
  answer:
    type: string
    reference: ${{answer.output}}
nodes:
- name: search
  type: python
  source:
    type: code
    path: search.py
  inputs:
    question: ${{inputs.{question}}}
    shelf: shelf-{number}
- name: rank
  type: {rank}
  source:
    type: code
    path: rank.py
  inputs:
    found: ${{{search}.output}}
    limit: ${{inputs.limit}}
- name: answer
  type: llm
  source:
    type: code
    path: answer.jinja2
  inputs:
    deployment_name: gpt-4o
    temperature: 0.2
    question: ${{inputs.question}}
    found: ${{rank.output}}
  connection: open_ai_connection
  api: chat
environment:
  python_requirements_txt: requirements.txt
",
        limit = number % 50 + 1,
    );
    let search = format!(
        "\
from promptflow.core import tool

SHELF = {number}


def words(text):
    return [word.strip('.,?!').lower() for word in text.split()]


@tool
def search(question: str, shelf: str) -> list:
    found = []
    for number, word in enumerate(words(question)):
        found.append({{'shelf': shelf, 'word': word, 'score': (SHELF + number) % 7}})
    return found
"
    );
    let rank = format!(
        "\
from promptflow.core import tool


@tool
def rank(found: list, limit: int = {limit}) -> list:
    return sorted(found, key=lambda entry: entry['score'])[:limit]
",
        limit = number % 9 + 1,
    );
    let answer = format!(
        "\
# system:
You know shelf {number}. Answer from what was found, and say so where nothing was.
{{% for entry in found %}}
- {{{{ entry.word }}}} ({{{{ entry.score }}}})
{{% endfor %}}

# user:
{{{{ question }}}}
"
    );
    let requirements = format!("promptflow\npromptflow-tools\nrequests>=2.{},<3\n", number % 30);
    [
        ("flow.dag.yaml", flow),
        ("search.py", search),
        ("rank.py", rank),
        ("answer.jinja2", answer),
        ("requirements.txt", requirements),
    ]
}
