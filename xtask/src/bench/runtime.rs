//! `cargo xtask bench runtime`: what a line costs in runtimes of each kind, against the engine alone.
//!
//! Needs root and an engine that has flowgate's base image (`cargo xtask testbed`), and reaches the public package index.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use flowgate_runtime::environment::base;

use super::measure::{median, memory, succeeded};
use super::page::{Page, RuntimeFigures};
use crate::command::{Result, at, binary, cargo, output, root, run, say};
use crate::{python, testbed};

/// Runs per figure.
const RUNS: usize = 15;
/// Jobs per figure where one takes milliseconds.
const JOBS: usize = 100;
/// Lines of the client that shares a runtime.
const LINES: usize = 200;
const RUNTIME: &str = "bench";
pub(crate) const FLOW: &str = "\
inputs: {text: {type: string, default: words}}
outputs: {text: {type: string, reference: \"${echo.output}\"}}
nodes:
- {name: echo, type: python, source: {type: code, path: echo.py}, inputs: {text: \"${inputs.text}\"}}
";
const CODE: &str = "from promptflow.core import tool\n\n\n@tool\ndef echo(text: str) -> str:\n    return text\n";
const LACKS: &str = "\
inputs: {text: {type: string, default: words}}
outputs: {text: {type: string, reference: \"${ask.output}\"}}
nodes:
- name: ask
  type: llm
  provider: AzureOpenAI
  api: chat
  connection: nobody_has_it
  source: {type: code, path: ask.jinja2}
  inputs: {deployment_name: gpt, text: \"${inputs.text}\"}
";

/// Measures and writes `docs/benchmarks-runtime.md`.
///
/// # Errors
/// Something could not be built, run or written.
pub(crate) fn all() -> Result<()> {
    testbed::make()?;
    run(&mut cargo(&["build", "--quiet", "--release", "-p", "flowgate"]))?;
    super::write("docs/benchmarks-runtime.md", |folder| {
        let place = Place::new(folder)?;
        let measured = place.measured();
        let stopped = output(&mut place.flowgate(&["runtime", "stop", RUNTIME, "--yes"]));
        measured.and_then(|text| stopped.map(|_| text))
    })
}

/// Flows and a cache of their own.
struct Place {
    folder: PathBuf,
    /// The search path, with the test bed's `uv`.
    path: OsString,
}

impl Place {
    fn new(folder: &Path) -> Result<Self> {
        let files = [
            ("flow/flow.dag.yaml", FLOW),
            ("flow/echo.py", CODE),
            ("large/flow.dag.yaml", FLOW),
            ("large/echo.py", CODE),
            ("large/requirements.txt", "scikit-learn\n"),
            ("lacks/flow.dag.yaml", LACKS),
            ("lacks/ask.jinja2", "user:\n{{text}}\n"),
            ("lacks/requirements.txt", "pandas\n"),
            ("forked.py", include_str!("forked.py")),
            ("stream.py", include_str!("stream.py")),
            ("crowd.py", include_str!("crowd.py")),
        ];
        for (name, text) in files {
            let path = folder.join(name);
            let parent = path.parent().unwrap_or(folder);
            fs::create_dir_all(parent).map_err(at(parent))?;
            fs::write(&path, text).map_err(at(&path))?;
        }
        Ok(Self { folder: folder.to_owned(), path: testbed::path()? })
    }

    fn flowgate(&self, words: &[&str]) -> Command {
        let mut command = Command::new(binary("release", "flowgate"));
        command.args(words).current_dir(&self.folder).env("FLOWGATE_CACHE_DIR", self.folder.join("cache"));
        command.env("PATH", &self.path);
        command
    }

    /// A run of a flow by docker.
    fn run(&self, flow: &str) -> Command {
        self.flowgate(&["run", "--backend", "docker", flow])
    }

    /// A container of the base image with the comparison's script, and what flowgate's own has but for the walls.
    fn bare(&self, words: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.args([
            "run",
            "--rm",
            "--interactive",
            "--network=none",
            "--memory=4g",
            "--cpus=2",
            "--entrypoint=python3",
        ]);
        command.arg("--volume").arg(format!("{}:/bench:ro", self.folder.display()));
        command.arg(base::image_name(base::DEFAULT_PYTHON)).arg("/bench/forked.py").args(words);
        command
    }

    fn measured(&self) -> Result<String> {
        say("bench: cold starts");
        let (mut cold, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            cold.push(succeeded(&mut self.run("flow"))?);
            bare.push(succeeded(&mut self.bare(&["first", "/bench/flow"]))?);
        }
        say("bench: a warm runtime");
        let uv = std::env::split_paths(&self.path).map(|folder| folder.join("uv")).find(|file| file.is_file());
        let uv = uv.ok_or("`uv` is the peer of the process backend; run `cargo xtask testbed`")?;
        output(&mut self.flowgate(&["runtime", "create", RUNTIME, "flow"]))?;
        let container = format!("flowgate-rt-{RUNTIME}");
        let (mut warm, mut exec, mut pf) = (Vec::new(), Vec::new(), Vec::new());
        let python = python::with_engine()?;
        for number in 0..RUNS {
            warm.push(succeeded(&mut self.run("flow"))?);
            let words = ["exec", container.as_str(), "python3", "-I", "-S", "-c", "pass"];
            exec.push(succeeded(Command::new("docker").args(words))?);
            // It takes seconds.
            if number % 3 == 0 {
                pf.push(succeeded(&mut self.pf(&python))?);
            }
        }
        // Before jobs share its pages, of which each would count a part.
        say("bench: memory");
        let (own, script) = (self.memory_of_runtime(&container)?, self.memory_of_script()?);
        say("bench: jobs");
        let jobs = seconds(&output(&mut self.bare(&["jobs", "/bench/flow", &JOBS.to_string()]))?)?;
        let of_clients = |script: &str, count: usize| {
            let mut command = Command::new(&python);
            command.arg(self.folder.join(script)).arg(root().join("tests/worker")).arg(&container);
            output(command.arg(self.folder.join("flow")).arg(count.to_string()))
        };
        let stream = seconds(&of_clients("stream.py", JOBS)?)?;
        say("bench: three clients");
        let crowd = of_clients("crowd.py", LINES)?;
        let [alone, crowded]: [Vec<f64>; 2] = serde_json::from_str(crowd.trim()).map_err(|error| error.to_string())?;
        say("bench: what a flow lacks");
        let lacks: Result<Vec<f64>> = (0..RUNS).map(|_| self.told(&mut self.run("lacks"))).collect();
        say("bench: a second environment of the process backend");
        let (environment, install) = self.second_environment(&uv)?;
        let mut page = Page::new("Benchmarks: runtimes", RUNS);
        page.runtime(&RuntimeFigures {
            cold: median(cold),
            bare: median(bare),
            warm: median(warm),
            exec: median(exec),
            pf: median(pf),
            job: median(jobs),
            stream: median(stream),
            alone: median(alone),
            crowded: median(crowded),
            memory: own - script,
            memory_of_script: script,
            lacks: median(lacks?),
            environment,
            install,
        });
        page.text(
            "One run of `cargo xtask bench runtime`. What counts are the ratios: both sides of each come from the same run, the \
             same image\nand the same flow of one Python node.",
        )
    }

    /// `pf flow test`, without what it would send over the network.
    fn pf(&self, python: &Path) -> Command {
        let mut command = Command::new(python.parent().unwrap_or(Path::new("")).join("pf"));
        command.env("HOME", self.folder.join("home")).env("PF_DISABLE_TRACING", "true");
        command.args(["flow", "test", "--flow"]).arg(self.folder.join("flow"));
        command
    }

    /// The time of a run that ends because something is missing.
    fn told(&self, run: &mut Command) -> Result<f64> {
        let began = std::time::Instant::now();
        let done = run.output().map_err(|error| error.to_string())?;
        match done.status.code() {
            Some(4) => Ok(began.elapsed().as_secs_f64()),
            other => Err(format!("a flow without its connection ended with {other:?}")),
        }
    }

    /// What making an environment for a large package costs once there is one, and the same by `uv` with the same full cache.
    fn second_environment(&self, uv: &Path) -> Result<(f64, f64)> {
        let process = |flow| self.flowgate(&["run", "--backend", "process", flow]);
        // Both are made once, so that the caches are full; then the second one anew.
        succeeded(&mut process("flow"))?;
        succeeded(&mut process("large"))?;
        let (mut made, mut there, mut install) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..3 {
            // Another requirement line is another environment.
            let requirements = self.folder.join("large/requirements.txt");
            fs::write(&requirements, format!("scikit-learn>0.{number}\n")).map_err(at(&requirements))?;
            made.push(succeeded(&mut process("large"))?);
            there.push(succeeded(&mut process("large"))?);
            let home = self.folder.join(format!("venv-{number}"));
            output(Command::new(uv).args(["venv", "--quiet"]).arg(&home))?;
            let mut pip = Command::new(uv);
            pip.args(["pip", "install", "--quiet", "--compile-bytecode", "--python"]).arg(home.join("bin/python"));
            install.push(succeeded(pip.arg("scikit-learn"))?);
        }
        Ok((median(made) - median(there), median(install)))
    }

    /// The memory of broker and zygote, in MiB.
    fn memory_of_runtime(&self, container: &str) -> Result<f64> {
        let broker = output(Command::new("docker").args(["inspect", "--format", "{{.State.Pid}}", container]))?;
        let broker = broker.trim();
        let children = PathBuf::from(format!("/proc/{broker}/task/{broker}/children"));
        let children = fs::read_to_string(&children).map_err(at(&children))?;
        std::iter::once(broker).chain(children.split_whitespace()).map(memory).sum()
    }

    /// The memory of a bare script that imports what the zygote imports, in MiB.
    fn memory_of_script(&self) -> Result<f64> {
        let name = format!("flowgate-bench-{}", std::process::id());
        let mut bare = self.bare(&["hold", "/bench/flow"]);
        // The name goes before the image: `run` takes it as its first option.
        let words: Vec<_> = bare.get_args().map(ToOwned::to_owned).collect();
        bare = Command::new("docker");
        bare.arg("run").arg(format!("--name={name}")).args(words.iter().skip(1));
        let mut child = bare.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(|error| error.to_string())?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line).map_err(|e| e.to_string())?;
        let process = output(Command::new("docker").args(["inspect", "--format", "{{.State.Pid}}", &name]))?;
        let memory = memory(process.trim());
        drop(child.stdin.take());
        child.wait().map_err(|error| error.to_string())?;
        memory
    }
}

fn seconds(json: &str) -> Result<Vec<f64>> {
    serde_json::from_str(json.trim()).map_err(|error| error.to_string())
}
