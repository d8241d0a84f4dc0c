//! The Python worker by itself, driven over pipes by its own tests (`tests/worker/`), with the real
//! engine of an environment that flowgate made.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use flowgate_runtime::log::LogTail;
use flowgate_runtime::pack::Archive;
use flowgate_runtime::session::{Net, Session};
use flowgate_runtime::wire::JobLimits;
use flowgate_runtime::worker;
use flowgate_tests::{Finished, Folder, command, flows, repository};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;

/// A Python that every user may run: jobs of a worker that is no root run as nobody, and the user's
/// own Python may lie in a folder that is closed to them.
const SYSTEM_PYTHON: &str = "/usr/bin/python3";

/// Makes an environment with promptflow and nothing else, and gives its interpreter.
fn interpreter(cache: &Path) -> PathBuf {
    let folder = Folder::new("worker");
    flows::python(&folder, "plain", "", "import sys\nreturn sys.executable");
    let mut run = command(folder.path(), &["run", "--backend", "process", "plain"]);
    run.env("FLOWGATE_CACHE_DIR", cache);
    if Path::new(SYSTEM_PYTHON).exists() {
        run.env("FLOWGATE_PYTHON", SYSTEM_PYTHON);
    }
    let done = Finished::of(run.output().expect("flowgate starts"));
    let path = done.stdout.lines().find_map(|line| line.trim().strip_prefix("out: "));
    PathBuf::from(path.unwrap_or_else(|| panic!("no output: {done:?}")))
}

#[test]
fn the_workers_own_tests_pass() {
    let cache = Folder::new("worker-environment");
    let python = interpreter(cache.path());
    let mut tests = Command::new(&python);
    tests.args(["-B", "-m", "unittest", "discover", "-s"]).arg(repository().join("tests/worker"));
    let done = Finished::of(tests.env("FLOWGATE_TEST_PYTHON", &python).output().expect("Python starts"));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let count = done.stderr.lines().find_map(|line| line.strip_prefix("Ran ")?.split(' ').next()?.parse::<u32>().ok());
    assert!(count.is_some_and(|count| count > 20), "{}", done.stderr);
}

/// The code of a node that fetches a file of 5 MB and two that are not there, each on a connection of its own.
const FETCH: &str = r#"
import os, urllib.error, urllib.request
def fetch(name):
    try:
        with urllib.request.urlopen(os.environ["GATE"] + name, timeout=60) as answer:
            return f"{answer.status}:{sum(answer.read())}"
    except urllib.error.HTTPError as error:
        return str(error.code)
return " ".join(fetch(name) for name in ("big", "nothing", "big"))
"#;

#[tokio::test(flavor = "multi_thread")]
async fn connections_of_a_job_lead_to_a_server_behind_the_host() {
    let python = interpreter(&flowgate_tests::cache());
    let folder = Folder::new("worker-connections");
    flows::python(&folder, "flow", "", FETCH);
    folder.write("served/big", vec![7; 5_000_000]);
    let mut server = tokio::process::Command::new(&python)
        .args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory"])
        .arg(folder.path().join("served"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut said).await.unwrap();
    let port: u16 = said.split(' ').nth(5).and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("{said}"));

    let mut process = tokio::process::Command::new(&python)
        .args(worker::arguments())
        .env("FLOWGATE_ISOLATION", "process")
        .env("FLOWGATE_WORK", folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let (stdin, stdout) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
    let minute = Duration::from_secs(60);
    let session = Session::start(stdout, stdin, LogTail::default(), minute).await.unwrap();
    let net = Net {
        variables: [("GATE".to_owned(), "http://127.0.0.1:{port}/".to_owned())].into(),
        serve: Box::new(move |mut connection| {
            Box::pin(async move {
                let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut connection, &mut server).await;
            })
        }),
    };
    let tar = Command::new("tar").arg("-C").arg(folder.path().join("flow")).args(["-cf", "-", "."]).output().unwrap();
    let archive = Archive::new(tar.stdout);
    let limits = JobLimits { result_bytes: 1 << 20, output_bytes: 1 << 20 };
    let mut channel = session.open("flow.dag.yaml", &archive, limits, Some(net)).await.unwrap();
    channel.opened(&archive, minute, || {}).await.unwrap();
    let loaded = channel.loaded().await.unwrap();
    let (result, _) = channel.line(0, json!({}).as_object().unwrap()).await.unwrap();
    assert_eq!(json!(result.output), json!({"out": "200:35000000 404 200:35000000"}), "{loaded:?} {result:?}");
    assert_eq!(channel.close().await.unwrap().reason, "closed");
}
