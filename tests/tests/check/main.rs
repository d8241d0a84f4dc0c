//! `flowgate check` and `flowgate rule`, through the command line.

use expect_test::expect;
use flowgate_tests::flows::ANY_TOOL;
use flowgate_tests::{Folder, run};

mod explain;
mod formats;
mod stdin;

const FLOW: &str = "inputs:\n  text:\n    type: str\nnodes:\n- name: split\n  type: python\n  source:\n    type: code\n    path: split.py\n  inputs:\n    text: ${inputs.txt}\noutputs:\n  words:\n    type: list\n    reference: ${spllit.output}\nenvironment:\n  python_requirements_txt: requirements.txt\n";

fn faulty() -> Folder {
    Folder::with(
        "check",
        &[
            ("flows/words/flow.dag.yaml", FLOW),
            ("flows/words/split.py", ANY_TOOL),
            ("flows/words/requirements.txt", "promptflow==1.18.5\n"),
        ],
    )
}

#[test]
fn the_terminal_shows_every_fault_on_its_line() {
    let folder = faulty();
    let done = run(folder.path(), &["check"]);
    expect![[r#"
        error[invalid-type-name]: `str` is not a type
         --> flows/words/flow.dag.yaml:3:11
          |
        3 |     type: str
          |           ^^^
          |
          = help: write `string`

        error[unknown-flow-input]: there is no flow input `txt`
          --> flows/words/flow.dag.yaml:11:20
           |
        11 |     text: ${inputs.txt}
           |                    ^^^
           |
           = help: did you mean `text`?

        error[unknown-node-reference]: there is no node `spllit`
          --> flows/words/flow.dag.yaml:15:18
           |
        15 |     reference: ${spllit.output}
           |                  ^^^^^^
           |
           = help: did you mean `split`?

        warning[pinned-promptflow]: `promptflow` is pinned (`==1.18.5`), and the base image brings its own version
         --> flows/words/requirements.txt:1:1
          |
        1 | promptflow==1.18.5
          | ^^^^^^^^^^^^^^^^^^
          |
          = help: write `promptflow` without a version

        1 flow checked: 3 errors, 1 warning
        2 fixable with `--fix`, 2 more with `--unsafe-fixes`
    "#]]
    .assert_eq(&done.stdout);
    assert_eq!(done.code, Some(3));
}

#[test]
fn json_is_the_documented_contract() {
    let folder = Folder::with(
        "json",
        &[("f/flow.dag.yaml", "inputs:\n  é😀: {type: Int}\n"), ("f/requirements.txt", "promptflow==1.18.5\n")],
    );
    let done = run(folder.path(), &["check", "--format", "json", "f"]);
    expect![[r#"
        {
          "version": 1,
          "findings": [
            {
              "rule": "implicit-requirements",
              "level": "hint",
              "path": "f/flow.dag.yaml",
              "start": {
                "line": 1,
                "column": 1
              },
              "end": {
                "line": 1,
                "column": 8
              },
              "message": "`environment` does not name the `requirements.txt` beside the flow",
              "help": "write `python_requirements_txt: requirements.txt` under `environment`",
              "engine": null,
              "fix": {
                "title": "add it",
                "applicability": "safe",
                "edits": [
                  {
                    "path": "f/flow.dag.yaml",
                    "start": {
                      "line": 3,
                      "column": 1
                    },
                    "end": {
                      "line": 3,
                      "column": 1
                    },
                    "text": "environment:\n  python_requirements_txt: requirements.txt\n"
                  }
                ]
              }
            },
            {
              "rule": "invalid-type-name",
              "level": "error",
              "path": "f/flow.dag.yaml",
              "start": {
                "line": 2,
                "column": 14
              },
              "end": {
                "line": 2,
                "column": 17
              },
              "message": "`Int` is not a type",
              "help": "write `int`",
              "engine": "ValueError",
              "fix": {
                "title": "write `int`",
                "applicability": "safe",
                "edits": [
                  {
                    "path": "f/flow.dag.yaml",
                    "start": {
                      "line": 2,
                      "column": 14
                    },
                    "end": {
                      "line": 2,
                      "column": 17
                    },
                    "text": "int"
                  }
                ]
              }
            },
            {
              "rule": "pinned-promptflow",
              "level": "warning",
              "path": "f/requirements.txt",
              "start": {
                "line": 1,
                "column": 1
              },
              "end": {
                "line": 1,
                "column": 19
              },
              "message": "`promptflow` is pinned (`==1.18.5`), and the base image brings its own version",
              "help": "write `promptflow` without a version",
              "engine": null,
              "fix": {
                "title": "remove the version",
                "applicability": "safe",
                "edits": [
                  {
                    "path": "f/requirements.txt",
                    "start": {
                      "line": 1,
                      "column": 11
                    },
                    "end": {
                      "line": 1,
                      "column": 19
                    },
                    "text": ""
                  }
                ]
              }
            }
          ],
          "summary": {
            "files": 2,
            "flows": 1,
            "errors": 1,
            "warnings": 1,
            "hints": 1
          }
        }
    "#]]
    .assert_eq(&done.stdout);
    assert_eq!(done.code, Some(3));
}

#[test]
fn github_gets_workflow_commands() {
    let folder = Folder::with("github", &[("a,b/flow.dag.yaml", "inputs:\n  x: {type: \"50%\\n::error::\"}\n")]);
    let done = run(folder.path(), &["check", "--format", "github"]);
    expect![[r#"
        ::error file=a%2Cb/flow.dag.yaml,line=2,col=13,endLine=2,endColumn=29,title=invalid-type-name::`50%25%0A::error::` is not a type%0Ahelp: use one of string, int, double, bool, list, object, image, file_path, secret, prompt_template, assistant_definition
        1 flow checked: 1 error, 0 warnings, 0 hints
    "#]].assert_eq(&done.stdout);
}

#[test]
fn the_exit_code_follows_fail_on() {
    let folder = Folder::with(
        "fail-on",
        &[("flow.dag.yaml", "nodes: []\n"), ("requirements.txt", "promptflow==1.18.5\npromptflow-tools>=1\n")],
    );
    for (level, code) in [("error", 0), ("warning", 3), ("hint", 3), ("never", 0)] {
        assert_eq!(run(folder.path(), &["check", "--fail-on", level]).code, Some(code), "{level}");
    }
}

#[test]
fn a_requirements_file_is_checked_with_its_flow_or_alone() {
    let folder = Folder::with(
        "owner",
        &[
            ("f/flow.dag.yaml", "inputs: {a: {type: nope}}\nenvironment: {python_requirements_txt: deps/all.txt}\n"),
            ("f/deps/all.txt", "promptflow<2\n"),
            ("other.txt", "promptflow==1.18.5\n"),
        ],
    );
    for (path, findings) in [
        ("f/deps/all.txt", "1 flow checked: 1 warning\n"),
        ("other.txt", "1 file checked: 1 warning\n"),
        ("f", "1 flow checked: 1 error, 1 warning\n"),
    ] {
        let done = run(folder.path(), &["check", path]);
        assert!(done.stdout.contains(findings), "{path}: {}", done.stdout);
    }
}

#[test]
fn configuration_changes_levels_and_its_faults_are_usage_errors() {
    let folder = faulty();
    folder.write("flowgate.yaml", "check:\n  rules:\n    pinned-promptflow: error\n    unknown-node-reference: off\n    unknown-flow-input: off\n    invalid-type-name: hint\n");
    let done = run(folder.path(), &["check", "flows"]);
    assert!(done.stdout.contains("1 flow checked: 1 error, 1 hint\n"), "{}", done.stdout);
    for (text, message) in [
        (
            "check: {rules: {pinned-promptflw: off}}",
            "flowgate.yaml:1:17: check.rules: there is no rule `pinned-promptflw`; did you mean `pinned-promptflow`?",
        ),
        (
            "check: {rules: {pinned-promptflow: warn}}",
            "unknown variant `warn`, expected one of `off`, `hint`, `warning`, `error`; did you mean `warning`?",
        ),
        (
            "chek: {}",
            "flowgate.yaml:1:1: unknown field `chek`, expected `check` or `environment`; did you mean `check`?",
        ),
        ("check: [", "flowgate.yaml:1:8: unclosed bracket"),
        ("check:\n  exclude: ['a{b']\n", "flowgate.yaml:2:13: check.exclude: "),
    ] {
        folder.write("flowgate.yaml", text);
        let done = run(folder.path(), &["check"]);
        assert_eq!(done.code, Some(2), "{text}");
        assert!(done.stderr.contains(message) && done.stderr.contains("flowgate.yaml"), "{text}: {}", done.stderr);
    }
}

#[test]
fn rules_are_selected_and_ignored() {
    let folder = faulty();
    folder.write("flowgate.yaml", "check: {rules: {unknown-flow-input: off}}\n");
    for (arguments, found) in [
        (&["check", "--statistics"][..], "1  error         unknown-node-reference\n"),
        (
            &["check", "--select", "pinned-promptflow,unknown-flow-input", "--statistics"],
            "1  warning  [*]  pinned-promptflow\n1  error         unknown-flow-input\n[*] every one is fixable with `--fix`, [-] some are\n",
        ),
        (&["check", "--ignore", "invalid-type-name", "--ignore=unknown-node-reference"], "1 flow checked: 1 warning\n"),
        (
            &["check", "--select", "pinned-promptflow", "--ignore", "pinned-promptflow"],
            "1 flow checked: nothing found\n",
        ),
    ] {
        let done = run(folder.path(), arguments);
        assert!(done.stdout.contains(found), "{arguments:?}: {}{}", done.stdout, done.stderr);
    }
    let typo = run(folder.path(), &["check", "--select", "pinned-promptflw"]);
    assert_eq!(typo.code, Some(2));
    assert!(
        typo.stderr.contains("there is no rule `pinned-promptflw`; did you mean `pinned-promptflow`?"),
        "{}",
        typo.stderr
    );
    assert_eq!(run(folder.path(), &["check", "--statistics", "--format", "json"]).code, Some(2));
}

#[test]
fn what_is_excluded_or_a_copy_is_not_searched() {
    let folder = Folder::new("exclude");
    for place in ["a", "old/b", "c", "ignored", ".runs/d", ".promptflow/e", "env/lib", "node_modules/f", "a/.git/g"] {
        folder.write(&format!("{place}/flow.dag.yaml"), "inputs: {a: {}}\n");
    }
    folder.write("env/pyvenv.cfg", "");
    folder.write(".gitignore", "ignored/\n");
    folder.write("flowgate.yaml", "check:\n  exclude: [old, '/c/*.yaml']\n");
    assert!(run(folder.path(), &["check"]).stdout.ends_with("1 flow checked: 1 error\n"));
    for named in ["old/b/flow.dag.yaml", "c/flow.dag.yaml", "ignored", ".runs/d/flow.dag.yaml"] {
        let done = run(folder.path(), &["check", named]);
        assert!(done.stdout.ends_with("1 flow checked: 1 error\n"), "{named}: {}", done.stdout);
    }
}

#[test]
fn wrong_usage_says_what_is_wrong() {
    let folder = Folder::with("usage", &[("a.py", "")]);
    for (arguments, message) in [
        (["check", "nope"], "nope: there is no such file or folder"),
        (["check", "a.py"], "a.py: not a flow, a file beside flows, a requirements file or a folder"),
        (["rule", "nope"], "there is no rule `nope`"),
    ] {
        let done = run(folder.path(), &arguments);
        assert_eq!(done.code, Some(2), "{arguments:?}");
        assert!(done.stderr.contains(message), "{}", done.stderr);
    }
    // Where nothing was found, nothing passes; the report is whole all the same.
    folder.write("one/flow.dag.yaml", "inputs: {}\n");
    folder.write("out/flow.dag.yaml", "inputs: {}\n");
    folder.write("none/flows.md", "");
    folder.write("flowgate.yaml", "check: {exclude: [out]}\n");
    for (arguments, code, checked, message) in [
        (vec!["check", "none"], 2, "0 flows", "error: none: no flow.dag.yaml or flow.flex.yaml was found"),
        (vec!["check", "one", "none"], 2, "1 flow", "error: none: no flow.dag.yaml or flow.flex.yaml was found"),
        (vec!["check", "--fix", "none"], 2, "0 flows", "`flowgate check --explain-why none` says which"),
        (vec!["check", "out"], 0, "0 flows", "note: out: check.exclude of flowgate.yaml leaves everything out"),
    ] {
        let done = run(folder.path(), &arguments);
        assert_eq!(done.code, Some(code), "{arguments:?}: {}", done.stderr);
        assert!(done.stdout.starts_with(&format!("{checked} checked")), "{arguments:?}: {}", done.stdout);
        assert!(done.stderr.contains(message), "{arguments:?}: {}", done.stderr);
    }
}

#[test]
fn hostile_files_give_findings_and_nothing_that_moves_the_cursor() {
    let deep = "[".repeat(100_000);
    let bomb: String = (0..200).map(|n| format!("a{n}: &a{n} [*a{}, *a{}]\n", n.max(1) - 1, n.max(1) - 1)).collect();
    let long = format!("inputs: {{a: {{type: \"{}\"}}}}\n", "x".repeat(3_000_000));
    for (name, bytes) in [
        ("empty", b"".to_vec()),
        ("binary", (0..=255u8).cycle().take(10_000).collect()),
        ("ten-megabytes", b"inputs: {}\n".repeat(1_000_000)),
        ("deep", deep.into_bytes()),
        ("bomb", bomb.into_bytes()),
        ("long-line", long.into_bytes()),
        ("crlf-bom-tab", b"\xef\xbb\xbfinputs:\r\n\ta: 1\r\n".to_vec()),
        ("half", b"nodes:\n- name: a\n  inputs:\n    x: ${inp".to_vec()),
        ("escape", b"inputs: {\"\\e[2J\x1b[31m\": {type: \"\\e]0;x\\a\"}}\n".to_vec()),
    ] {
        let folder = Folder::new(name);
        folder.write("flow.dag.yaml", &bytes);
        folder.write("requirements.txt", &bytes);
        for format in ["terminal", "json", "github", "sarif", "junit"] {
            let done = run(folder.path(), &["check", "--format", format]);
            assert!(matches!(done.code, Some(0 | 3)), "{name} as {format}: {:?} {}", done.code, done.stderr);
            assert!(!done.stdout.contains('\u{1b}') && !done.stderr.contains("panicked"), "{name} as {format}");
        }
    }
}

#[test]
fn rules_explain_themselves() {
    let folder = Folder::new("rule");
    let list = run(folder.path(), &["rule"]);
    assert!(list.stdout.lines().count() >= 16 && list.stdout.contains("pinned-promptflow "), "{}", list.stdout);
    let page = run(folder.path(), &["rule", "pinned-promptflow"]);
    assert!(
        page.stdout.starts_with("# pinned-promptflow\n") && page.stdout.contains("promptflow[azure]==1.10.0"),
        "{}",
        page.stdout
    );
}

#[test]
fn no_format_shows_the_key_of_a_connection() {
    let key = "0a1b2c3d4e5f60718293a4b5c6d7e8f9";
    let connection = format!("name: c\ntype: open_ai\napi_key: {key}\norganisation: contoso\n");
    let prompty = format!(
        "---\nmodel:\n  configuration: {{type: openai, model: gpt-4, api_key: {key}}}\n  parameters: {{}}\n---\nuser:\nhi\n"
    );
    let folder = Folder::with("check-secret", &[("connection.yaml", &connection), ("ask.prompty", &prompty)]);
    for format in ["terminal", "json", "github"] {
        let done = run(folder.path(), &["check", "--format", format, "connection.yaml"]);
        assert!(done.stdout.contains("connection-secret") && !format!("{done:?}").contains(key), "{format}: {done:#?}");
        let done = run(folder.path(), &["check", "--format", format, "ask.prompty"]);
        assert!(done.stdout.contains("connection-secret"), "{done:#?}");
        assert!(!format!("{done:?}").contains(key), "{format}: {done:#?}");
    }
    let shown = run(folder.path(), &["check", "ask.prompty"]).stdout;
    assert!(shown.contains("api_key: ********************************}"), "{shown}");
}

#[test]
fn no_format_shows_a_token_of_a_refused_line() {
    let token = format!("ghp_{}", "Ab1".repeat(12));
    let key = "f9e8d7c6b5a493827160f5e4d3c2b1a0";
    let lines = [
        format!("requests {token}"),
        format!("{token} = 1"),
        format!("requests={token}"),
        format!("--index_url {token}"),
        format!("--pre={token}"),
        format!("--{token}"),
        format!("-z {token}"),
        format!("-r {token}"),
        format!("--extra-index-url https://example.com/{token}/simple '"),
        format!("OPENAI_API_KEY={key}"),
        format!("search-api: {key}"),
    ];
    let flow = ("flow.dag.yaml", "environment: {python_requirements_txt: requirements.txt}\n");
    for line in lines {
        let folder = Folder::with("check-token", &[flow, ("requirements.txt", &format!("{line}\n"))]);
        for format in ["terminal", "json", "github", "sarif", "junit"] {
            let done = run(folder.path(), &["check", "--format", format]);
            let said = format!("{done:?}");
            assert!(done.stdout.contains("requirements") && done.code == Some(3), "{format} {line}: {done:#?}");
            assert!(!said.contains(&token) && !said.contains(key), "{format}: {done:#?}");
        }
        for words in [["check", "--diff"].as_slice(), &["check", "--diff", "--unsafe-fixes"]] {
            let said = format!("{:?}", run(folder.path(), words));
            assert!(!said.contains(&token) && !said.contains(key), "{said}");
        }
    }
}
