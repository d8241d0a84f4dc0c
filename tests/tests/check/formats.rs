//! The formats for machines, held against what their readers accept.

use expect_test::expect;
use flowgate_tests::{Folder, command, repository, run};
use serde_json::{Value, json};

/// A flow whose findings have related places, safe and unsafe fixes and characters of several bytes, and whose
/// names try to become links, tags and control characters.
const HOSTILE: &str = "inputs:\n  é😀: {type: Int}\n  b: {type: \"[a](https://x) </failure>\\x07\\uFFFF]]>\"}\nnodes:\n- {name: n, type: python, source: {type: code, path: n.py}}\n- {name: n, type: python, source: {type: code, path: n.py}}\n";

fn hostile() -> Folder {
    Folder::with(
        "formats",
        &[
            ("a b%/flow.dag.yaml", HOSTILE),
            ("a b%/n.py", flowgate_tests::flows::ANY_TOOL),
            ("a b%/requirements.txt", "promptflow==1.18.5\n"),
            ("good/flow.dag.yaml", "inputs: {}\n"),
        ],
    )
}

/// What a schema says against a value; empty where it fits.
fn faults(schema: &str, value: &Value) -> String {
    let text = std::fs::read_to_string(repository().join(schema)).expect(schema);
    let mut schemas = boon::Schemas::new();
    let mut compiler = boon::Compiler::new();
    compiler.add_resource("memory:///schema.json", serde_json::from_str(&text).expect("JSON")).expect("a resource");
    let schema = compiler.compile("memory:///schema.json", &mut schemas).expect("a schema");
    schemas.validate(value, schema).err().map_or(String::new(), |error| format!("{error:#}"))
}

fn checked(folder: &Folder, format: &str) -> String {
    let done = run(folder.path(), &["check", "--format", format]);
    assert_eq!((done.code, done.stderr.as_str()), (Some(3), ""), "{format}");
    done.stdout
}

fn sarif(folder: &Folder) -> Value {
    let log: Value = serde_json::from_str(&checked(folder, "sarif")).expect("JSON");
    assert_eq!(faults("tests/schemas/sarif-schema-2.1.0.json", &log), "");
    log
}

#[test]
fn json_fits_its_schema() {
    let mut report: Value = serde_json::from_str(&checked(&hostile(), "json")).expect("JSON");
    assert_eq!(faults("docs/check-report.schema.json", &report), "");
    report["findings"][0]["level"] = json!("fatal");
    assert!(faults("docs/check-report.schema.json", &report).contains("/findings/0/level"));
}

#[test]
fn sarif_fits_its_schema_and_names_every_rule() {
    let log = sarif(&hostile());
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
    for result in run["results"].as_array().expect("results") {
        let index = usize::try_from(result["ruleIndex"].as_u64().expect("an index")).expect("small");
        assert_eq!(rules[index]["id"], result["ruleId"]);
    }
    let rule = rules.iter().find(|rule| rule["id"] == "pinned-promptflow").expect("the rule");
    let page = repository().join("docs/rules/pinned-promptflow.md");
    assert_eq!(rule["help"]["markdown"].as_str(), std::fs::read_to_string(page).ok().as_deref());
    assert!(rule["helpUri"].as_str().is_some_and(|uri| uri.ends_with("/docs/rules/pinned-promptflow.md")));
    // A schema that accepts anything would prove nothing.
    let mut wrong = log.clone();
    wrong["runs"][0]["columnKind"] = json!("bytes");
    assert!(faults("tests/schemas/sarif-schema-2.1.0.json", &wrong).contains("/runs/0/columnKind"));
}

#[test]
fn sarif_shows_the_worst_first_with_places_and_fixes() {
    let log = sarif(&hostile());
    let results = &log["runs"][0]["results"];
    let mut levels: Vec<&str> =
        results.as_array().expect("results").iter().filter_map(|result| result["level"].as_str()).collect();
    levels.dedup();
    assert_eq!(levels, ["error", "warning", "note"]);
    let of = |rule: &str| {
        let result = results.as_array().expect("results").iter().find(|result| result["ruleId"] == rule);
        let mut result = result.unwrap_or_else(|| panic!("{rule}")).clone();
        let object = result.as_object_mut().expect("an object");
        object.retain(|key, _| !["ruleIndex", "partialFingerprints"].contains(&key.as_str()));
        serde_json::to_string_pretty(&result).expect("JSON")
    };
    expect![[r#"
        {
          "ruleId": "duplicate-node-name",
          "level": "error",
          "message": {
            "text": "node name `n` is used twice\nhelp: give each node a name of its own"
          },
          "locations": [
            {
              "physicalLocation": {
                "artifactLocation": {
                  "uri": "a%20b%25/flow.dag.yaml",
                  "uriBaseId": "%SRCROOT%"
                },
                "region": {
                  "startLine": 6,
                  "startColumn": 10,
                  "endLine": 6,
                  "endColumn": 11
                }
              }
            }
          ],
          "relatedLocations": [
            {
              "id": 0,
              "physicalLocation": {
                "artifactLocation": {
                  "uri": "a%20b%25/flow.dag.yaml",
                  "uriBaseId": "%SRCROOT%"
                },
                "region": {
                  "startLine": 5,
                  "startColumn": 10,
                  "endLine": 5,
                  "endColumn": 11
                }
              },
              "message": {
                "text": "first here"
              }
            }
          ]
        }"#]]
    .assert_eq(&of("duplicate-node-name"));
    expect![[r#"
        {
          "ruleId": "invalid-type-name",
          "level": "error",
          "message": {
            "text": "`Int` is not a type\nhelp: write `int`"
          },
          "locations": [
            {
              "physicalLocation": {
                "artifactLocation": {
                  "uri": "a%20b%25/flow.dag.yaml",
                  "uriBaseId": "%SRCROOT%"
                },
                "region": {
                  "startLine": 2,
                  "startColumn": 14,
                  "endLine": 2,
                  "endColumn": 17
                }
              }
            }
          ],
          "fixes": [
            {
              "description": {
                "text": "write `int`"
              },
              "artifactChanges": [
                {
                  "artifactLocation": {
                    "uri": "a%20b%25/flow.dag.yaml",
                    "uriBaseId": "%SRCROOT%"
                  },
                  "replacements": [
                    {
                      "deletedRegion": {
                        "startLine": 2,
                        "startColumn": 14,
                        "endLine": 2,
                        "endColumn": 17
                      },
                      "insertedContent": {
                        "text": "int"
                      }
                    }
                  ]
                }
              ],
              "properties": {
                "applicability": "safe"
              }
            }
          ]
        }"#]]
    .assert_eq(&of("invalid-type-name"));
    let texts: Vec<&str> =
        results.as_array().expect("results").iter().filter_map(|result| result["message"]["text"].as_str()).collect();
    let escaped = |text: &&str| text.starts_with("`[a\\](https://x) </failure>\u{fffd}");
    assert!(texts.iter().any(escaped), "no name becomes a link: {texts:?}");
}

#[test]
fn a_fingerprint_stays_when_lines_move() {
    let flow = "inputs:\n  a: {type: nope}\nnodes:\n- name: x\n  type: pyton\n- name: y\n  type: pyton\n";
    let folder = Folder::with("fingerprint", &[("flow.dag.yaml", flow)]);
    let fingerprints = || {
        let log = sarif(&folder);
        let results = log["runs"][0]["results"].as_array().expect("results").clone();
        let of = |result: &Value| format!("{} {}", result["ruleId"], result["partialFingerprints"]);
        let mut all: Vec<String> = results.iter().map(of).collect();
        all.sort();
        all
    };
    let before = fingerprints();
    let mut unique = before.clone();
    unique.dedup();
    assert!(before.len() > 3 && unique == before, "equal lines are told apart: {before:?}");
    folder.write("flow.dag.yaml", format!("# moved\n\n{flow}"));
    assert_eq!(fingerprints(), before);
    folder.write("flow.dag.yaml", flow.replace("nope", "nop"));
    assert_ne!(fingerprints(), before);
}

#[test]
fn junit_is_red_where_the_exit_code_is() {
    let folder = Folder::with(
        "junit",
        &[
            ("f/flow.dag.yaml", "inputs: {a: {type: Int}}\n"),
            ("f/requirements.txt", "promptflow==1.18.5\n"),
            ("good/flow.dag.yaml", "inputs: {}\n"),
        ],
    );
    expect![[r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="flowgate check" tests="4" skipped="0" failures="1" errors="0">
            <testsuite name="f/flow.dag.yaml" tests="2" skipped="0" errors="0" failures="1">
                <testcase name="implicit-requirements: `environment` does not name the `requirements.txt` beside the flow" classname="f/flow.dag.yaml" file="f/flow.dag.yaml" line="1">
                    <system-out>f/flow.dag.yaml:1:1: hint[implicit-requirements]: `environment` does not name the `requirements.txt` beside the flow
        help: write `python_requirements_txt: requirements.txt` under `environment`</system-out>
                </testcase>
                <testcase name="invalid-type-name: `Int` is not a type" classname="f/flow.dag.yaml" file="f/flow.dag.yaml" line="1">
                    <failure message="`Int` is not a type" type="error">f/flow.dag.yaml:1:20: error[invalid-type-name]: `Int` is not a type
        help: write `int`</failure>
                </testcase>
            </testsuite>
            <testsuite name="f/requirements.txt" tests="1" skipped="0" errors="0" failures="0">
                <testcase name="pinned-promptflow: `promptflow` is pinned (`==1.18.5`), and the base image brings its own version" classname="f/requirements.txt" file="f/requirements.txt" line="1">
                    <system-out>f/requirements.txt:1:1: warning[pinned-promptflow]: `promptflow` is pinned (`==1.18.5`), and the base image brings its own version
        help: write `promptflow` without a version</system-out>
                </testcase>
            </testsuite>
            <testsuite name="good/flow.dag.yaml" tests="1" skipped="0" errors="0" failures="0">
                <testcase name="flowgate check" classname="good/flow.dag.yaml" file="good/flow.dag.yaml"/>
            </testsuite>
        </testsuites>
    "#]].assert_eq(&checked(&folder, "junit"));
    for (level, failures) in [("never", "0"), ("error", "1"), ("warning", "2"), ("hint", "3")] {
        let done = run(folder.path(), &["check", "--format", "junit", "--fail-on", level]);
        let report = roxmltree::Document::parse(&done.stdout).expect("XML");
        assert_eq!(report.root_element().attribute("failures"), Some(failures), "{level}");
        assert_eq!(done.code, Some(if failures == "0" { 0 } else { 3 }), "{level}");
    }
}

#[test]
fn junit_says_what_xml_cannot() {
    let text = checked(&hostile(), "junit");
    let report = roxmltree::Document::parse(&text).expect("XML");
    let messages: Vec<&str> = report.descendants().filter_map(|node| node.attribute("message")).collect();
    assert!(messages.iter().any(|message| message.contains("</failure>")), "{messages:?}");
}

#[test]
fn statistics_are_for_people() {
    for format in ["json", "github", "sarif", "junit"] {
        let done = command(hostile().path(), &["check", "--statistics", "--format", format]).output().expect("starts");
        assert_eq!(done.status.code(), Some(2), "{format}");
    }
}
