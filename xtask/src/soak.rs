//! `cargo xtask soak`: many starts and stops of runtimes, and many lines through one that stays, with what either leaves behind.
//!
//! Needs root and an engine that has flowgate's base image (`cargo xtask testbed`), and nobody else who starts containers on it.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::bench::measure::memory;
use crate::bench::runtime::FLOW;
use crate::command::{Result, at, binary, flowgate, output, remove, root, say};

/// Runtimes that are started and stopped, how many of them at once, and how many lie between two looks.
const STARTS: usize = 500;
const STARTS_AT_ONCE: usize = 2;
const STARTS_A_LOOK: usize = 50;
/// Clients at once, the rounds in which each runs the data set once, and its rows: 10,000 lines.
const CLIENTS: usize = 4;
const ROUNDS: usize = 10;
const ROWS: usize = 250;
/// Memory moves with what is being collected and shared at the moment of a look; a leak of 1 KiB a line would be 10 MiB.
const MEMORY_MAY_GROW: f64 = 4.0;
/// What the broker may take to let go of a client.
const SETTLED: Duration = Duration::from_millis(500);
/// Where the machine's engine writes the number of its process.
const DAEMON: &str = "/var/run/docker.pid";
const RUNTIME: &str = "soak";
/// It leaves a file, a descriptor, a thread and a process behind.
const CODE: &str = "\
import subprocess, threading, time
from promptflow.core import tool

left = []


@tool
def echo(text: str) -> str:
    left.append(open(f'left-{len(left)}', 'w'))
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    if len(left) % 50 == 1:
        left.append(subprocess.Popen(['sleep', '600'], start_new_session=True))
    return text
";

/// What there is at one moment.
#[derive(Debug, Clone, PartialEq)]
struct Look {
    /// Starts, or lines, until then.
    done: usize,
    /// In MiB: of the engine's daemon, or of broker and zygote.
    memory: f64,
    descriptors: usize,
    processes: usize,
    /// In flowgate's cache, or in the runtime's folders.
    files: usize,
    containers: usize,
    /// Volumes and networks.
    others: usize,
}

/// Runs both, and writes `docs/soak.md`.
///
/// # Errors
/// Something failed, or something grew.
pub(crate) fn soak() -> Result<()> {
    flowgate()?;
    let folder = std::env::temp_dir().join(format!("flowgate-soak-{}", std::process::id()));
    remove(&folder)?;
    let soak = Soak::new(&folder)?;
    let looks = soak.lines().and_then(|lines| {
        output(&mut soak.flowgate(&["runtime", "stop", RUNTIME, "--yes"]))?;
        Ok((soak.starts()?, lines))
    });
    let _ = soak.flowgate(&["runtime", "stop", RUNTIME, "--yes"]).output();
    remove(&folder)?;
    let (starts, lines) = looks?;
    let page = root().join("docs/soak.md");
    fs::write(&page, text(&starts, &lines)).map_err(at(&page))?;
    say(&format!("soak: wrote {}", page.display()));
    // What the engine's daemon keeps is shown, and is its own.
    let ours = |look: &Look| Look { memory: 0.0, descriptors: 0, ..look.clone() };
    steady("starts", &starts.iter().map(ours).collect::<Vec<Look>>())?;
    steady("lines", &lines)
}

struct Soak {
    folder: PathBuf,
}

impl Soak {
    fn new(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder.join("flow")).map_err(at(folder))?;
        let rows: String = (0..ROWS).map(|row| format!("{{\"text\": \"row {row}\"}}\n")).collect();
        for (name, text) in [("flow/flow.dag.yaml", FLOW), ("flow/echo.py", CODE), ("data.jsonl", &rows)] {
            fs::write(folder.join(name), text).map_err(at(folder))?;
        }
        Ok(Self { folder: folder.to_owned() })
    }

    fn flowgate(&self, words: &[&str]) -> Command {
        let mut command = Command::new(binary("debug", "flowgate"));
        command.args(words).current_dir(&self.folder).env("FLOWGATE_CACHE_DIR", self.folder.join("cache"));
        command
    }

    /// Starts and stops.
    fn starts(&self) -> Result<Vec<Look>> {
        let daemon = fs::read_to_string(DAEMON).map_err(at(DAEMON.as_ref()))?;
        let daemon = [daemon.trim().to_owned()];
        let names: Vec<String> = (0..STARTS_AT_ONCE).map(|number| format!("{RUNTIME}-{number}")).collect();
        let mut looks = Vec::new();
        for done in (0..=STARTS).step_by(STARTS_AT_ONCE) {
            if done % STARTS_A_LOOK == 0 {
                let look = self.look(done, &daemon, &[self.folder.join("cache")])?;
                say(&format!("soak: {look:?}"));
                looks.push(look);
            }
            if done < STARTS {
                self.all(names.iter().map(|name| ["runtime", "create", name, "flow"]))?;
                self.all(names.iter().map(|name| ["runtime", "stop", name, "--yes"]))?;
            }
        }
        Ok(looks)
    }

    /// Runs commands at once, and gives what each wrote to standard error.
    fn all<'w, const N: usize>(&self, commands: impl Iterator<Item = [&'w str; N]>) -> Result<Vec<String>> {
        let start = |words: [&str; N]| {
            let mut command = self.flowgate(&words);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()
        };
        let children: std::io::Result<Vec<Child>> = commands.map(start).collect();
        let mut said = Vec::new();
        for child in children.map_err(|error| error.to_string())? {
            let done = child.wait_with_output().map_err(|error| error.to_string())?;
            let words = String::from_utf8_lossy(&done.stderr).into_owned();
            if !done.status.success() {
                return Err(format!("a command failed: {words}"));
            }
            said.push(words);
        }
        Ok(said)
    }

    /// Lines of several clients at once, through one runtime.
    fn lines(&self) -> Result<Vec<Look>> {
        output(&mut self.flowgate(&["runtime", "create", RUNTIME, "flow"]))?;
        let container = format!("flowgate-rt-{RUNTIME}");
        let broker = output(Command::new("docker").args(["inspect", "--format", "{{.State.Pid}}", &container]))?;
        let broker = broker.trim();
        let children = fs::read_to_string(format!("/proc/{broker}/task/{broker}/children"));
        let children = children.map_err(|error| format!("the broker's children: {error}"))?;
        let processes: Vec<String> =
            std::iter::once(broker).chain(children.split_whitespace()).map(str::to_owned).collect();
        let inside = PathBuf::from(format!("/proc/{broker}/root"));
        let folders = [inside.join("work"), inside.join("tmp"), inside.join("dev/shm")];
        let mut looks = Vec::new();
        // The first run has the archive kept, and pages of the zygote written to.
        self.round()?;
        for round in 0..=ROUNDS {
            self.settle()?;
            let look = self.look(round * CLIENTS * ROWS, &processes, &folders)?;
            say(&format!("soak: {look:?}"));
            looks.push(look);
            if round < ROUNDS {
                self.round()?;
            }
        }
        Ok(looks)
    }

    /// Waits until the broker has let go of clients that have ended.
    fn settle(&self) -> Result<()> {
        for _ in 0..100 {
            let shown = output(&mut self.flowgate(&["runtime", "show", RUNTIME, "--format", "json"]))?;
            let shown: serde_json::Value = serde_json::from_str(&shown).map_err(|error| error.to_string())?;
            let usage = &shown["runtimes"][0]["usage"];
            if usage["clients"] == 0 && usage["jobs"] == 0 {
                // The one that asked is let go of, too.
                std::thread::sleep(SETTLED);
                return Ok(());
            }
        }
        Err(format!("the runtime `{RUNTIME}` keeps clients that have ended"))
    }

    /// Each client runs the data set once.
    fn round(&self) -> Result<()> {
        let run = ["run", "--backend", "docker", "--data", "data.jsonl", "flow"];
        match self.all([run; CLIENTS].into_iter())?.iter().find(|said| !said.contains("is used.")) {
            None => Ok(()),
            Some(said) => Err(format!("a run used another runtime: {said}")),
        }
    }

    fn look(&self, done: usize, processes: &[String], folders: &[PathBuf]) -> Result<Look> {
        let count = |words: &[&str]| Ok::<_, String>(output(Command::new("docker").args(words))?.lines().count());
        let (mut used, mut descriptors) = (0.0, 0);
        for process in processes {
            used += memory(process)?;
            let folder = PathBuf::from(format!("/proc/{process}/fd"));
            descriptors += fs::read_dir(&folder).map_err(at(&folder))?.count();
        }
        Ok(Look {
            done,
            memory: used,
            descriptors,
            processes: count(&["ps", "--quiet"])? + self.below(processes)?,
            files: folders.iter().map(|folder| files(folder)).sum(),
            containers: count(&["ps", "--all", "--quiet"])?,
            others: count(&["volume", "ls", "--quiet"])? + count(&["network", "ls", "--quiet"])?,
        })
    }

    /// How many processes the container of the first process has; those of the engine's daemon are no matter here.
    fn below(&self, processes: &[String]) -> Result<usize> {
        if processes.len() < 2 {
            return Ok(0);
        }
        let container = format!("flowgate-rt-{RUNTIME}");
        Ok(output(Command::new("docker").args(["top", &container]))?.lines().count().saturating_sub(1))
    }
}

/// Files and folders below a folder.
fn files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| 1 + if entry.file_type().is_ok_and(|kind| kind.is_dir()) { files(&entry.path()) } else { 0 })
        .sum()
}

/// An error where something has grown. The first look is before anything was done.
fn steady(what: &str, looks: &[Look]) -> Result<()> {
    let [_, first, .., last] = looks else { return Err("too few looks".to_owned()) };
    let same = |look: &Look| (look.descriptors, look.processes, look.files, look.containers, look.others);
    if same(first) != same(last) {
        return Err(format!("after many {what} there is more than after few: {first:?}, {last:?}"));
    }
    if last.memory - first.memory > MEMORY_MAY_GROW {
        return Err(format!("after many {what} there is more memory in use: {first:?}, {last:?}"));
    }
    Ok(())
}

fn text(starts: &[Look], lines: &[Look]) -> String {
    let mut out = format!(
        "# Soak\n\nOne run of `cargo xtask soak`, which fails where something grows.\n\n## {STARTS} starts and stops\n\n\
         `flowgate runtime create` and `stop`, {STARTS_AT_ONCE} at once. Memory and descriptors are those of \
         the engine's daemon, which are its own; containers, volumes, networks, and files in flowgate's cache, are what starts and \
         stops could leave.\n\n| starts | daemon's memory, MiB | its descriptors | running containers | containers | volumes and networks | \
         files |\n|---|---|---|---|---|---|---|\n"
    );
    for Look { done, memory, descriptors, processes, files, containers, others } in starts {
        let _ =
            writeln!(out, "| {done} | {memory:.1} | {descriptors} | {processes} | {containers} | {others} | {files} |");
    }
    let _ = write!(
        out,
        "\n## {} lines through one warm runtime\n\n{CLIENTS} clients at once, each `flowgate run --data` with {ROWS} rows, again \
         and again. Each line leaves an open file and a thread behind, and every fiftieth a process in a session of its own. Memory \
         and descriptors are those of broker and zygote; files are those in the runtime's `/work`, `/tmp` and `/dev/shm`.\n\n\
         | lines | memory, MiB | descriptors | processes | containers | volumes and networks | files |\n|---|---|---|---|---|---|---|\n",
        CLIENTS * ROUNDS * ROWS
    );
    for Look { done, memory, descriptors, processes, files, containers, others } in lines {
        let _ =
            writeln!(out, "| {done} | {memory:.1} | {descriptors} | {processes} | {containers} | {others} | {files} |");
    }
    out
}
