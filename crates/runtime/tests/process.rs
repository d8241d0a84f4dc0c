//! The process backend end to end, with the real engine. The environment is kept in the target
//! directory: the first run needs a package index.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "what a test needs is there, or the test fails")]

mod common;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use common::{Folder, error, options, outcomes, run};
use flowgate_runtime::backend::process::{Process, ProcessOptions};
use flowgate_runtime::backend::{Progress, Said};
use flowgate_runtime::outcome::{ExitReason, FlowError};
use flowgate_runtime::{Cancel, EnvironmentPlan, Limits, Outcome, RunEvent, Stage, Verdict, plan};
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_secs(60);
const HELLO: &str = r#"
inputs: {name: {type: string, default: world}}
outputs: {greeting: {type: string, reference: "${shout.output}"}}
environment_variables: {MARK: "!"}
nodes:
- {name: greet, type: python, source: {type: code, path: greet.py}, inputs: {name: "${inputs.name}"}}
- {name: shout, type: python, source: {type: code, path: shout.py}, inputs: {text: "${greet.output}"}}
"#;
const TOOL: &str = "from promptflow.core import tool\n@tool\n";

fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache")
}

fn backend(cache_dir: PathBuf) -> Process {
    let search: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect();
    let find = |name: &str| search.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    let python = std::env::var_os("FLOWGATE_PYTHON").map(PathBuf::from).or_else(|| find("python3"));
    let env: Vec<(OsString, OsString)> = std::env::vars_os().filter(|(name, _)| name != "PYTHONPATH").collect();
    Process::new(ProcessOptions { cache_dir, python, uv: find("uv"), env, timeout: Duration::from_secs(3600) })
}

fn tool(signature: &str, body: &str) -> String {
    let body: String = body.lines().map(|line| format!("    {line}\n")).collect();
    format!("{TOOL}def run({signature}):\n{body}")
}

/// A flow of one node that gets `x` and gives `out`.
fn flow(extra: &str) -> String {
    format!(
        "inputs: {{x: {{type: int}}}}\noutputs: {{out: {{type: string, reference: \"${{a.output}}\"}}}}\n\
         nodes:\n- {{name: a, type: python, source: {{type: code, path: a.py}}, inputs: {{x: \"${{inputs.x}}\"}}}}\n{extra}"
    )
}

/// What is left of runs: folders that flows ran in.
fn leftovers(cache: &Path) -> Vec<String> {
    let names =
        std::fs::read_dir(cache.join("work")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != "guard").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_of_each_kind_end_as_they_should() {
    let (one, sum) = (
        flow(""),
        flow(
            "- {name: sum, type: python, aggregation: true, source: {type: code, path: sum.py}, inputs: {xs: \"${a.output}\", inputs: \"${inputs.x}\"}}\n",
        ),
    );
    let raises = tool("x: int", "if x == 1:\n    raise ValueError('one is too many')\nreturn x");
    let hangs = tool("x: int", "import time\nif x == 1:\n    time.sleep(600)\nreturn x");
    let dies = tool("x: int", "import os, signal\nif x == 1:\n    os.kill(os.getpid(), signal.SIGSEGV)\nreturn x");
    let loud = tool("x: int", "import os\nprint('::error::' + 'x' * 1_000_000)\nos.write(1, b'raw')\nreturn x");
    let module = format!("import no_such_module\n{}", tool("x: int", "return x"));
    let doubles = tool("x: int", "return x * 2");
    let sums = tool(
        "xs: list, inputs: list",
        "from promptflow.core import log_metric\nlog_metric('sum', sum(xs))\nlog_metric('lines', len(inputs))\nreturn 0",
    );
    let needs = "- {name: ask, type: llm, source: {type: code, path: ask.jinja2}, provider: AzureOpenAI, connection: mine, api: chat, inputs: {deployment_name: x}}\n";
    let folder = Folder::new().with(&[
        ("hello/flow.dag.yaml", &format!("{HELLO}additional_includes: [../shared/shout.py]\n")),
        ("hello/greet.py", &tool("name: str", "return f'hello {name}'")),
        ("shared/shout.py", &tool("text: str", "import os\nreturn text.upper() + os.environ['MARK']")),
        ("raises/flow.dag.yaml", &one),
        ("raises/a.py", &raises),
        ("hangs/flow.dag.yaml", &one),
        ("hangs/a.py", &hangs),
        ("dies/flow.dag.yaml", &one),
        ("dies/a.py", &dies),
        ("loud/flow.dag.yaml", &one),
        ("loud/a.py", &loud),
        ("module/flow.dag.yaml", &one),
        ("module/a.py", &module),
        ("sum/flow.dag.yaml", &sum),
        ("sum/a.py", &doubles),
        ("sum/sum.py", &sums),
        ("needs/flow.dag.yaml", &flow(needs)),
        ("needs/a.py", &doubles),
        ("needs/ask.jinja2", "user:\nhi"),
    ]);
    let three = json!([{"x": 0}, {"x": 1}, {"x": 2}]);
    let mut cases = vec![folder.case("hello", json!([{}, {"name": "you"}]))];
    cases.extend(
        ["raises", "hangs", "dies", "loud", "module", "sum", "needs"].map(|name| folder.case(name, three.clone())),
    );
    let backend = backend(cache());
    let (report, events) = run(&backend, cases, &options(Duration::from_secs(10), 1), &Cancel::new()).await;
    let by_name = |name: &str| report.flows.iter().find(|flow| flow.flow == name).unwrap();
    let only_one = |outcome| [Outcome::Passed, outcome, Outcome::Passed];

    let hello = by_name("hello");
    let outputs: Vec<Value> =
        hello.lines.iter().map(|line| Value::Object(line.output.clone().unwrap_or_default())).collect();
    assert_eq!(outputs, [json!({"greeting": "HELLO WORLD!"}), json!({"greeting": "HELLO YOU!"})], "{hello:?}");

    let raises = by_name("raises");
    assert_eq!(outcomes(raises), only_one(Outcome::Failed), "{raises:?}");
    let fault = raises.lines[1].error.as_ref().unwrap();
    assert_eq!((fault.r#type.as_str(), fault.node.as_deref()), ("ValueError", Some("a")));
    assert!(
        fault.message.contains("one is too many") && fault.traceback.as_ref().is_some_and(|text| text.contains("a.py"))
    );

    assert_eq!(outcomes(by_name("hangs")), only_one(Outcome::TimedOut), "{:?}", by_name("hangs"));
    assert_eq!(outcomes(by_name("dies")), only_one(Outcome::Failed));
    assert_eq!(error(&by_name("dies").lines[1]), "ProcessCrashError");
    assert!(by_name("dies").lines[1].error.as_ref().unwrap().message.contains("SIGSEGV"));

    let loud = by_name("loud");
    assert_eq!(loud.verdict(), Verdict::Passed, "{:?}", loud.lines);
    assert!(loud.log.contains("::error::") && loud.log.contains("raw") && loud.log.len() <= 64 << 10);

    let Some(FlowError::Refused(fault)) = &by_name("module").error else { panic!("{:?}", by_name("module").error) };
    assert!(fault.message.contains("no_such_module"), "{fault:?}");
    assert_eq!(outcomes(by_name("module")), [Outcome::Errored; 3]);
    assert_eq!(by_name("module").exit_reason(), ExitReason::Environment);

    let sum = by_name("sum");
    assert_eq!(Value::Object(sum.metrics.clone()), json!({"sum": 6, "lines": 3}), "{sum:?}");
    assert_eq!(sum.verdict(), Verdict::Passed);

    let Some(FlowError::Refused(fault)) = &by_name("needs").error else { panic!("{:?}", by_name("needs").error) };
    assert_eq!(fault.message, "node `ask` needs the connection `mine`; flowgate passes no connection into a runtime");
    assert_eq!(outcomes(by_name("needs")), [Outcome::Skipped; 3]);
    assert_eq!(by_name("needs").exit_reason(), ExitReason::Skipped);
    assert!(!events.iter().any(|event| matches!(event, RunEvent::Notice { .. })), "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_run_in_several_processes_and_cancel_leaves_nothing() {
    let (ran, slow) = (
        tool("x: int", "import os\nreturn f'{x} {os.getpid()}'"),
        tool("x: int", "import time\nif x:\n    time.sleep(600)\nreturn x"),
    );
    let folder = Folder::new().with(&[
        ("ran/flow.dag.yaml", &flow("")),
        ("ran/a.py", &ran),
        ("slow/flow.dag.yaml", &flow("")),
        ("slow/a.py", &slow),
    ]);
    // A cache of its own, so that the leftovers are this test's; the environment itself is shared.
    std::fs::create_dir_all(cache().join("venvs")).unwrap();
    std::os::unix::fs::symlink(cache().join("venvs"), folder.0.join("venvs")).unwrap();
    let backend = backend(folder.0.clone());
    let (report, _) =
        run(&backend, vec![folder.case("ran", common::rows(8))], &options(MINUTE, 3), &Cancel::new()).await;
    let texts: Vec<(String, String)> = report.flows[0]
        .lines
        .iter()
        .map(|line| {
            line.output.as_ref().unwrap_or_else(|| panic!("{line:?}"))["out"].as_str().unwrap().split_once(' ').unwrap()
        })
        .map(|(x, pid)| (x.to_owned(), pid.to_owned()))
        .collect();
    assert_eq!(texts.iter().map(|(x, _)| x.clone()).collect::<Vec<_>>(), ["0", "1", "2", "3", "4", "5", "6", "7"]);
    let pids: std::collections::BTreeSet<_> = texts.iter().map(|(_, pid)| pid).collect();
    assert!((1..=3).contains(&pids.len()), "{pids:?}");
    assert_eq!(leftovers(&folder.0), Vec::<String>::new());

    let cancel = Cancel::new();
    let cases = vec![folder.case("slow", common::rows(2))];
    let options = options(MINUTE, 2);
    let events = |event: RunEvent| {
        if matches!(event, RunEvent::LineFinished { .. }) {
            cancel.cancel();
        }
    };
    let report = flowgate_runtime::runner::run(&backend, cases, &options, &events, cancel.clone()).await;
    assert_eq!(
        (outcomes(&report.flows[0]), report.exit_reason()),
        (vec![Outcome::Passed, Outcome::Skipped], ExitReason::Cancelled)
    );
    assert_eq!(leftovers(&folder.0), Vec::<String>::new());
}

fn planned(folder: &Folder) -> EnvironmentPlan {
    plan(&folder.case("flow", json!([])).project, &Default::default()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_flows_own_requirements_come_on_top_within_their_constraints() {
    let version = tool("x: int", "import toolz\nreturn toolz.__version__");
    let folder = Folder::new().with(&[
        ("flow/flow.dag.yaml", &flow("")),
        ("flow/a.py", &version),
        ("flow/requirements.txt", "-c limits.txt\ntoolz  # small, and no part of the lock\n"),
        ("flow/limits.txt", "toolz<0.12\n"),
    ]);
    let (report, events) =
        run(&backend(cache()), vec![folder.case("flow", common::rows(1))], &options(MINUTE, 1), &Cancel::new()).await;
    let line = &report.flows[0].lines[0];
    assert_eq!(
        line.output.as_ref().map(|output| output["out"].clone()),
        Some(json!("0.11.2")),
        "{report:?} {events:?}"
    );
}

fn has_uv() -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap()).any(|folder| folder.join("uv").is_file())
}

/// A cache of its own, which has the environment that all others are copies of. Gives that one's folder.
async fn with_base(cache_dir: &Path) -> PathBuf {
    let folder = Folder::new().with(&[("flow/flow.dag.yaml", &flow(""))]);
    let python = backend(cache()).python(&planned(&folder), Progress(&|_| {})).await.unwrap();
    let home = python.ancestors().nth(4).unwrap();
    let link = cache_dir.join("venvs").join(home.file_name().unwrap());
    std::fs::create_dir_all(link.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(home, &link).unwrap();
    link
}

/// The folders of environments, whole or not.
fn environments(cache_dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(cache_dir.join("venvs")).unwrap();
    entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_environment_is_a_copy_that_leaves_the_first_as_it_was() {
    use std::os::unix::fs::MetadataExt;
    let folder = Folder::new().with(&[
        ("flow/flow.dag.yaml", &flow("")),
        ("other/flow.dag.yaml", &flow("")),
        ("other/requirements.txt", "idna==3.7\n"),
    ]);
    let backend = backend(cache());
    let said = Mutex::new(Vec::new());
    let hear = |one: Said<'_>| said.lock().unwrap().push(format!("{one:?}"));
    let prepare = async |name: &str| {
        let plan = plan(&folder.case(name, json!([])).project, &Default::default()).unwrap();
        let python = backend.python(&plan, Progress(&hear)).await.unwrap();
        let print = "import importlib.metadata as m, tabulate; print(m.version('idna'), tabulate.__file__)";
        let output = std::process::Command::new(&python).args(["-I", "-c", print]).output().unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        let (version, file) = output.trim().split_once(' ').unwrap();
        let file = std::fs::metadata(file).unwrap();
        // What is changed in place would change for all; and uv's lock is each one's own.
        assert!(file.permissions().readonly());
        let lock = std::fs::metadata(python.ancestors().nth(2).unwrap().join(".lock"));
        assert!(lock.is_ok_and(|lock| lock.nlink() == 1) || !has_uv());
        (python, version.to_owned(), file.ino())
    };
    let first = prepare("flow").await;
    said.lock().unwrap().clear();
    let (python, version, file) = prepare("other").await;
    assert!(!said.lock().unwrap().iter().any(|text| text.contains("installing promptflow")), "{said:?}");
    assert_eq!((version.as_str(), file), ("3.7", first.2));
    // A script starts the Python of its own environment.
    let script = std::fs::read_to_string(python.with_file_name("pf")).unwrap();
    assert!(script.starts_with(&format!("#!{}", python.parent().unwrap().display())), "{script}");
    assert!(python != first.0 && first.1 != "3.7" && first == prepare("flow").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_install_that_fails_says_why_and_leaves_no_environment() {
    let folder = Folder::new()
        .with(&[("flow/flow.dag.yaml", &flow("")), ("flow/requirements.txt", "flowgate-has-no-such-package==0.0.1\n")]);
    let base = with_base(&folder.0.join("cache")).await;
    let error = backend(folder.0.join("cache")).python(&planned(&folder), Progress(&|_| {})).await.unwrap_err();
    assert_eq!(error.stage, Stage::Environment);
    let said = "requirements.txt:1: `flowgate-has-no-such-package==0.0.1` cannot be had from the indexes: ";
    assert!(error.message.starts_with(said) && error.log.is_none(), "{error:?}");
    assert_eq!(environments(&folder.0.join("cache")), [base]);
}

#[tokio::test(flavor = "multi_thread")]
async fn requirements_that_do_not_go_with_the_engine_or_have_no_hash_are_refused() {
    let zero = format!("--hash=sha256:{}", "0".repeat(64));
    for (requirements, said) in [
        ("promptflow==1.11.0\n", "`promptflow==1.11.0` cannot be met together with what flowgate's lock holds: "),
        ("tabulate==0.8.10\n", "`tabulate==0.8.10` cannot be met together with "),
        (&format!("toolz {zero}\n"), "is not pinned with `==`"),
        (&format!("toolz==0.12.0 {zero}\n"), ": the file on the index has another hash"),
        (
            "html5lib==1.1 --hash=sha256:0d78f8fde1c230e99fe37986a60526d7049ed4bf8a9fadbad5f00e22e58e041d\n",
            "bring `webencodings==",
        ),
    ] {
        let folder = Folder::new().with(&[("flow/flow.dag.yaml", &flow("")), ("flow/requirements.txt", requirements)]);
        let error = backend(cache()).python(&planned(&folder), Progress(&|_| {})).await.unwrap_err();
        assert_eq!(error.stage, Stage::Environment);
        assert!(error.message.contains(said), "{requirements}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_is_broken_off_is_swept_and_two_at_once_share_one() {
    let folder = Folder::new().with(&[("flow/flow.dag.yaml", &flow("")), ("flow/requirements.txt", "toolz\n")]);
    let (cache, plan) = (folder.0.join("cache"), planned(&folder));
    let base = with_base(&cache).await;
    let first = backend(cache.clone());
    let begun = Cancel::new();
    let begin = |said: Said<'_>| {
        if matches!(said, Said::Step(what) if what.starts_with("installing")) {
            begun.cancel();
        }
    };
    tokio::select! {
        done = first.python(&plan, Progress(&begin)) => panic!("{done:?}"),
        () = begun.cancelled() => {}
    }
    let said = Mutex::new(Vec::new());
    let hear = |one: Said<'_>| said.lock().unwrap().push(format!("{one:?}"));
    let progress = Progress(&hear);
    let (one, two) = (backend(cache.clone()), backend(cache.clone()));
    let (one, two) = tokio::join!(one.python(&plan, progress), two.python(&plan, progress));
    assert_eq!(one.unwrap(), two.unwrap());
    let said = said.into_inner().unwrap();
    let count = |start: &str| said.iter().filter(|text| text.contains(start)).count();
    assert_eq!((count("installing the flow's requirements"), count("waiting for another")), (1, 1), "{said:?}");
    let home = environments(&cache).into_iter().find(|home| *home != base).unwrap();
    let builds = std::fs::read_dir(home).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir()).count();
    assert_eq!(builds, 1);
}

#[tokio::test]
async fn requirements_that_name_local_files_are_refused_by_name() {
    let folder = Folder::new().with(&[
        ("flow/flow.dag.yaml", &flow("")),
        ("flow/requirements.txt", "requests\n./wheels/x-1.0-py3-none-any.whl\n"),
        ("flow/wheels/x-1.0-py3-none-any.whl", ""),
    ]);
    let error = backend(folder.0.join("cache")).python(&planned(&folder), Progress(&|_| {})).await.unwrap_err();
    assert!(error.message.contains("requirements.txt:2") && error.message.contains("./wheels/x-1.0"), "{error:?}");
}

#[tokio::test]
async fn an_unfit_python_is_named() {
    let folder =
        Folder::new().with(&[("flow/flow.dag.yaml", &flow("")), ("python", "#!/bin/sh\necho 3 8 3.8.1 cpython\n")]);
    let python = folder.0.join("python");
    std::fs::set_permissions(&python, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let prepare = async |python: Option<PathBuf>| {
        let cache_dir = folder.0.join("cache");
        let options = ProcessOptions { cache_dir, python, uv: None, env: Vec::new(), timeout: Duration::from_secs(60) };
        Process::new(options).python(&planned(&folder), Progress(&|_| {})).await.unwrap_err()
    };
    let error = prepare(Some(python)).await;
    assert!(error.message.ends_with("is Python 3.8, and promptflow 1.18.5 needs 3.10 to 3.13"), "{error:?}");
    assert_eq!(prepare(None).await.message, "there is no Python on the search path");
    assert!(prepare(Some("/no/such/python".into())).await.message.starts_with("cannot start /no/such/python"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_cannot_start_says_why_and_leaves_nothing() {
    let folder = Folder::new().with(&[
        ("gone", "#!/bin/sh\necho last words >&2\n"),
        ("slow", "#!/bin/sh\nexec sleep 600\n"),
        ("loud", "#!/bin/sh\nexec echo hello there\n"),
    ]);
    for name in ["gone", "slow", "loud"] {
        std::fs::set_permissions(folder.0.join(name), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let backend = backend(folder.0.clone());
    let python = std::env::var_os("FLOWGATE_PYTHON").unwrap_or("python3".into());
    let made = std::process::Command::new(python)
        .args(["-m", "venv", "--without-pip"])
        .arg(folder.0.join("bare"))
        .status()
        .unwrap();
    assert!(made.success());
    let start = async |python: &str, seconds: u64| {
        let limits = Limits { start_timeout: Duration::from_secs(seconds), ..Limits::default() };
        let error = backend.start(&folder.0.join(python), &limits).await.err().unwrap();
        assert_eq!(error.stage, Stage::Runtime);
        error
    };
    let error = start("gone", 60).await;
    assert_eq!((error.message.as_str(), error.log.as_deref()), ("the worker ended unexpectedly", Some("last words")));
    assert_eq!(start("slow", 1).await.message, "the worker did not answer within 1 s");
    assert!(
        start("loud", 60).await.message.starts_with("worker sent a frame of kind 0x6f that announces 1751477356 bytes")
    );
    assert!(start("none", 60).await.message.starts_with("cannot start "));
    let error = start("bare/bin/python", 60).await;
    assert!(
        error.message.starts_with("the worker failed: ImportError: ") && error.message.contains("promptflow"),
        "{error:?}"
    );
    assert_eq!(leftovers(&folder.0), Vec::<String>::new());
}

const CLIENT: &str = "FLOWGATE_TEST_CLIENT";

/// Run by the next test in a process of its own, which is killed.
#[tokio::test(flavor = "multi_thread")]
async fn the_client_that_is_killed() {
    let Some(place) = std::env::var_os(CLIENT).map(PathBuf::from) else { return };
    let folder = std::mem::ManuallyDrop::new(Folder(place));
    let case = folder.case("flow", common::rows(1));
    run(&backend(cache()), vec![case], &options(MINUTE, 1), &Cancel::new()).await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn kill_9_of_the_client_leaves_no_process() {
    let body = "import os, subprocess, time\npids = [os.getpid(), subprocess.Popen(['sleep', '600'], start_new_session=True).pid]\n\
                while True:\n    parent = int(open(f'/proc/{pids[-1]}/stat').read().rpartition(')')[2].split()[1]) if len(pids) > 2 else os.getppid()\n    \
                if parent in (1, CLIENT):\n        break\n    pids.append(parent)\n\
                open('PIDS.new', 'w').write(' '.join(map(str, pids)))\nos.rename('PIDS.new', 'PIDS')\ntime.sleep(600)";
    let folder = Folder::new().with(&[("flow/flow.dag.yaml", &flow(""))]);
    // The client makes the environment first, outside of what is killed.
    backend(cache()).python(&planned(&folder), Progress(&|_| {})).await.unwrap();
    let pids = folder.0.join("pids");
    // The client runs in this process group; its own pid is what the flow must stop at.
    let gate = folder.0.join("flow/a.py");
    let mut client = {
        let mut command = std::process::Command::new("/bin/sh");
        let script = "sed -i \"s/CLIENT/$$/\" \"$GATE\"; exec \"$0\" the_client_that_is_killed --exact";
        std::fs::write(&gate, tool("x: int", &body.replace("PIDS", pids.to_str().unwrap()))).unwrap();
        command.args(["-c", script]).arg(std::env::current_exe().unwrap()).env(CLIENT, &folder.0).env("GATE", &gate);
        command.stdout(std::process::Stdio::null()).spawn().unwrap()
    };
    let patience = std::time::Instant::now() + 2 * MINUTE;
    let wait = async |what: &str, done: &dyn Fn() -> bool| {
        while !done() {
            assert!(std::time::Instant::now() < patience, "{what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    wait("the flow did not begin", &|| pids.exists()).await;
    let pids: Vec<String> = std::fs::read_to_string(&pids).unwrap().split(' ').map(str::to_owned).collect();
    // The flow, its own child, its keeper, the zygote, the broker.
    assert_eq!(pids.len(), 5, "{pids:?}");
    client.kill().unwrap();
    client.wait().unwrap();
    let dead =
        |pid: &String| std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "));
    wait("a process is left", &|| pids.iter().all(dead)).await;
}
