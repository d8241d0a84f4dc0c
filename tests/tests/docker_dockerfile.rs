//! Base images that a repository describes by a Dockerfile: with a real engine, and both of its builders.
#![cfg(unix)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use flowgate_tests::engine::{base_image, wait_for};
use flowgate_tests::event::{pull_request, push};
use flowgate_tests::place::{Place, alone, assert_fails, said, start};
use flowgate_tests::registry::Registry;
use flowgate_tests::relay::Relay;
use flowgate_tests::{Finished, flows};
use serde_json::{Value, json};

/// Each builder, as `DOCKER_BUILDKIT` asks for it.
const BUILDERS: [&str; 2] = ["", "0"];
/// A step whose result nobody can foresee.
const RANDOM: &str = "RUN cat /proc/sys/kernel/random/uuid > /made\n";

/// A place whose flow gives the file `/made` of the image that the folder `docker` describes.
fn place(name: &str, dockerfile: &str) -> Option<Place> {
    let place = Place::new(name, "")?;
    flow(&place, "flow", &image(name), "");
    place.folder.write("docker/Dockerfile", from_base(dockerfile));
    configure(&place, name, "");
    Some(place)
}

fn image(name: &str) -> String {
    format!("flowgate-test-{name}-{}/base:1", std::process::id())
}

/// `FROM` flowgate's base, as a user who may write.
fn from_base(rest: &str) -> String {
    format!("FROM {}\nUSER 0\n{rest}", base_image())
}

fn flow(place: &Place, path: &str, image: &str, requirements: &str) {
    flows::python(&place.folder, path, "", "return open('/made').read()");
    let file = place.folder.path().join(path).join("flow.dag.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(file, format!("{text}environment: {{image: \"{image}\"}}\n")).unwrap();
    if !requirements.is_empty() {
        place.folder.write(&format!("{path}/requirements.txt"), requirements);
    }
}

fn configure(place: &Place, name: &str, more: &str) {
    let image = image(name);
    // Most builds here need no network, and a machine may have none for containers.
    let network = if more.contains("network:") { "" } else { "      network: false\n" };
    let text = format!("environment:\n  images:\n    {image}:\n      build: docker\n{network}{more}");
    place.folder.write("flowgate.yaml", text);
}

/// Builds the flow's environment, which must work, and gives the image's name.
fn built(place: &Place, variables: &[(&str, &str)]) -> (String, Finished) {
    let done = place.run(&["environment", "build", "flow", "--format", "json"], variables);
    assert_eq!(done.code, Some(0), "{done:?}");
    let shown: Value = serde_json::from_str(&done.stdout).unwrap();
    (shown["image"].as_str().unwrap().to_owned(), done)
}

/// What the state folder holds beside locks, which are empty files.
fn state(place: &Place) -> BTreeSet<String> {
    let folder = place.folder.path().join("cache/environments");
    let mut found = BTreeSet::new();
    let mut waiting = vec![folder];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => waiting.push(path),
                false if path.ends_with("locks") || entry.metadata().unwrap().len() == 0 => {}
                false => drop(found.insert(path.display().to_string())),
            }
        }
    }
    found
}

fn docker(arguments: &[&str], folder: &Path) {
    let done = Command::new("docker").args(arguments).current_dir(folder).output().expect("docker starts");
    assert!(done.status.success(), "{arguments:?}: {done:?}");
}

#[test]
fn an_image_of_a_folder() {
    let _alone = alone();
    let dockerfile = "ARG BASE\nFROM $BASE AS first\nUSER 0\nARG WORD=none\nCOPY . /context\n\
        RUN (echo $WORD; ls -A /context) > /made\n\
        FROM first AS wanted\n\
        LABEL who=me flowgate.environment.key=forged flowgate.environment.scope=forged flowgate.environment.packages={} flowgate.base.recipe=forged\n\
        FROM first AS never\nRUN exit 3\n";
    let Some(place) = place("folder", "") else { return };
    place.folder.write("docker/Dockerfile", dockerfile);
    configure(
        &place,
        "folder",
        &format!("      target: wanted\n      args: {{BASE: \"{}\", WORD: hello}}\n", base_image()),
    );
    for (file, text) in [("seen.txt", ""), ("secret.txt", ""), (".git/config", "token"), (".dockerignore", "secret*\n")]
    {
        place.folder.write(&format!("docker/{file}"), text);
    }
    let before = place.holds();
    for (builder, why) in
        BUILDERS.into_iter().zip(["with BuildKit", "with the classic builder, as DOCKER_BUILDKIT=0 asks"])
    {
        let (name, done) = built(&place, &[("DOCKER_BUILDKIT", builder)]);
        assert!(name.starts_with("flowgate-image:trusted-"), "{name}");
        assert!(done.stderr.contains(why), "{}", done.stderr);
        assert!(done.stderr.contains("; ls -A /context) > /made"), "its steps are shown: {}", done.stderr);
        let (_, inspected) = place.engine.ask("GET", &format!("/images/{name}/json"));
        let labels = &inspected["Config"]["Labels"];
        assert_eq!((&labels["who"], &labels["flowgate.environment.scope"]), (&json!("me"), &json!("trusted")));
        assert_eq!(
            (&labels["flowgate.base.recipe"], &labels["flowgate.environment.packages"]),
            (&json!(""), &json!(""))
        );
        assert_eq!(labels["flowgate.environment.key"].as_str().map(|key| &key[..16]), Some(&name[name.len() - 16..]));

        // Nothing changed: a look at the base, and one at the image.
        let relay = Relay::start(&place.folder, &place.engine);
        let again = place.run(&["environment", "build", "flow"], &[("DOCKER_HOST", &relay.host)]);
        assert_eq!((again.code, again.stderr.as_str(), relay.requests()), (Some(0), "", 2), "{again:?}");
        assert_eq!(place.plan()["cached"], true);

        let cache = place.folder.path().join("cache").display().to_string();
        let ran =
            flows::start(&place.folder, &["--backend", "docker", "flow"], &[("FLOWGATE_CACHE_DIR", &cache)]).finish();
        ran.assert_code(0);
        let out = &ran.flow("flow")["results"][0]["output"]["out"];
        assert_eq!(out, "hello\n.dockerignore\nDockerfile\nseen.txt\n");
        assert_eq!(ran.flow("flow")["environment"]["image"], *name);
        place.engine.ask("DELETE", &format!("/images/{name}"));
        assert_eq!(place.holds(), before, "with `{builder}`");
    }
}

#[test]
fn what_changes_makes_a_new_image() {
    let _alone = alone();
    let Some(place) = place("changes", "ARG WORD\nCOPY file /made\n") else { return };
    let base = format!("flowgate-test-changes-{}:1", std::process::id());
    let folder = place.folder.path();
    let rebase = |label: &str| {
        place.engine.ask("DELETE", &format!("/images/{base}"));
        place.folder.write("base/Dockerfile", from_base(&format!("LABEL is={label}\n")));
        docker(&["build", "--quiet", "--network", "none", "--tag", &base, "base"], folder);
    };
    rebase("one");
    let text = format!("FROM {base}\nARG WORD\nCOPY file /made\n");
    place.folder.write("docker/Dockerfile", text);
    place.folder.write("docker/file", "1");
    place.folder.write("docker/.dockerignore", "ignored\n");
    let mut names = vec![built(&place, &[]).0];
    // What the builder does not get counts as little as when a file was written.
    place.folder.write("docker/ignored", "1");
    place.folder.write("docker/file", "1");
    let (same, done) = built(&place, &[]);
    assert_eq!((&same, done.stderr.as_str()), (&names[0], ""));
    place.folder.write("docker/file", "2");
    names.push(built(&place, &[]).0);
    configure(&place, "changes", "      args: {WORD: x}\n");
    names.push(built(&place, &[]).0);
    rebase("two");
    names.push(built(&place, &[]).0);
    for name in &names {
        place.engine.ask("DELETE", &format!("/images/{name}"));
    }
    place.engine.ask("DELETE", &format!("/images/{base}"));
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 4, "{names:?}");
}

#[test]
fn an_environment_of_azure_machine_learning() {
    let _alone = alone();
    let Some(place) = place("azure", "") else { return };
    std::fs::remove_file(place.folder.path().join("docker/Dockerfile")).unwrap();
    place
        .folder
        .write("docker/environment.yaml", "name: x\nbuild:\n  path: ./inner\n  dockerfile_path: Dockerfile.azure\n");
    place.folder.write("docker/inner/Dockerfile.azure", from_base("COPY word /made\n"));
    place.folder.write("docker/inner/word", "from Azure's words");
    let before = place.holds();
    let (name, _) = built(&place, &[]);
    place.engine.ask("DELETE", &format!("/images/{name}"));
    // What leads out is refused unseen.
    let outside = place.folder.path().parent().unwrap().join("flowgate-nowhere");
    for (text, part) in [
        ("build: {path: ../..}\n", "does not lie in"),
        ("build: {path: inner, dockerfile_path: ../environment.yaml}\n", "does not lie in"),
        ("build: {path: gone}\n", "there is no docker/gone/Dockerfile"),
    ] {
        place.folder.write("docker/environment.yaml", text);
        assert_fails(&place.build(&[]), 4, &[part]);
    }
    std::fs::remove_file(place.folder.path().join("docker/environment.yaml")).unwrap();
    std::os::unix::fs::symlink(outside, place.folder.path().join("docker/Dockerfile")).unwrap();
    assert_fails(&place.build(&[]), 4, &["docker/Dockerfile does not lie in"]);
    assert_eq!(place.holds(), before);
}

#[test]
fn a_dockerfile_that_fails() {
    let _alone = alone();
    let Some(place) = place("fails", "") else { return };
    let (before, kept) = (place.holds(), state(&place));
    let fails = |dockerfile: &str, builder: &str, parts: &[&str]| {
        place.folder.write("docker/Dockerfile", from_base(dockerfile));
        let done = place.run(&["environment", "build", "flow"], &[("DOCKER_BUILDKIT", builder)]);
        assert_fails(&done, 4, parts);
        assert_eq!((place.holds(), state(&place)), (before.clone(), kept.clone()), "{dockerfile} with `{builder}`");
    };
    for builder in BUILDERS {
        let stages = format!("RUN echo one > /one\nFROM {}\nUSER 0\nRUN echo some words; exit 7\n", base_image());
        fails(&stages, builder, &["docker/Dockerfile was not built", "exit 7", "7\n", "some words", "by hand"]);
        fails("\nRUN --wrong=x ls\n", builder, &["line 4", "wrong", "mend the Dockerfile"]);
        fails("\n\nRNU ls\n", builder, &["docker/Dockerfile: line 5: unknown instruction `RNU ls`"]);
        fails("COPY none /x\n", builder, &["none"]);
    }
    fails("RUN --mount=type=secret,id=x ls\n", "", &["line 3: `--mount=type=secret` asks for a secret"]);
}

#[test]
fn a_build_that_never_ends() {
    let _alone = alone();
    let Some(place) = place("endless", "RUN echo one > /one\nRUN sleep 10000\n") else { return };
    let before = place.holds();
    for builder in BUILDERS {
        let variables = [("DOCKER_BUILDKIT", builder)];
        let done = place.run(&["environment", "build", "flow", "--build-timeout", "4"], &variables);
        assert_fails(&done, 4, &["its build did not end within 4 s", "--build-timeout"]);
        wait_for("the engine's end of it", || (place.holds() == before).then_some(()));

        let begin = || {
            let _ = std::fs::remove_file(place.folder.path().join("build-1.log"));
            let (child, log) = start(&place, &["environment", "build", "flow"], &variables);
            wait_for("the step", || said(&log, "RUN sleep 10000"));
            child
        };
        // Ctrl-C.
        let child = begin();
        let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        assert!(interrupt.unwrap().success());
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
        wait_for("the engine's end of it", || (place.holds() == before).then_some(()));

        let mut child = begin();
        child.kill().unwrap();
        child.wait().unwrap();
        // Who was killed cannot clean up: the next build does. This one waits for nothing else, so it is the last.
        let done = place.run(&["environment", "build", "flow", "--build-timeout", "4"], &variables);
        assert_fails(&done, 4, &["its build did not end"]);
        wait_for("the sweep", || (place.holds() == before).then_some(()));
    }
    assert_eq!(state(&place), BTreeSet::new());
}

#[test]
fn an_engine_that_goes_away_during_a_build() {
    let _alone = alone();
    let Some(place) = place("gone", "RUN sleep 10000\n") else { return };
    let before = place.holds();
    for builder in BUILDERS {
        let relay = Relay::start(&place.folder, &place.engine);
        let (child, log) = start(
            &place,
            &["environment", "build", "flow"],
            &[("DOCKER_HOST", &relay.host), ("DOCKER_BUILDKIT", builder)],
        );
        wait_for("the step", || said(&log, "RUN sleep 10000"));
        relay.die();
        let code = child.wait_with_output().unwrap().status.code();
        let text = std::fs::read_to_string(&log).unwrap();
        assert_eq!(code, Some(8), "{text}");
        assert!(text.contains("the Docker engine at") && text.contains("went away during the build"), "{text}");
        // The engine is there again, and the next build sweeps.
        let done =
            place.run(&["environment", "build", "flow", "--build-timeout", "3"], &[("DOCKER_BUILDKIT", builder)]);
        assert_eq!(done.code, Some(4), "{done:?}");
        wait_for("the sweep", || (place.holds() == before).then_some(()));
    }
}

#[test]
fn an_image_that_is_no_runtime() {
    let _alone = alone();
    let Some(place) = place("unfit", "") else { return };
    let before = place.holds();
    let remove = "RUN rm -rf \"$(python3 -c 'import promptflow; print(list(promptflow.__path__)[0])')\"\n";
    for (dockerfile, parts) in [
        (
            "RUN ln -s $(command -v sh) /only-sh && mkdir /only && mv /only-sh /only/sh\nENV PATH=/only\n",
            ["no Python is found in its PATH", "install Python"],
        ),
        (remove, ["its Python cannot import promptflow", "pip install promptflow promptflow-tools"]),
        ("ENV PATH=/none\n", ["it has no `sh` in its PATH", "keep both in PATH"]),
    ] {
        place.folder.write("docker/Dockerfile", from_base(dockerfile));
        let image = image("unfit");
        assert_fails(&place.build(&[]), 4, &[&format!("the image {image} gave no runtime"), parts[0], parts[1]]);
        assert_eq!(place.holds(), before);
    }
}

#[test]
fn a_version_that_microsoft_warns_of() {
    let _alone = alone();
    let Some(place) = place("bad", "") else { return };
    let bad = "mcr.microsoft.com/azureml/promptflow/promptflow-runtime:20241214.v1";
    let parts = ["Microsoft says not to use `20241214.v1`: known issues and bugs", "20251211.v2"];
    let relay = Relay::start(&place.folder, &place.engine);
    let host = [("DOCKER_HOST", relay.host.as_str())];
    // In a `FROM`, and named by the flow: nothing is asked of the engine, so that nothing is pulled.
    place.folder.write("docker/Dockerfile", format!("FROM {bad}\n"));
    assert_fails(&place.build(&host), 4, &parts);
    flow(&place, "flow", bad, "six\n");
    assert_fails(&place.build(&host), 4, &parts);
    assert_eq!(relay.requests(), 0);
    assert!(place.plan()["refused"].as_str().is_some_and(|why| why.contains(parts[0])), "{}", place.plan());
    let ran = place.run(&["run", "--backend", "docker", "flow"], &[]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(parts.iter().all(|part| ran.stdout.contains(part)), "{ran:?}");
    let acted = act(&place, &push(), &[("INPUT_FAIL_ON", "never")]);
    assert_eq!(acted.code, Some(4), "{acted:?}");
    assert!(acted.stdout.contains(parts[0]), "{}", acted.stdout);
}

/// The Action on the whole place.
fn act(place: &Place, event: &(&str, Value), inputs: &[(&str, &str)]) -> Finished {
    place.folder.write("event.json", event.1.to_string());
    let path = |name: &str| place.folder.path().join(name).display().to_string();
    place.folder.write("temp/keep", "");
    let mut command = place.command(&["action"]);
    command
        .env("GITHUB_WORKSPACE", path(""))
        .env("GITHUB_EVENT_NAME", event.0)
        .env("GITHUB_EVENT_PATH", path("event.json"))
        .env("RUNNER_TEMP", path("temp"))
        .envs(inputs.iter().copied());
    Finished::of(command.output().expect("flowgate starts"))
}

/// Runs the Action, whose one flow must pass; gives what the flow gave, its image, and the log.
fn passes(place: &Place, event: &(&str, Value), inputs: &[(&str, &str)]) -> (String, String, String) {
    let done = act(place, event, inputs);
    assert_eq!(done.code, Some(0), "{}{}", done.stdout, done.stderr);
    let report = std::fs::read_to_string(place.folder.path().join("temp/flowgate-report.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    let flow = &report["flows"][0];
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{flow:#}")).to_owned();
    (text(&flow["results"][0]["output"]["out"]), text(&flow["environment"]["image"]), done.stdout)
}

#[test]
fn what_a_pull_request_builds_is_nobody_elses() {
    let _alone = alone();
    let Some(place) = place("scopes", RANDOM) else { return };
    for builder in BUILDERS {
        let inputs = [("DOCKER_BUILDKIT", builder)];
        let (first, of_first, log) = passes(&place, &pull_request(7, 1, "0"), &inputs);
        assert!(of_first.starts_with("flowgate-image:pr7-") && log.contains("building image"), "{of_first} {log}");
        // The very same steps upon the very same base: a cache that they shared would give the same.
        let (second, of_second, _) = passes(&place, &pull_request(8, 1, "0"), &inputs);
        let (main, of_main, _) = passes(&place, &push(), &inputs);
        assert!(of_second.starts_with("flowgate-image:pr8-") && of_main.starts_with("flowgate-image:trusted-"));
        assert_eq!(BTreeSet::from([&first, &second, &main]).len(), 3);
        if builder.is_empty() {
            let (again, _, log) = passes(&place, &pull_request(7, 1, "0"), &inputs);
            assert!(again == first && !log.contains("building image"), "{log}");
            // A name is no proof: the pull request's image under main's name.
            place.engine.ask("DELETE", &format!("/images/{of_main}"));
            docker(&["tag", &of_first, &of_main], place.folder.path());
            let (after, _, log) = passes(&place, &push(), &inputs);
            assert!(after != first && log.contains("building image"), "{after} {log}");
            // Nor do other people get it by asking for it.
            let before = std::fs::read_to_string(place.folder.path().join("flow/flow.dag.yaml")).unwrap();
            flow(&place, "flow", &of_first, "");
            for event in [push(), pull_request(8, 1, "0"), pull_request(9, 2, "0")] {
                let done = act(&place, &event, &[]);
                assert_eq!(done.code, Some(4), "{done:?}");
                assert!(done.stdout.contains("was built for another pull request"), "{}", done.stdout);
            }
            place.folder.write("flow/flow.dag.yaml", before);
        }
        for name in [of_first, of_second, of_main] {
            place.engine.ask("DELETE", &format!("/images/{name}"));
        }
    }
}

#[test]
fn packages_upon_a_pull_requests_image_are_its_own() {
    let _alone = alone();
    let Some(place) = place("upon", RANDOM) else { return };
    flow(&place, "flow", &image("upon"), "six==1.16.0\n");
    let (first, of_first, _) = passes(&place, &pull_request(7, 1, "0"), &[]);
    let (main, of_main, log) = passes(&place, &push(), &[]);
    assert!(
        of_first.starts_with("flowgate-env:pr7-") && of_main.starts_with("flowgate-env:trusted-"),
        "{of_first} {of_main}"
    );
    assert!(first != main && log.contains("installing the flow's requirements"), "{log}");
}

#[test]
fn what_a_fork_may_build_upon() {
    let _alone = alone();
    let Some(place) = place("fork", "") else { return };
    let fork = pull_request(7, 2, "0");
    let local = format!("flowgate-test-fork-{}:local", std::process::id());
    place.folder.write("local/Dockerfile", from_base("RUN echo private > /made\n"));
    docker(&["build", "--quiet", "--network", "none", "--tag", &local, "local"], place.folder.path());
    let refused = |parts: &[&str], inputs: &[(&str, &str)]| {
        let done = act(&place, &fork, inputs);
        assert_eq!(done.code, Some(4), "{done:?}");
        parts.iter().for_each(|part| assert!(done.stdout.contains(part), "{part}: {}", done.stdout));
    };
    let only_here = [local.as_str(), "does not serve it without a login", "it was made on this machine"];
    for dockerfile in [
        format!("FROM {local}\n"),
        from_base(&format!("COPY --from={local} /made /made\n")),
        from_base(&format!("RUN --mount=type=bind,from={local},target=/l cp /l/made /made\n")),
        format!("ARG X={local}\nFROM $X\n"),
    ] {
        place.folder.write("docker/Dockerfile", dockerfile);
        refused(&only_here, &[]);
    }
    place.folder.write("docker/Dockerfile", "# syntax=evil.example/front:1\nFROM x\n");
    refused(&["line 1: `syntax=evil.example/front:1`", "SECURITY.md"], &[]);
    place.folder.write("docker/Dockerfile", from_base("ADD http://169.254.169.254/latest /made\n"));
    refused(&["line 3: `ADD http://169.254.169.254/latest` may fetch from the network"], &[]);

    // What a registry gives to everybody, and what it gives to its users only: an image without a file.
    let empty = format!("flowgate-test-fork-{}:empty", std::process::id());
    place.folder.write("empty.tar", [0; 1024]);
    docker(&["import", "--change", "CMD [\"x\"]", "empty.tar", &empty], place.folder.path());
    for (protected, parts) in [(false, "gave no runtime: it has no `sh`"), (true, "does not serve it without a login")]
    {
        let Some(registry) = Registry::start(protected) else { return };
        place.folder.write("docker.json/config.json", registry.login());
        let name = format!("{}/base:1", registry.address);
        docker(&["tag", &empty, &name], place.folder.path());
        docker(&["--config", "docker.json", "push", "--quiet", &name], place.folder.path());
        place.folder.write("docker/Dockerfile", format!("FROM {name}\n"));
        let not_allowed = format!("`{}` is not an allowed registry", registry.address);
        refused(&[&not_allowed], &[]);
        refused(&[parts], &[("INPUT_REGISTRIES", &registry.address)]);
        if !protected {
            // Its instructions would run in this build, unread.
            docker(&["import", "--change", "ONBUILD COPY --from=private / /", "empty.tar", &name], place.folder.path());
            docker(&["--config", "docker.json", "push", "--quiet", &name], place.folder.path());
            refused(&["has ONBUILD instructions"], &[("INPUT_REGISTRIES", &registry.address)]);
        }
        place.engine.ask("DELETE", &format!("/images/{name}"));
    }

    // No network, unless the workflow opens it; and not more by asking.
    place.folder.write("docker/Dockerfile", from_base("RUN ls /sys/class/net > /made\n"));
    configure(&place, "fork", "      network: true\n");
    assert_eq!(passes(&place, &fork, &[]).0, "lo\n");
    let (open, _, _) = passes(&place, &fork, &[("INPUT_BUILD_NETWORK", "true")]);
    assert!(open.contains("eth0"), "{open}");

    // The flow itself names it.
    flow(&place, "flow", &local, "");
    refused(&only_here, &[]);
    place.engine.ask("DELETE", &format!("/images/{local}"));
}
