//! Flows that attack what runs them spoil their own results only.
#![cfg(unix)]

use flowgate_tests::Folder;
use flowgate_tests::engine::docker_or_skip;
use flowgate_tests::flows;
use serde_json::json;

/// Frames as they could be forged: huge, unknown, of another channel, and plain noise.
const FORGED: &str = "
frames = [struct.pack('>IBI', 0xffffffff, 0x83, 1), struct.pack('>IBI', 30, 0x83, 2) + b'{\"line\":0,\"status\":\"Completed\"}',
          struct.pack('>IBI', 9, 0xee, 0) + b'none', b'\\xff' * 4096, b'::error::forged\\n']
";

const WRITES_EVERYWHERE: &str = "
for path in [f'/proc/{pid}/fd/{fd}' for pid in ('1', os.getppid(), 'self') for fd in range(256)]:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        for frame in frames:
            os.write(fd, frame)
    except OSError:
        pass
for fd in range(256):
    try:
        for frame in frames:
            os.write(fd, frame)
    except OSError:
        pass
return text";

const OPENS_MEMORY: &str = "
for pid in [name for name in os.listdir('/proc') if name.isdigit() and int(name) != os.getpid()]:
    for name in ('mem', 'environ', 'maps'):
        try:
            # A process that has just ended can be opened, and holds nothing.
            if open(f'/proc/{pid}/{name}', 'rb').read(1):
                return 'could read ' + name + ' of ' + pid
        except OSError:
            pass
return 'nothing'";

const KILLS: &str = "
for pid in [int(name) for name in os.listdir('/proc') if name.isdigit() and int(name) != os.getpid()]:
    try:
        os.kill(pid, signal.SIGKILL)
        return 'could kill ' + str(pid)
    except OSError:
        pass
os.kill(-1, signal.SIGKILL)
return text";

const STAYS: &str = "
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in range(1, 32):
            if number not in (signal.SIGKILL, signal.SIGSTOP):
                signal.signal(number, signal.SIG_IGN)
        while True:
            time.sleep(1)
    os._exit(0)
return text";

const FORKS: &str = "
try:
    while True:
        if os.fork() == 0:
            time.sleep(600)
except OSError:
    return 'stopped'";

#[test]
fn hostile_flows_spoil_only_their_own_results() {
    if docker_or_skip().is_none() {
        return;
    }
    let folder = Folder::new("hostile");
    let all = "import os, signal, struct, time";
    flows::python(&folder, "forges", &format!("{all}\n{FORGED}"), WRITES_EVERYWHERE.trim_start());
    flows::python(
        &folder,
        "forges-on-import",
        &format!(
            "{all}\n{FORGED}\nfor fd in range(3, 256):\n  for frame in frames:\n    try: os.write(fd, frame)\n    except OSError: pass\n"
        ),
        "return text",
    );
    flows::python(&folder, "peeks", all, OPENS_MEMORY.trim_start());
    flows::python(&folder, "kills", all, KILLS.trim_start());
    flows::python(&folder, "stays", all, STAYS.trim_start());
    flows::python(&folder, "forks", all, FORKS.trim_start());
    flows::python(&folder, "exits", all, "os._exit(0)");
    flows::python(&folder, "huge", all, "return 'x' * (32 << 20)");
    flows::python(&folder, "deep", all, "value = []\nfor _ in range(100000): value = [value]\nreturn value");
    for name in ["good-1", "good-2", "good-3"] {
        flows::python(&folder, name, "import time", "time.sleep(1)\nreturn text * 2");
    }
    let ran = flows::run(&folder, &["--backend", "docker", "--line-timeout", "30", "."]);
    ran.assert_code(ran.done.code.expect("an exit code"));
    for name in ["good-1", "good-2", "good-3"] {
        assert_eq!(ran.flow(name)["results"][0]["output"], json!({"out": "hellohello"}), "{:#}", ran.report);
    }
    for name in ["exits", "huge", "deep"] {
        assert_eq!(ran.flow(name)["verdict"], "failed", "{:#}", ran.flow(name));
    }
    assert_eq!(ran.flow("peeks")["results"][0]["output"], json!({"out": "nothing"}));
    for name in ["kills", "stays"] {
        assert_eq!(ran.flow(name)["results"][0]["output"], json!({"out": "hello"}), "{:#}", ran.flow(name));
    }
    // Whatever a forger makes of its own result, it is one result of its own line.
    for name in ["forges", "forges-on-import", "forks"] {
        let flow = ran.flow(name);
        assert_eq!(
            (&flow["lines"]["total"], flow["results"].as_array().map(Vec::len)),
            (&json!(1), Some(1)),
            "{flow:#}"
        );
    }
    assert!(!ran.done.stdout.lines().any(|line| line.starts_with("::")), "{}", ran.done.stdout);
}
