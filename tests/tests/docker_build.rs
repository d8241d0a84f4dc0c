//! Environments that are built: with a real engine, a real installer and real indexes.
#![cfg(unix)]

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flowgate_tests::index::{self, Pypiserver};
use flowgate_tests::place::{Place, alone, assert_fails, said, start};
use flowgate_tests::relay::Relay;
use flowgate_tests::{Finished, Folder, all_files, contains, flows};
use serde_json::Value;

const TOKEN: &str = "s3cr3t-t0k3n-of-the-test";

#[test]
fn a_private_feed_and_no_trace_of_its_token() {
    let _alone = alone();
    let packages = Folder::new("feed");
    let wheels = packages.path().join("packages");
    std::fs::create_dir(&wheels).unwrap();
    index::wheel(&wheels, "flowgate-private", "1.0", "WORD = 'from the private feed'\n");
    // A package that is built from source looks for what it can find, and tries to tell somebody.
    let setup = "import os, socket, sys\nfrom pathlib import Path\n\
        found = '\\n'.join(f'{k}={v}' for k, v in os.environ.items())\n\
        for entry in Path('/proc').glob('[0-9]*'):\n    try:\n        found += (entry / 'cmdline').read_text() + (entry / 'environ').read_text()\n    except OSError:\n        pass\n\
        try:\n    socket.create_connection(('169.254.169.254', 80), 2)\n    found += 'OPEN'\nexcept OSError as error:\n    found += f'CLOSED {error}'\n\
        from setuptools import setup\n\
        Path('spy_found.py').write_text(f'FOUND = {found!r}\\n')\nsetup(name='flowgate-spy', version='1.0', py_modules=['spy_found'])\n";
    index::source(&wheels, "flowgate-spy", "1.0", setup);
    let Some(feed) = Pypiserver::start(&wheels, TOKEN) else { return };
    let lines =
        format!("--extra-index-url {}\nsix==1.16.0\nflowgate-private==1.0\nflowgate-spy==1.0\n", feed.private_url());
    let Some(place) = Place::new("private", &lines) else { return };
    place.folder.write(
        "flowgate.yaml",
        format!("environment:\n  feeds:\n  - url: {}\n    private-network: true\n", feed.url()),
    );
    flows::python(
        &place.folder,
        "flow",
        "import flowgate_private, six, spy_found",
        "return flowgate_private.WORD + spy_found.FOUND",
    );

    // Without a token nothing is begun.
    let before = place.holds();
    let refused = place.run(
        &["environment", "build", "flow"],
        &[("PATH", "/none"), ("IDENTITY_ENDPOINT", "http://127.0.0.1:9/none"), ("IDENTITY_HEADER", "x")],
    );
    assert_fails(&refused, 4, &["requirements.txt:1", "`{private}` stands for a token", "FLOWGATE_FEED_TOKEN"]);
    assert_eq!(place.holds(), before);

    let watch = ProcessWatch::start(TOKEN);
    let built = place.build(&[("FLOWGATE_FEED_TOKEN", TOKEN)]);
    assert_eq!(watch.sightings(), Vec::<String>::new(), "the token stood in a command line or a container");
    assert_eq!(built.code, Some(0), "{built:?}");
    let ran = flows::start(
        &place.folder,
        &["--backend", "docker", "flow"],
        &[("FLOWGATE_CACHE_DIR", &place.folder.path().join("cache").display().to_string())],
    )
    .finish();
    ran.assert_code(0);
    let out = ran.flow("flow")["results"][0]["output"]["out"].as_str().unwrap().to_owned();
    assert!(out.starts_with("from the private feed") && out.contains("CLOSED") && !out.contains("OPEN"), "{out}");

    let image = place.plan()["image"].as_str().unwrap().to_owned();
    assert!(image.starts_with("flowgate-env:trusted-"));
    let docker = |arguments: &[&str]| Command::new("docker").args(arguments).output().expect("docker starts").stdout;
    let texts = [
        ("history", docker(&["history", "--no-trunc", &image])),
        ("inspect", docker(&["inspect", &image])),
        ("layers", docker(&["save", &image])),
        ("output", format!("{built:?}{:?}{:#}", ran.done, ran.report).into_bytes()),
        ("state", all_files(&place.folder.path().join("cache"))),
    ];
    for (what, bytes) in texts {
        assert!(!bytes.is_empty(), "{what}");
        for spelling in spellings(TOKEN) {
            assert!(!contains(&bytes, &spelling), "the token stands in the {what} as {spelling}");
        }
    }
}

/// The token as it is, and as headers and URLs spell it.
fn spellings(token: &str) -> Vec<String> {
    let encode = |text: &str| {
        let done = Command::new("base64").arg("-w0").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = done.expect("base64 starts");
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap().trim_end_matches('=').to_owned()
    };
    vec![token.to_owned(), encode(token), encode(&format!("flowgate:{token}"))]
}

/// Looks at every process of this machine, containers' included, while something goes on.
struct ProcessWatch {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<Vec<String>>>,
}

impl ProcessWatch {
    fn start(token: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut seen = Vec::new();
            while !flag.load(Ordering::Relaxed) {
                for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
                    let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                    if contains(&line, token) {
                        seen.push(String::from_utf8_lossy(&line).into_owned());
                    }
                }
            }
            seen
        });
        Self { stop, thread: Some(thread) }
    }

    fn sightings(mut self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

#[test]
fn the_second_build_asks_the_engine_once() {
    let _alone = alone();
    let Some(place) = Place::new("second", "six==1.16.0\n") else { return };
    let first = place.build(&[]);
    assert_eq!(first.code, Some(0), "{first:?}");
    let relay = Relay::start(&place.folder, &place.engine);
    let second = place.build(&[("DOCKER_HOST", &relay.host)]);
    assert_eq!(second.code, Some(0), "{second:?}");
    assert_eq!(second.stdout, first.stdout);
    assert_eq!(second.stderr, "");
    assert_eq!(relay.requests(), 1);
    assert_eq!(place.plan()["cached"], true);
    // The name alone does not count.
    let image = place.plan()["image"].as_str().unwrap().to_owned();
    let forged = Command::new("docker").args(["tag", &flowgate_tests::engine::base_image(), &image]).status().unwrap();
    assert!(forged.success());
    assert_eq!(place.plan()["cached"], false);
}

#[test]
fn packages_of_the_flows_own_folder() {
    let _alone = alone();
    let Some(place) = Place::new("own", "./own[more]\n./flowgate_other-1.0-py3-none-any.whl\n") else { return };
    let setup = "from setuptools import setup\nsetup(name='flowgate-own', version='1.0', py_modules=['flowgate_own'], extras_require={'more': ['iniconfig==2.0.0']})\n";
    place.folder.write("flow/own/setup.py", setup);
    place.folder.write("flow/own/flowgate_own.py", "WORD = 'from sources'\n");
    index::wheel(&place.folder.path().join("flow"), "flowgate-other", "1.0", "WORD = ' and a wheel'\n");
    flows::python(
        &place.folder,
        "flow",
        "import flowgate_other, flowgate_own",
        "return flowgate_own.WORD + flowgate_other.WORD",
    );
    let built = place.build(&[]);
    assert_eq!(built.code, Some(0), "{built:?}");
    assert!(built.stdout.contains(", 2 required, 1 along with them\n"), "{built:?}");
    let ran = place.run(&["run", "--backend", "docker", "flow"], &[]);
    assert!(ran.stdout.contains("from sources and a wheel"), "{ran:?}");
}

#[test]
fn two_processes_share_one_build() {
    let _alone = alone();
    let Some(place) = Place::new("shared", "six==1.16.0\nidna==3.7\n") else { return };
    place.remove_image();
    let builds: Vec<Child> = (0..2)
        .map(|_| {
            let mut command = place.command(&["environment", "build", "flow", "--format", "json"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let done: Vec<Finished> = builds.into_iter().map(|child| Finished::of(child.wait_with_output().unwrap())).collect();
    let keys: BTreeSet<String> = done
        .iter()
        .map(|done| {
            assert_eq!(done.code, Some(0), "{done:?}");
            serde_json::from_str::<Value>(&done.stdout).unwrap()["key"].to_string()
        })
        .collect();
    assert_eq!(keys.len(), 1);
    let installs = done.iter().filter(|done| done.stderr.contains("installing the flow's requirements")).count();
    assert_eq!(installs, 1, "{done:?}");
}

#[test]
fn a_package_that_takes_for_ever() {
    let _alone = alone();
    let Some(place) = Place::new("endless", "./endless\n") else { return };
    place.folder.write("flow/endless/setup.py", "import time\nprint('STARTED', flush=True)\ntime.sleep(10000)\n");
    let before = place.holds();
    let done = place.run(&["environment", "build", "flow", "--build-timeout", "8"], &[]);
    assert_fails(&done, 4, &["was not built within 8 s", "--build-timeout"]);
    assert_eq!(place.holds(), before);
    let done = place.run(&["run", "--backend", "docker", "flow", "--build-timeout", "8"], &[]);
    assert_eq!(done.code, Some(4), "{done:?}");
    assert!(done.stdout.contains("was not built within 8 s"), "{done:?}");
    assert_eq!(place.holds(), before);
}

#[test]
fn packages_that_do_not_fit_each_other_are_named_before_anything_is_installed() {
    let _alone = alone();
    let Some(place) = Place::new("conflict", "openai==0.28.1\n") else { return };
    let before = place.holds();
    let done = place.build(&[]);
    assert_fails(&done, 4, &["openai==0.28.1", "promptflow-tools"]);
    assert_eq!(place.holds(), before);
    // Of several flows the others are built.
    flows::python(&place.folder, "good", "", "return text");
    place.folder.write("good/requirements.txt", "iniconfig==2.0.0\n");
    flows::python(&place.folder, "bad", "", "return text");
    place.folder.write("bad/requirements.txt", "./nowhere\n");
    let done = place.run(&["environment", "build", "bad", "flow", "good"], &[]);
    assert_fails(&done, 4, &["error: flow/flow.dag.yaml: ", "openai==0.28.1", "error: bad/flow.dag.yaml: ", "nowhere"]);
    let plan = place.run(&["environment", "plan", "good", "--format", "json"], &[]);
    let good: Value = serde_json::from_str(&plan.stdout).unwrap();
    assert_eq!(good["cached"], true, "{done:?}");
    place.engine.ask("DELETE", &format!("/images/{}", good["image"].as_str().unwrap()));
    assert_eq!(place.holds(), before);
    let missing = Place::new("missing", "no-such-package-of-flowgate==1.0\n").unwrap();
    assert_fails(&missing.build(&[]), 4, &["no-such-package-of-flowgate"]);
    assert_eq!(place.holds(), before);
}

#[test]
fn an_engine_that_goes_away_during_a_build() {
    let _alone = alone();
    let Some(place) = Place::new("gone", "./slow\n") else { return };
    place.folder.write("flow/slow/setup.py", "import time\nprint('STARTED', flush=True)\ntime.sleep(60)\n");
    let before = place.holds();
    let relay = Relay::start(&place.folder, &place.engine);
    let (child, log) = start(&place, &["environment", "build", "flow"], &[("DOCKER_HOST", &relay.host)]);
    flowgate_tests::engine::wait_for("the build's container", || {
        place.holds().iter().any(|name| name.contains("flowgate-build")).then_some(())
    });
    flowgate_tests::engine::wait_for("the installer", || said(&log, "installing the flow's requirements"));
    relay.die();
    let code = child.wait_with_output().unwrap().status.code();
    let text = std::fs::read_to_string(&log).unwrap();
    assert_eq!(code, Some(8), "{text}");
    assert!(text.contains("Docker engine") && text.contains("went away"), "{text}");
    // Its input closed, so the agent ended, and the engine removed the container.
    flowgate_tests::engine::wait_for("the engine's own clean-up", || (place.holds() == before).then_some(()));
}

#[test]
fn a_killed_build_leaves_nothing_half_made() {
    let _alone = alone();
    let Some(place) = Place::new("killed", "./slow\n") else { return };
    place.folder.write("flow/slow/setup.py", "import time\nprint('STARTED', flush=True)\ntime.sleep(60)\n");
    let before = place.holds();
    let (mut child, log) = start(&place, &["environment", "build", "flow"], &[]);
    flowgate_tests::engine::wait_for("the installer", || said(&log, "installing the flow's requirements"));
    child.kill().unwrap();
    child.wait().unwrap();
    flowgate_tests::engine::wait_for("the engine's own clean-up", || (place.holds() == before).then_some(()));
    assert_eq!(place.plan()["cached"], false);
}

#[test]
fn a_build_that_ends_while_the_engine_writes_the_image_gives_it_no_name() {
    let _alone = alone();
    let Some(place) = Place::new("unnamed", "sympy\n") else { return };
    let before = place.holds();
    for signal in ["-INT", "-KILL"] {
        let (mut child, _) = start(&place, &["environment", "build", "flow"], &[]);
        // The engine holds a container still while it reads its files.
        flowgate_tests::engine::wait_for("the engine writes the image", || {
            let (_, containers) = place.engine.ask("GET", "/containers/json?all=true");
            let is_read = |one: &Value| one["Names"].to_string().contains("flowgate-build") && one["State"] == "paused";
            containers.as_array().unwrap().iter().any(is_read).then_some(())
        });
        let killed = Command::new("sh").args(["-c", &format!("kill {signal} {}", child.id())]).status().unwrap();
        assert!(killed.success());
        child.wait().unwrap();
        flowgate_tests::engine::wait_for("the engine's own clean-up", || {
            place.holds().iter().all(|one| !one.contains("flowgate-build")).then_some(())
        });
        assert_eq!(place.plan()["cached"], false, "after {signal}");
    }
    // The next build removes what the engine made of it.
    assert_eq!(place.build(&[]).code, Some(0));
    place.remove_image();
    assert_eq!(place.holds(), before);
}

#[test]
fn a_full_disk() {
    let _alone = alone();
    let Some(place) = Place::new("full", "sympy\n") else { return };
    let cache = place.folder.path().join("cache");
    std::fs::create_dir(&cache).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "none"]).arg(&cache).status();
    if !mounted.is_ok_and(|status| status.success()) {
        return flowgate_tests::skip("only root can mount a small disk");
    }
    let before = place.holds();
    let done = place.build(&[]);
    let left = place.holds();
    assert!(Command::new("umount").arg(&cache).status().unwrap().success());
    assert_fails(&done, 8, &["No space left on device"]);
    assert_eq!(left, before);
}

#[test]
fn images_that_keep_no_contract() {
    let _alone = alone();
    let Some(place) = Place::new("contract", "six\n") else { return };
    let name = |what: &str| format!("flowgate-test-{what}:{}", std::process::id());
    let before = place.holds();
    let refused = |image: &str, parts: &[&str]| {
        let flow = std::fs::read_to_string(place.folder.path().join("flow/flow.dag.yaml")).unwrap();
        place.folder.write("other/flow.dag.yaml", format!("{flow}environment: {{image: \"{image}\"}}\n"));
        place.folder.write("other/requirements.txt", "iniconfig==2.0.0\n");
        let done = place.run(&["environment", "build", "other"], &[]);
        assert_fails(&done, 4, parts);
        place.engine.ask("DELETE", &format!("/images/{image}"));
    };
    // Without a single file.
    place.folder.write("empty.tar", [0; 1024]);
    let import = |image: &str, change: &str| {
        let mut command = Command::new("docker");
        command.args(["import", "--change", change, "empty.tar", image]).current_dir(place.folder.path());
        assert!(command.output().unwrap().status.success());
    };
    import(&name("empty"), "CMD [\"x\"]");
    refused(&name("empty"), &["flowgate-test-empty", "it has no `sh`", "FROM"]);
    // For another processor.
    load_foreign(&place, &name("foreign"));
    refused(&name("foreign"), &["flowgate-test-foreign", "is for linux/s390x", "is wanted"]);
    let base = flowgate_tests::engine::base_image();
    let from_base = |image: &str, line: &str| {
        let mut build = Command::new("docker");
        build.args(["build", "-q", "-t", image, "-"]);
        build.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = build.spawn().unwrap();
        child.stdin.take().unwrap().write_all(format!("FROM {base}\n{line}\n").as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    };
    // With a shell, and without Python in its PATH.
    from_base(&name("nopython"), "ENV PATH=/none");
    refused(&name("nopython"), &["flowgate-test-nopython"]);
    // With a volume, in which nothing that is installed becomes a part of the image.
    from_base(&name("volume"), "VOLUME /usr/local/lib/python3.11");
    refused(
        &name("volume"),
        &["nothing can be installed into the image flowgate-test-volume", "/usr/local/lib/python3.11", "VOLUME"],
    );
    assert_eq!(place.holds(), before);
}

#[test]
fn packages_that_break_the_engine_are_no_environment() {
    let _alone = alone();
    let Some(place) = Place::new("broken", "./broken\n") else { return };
    let setup = "from setuptools import setup\nsetup(name='flowgate-broken', version='1.0', packages=['promptflow.executor'])\n";
    place.folder.write("flow/broken/setup.py", setup);
    place.folder.write("flow/broken/promptflow/executor/__init__.py", "raise ImportError('broken by a package')\n");
    let before = place.holds();
    let done = place.build(&[]);
    assert_fails(&done, 4, &["gave no runtime: its Python cannot import promptflow", "broken by a package"]);
    assert_eq!(place.holds(), before);
    assert_eq!(place.plan()["cached"], false);
}

/// What an installer's agent says is a claim, as a package's own code runs beside it.
#[test]
fn what_a_runtime_does_not_have_was_not_installed() {
    let _alone = alone();
    let Some(place) = Place::new("vanishes", "./vanishes\n") else { return };
    // Python runs it whenever it starts.
    let start =
        "import shutil, sysconfig; shutil.rmtree(sysconfig.get_path('purelib') + '/vanishes-1.0.dist-info', True)";
    let setup = format!(
        "import os\nfrom setuptools import setup\nfrom setuptools.command.build_py import build_py\n\
         class Start(build_py):\n    def run(self):\n        os.makedirs(self.build_lib, exist_ok=True)\n        \
         open(os.path.join(self.build_lib, 'vanishes.pth'), 'w').write(\"{start}\\n\")\n\
         setup(name='vanishes', version='1.0', packages=['vanishes'], cmdclass={{'build_py': Start}})\n"
    );
    place.folder.write("flow/vanishes/setup.py", setup);
    place.folder.write("flow/vanishes/vanishes/__init__.py", "");
    let before = place.holds();
    let done = place.build(&[]);
    assert_fails(&done, 4, &["vanishes 1.0 was installed, and a runtime of the image", "does not have it"]);
    assert_eq!(place.holds(), before);
}

/// An image that says that it is for another processor.
fn load_foreign(place: &Place, name: &str) {
    let folder = place.folder.path().join("foreign");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("layer.tar"), [0; 1024]).unwrap();
    let digest = Command::new("sha256sum").arg(folder.join("layer.tar")).output().unwrap().stdout;
    let digest = String::from_utf8(digest).unwrap()[..64].to_owned();
    let config = serde_json::json!({
        "architecture": "s390x", "os": "linux", "config": {"Cmd": ["x"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
    });
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let manifest = serde_json::json!([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]);
    std::fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
    let tar = Command::new("tar")
        .args(["-C", folder.to_str().unwrap(), "-cf", "foreign.tar", "."])
        .current_dir(place.folder.path())
        .status();
    assert!(tar.unwrap().success());
    let loaded =
        Command::new("docker").args(["load", "-i", "foreign.tar"]).current_dir(place.folder.path()).output().unwrap();
    assert!(loaded.status.success(), "{loaded:?}");
}

#[test]
fn twenty_flows_in_three_environments_are_three_builds() {
    let _alone = alone();
    let Some(place) = Place::new("twenty", "") else { return };
    let before = place.holds();
    std::fs::remove_dir_all(place.folder.path().join("flow")).unwrap();
    let needs = ["six==1.16.0\n", "six==1.15.0 # why\n", "idna==3.6\n"];
    for number in 0..20 {
        let name = format!("flows/f{number}");
        flows::python(&place.folder, &name, "", "return text");
        place.folder.write(&format!("{name}/requirements.txt"), needs[number % 3]);
    }
    let cache = place.folder.path().join("cache").display().to_string();
    let ran =
        flows::start(&place.folder, &["--backend", "docker", "flows"], &[("FLOWGATE_CACHE_DIR", &cache)]).finish();
    ran.assert_code(0);
    let flows = ran.report["flows"].as_array().unwrap();
    assert_eq!(flows.len(), 20);
    let images: BTreeSet<&str> = flows.iter().map(|flow| flow["environment"]["image"].as_str().unwrap()).collect();
    assert_eq!(images.len(), 3);
    let new: Vec<String> = place.holds().difference(&before).cloned().collect();
    assert_eq!(new.len(), 3, "{new:?}");
    let pruned = place.run(&["environment", "prune"], &[]);
    assert_eq!(pruned.code, Some(0), "{pruned:?}");
    for image in &images {
        assert!(!pruned.stdout.contains(image), "a flow still has it: {}", pruned.stdout);
    }
    std::fs::remove_dir_all(place.folder.path().join("flows")).unwrap();
    let pruned = place.run(&["environment", "prune"], &[]);
    for image in images {
        assert!(pruned.stdout.contains(&format!("removed {image}")), "{}", pruned.stdout);
    }
    flows::python(&place.folder, "flow", "", "return text");
}
