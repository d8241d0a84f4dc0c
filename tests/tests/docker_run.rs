//! `flowgate run --backend docker`: what lines come to, and what is left afterwards.
#![cfg(unix)]

use flowgate_tests::Folder;
use flowgate_tests::engine::{Engine, docker_or_skip};
use flowgate_tests::flows::{self, Ran};
use serde_json::{Value, json};

fn run(engine: &Engine, folder: &Folder, arguments: &[&str]) -> Ran {
    let ran = flows::run(folder, &[&["--backend", "docker"], arguments].concat());
    assert_eq!(engine.containers_of(ran.process), Vec::<String>::new(), "containers are left");
    ran
}

/// What must not differ between backends.
fn essence(ran: &Ran) -> Value {
    let flow = |flow: &Value| {
        let line = |line: &Value| {
            json!([
                line["line"],
                line["outcome"],
                line["inputs"],
                line["output"],
                line["error"]["type"],
                line["error"]["message"]
            ])
        };
        let results: Vec<Value> = flow["results"].as_array().into_iter().flatten().map(line).collect();
        json!([flow["flow"], flow["verdict"], flow["lines"], flow["metrics"], results])
    };
    ran.report["flows"].as_array().into_iter().flatten().map(flow).collect()
}

const CHAIN: &str = r#"
additional_includes: [../shared/words.py]
environment_variables: {GREETING: "good day"}
inputs:
  text: {type: string}
  times: {type: int, default: 2}
outputs:
  said: {type: string, reference: "${greet.output}"}
  count: {type: int, reference: "${count.output.number}"}
nodes:
- name: count
  type: python
  source: {type: code, path: count.py}
  inputs: {text: "${inputs.text}", times: "${inputs.times}"}
- name: prompt
  type: prompt
  source: {type: code, path: prompt.jinja2}
  inputs: {text: "${inputs.text}"}
- name: greet
  type: python
  source: {type: code, path: greet.py}
  inputs: {prompt: "${prompt.output}"}
- name: total
  type: python
  aggregation: true
  source: {type: code, path: total.py}
  inputs: {counts: "${count.output.number}"}
"#;

const COUNT: &str = "
from promptflow.core import tool
from words import words

@tool
def count(text: str, times: int) -> dict:
    if text == 'bad':
        raise ValueError('no words in ' + text)
    return {'number': len(words(text)) * times, 'float': 0.1, 'unicode': 'ä€'}
";

const GREET: &str = "
import os
from promptflow.core import tool

@tool
def greet(prompt: str) -> str:
    print('greeting', prompt)
    return os.environ['GREETING'] + ', ' + prompt.strip()
";

const TOTAL: &str = "
from promptflow.core import tool, log_metric

@tool
def total(counts: list) -> int:
    log_metric('total', sum(counts))
    return sum(counts)
";

#[test]
fn both_backends_give_the_same_results() {
    let Some(engine) = docker_or_skip() else { return };
    let folder = Folder::with(
        "same",
        &[
            (".git/HEAD", ""),
            ("chain/flow.dag.yaml", CHAIN),
            ("chain/count.py", COUNT),
            ("chain/greet.py", GREET),
            ("chain/total.py", TOTAL),
            ("chain/prompt.jinja2", "say {{text}}\n"),
            ("shared/words.py", "def words(text):\n    return text.split()\n"),
            ("rows.jsonl", "{\"text\": \"one two\"}\n{\"text\": \"bad\"}\n{\"text\": \"three\", \"times\": 5}\n"),
        ],
    );
    let arguments = ["chain", "--data", "rows.jsonl"];
    let docker = run(&engine, &folder, &arguments);
    docker.assert_code(1);
    let process = flows::run(&folder, &[&["--backend", "process"], &arguments[..]].concat());
    assert_eq!(essence(&docker), essence(&process));
    let flow = docker.flow("chain");
    assert_eq!((&flow["backend"], &flow["metrics"]), (&json!("docker"), &json!({"total": 9})));
    let outputs: Vec<&Value> = flow["results"].as_array().unwrap().iter().map(|line| &line["output"]).collect();
    assert_eq!(
        outputs,
        [
            &json!({"said": "good day, say one two", "count": 4}),
            &Value::Null,
            &json!({"said": "good day, say three", "count": 5})
        ]
    );
}

/// As without flowgate: it keeps its runs in a database of its own home.
#[test]
fn a_node_may_use_the_engines_own_client() {
    let Some(engine) = docker_or_skip() else { return };
    let folder = Folder::new("client");
    let code = "from promptflow.client import PFClient\nclient = PFClient()\n\
                return json.dumps([client.runs.list(), client.connections.list(), client.test(flow='inner')])";
    flows::python(&folder, "client", "import json", code);
    flows::python(&folder, "client/inner", "", "return text * 2");
    let docker = run(&engine, &folder, &["client/flow.dag.yaml"]);
    docker.assert_code(0);
    let out = json!({"out": "[[], [], {\"out\": \"hellohello\"}]"});
    assert_eq!(docker.flow("client")["results"][0]["output"], out);
    let process = flows::run(&folder, &["--backend", "process", "client/flow.dag.yaml"]);
    assert_eq!(essence(&docker), essence(&process));
}

#[test]
fn lines_fail_time_out_and_pass_in_one_run() {
    let Some(engine) = docker_or_skip() else { return };
    let folder = Folder::new("lines");
    flows::python(&folder, "raises", "", "raise KeyError('nothing of that name')");
    flows::python(&folder, "hangs", "import time", "time.sleep(600)\nreturn text");
    flows::python(
        &folder,
        "loud",
        "",
        "print('x' * (1 << 20))\nprint('::error::not a command', '\\x1b[31m')\nreturn text",
    );
    let ran = run(&engine, &folder, &["--line-timeout", "3", "."]);
    ran.assert_code(1);
    let line = |name: &str| &ran.flow(name)["results"][0];
    assert_eq!((&line("raises")["outcome"], &line("raises")["error"]["node"]), (&json!("failed"), &json!("work")));
    assert!(
        line("raises")["error"]["message"].as_str().unwrap().contains("nothing of that name"),
        "{:#}",
        line("raises")
    );
    assert_eq!(line("hangs")["outcome"], "timed_out");
    assert_eq!((&line("loud")["outcome"], &line("loud")["output"]), (&json!("passed"), &json!({"out": "hello"})));
    let said = ran.done.stdout + &ran.done.stderr;
    assert!(said.len() < 200_000, "output is capped, but {} bytes came through", said.len());
    assert!(!said.lines().any(|line| line.trim_start().starts_with("::")), "a flow's output became a workflow command");
    assert!(!said.contains('\x1b'), "a flow's output reached the terminal unescaped");
}

#[test]
fn beside_an_error_of_the_network_it_says_that_there_is_none() {
    let Some(engine) = docker_or_skip() else { return };
    let folder = Folder::new("network");
    let ask = "requests.get('https://example.com', timeout=5)\nreturn text";
    let around = "try:\n    urllib.request.urlopen('https://example.com')\nexcept OSError as error:\n    raise RuntimeError('the model did not answer') from error";
    for (name, before, code) in [
        ("socket", "import socket", "socket.create_connection(('192.0.2.1', 80), 2)\nreturn text"),
        ("name", "import socket", "socket.getaddrinfo('example.com', 80)\nreturn text"),
        ("requests", "import requests", ask),
        ("httpx", "import httpx", "httpx.get('https://example.com')\nreturn text"),
        ("around", "import urllib.request", around),
        ("loading", "import requests\nrequests.get('https://example.com', timeout=5)", "return text"),
        ("other", "", "raise ValueError('network')"),
    ] {
        flows::python(&folder, name, before, code);
    }
    let ran = run(&engine, &folder, &["."]);
    ran.assert_code(4);
    for name in ["socket", "name", "requests", "httpx", "around", "loading", "other"] {
        let error = &ran.flow(name)["results"][0]["error"];
        let expected = if name == "other" { Value::Null } else { json!("this runtime has no network") };
        assert_eq!(error["help"], expected, "{name}: {error:#}");
    }
    assert_eq!(ran.done.stdout.matches("  help: this runtime has no network\n").count(), 6, "{}", ran.done.stdout);
}

#[test]
fn what_the_engine_refuses_is_errored() {
    let Some(engine) = docker_or_skip() else { return };
    let folder = Folder::new("refused");
    flows::python(&folder, "module", "import module_that_is_nowhere", "return text");
    flows::python(&folder, "key", "", "return text");
    folder.write("key/flow.dag.yaml", "nodes:\n- name: work\n  type: python\n  source: {type: code, path: work.py}\n  inputs: {text: \"${nowhere.output}\"}\n");
    let ran = run(&engine, &folder, &["."]);
    ran.assert_code(4);
    for name in ["module", "key"] {
        let flow = ran.flow(name);
        assert_eq!((&flow["verdict"], &flow["lines"]["passed"]), (&json!("errored"), &json!(0)), "{flow:#}");
    }
    assert!(ran.flow("module")["error"]["message"].as_str().unwrap().contains("module_that_is_nowhere"));
    assert!(ran.flow("key")["error"]["message"].as_str().unwrap().contains("nowhere"));
}

#[test]
fn a_container_is_shut_off() {
    let Some(engine) = docker_or_skip() else { return };
    let folder = Folder::new("shut");
    let code = "
found = {}
try:
    socket.create_connection(('192.0.2.1', 80), 2)
    found['network'] = 'open'
except OSError as error:
    found['network'] = type(error).__name__
found['interfaces'] = sorted(name for _, name in socket.if_nameindex())
for path in ('/etc/passwd', '/usr/local/x', '/usr/bin/x'):
    try:
        open(path, 'a').close()
        found[path] = 'written'
    except OSError as error:
        found[path] = errno.errorcode[error.errno]
status = dict(line.split(':\\t', 1) for line in open('/proc/self/status').read().splitlines() if ':\\t' in line)
found['root'] = os.getuid() == 0
found['capabilities'] = int(status['CapEff'], 16)
found['new privileges'] = status['NoNewPrivs']
found['keys'] = sorted(name for name in os.environ if name.startswith(('FLOWGATE', 'AWS', 'AZURE', 'OPENAI', 'GITHUB')))
return json.dumps(found)";
    flows::python(&folder, "look", "import errno, json, os, socket", code.trim_start());
    let ran = run(&engine, &folder, &["look"]);
    ran.assert_code(0);
    let found: Value = serde_json::from_str(ran.flow("look")["results"][0]["output"]["out"].as_str().unwrap()).unwrap();
    let expected = json!({
        "network": "OSError", "interfaces": ["lo"], "/etc/passwd": "EACCES", "/usr/local/x": "EROFS", "/usr/bin/x": "EROFS",
        "root": false, "capabilities": 0, "new privileges": "1", "keys": [],
    });
    assert_eq!(found, expected);
}
