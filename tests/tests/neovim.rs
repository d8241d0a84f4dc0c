//! The Neovim plugin, in a headless Neovim with the built binary.

use std::path::{Path, PathBuf};
use std::process::Command;

use flowgate_tests::flows::THREE_FAULTS;
use flowgate_tests::{Finished, Folder, flowgate, repository};
use serde_json::{Value, json};

/// The Neovim to test with: the one that is named, or the test bed's; `None` where there is none
/// on a developer's machine, loudly.
fn nvim() -> Option<PathBuf> {
    let named = std::env::var_os("FLOWGATE_TEST_NVIM").map(PathBuf::from);
    let nvim = named.unwrap_or_else(|| repository().join("target/testbed/bin/nvim"));
    if nvim.is_file() {
        return Some(nvim);
    }
    flowgate_tests::skip(&format!("no Neovim at {}", nvim.display()));
    None
}

/// Runs a script of `tests/nvim` in a folder and gives what it saw.
fn session(nvim: &Path, folder: &Folder, script: &str) -> Value {
    let scripts = repository().join("tests/nvim");
    let home = Folder::new("nvim-home");
    let seen = home.path().join("seen.json");
    let binary = flowgate();
    let path = std::env::join_paths(
        [binary.parent().expect("its folder").to_owned()]
            .into_iter()
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    )
    .expect("a path");
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "90"]).arg(nvim).args(["--headless", "--clean", "-n"]);
    command.arg("--cmd").arg(format!("set runtimepath^={}", repository().join("editors/nvim").display()));
    command.arg("-c").arg(format!("luafile {}", scripts.join(script).display()));
    command.current_dir(folder.path()).env("PATH", path).env("FLOWGATE_SCRIPTS", &scripts).env("FLOWGATE_SEEN", &seen);
    for variable in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"] {
        command.env(variable, home.path());
    }
    let finished = Finished::of(command.output().expect("timeout starts"));
    let text =
        std::fs::read_to_string(&seen).unwrap_or_else(|error| panic!("the script broke off ({error}): {finished:#?}"));
    assert_eq!(finished.code, Some(0), "{finished:#?}");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn a_flow_with_three_faults_shows_three_diagnostics() {
    let Some(nvim) = nvim() else { return };
    let folder = Folder::with("nvim-findings", &[("flow.dag.yaml", THREE_FAULTS), ("other.yaml", "nodes: 1\n")]);
    let seen = session(&nvim, &folder, "findings.lua");
    assert_eq!(
        seen["opened"],
        json!(["2:28 requirements-path-not-found", "9:18 unknown-node-reference", "15:11 missing-source-file"])
    );
    assert_eq!(seen["mended"], json!(["2:28 requirements-path-not-found", "15:11 missing-source-file"]));
    assert_eq!((&seen["clients"], &seen["clients of another file"]), (&json!(1), &json!(0)));
    assert_eq!(seen["restarted"], seen["mended"]);
}

#[test]
fn the_fix_for_a_pinned_promptflow_changes_the_buffer() {
    let Some(nvim) = nvim() else { return };
    let folder = Folder::with(
        "nvim-fix",
        &[("requirements.txt", "# é😀\nrequests\npromptflow[azure]==1.10.0  # why\npromptflow-tools~=1.4\n")],
    );
    let seen = session(&nvim, &folder, "fix.lua");
    assert_eq!(seen["opened"], json!(["3:1 pinned-promptflow", "4:1 pinned-promptflow"]));
    assert_eq!(seen["offered"], 1);
    assert_eq!(seen["fixed"], json!(["# é😀", "requests", "promptflow[azure]  # why", "promptflow-tools~=1.4"]));
    assert_eq!(seen["after"], json!(["4:1 pinned-promptflow"]));
    assert_eq!(seen["fixed all"], json!(["# é😀", "requests", "promptflow[azure]  # why", "promptflow-tools"]));
}

#[test]
fn files_beside_flows_and_their_parts_are_served_and_no_others() {
    let Some(nvim) = nvim() else { return };
    let flow = "inputs: {text: {type: string}}\nnodes:\n- name: ask\n  type: prompt\n  source: {type: code, path: ask.jinja2}\n";
    let folder = Folder::with(
        "nvim-siblings",
        &[
            ("other.yaml", "type: a\nflow: b\n"),
            ("lonely/tool.py", "a = 1\n"),
            ("nightly.yml", "flow: flow\ndata: rows.jsonl\n"),
            ("connection.yaml", "name: c\ntype: open_ai\napi_key: <user-input>\napi_bse: x\n"),
            ("ask.prompty", "hi\n"),
            ("flow/flow.dag.yaml", flow),
            ("flow/ask.jinja2", "{{ question }}\n"),
        ],
    );
    let seen = session(&nvim, &folder, "siblings.lua");
    assert_eq!((&seen["other.yaml"], &seen["lonely/tool.py"]), (&json!(0), &json!(0)));
    assert_eq!(seen["connection.yaml"], json!(["4:1 invalid-connection"]));
    assert_eq!(seen["ask.prompty"], json!(["1:1 invalid-prompty"]));
    assert_eq!(seen["flow/ask.jinja2"], json!(["1:4 prompt-variable-not-supplied"]));
    assert_eq!(seen["nightly.yml"], json!(["2:7 run-path-not-found"]));
}
