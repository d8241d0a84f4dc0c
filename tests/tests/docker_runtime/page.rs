//! The page "Create and manage prompt flow runtimes" of the hosted product, row by row, on a real engine. What is seen
//! becomes `docs/runtimes.md` (`UPDATE_EXPECT=1` writes it).

use std::fmt::Write;

use super::place::Place;

/// The walk, and the page that is made of it.
struct Walk<'p> {
    place: &'p Place,
    page: String,
}

impl Walk<'_> {
    fn row(&mut self, rows: &str, title: &str, text: &str) {
        let noun = if rows.contains(['-', ',']) { "Rows" } else { "Row" };
        let text = if text.is_empty() { String::new() } else { format!(" {text}") };
        let _ = write!(self.page, "\n## {title}\n\n*{noun} {rows}.*{text}\n");
    }

    fn say(&mut self, text: &str) {
        let _ = write!(self.page, "\n{text}\n");
    }

    /// Runs a command, and shows it with what it printed.
    #[track_caller]
    fn see(&mut self, arguments: &[&str], code: i32) {
        let done = self.place.run(arguments);
        assert_eq!(done.code, Some(code), "flowgate {arguments:?}: {done:?}");
        // Steps are told apart from what stays by their form: `flow: what goes on`.
        let is_step = |line: &&str| line.starts_with("flow/flow.dag.yaml: ");
        let aside: Vec<&str> = done.stderr.lines().filter(|line| !is_step(line)).collect();
        let printed = plain(&format!("{}{}", aside.join("\n") + if aside.is_empty() { "" } else { "\n" }, done.stdout));
        let shown: Vec<String> = arguments
            .iter()
            .map(|word| if word.contains(' ') { format!("'{word}'") } else { (*word).to_owned() })
            .map(|word| word.replace(&self.place.engine.host(), "unix:///run/lab/docker.sock"))
            .collect();
        let _ = write!(self.page, "\n```console\n$ flowgate {}\n{printed}", shown.join(" "));
        if code != 0 {
            let _ = writeln!(self.page, "$ echo $?\n{code}");
        }
        self.page += "```\n";
    }
}

/// A text without what differs between two runs: keys, times, versions of what the index has today.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut words = Vec::new();
        for word in plain_line(line).split(' ') {
            words.push(plain_word(word));
        }
        out += words.join(" ").trim_end();
        out.push('\n');
    }
    out
}

/// A line without what differs: times, and why this machine has no identity.
fn plain_line(line: &str) -> String {
    let until = |text: &str, start: &str, end: char, with: &str| match text.split_once(start) {
        Some((before, after)) => format!("{before}{start}{with}{}", after.trim_start_matches(|c: char| c != end)),
        None => text.to_owned(),
    };
    let line = until(line, "  created   ", ' ', "7s");
    let line = until(&line, "unused for ", ',', "2s");
    let line = until(&line, "no identity was found: ", '\0', "...");
    let line = until(&line, "of the Docker engine at ", '\0', "... has: 2 cpus, 16 GiB");
    let line = until(&line, "  host      unix://", '\0', "/run/lab/docker.sock");
    let line = until(&line, "  engine    Docker ", ',', "20.10.24");
    let line = until(&line, ", API ", '\0', "1.41");
    let line = until(&line, "  machine   ", '\0', "2 cpus, 16 GiB, linux/amd64, Debian GNU/Linux 12 (bookworm)");
    let line = until(&line, " passed  ", 'd', "0.01 s  ");
    let line = until(&line, "\"created\": ", ',', "1795978617");
    let line = until(&line, "\"unused_seconds\": ", ',', "2");
    let line = until(&line, "\"up_seconds\": ", '\0', "7");
    // UNUSED of the table.
    (0..10).fold(line, |line, second| line.replace(&format!("Running  {second}s "), "Running  2s "))
}

fn plain_word(word: &str) -> String {
    let hex = |text: &str| text.len() >= 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let (start, bare) = match word.rfind("trusted-") {
        Some(at) => word.split_at(at + "trusted-".len()),
        None => ("", word),
    };
    let bare_word = bare.trim_matches(['`', '.', ',', ':', '"']);
    match bare_word.len() {
        64 if hex(bare_word) => start.to_owned() + &bare.replace(bare_word, &"0123456789abcdef".repeat(4)),
        16 if hex(bare_word) => start.to_owned() + &bare.replace(bare_word, "0123456789abcdef"),
        _ => word.to_owned(),
    }
}

#[test]
fn every_row_of_the_hosted_page() {
    let Some(place) = Place::new("runtime-page") else { return };
    let mut walk = Walk { place: &place, page: HEAD.to_owned() };

    walk.row("1-3, 6", "Start", "A runtime holds the environment of a flow: what `environment` in flow.dag.yaml says. An *automatic* runtime ends by itself when it was not used for an hour.");
    walk.see(&["runtime", "start", "flow"], 0);
    walk.say("To start it again is to find it. A run uses it, and says so:");
    walk.see(&["runtime", "start", "flow"], 0);
    walk.see(&["run", "--backend", "docker", "flow"], 0);
    walk.see(&["runtime", "stop", "flow"], 0);

    walk.row("4-6, 10", "Start with other settings", "A size is that of an Azure VM, or says it plainly; `--idle` is how long it may be unused. A runtime with a name is *named*: it stays until somebody stops it. In place of a flow, a run specification may stand: its `resources.instance_type`, its `identity` and, where there is a compute of that name, its `resources.compute` count.");
    walk.see(&["runtime", "create", "team", "flow", "--size", "cpus=1,memory=1GiB"], 0);
    walk.say("An unknown size is ignored with a warning. More than the engine's machine has is an error before anything starts:");
    walk.see(&["runtime", "create", "large", "flow", "--size", "memory=900000GiB"], 8);
    walk.row("9-10", "On another machine", "A *compute* is a Docker engine with a name: one of Docker's own contexts, or one that was added, behind `ssh://`, or `tcp://` with TLS. `run`, `runtime` and `environment` take `--compute`.");
    walk.see(&["compute", "add", "lab", &place.engine.host()], 0);
    walk.see(&["runtime", "list", "--compute", "lab"], 0);
    walk.say("`flowgate compute list` asks every one whether it is there. What does not answer is not added:");
    walk.see(&["compute", "add", "gone", "unix:///run/gone/docker.sock"], 8);
    walk.see(&["compute", "remove", "lab", "--yes"], 0);
    walk.row("7-8", "Identity", "`--identity` is the client id of the user-assigned identity that pulls images and opens feeds; without it, `environment.identity` of flowgate.yaml counts, and else your own. Which one was used is printed, and a runtime that is replaced keeps it. See [environments](environments.md).");

    walk.row("11", "What would be lost", "Another start with other settings changes nothing, and names what does. Where flows run, `stop`, `reset` and `install` ask first; without a terminal they end with 2, unless there is `--yes`.");
    walk.see(&["runtime", "create", "team", "flow", "--idle", "10m"], 2);

    walk.row("12-13", "Status", "*Not available* until it answers, then *Running*. A named runtime outlives its engine: its next use starts it again.");
    walk.see(&["runtime", "list"], 0);
    place.engine.docker(&["kill", "flowgate-rt-team"]);
    walk.say("After its container was killed:");
    walk.see(&["runtime", "list"], 0);
    walk.see(&["runtime", "start", "team"], 0);

    walk.row("14", "Details", "");
    walk.see(&["runtime", "show", "team", "--format", "json"], 0);

    walk.row("15-18", "Install packages", "Save requirements.txt, and the runtime is behind it. `install` builds the environment; the old runtime serves until the new one answers.");
    place.folder.write("flow/requirements.txt", "six==1.16.0\n");
    walk.see(&["runtime", "list"], 0);
    walk.see(&["runtime", "install", "team"], 0);
    walk.say("If nothing changed, nothing is built:");
    walk.see(&["runtime", "install", "team"], 0);
    let packages = place.ok(&["runtime", "packages", "team"]).stdout;
    assert!(packages.starts_with("requirements (1 package)\n  six  1.16.0\nbase ("), "{packages}");
    walk.say(
        "`flowgate runtime packages team` lists them: those of the requirements, what came along, and the base's.",
    );

    walk.row("19", "Reset", "A new runtime of what the flow needs; `--rebuild` builds its environment anew, too.");
    walk.see(&["runtime", "reset", "team", "--rebuild"], 0);

    walk.row(
        "20, 32",
        "Edit",
        "In place: nothing that runs is lost. What `edit` sets lasts until the runtime is started anew.",
    );
    walk.see(&["runtime", "edit", "team", "--size", "memory=2GiB", "--idle", "10m"], 0);
    walk.see(&["runtime", "edit", "team", "--idle", "never"], 0);

    walk.row("21", "Stop", "");
    walk.see(&["runtime", "stop", "team"], 0);
    walk.see(&["runtime", "list"], 0);

    walk.row(
        "22-23",
        "requirements.txt",
        "It may lie elsewhere, if flow.dag.yaml says so; the base image's packages are not pinned.",
    );
    let flow = std::fs::read_to_string(place.folder.path().join("flow/flow.dag.yaml")).expect("the flow");
    place.folder.write("flow/flow.dag.yaml", format!("{flow}environment: {{python_requirements_txt: needs.txt}}\n"));
    walk.see(&["check", "flow"], 3);
    place.folder.write("flow/flow.dag.yaml", flow.as_str());
    place.folder.write("flow/requirements.txt", "promptflow==1.10.0\n");
    walk.see(&["check", "flow"], 3);

    walk.row("24-26", "Private feeds", "`{private}` stands for the token of the identity. Without one, it is an error before anything is built; `flowgate doctor feed` walks the way to a feed, step by step. See [environments](environments.md).");
    place.folder.write(
        "flow/requirements.txt",
        "-i https://{private}@pkgs.dev.azure.com/contoso/_packaging/feed/pypi/simple/\ntest_package\n",
    );
    walk.see(&["runtime", "start", "flow"], 4);

    walk.row("27", "Another base image", "An image of a folder that flowgate.yaml names, or of a registry. A changed image is another environment: no reset is needed.");
    place.folder.write("flow/requirements.txt", "");
    place.folder.write("flow/flow.dag.yaml", format!("{flow}environment: {{image: contoso}}\n"));
    place.folder.write("flowgate.yaml", "environment:\n  images:\n    contoso: {build: image}\n");
    place
        .folder
        .write("image/Dockerfile", format!("FROM {}\nENV TEAM=contoso\n", flowgate_tests::engine::base_image()));
    let plan = || {
        let done = place.ok(&["environment", "plan", "flow", "--format", "json"]);
        serde_json::from_str::<serde_json::Value>(&done.stdout).expect("JSON")["image"].clone()
    };
    let first = place.runtime(&["start", "flow"]);
    assert_eq!(first["image"], plan());
    let dockerfile = std::fs::read_to_string(place.folder.path().join("image/Dockerfile")).expect("the Dockerfile");
    place.folder.write("image/Dockerfile", dockerfile.replace("contoso", "fabrikam"));
    walk.see(&["runtime", "list"], 0);
    place.ok(&["runtime", "stop", "flow"]);

    walk.row("28-30", "Newer base images", "`update` moves a flow to the newest version of its image that the registry has, but those that are known to be bad, or to the image of `--image`. It shows what it will write, builds the environment first, and the old runtime serves until the new one answers; without a terminal it ends with 2, unless there is `--yes`.");
    place.engine.docker(&["create", "--name", "newer", &flowgate_tests::engine::base_image(), "true"]);
    place.engine.docker(&["commit", "--change", "ENV TEAM=fabrikam", "newer", "fabrikam:2"]);
    place.engine.docker(&["rm", "newer"]);
    place.folder.write("flowgate.yaml", "");
    place.folder.write("flow/flow.dag.yaml", format!("{flow}environment:\n  image: fabrikam:1\n"));
    place.engine.docker(&["tag", &flowgate_tests::engine::base_image(), "fabrikam:1"]);
    place.ok(&["runtime", "create", "team", "flow"]);
    walk.see(&["runtime", "update", "team", "--image", "fabrikam:2"], 2);
    walk.see(&["runtime", "update", "team", "--image", "fabrikam:2", "--yes"], 0);
    place.ok(&["runtime", "stop", "team"]);
    walk.say("`flowgate environment check-version` asks the registry of a base image for its versions, says which are known to be bad, and that the hosted ones get no more updates; without a network it says *unknown*.");

    walk.row("31, 33", "From a compute instance's custom environment", "A Dockerfile, a conda file or Azure's environment.yaml becomes `environment` and requirements.txt. What changes is shown first, and what is left out is named; without a terminal it ends with 2, unless there is `--yes`.");
    place.folder.write("flow/flow.dag.yaml", flow.as_str());
    place.folder.write("image_build/environment.yaml", "name: contoso\nbuild: {path: .}\n");
    place.folder.write("image_build/requirements.txt", "promptflow==1.10.0\nsix==1.16.0\n");
    place.folder.write("image_build/Dockerfile", "FROM mcr.microsoft.com/azureml/promptflow/promptflow-runtime-stable:20240101.v1\nCOPY ./* ./\nRUN pip install -r requirements.txt && apt-get install -y git\n");
    walk.see(&["runtime", "convert", "flow", "--from", "image_build", "--yes"], 0);
    place.fails(&["runtime", "convert", "flow", "--from", "image_build"], 2, &["it has `environment` already"]);
    place.ok(&["check", "flow"]);

    place.is_empty();
    expect_test::expect_file!["../../../docs/runtimes.md"].assert_eq(&walk.page);
}

const HEAD: &str = "\
# Runtimes

The hosted product's page \"Create and manage prompt flow runtimes\", row by row, on a machine of one's own. A test runs each
command on a real engine and writes this page; only keys, times and what a machine has are made equal.

A command takes the folder of a flow, the name of a runtime or the start of one. With `--format json`, what they print has schemas:
[of runtimes](runtime.schema.json), [of their transitions](runtime-transition.schema.json) (`list --watch`, `show --watch`) and
[of computes](compute.schema.json). The process backend and the Action do not use warm runtimes.
";
