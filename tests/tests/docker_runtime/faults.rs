//! What goes wrong around runtimes: their state converges, nothing is left, and the message says what to do.

use std::io::{BufRead, BufReader};
use std::sync::{Arc, Mutex};

use flowgate_tests::engine::wait_for;
use flowgate_tests::{Finished, flows};
use serde_json::Value;

use super::place::{PREFIX, Place};

fn running(name: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), "Running".to_owned())]
}

#[test]
fn what_is_killed_or_done_twice_leaves_nothing_behind() {
    let Some(place) = Place::new("runtime-faults") else { return };
    states_are_told_as_they_change(&place);
    two_starts_are_one_runtime(&place);
    a_killed_start_leaves_nothing(&place);
    a_run_that_is_killed_ends_its_jobs_alone(&place);
    what_runs_is_not_lost_without_asking(&place);
    an_idle_one_leaves(&place);
    a_named_one_survives_the_engine(place);
}

fn states_are_told_as_they_change(place: &Place) {
    let mut watch = place.start(&["runtime", "list", "--watch", "--format", "json"]);
    let output = BufReader::new(watch.stdout.take().expect("its output"));
    let seen: Arc<Mutex<Vec<Value>>> = Arc::default();
    let heard = Arc::clone(&seen);
    std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            heard.lock().expect("the lines").push(serde_json::from_str(&line).expect("JSON"));
        }
    });
    // In whatever steps: that this is the last one.
    let comes = |expected: [Value; 3]| {
        wait_for(&format!("{expected:?}"), || {
            let seen = seen.lock().expect("the lines");
            let last = seen.last()?;
            assert_eq!((&last["version"], &last["runtime"]), (&1.into(), &"watched".into()), "{last}");
            (["from", "state", "stage"].map(|key| last[key].clone()) == expected).then_some(())
        });
    };
    let (away, running) = (Value::from("Not available"), Value::from("Running"));
    place.ok(&["runtime", "create", "watched", "flow"]);
    comes([away.clone(), running.clone(), Value::Null]);
    place.engine.docker(&["pause", "flowgate-rt-watched"]);
    comes([running.clone(), away.clone(), "paused".into()]);
    place.engine.docker(&["unpause", "flowgate-rt-watched"]);
    comes([away.clone(), running.clone(), Value::Null]);
    place.engine.docker(&["kill", "flowgate-rt-watched"]);
    comes([running, away.clone(), "ended".into()]);
    place.ok(&["runtime", "prune", "--yes"]);
    comes([away, Value::Null, Value::Null]);
    assert!(watch.try_wait().expect("its state").is_none(), "it goes on");
    watch.kill().expect("it runs");
    watch.wait().expect("it ends");
    place.is_empty();
}

fn two_starts_are_one_runtime(place: &Place) {
    let starts: Vec<_> = (0..4).map(|_| place.start(&["runtime", "create", "one", "flow"])).collect();
    for start in starts {
        let done = Finished::of(start.wait_with_output().expect("flowgate ends"));
        assert_eq!(done.code, Some(0), "{done:?}");
        assert!(done.stdout.contains("state     Running"), "{done:?}");
    }
    assert_eq!(place.containers(), [format!("{PREFIX}one")]);
    assert_eq!(place.states(), running("one"));
    place.ok(&["runtime", "stop", "one"]);
    place.is_empty();
}

fn a_killed_start_leaves_nothing(place: &Place) {
    let container = format!("{PREFIX}killed");
    let is_there = || !place.containers().is_empty();
    let runs = || place.engine.docker(&["ps", "--quiet"]).trim() != "";
    // Broker and zygote: the engine is being imported.
    let imports = || runs() && place.engine.docker(&["top", &container]).matches("python").count() > 1;
    let moments: [(&str, &dyn Fn() -> bool); 3] =
        [("its container is there", &is_there), ("it runs", &runs), ("it imports the engine", &imports)];
    for (moment, has_come) in moments {
        let mut start = place.start(&["runtime", "create", "killed", "flow"]);
        wait_for(moment, || has_come().then_some(()));
        start.kill().expect("it runs");
        start.wait().expect("it ends");
        let again = place.runtime(&["create", "killed", "flow"]);
        assert_eq!(again["state"], "Running");
        assert_eq!(place.containers(), std::slice::from_ref(&container), "killed when {moment}");
        place.ok(&["runtime", "stop", "killed"]);
        place.is_empty();
    }
}

fn a_run_that_is_killed_ends_its_jobs_alone(place: &Place) {
    flows::python(&place.folder, "slow", "", "import time\nopen('/tmp/began', 'w').close()\ntime.sleep(600)");
    place.ok(&["runtime", "create", "shared", "flow"]);
    let container = format!("{PREFIX}shared");
    let files = || place.engine.docker(&["exec", &container, "ls", "/tmp"]);
    for signal in ["KILL", "STOP"] {
        let mut slow = place.start(&["run", "--backend", "docker", "slow"]);
        wait_for("the slow flow", || files().contains("began").then_some(()));
        let kill = ["-s", signal, &slow.id().to_string()];
        assert!(std::process::Command::new("kill").args(kill).status().is_ok_and(|status| status.success()));
        let other = place.ok(&["run", "--backend", "docker", "flow"]);
        assert!(other.stderr.contains("The warm runtime `shared` is used."), "{other:?}");
        assert!(other.stdout.contains("out: hello!"), "{other:?}");
        slow.kill().expect("it is there");
        slow.wait().expect("it ends");
        wait_for("the end of its jobs", || {
            let usage = place.runtime(&["show", "shared"])["usage"].take();
            (usage["jobs"] == 0 && usage["clients"] == 0).then_some(())
        });
        assert!(!files().contains("began"), "{}", files());
    }
    place.ok(&["runtime", "stop", "shared"]);
}

fn what_runs_is_not_lost_without_asking(place: &Place) {
    place.ok(&["runtime", "create", "busy", "flow"]);
    let mut slow = place.start(&["run", "--backend", "docker", "slow"]);
    wait_for("the slow flow", || (place.runtime(&["show", "busy"])["usage"]["lines"] == 1).then_some(()));
    for verb in [&["runtime", "stop", "busy"][..], &["runtime", "reset", "busy"]] {
        place.fails(
            verb,
            2,
            &[
                "busy: 1 process of a flow is running for 1 client",
                "cannot ask for confirmation without a terminal",
                "`--yes`",
            ],
        );
    }
    place.fails(&["runtime", "edit", "busy"], 2, &["nothing to change", "--idle or --size"]);
    // What loses nothing asks nothing.
    assert_eq!(place.runtime(&["edit", "busy", "--idle", "2h"])["idle_seconds"], 7200);
    place.ok(&["runtime", "stop", "busy", "--yes"]);
    let slow_ended = slow.wait().expect("it ends");
    assert_eq!(slow_ended.code(), Some(5));
    place.is_empty();
}

fn an_idle_one_leaves(place: &Place) {
    let runtime = place.runtime(&["start", "flow", "--idle", "1s"]);
    assert_eq!((&runtime["type"], &runtime["idle_seconds"]), (&"automatic".into(), &1.into()));
    place.is_empty();
    assert_eq!(place.states(), []);
    // And `run --keep` starts one that stays.
    let kept = place.ok(&["run", "--backend", "docker", "--keep", "flow"]);
    assert!(kept.stdout.contains("out: hello!"), "{kept:?}");
    let name = place.states().pop().expect("a runtime").0;
    let again = place.ok(&["run", "--backend", "docker", "flow"]);
    assert!(again.stderr.contains(&format!("The warm runtime `{name}` is used.")), "{again:?}");
    place.fails(&["runtime", "start", "flow", "--idle", "5m"], 2, &["runs already", "flowgate runtime edit"]);
    // Its name's start, as Docker takes the start of an id.
    place.ok(&["runtime", "stop", &name[..6]]);
    place.is_empty();
}

fn a_named_one_survives_the_engine(mut place: Place) {
    place.ok(&["runtime", "create", "team", "flow", "--idle", "1h", "--size", "cpus=1,memory=1GiB"]);
    flows::python(&place.folder, "other", "", "return text");
    place.folder.write("other/requirements.txt", "six==1.16.0\n");
    place.ok(&["runtime", "start", "other"]);
    assert_eq!(place.states().len(), 2);
    place.engine.restart();
    // The automatic one is gone with the engine; the other one is started by its next use.
    assert_eq!(place.states(), [("team".to_owned(), "Not available".to_owned())]);
    place.fails(
        &["runtime", "edit", "team", "--idle", "2h"],
        2,
        &["its state is `Not available`", "flowgate runtime start"],
    );
    let ran = place.ok(&["run", "--backend", "docker", "flow"]);
    assert!(ran.stderr.contains("The warm runtime `team` is used."), "{ran:?}");
    let again = place.runtime(&["show", "team"]);
    assert_eq!((&again["state"], &again["idle_seconds"]), (&"Running".into(), &3600.into()));
    assert_eq!((&again["cpus"], &again["memory"]), (&1.0.into(), &(1u64 << 30).into()));
    // What is killed in there has failed or ended, and `prune` says so before it removes it.
    place.engine.docker(&["kill", "flowgate-rt-team"]);
    place.fails(&["runtime", "prune"], 2, &["would remove team", "nothing was removed"]);
    assert_eq!(place.ok(&["runtime", "prune", "--yes"]).stdout, "removed team\n");
    place.is_empty();
}

fn memory_that_runs_out_is_told_with_the_size_to_try(place: &Place) {
    flows::python(&place.folder, "greedy", "", "return str(len(b'x' * (1 << 30)))");
    let start = |size| place.ok(&["runtime", "create", "small", "greedy", "--size", size]);
    start("memory=600MiB");
    let ran = place.run(&["run", "--backend", "docker", "greedy"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for part in ["OutOfMemory: ", "while row 1 ran, because memory ran out: its runtime has 600 MiB", "memory=2GiB`"] {
        assert!(ran.stdout.contains(part), "{part}: {ran:?}");
    }
    // The runtime has lost that job and nothing else, and what is said helps.
    assert!(place.ok(&["run", "--backend", "docker", "flow"]).stderr.contains("`small`"));
    place.ok(&["runtime", "edit", "small", "--size", "memory=2GiB"]);
    place.ok(&["run", "--backend", "docker", "greedy"]);
    place.ok(&["runtime", "stop", "small", "--yes"]);
}

/// `resources` and `identity` of a run specification count where the command line does not say otherwise.
fn a_run_specification_says_what_to_start(place: &Place) {
    let resources = "resources: {instance_type: Standard_B1ms, compute: lab}\n";
    let identity = "identity: {type: managed, client_id: 11111111-2222-3333-4444-555555555555}\n";
    place.folder.write("runs/run.yml", format!("flow: ../flow\ndata: data.jsonl\n{resources}{identity}"));
    let started = place.ok(&["runtime", "start", "runs/run.yml"]);
    assert!(
        started.stderr.contains("The compute `lab` of runs/run.yml is not known here, and ignored."),
        "{started:?}"
    );
    for part in ["size      1 cpu, 2 GiB", "identity  11111111-2222-3333-4444-555555555555", "flow      flow"] {
        assert!(started.stdout.contains(part), "{started:?}");
    }
    // It opens feeds as that one when it is replaced, too.
    assert!(place.ok(&["runtime", "reset", "flow"]).stdout.contains("identity  11111111-"));
    place.ok(&["runtime", "stop", "flow"]);
    let sized = place.runtime(&["create", "sized", "runs/run.yml", "--size", "memory=1GiB"]);
    assert_eq!((&sized["cpus"], &sized["memory"]), (&2.0.into(), &(1u64 << 30).into()));
    place.ok(&["runtime", "stop", "sized"]);
    place.folder.write("runs/remote.yml", "flow: azureml:flow\ndata: data.jsonl\n");
    place.fails(&["runtime", "start", "runs/remote.yml"], 2, &["runs/remote.yml names no flow of this machine"]);
}

#[test]
fn bad_input_is_told_and_loses_nothing() {
    let Some(place) = Place::new("runtime-bad") else { return };
    a_run_specification_says_what_to_start(&place);
    memory_that_runs_out_is_told_with_the_size_to_try(&place);
    let base = flowgate_tests::engine::base_image();
    place.fails(&["runtime", "show", "flow"], 2, &["flow: the flow has no runtime", "flowgate runtime start flow"]);
    place.fails(
        &["runtime", "stop", "nothing"],
        2,
        &["`nothing` is neither a runtime nor a flow", "flowgate runtime list"],
    );
    for name in ["", "-x", "a b", "../x", "0123456789abcdef"] {
        place.fails(&["runtime", "create", "--", name, "flow"], 2, &["invalid value", "NAME"]);
    }
    for (size, message) in
        [("cpus=many", "no number of cpus"), ("memory=1m", "from 512 MiB"), ("disk=1g", "not part of a size")]
    {
        place.fails(&["runtime", "start", "flow", "--size", size], 2, &[message]);
    }
    place.fails(&["runtime", "start", "flow", "--idle", "soon"], 2, &["`90s`, `10m`, `1h`"]);
    place.fails(
        &["runtime", "start", "flow", "--size", "memory=900000GiB"],
        8,
        &["2 cpus, 900000 GiB is more than the machine of the Docker engine at "],
    );
    assert!(place.containers().is_empty());

    // A container of somebody else's, and one whose labels were written by hand.
    place.engine.docker(&["create", "--name", "flowgate-rt-mine", &base, "true"]);
    place.fails(
        &["runtime", "create", "mine", "flow"],
        2,
        &["was not made by flowgate", "docker rm --force flowgate-rt-mine"],
    );
    let key = place.ok(&["environment", "plan", "flow", "--format", "json"]).stdout;
    let key: serde_json::Value = serde_json::from_str(&key).expect("JSON");
    let label = |name: &str, value: &str| format!("flowgate.runtime.{name}={value}");
    let labels =
        [label("name", "other"), label("type", "named"), label("key", key["key"].as_str().unwrap_or_default())];
    let mut create = vec!["create", "--name", "flowgate-rt-forged"];
    for label in &labels {
        create.extend(["--label", label]);
    }
    create.extend([base.as_str(), "sleep", "600"]);
    place.engine.docker(&create);
    place.engine.docker(&["start", "flowgate-rt-forged"]);
    assert_eq!(place.states(), []);
    let ran = place.ok(&["run", "--backend", "docker", "flow"]);
    assert!(!ran.stderr.contains("warm runtime"), "{ran:?}");
    place.engine.docker(&["rm", "--force", "flowgate-rt-mine", "flowgate-rt-forged"]);

    // One that does not answer: the broker is frozen.
    place.ok(&["runtime", "create", "frozen", "flow"]);
    place.engine.docker(&["pause", "flowgate-rt-frozen"]);
    assert_eq!(place.states(), [("frozen".to_owned(), "Not available".to_owned())]);
    assert_eq!(place.runtime(&["show", "frozen"])["reason"], "its container is paused");
    let ran = place.ok(&["run", "--backend", "docker", "flow"]);
    assert!(!ran.stderr.contains("is used"), "{ran:?}");
    place.fails(&["runtime", "create", "frozen", "flow"], 2, &["is paused", "docker unpause"]);
    place.engine.docker(&["unpause", "flowgate-rt-frozen"]);

    // Two runtimes whose names begin alike.
    place.ok(&["runtime", "create", "frozen-2", "flow"]);
    place.fails(&["runtime", "show", "froz"], 2, &["may be any of 2 runtimes", "frozen, frozen-2"]);
    place.fails(&["runtime", "show", "frozzen"], 2, &["did you mean `frozen`?"]);
    place.fails(&["runtime", "show", "flow"], 2, &["may be any of 2 runtimes"]);
    flows::python(&place.folder, "third", "", "return text");
    place.folder.write("third/requirements.txt", "six==1.16.0\n");
    place.fails(&["runtime", "create", "frozen", "third"], 2, &["is that of a runtime of another environment"]);

    // A flow whose environment cannot be built changes nothing.
    place.folder.write("third/requirements.txt", "no-such-package-at-all==1\n");
    place.fails(&["runtime", "start", "third"], 4, &["no-such-package-at-all"]);
    place.ok(&["runtime", "stop", "frozen", "frozen-2"]);
    place.is_empty();
}

#[test]
fn a_job_reaches_nothing_of_the_runtime_or_of_another_job() {
    let Some(place) = Place::new("runtime-inside") else { return };
    place.ok(&["runtime", "create", "inside", "flow"]);
    let out = |name: &str| {
        let done = place.ok(&["run", "--backend", "docker", name]);
        assert!(done.stderr.contains("The warm runtime `inside` is used."), "{done:?}");
        done.stdout
    };
    // Another job that waits, with a file, an input and shared memory.
    let victim = "import ctypes, time\nopen('own.txt', 'w').write('s3cr3t')\nassert ctypes.CDLL(None).shmget(7, 4096, 0o1600) >= 0\ntime.sleep(600)";
    flows::python(&place.folder, "victim", "", victim);
    let mut waiting = place.start(&["run", "--backend", "docker", "victim"]);
    wait_for("the victim", || (place.runtime(&["show", "inside"])["usage"]["lines"] == 1).then_some(()));
    let hostile = "\
import ctypes, glob, os, signal, socket
got = []
def attempt(what, action):
    try:
        action()
        got.append(what)
    except (OSError, ValueError, ZeroDivisionError):
        pass
attempt('broker', lambda: socket.socket(socket.AF_UNIX).connect('/work/.flowgate/attach'))
attempt('archives', lambda: os.listdir('/work/.flowgate/archives'))
attempt('network', lambda: socket.create_connection(('1.1.1.1', 53), 1))
attempt('root', lambda: open('/x', 'w'))
attempt('uid', lambda: os.setuid(0))
for pid in [pid for pid in os.listdir('/proc') if pid.isdigit() and int(pid) != os.getpid()]:
    attempt(f'kill {pid}', lambda: os.kill(int(pid), signal.SIGKILL))
    attempt(f'memory {pid}', lambda: open(f'/proc/{pid}/mem', 'rb'))
    attempt(f'maps {pid}', lambda: open(f'/proc/{pid}/maps').read(1) or 1 / 0)
    attempt(f'environment {pid}', lambda: open(f'/proc/{pid}/environ', 'rb').read())
    for fd in range(0, 520):
        attempt(f'descriptor {pid} {fd}', lambda: os.open(f'/proc/{pid}/fd/{fd}', os.O_RDONLY | os.O_NONBLOCK))
for path in glob.glob('/work/*/*/*') + glob.glob('/work/*/job-*'):
    if not path.startswith(os.path.dirname(os.getcwd())):
        attempt(path, lambda: os.listdir(path) if os.path.isdir(path) else open(path).read())
if ctypes.CDLL(None).shmget(7, 4096, 0o600) >= 0:
    got.append('shared memory')
return repr(got)";
    flows::python(&place.folder, "hostile", "", hostile);
    assert!(out("hostile").contains("out: []"), "{}", out("hostile"));
    // A full disk is one job's, and a bomb of processes is bounded and buried.
    let full = "\
try:
    with open('big', 'wb') as file:
        while True:
            file.write(bytes(1 << 20))
except OSError as error:
    return error.strerror";
    flows::python(&place.folder, "full", "", full);
    assert!(out("full").contains("out: No space left on device"));
    let bomb = "import os, time\ntry:\n    while True:\n        if os.fork() == 0:\n            time.sleep(600)\nexcept OSError:\n    return 'bounded'";
    flows::python(&place.folder, "bomb", "", bomb);
    assert!(out("bomb").contains("out: bounded"));
    assert!(out("flow").contains("out: hello!"));
    let usage = place.runtime(&["show", "inside"])["usage"].take();
    assert_eq!((&usage["jobs"], &usage["clients"]), (&1.into(), &1.into()), "the victim alone");
    waiting.kill().expect("it runs");
    waiting.wait().expect("it ends");
    place.ok(&["runtime", "stop", "inside", "--yes"]);
    place.is_empty();
}
