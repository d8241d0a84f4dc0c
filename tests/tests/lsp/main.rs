//! The language server, through its protocol.

mod actions;
mod client;
mod documents;
mod findings;
mod lifecycle;
mod ownership;
mod siblings;

use flowgate_tests::flows::{ANY_TOOL, THREE_FAULTS};

/// A flow without a fault, beside a `requirements.txt` and an `answer.py`.
const GOOD_FLOW: &str = "\
environment:
  python_requirements_txt: requirements.txt
inputs:
  text:
    type: string
outputs:
  answer:
    type: string
    reference: ${answer.output}
nodes:
- name: answer
  type: python
  source:
    type: code
    path: answer.py
  inputs:
    text: ${inputs.text}
";
