//! `docs/benchmarks.md`, `docs/benchmarks-environment.md` and `docs/benchmarks-runtime.md`.

use std::fmt::Write;
use std::fs;

use crate::command::{Result, output};

/// What `cargo xtask bench runtime` measures: medians in seconds, and memory in MiB.
pub(super) struct RuntimeFigures {
    pub(super) cold: f64,
    pub(super) bare: f64,
    pub(super) warm: f64,
    pub(super) exec: f64,
    pub(super) pf: f64,
    pub(super) job: f64,
    pub(super) stream: f64,
    /// Of a line.
    pub(super) alone: f64,
    /// Beside a client that is stopped and one that floods.
    pub(super) crowded: f64,
    /// Above the script's.
    pub(super) memory: f64,
    pub(super) memory_of_script: f64,
    pub(super) lacks: f64,
    pub(super) environment: f64,
    pub(super) install: f64,
}

/// The page, section by section, in the order of the calls.
pub(super) struct Page {
    text: String,
    summary: Vec<(String, String, String)>,
    title: &'static str,
    runs: usize,
}

impl Page {
    pub(super) fn new(title: &'static str, runs: usize) -> Self {
        Self { text: String::new(), summary: Vec::new(), title, runs }
    }

    /// Adds a line to the summary: what, how much, and the aim.
    fn sum_up(&mut self, what: impl Into<String>, figure: String, aim: impl Into<String>) {
        self.summary.push((what.into(), figure, aim.into()));
    }

    /// Takes: reading and parsing, the same after a walk through the tree, and a check.
    pub(super) fn reading(&mut self, files: usize, [read, found, check]: [f64; 3]) {
        self.sum_up("check : find, read and parse the same files, one core", ratio(check, found), "at most 2 x");
        let row = |name: &str, time: f64| vec![name.to_owned(), ms(time), ratio(time, found)];
        self.section(
            "Against reading",
            &format!(
                "The {files} files that a check of the tree reads, on one core, with the parsers of `flowgate check`: a loop \
                 that is given their paths, and reads and parses each once; the same after a walk through the tree, which \
                 a check needs to find them; the whole check."
            ),
            &["", "wall time", "ratio"],
            &[row("read and parse", read), row("find, read and parse", found), row("check", check)],
        );
    }

    pub(super) fn engine(&mut self, sampled: usize, engine: f64, single: f64, flows: usize, whole: f64) {
        let per_flow = whole / flows.max(1) as f64;
        self.sum_up("`pf flow validate` : check, wall time per flow", times(engine / per_flow), "at least 5,000 x");
        self.section(
            "Against `pf flow validate`",
            &format!(
                "`pf flow validate` takes one flow; it was given every tenth, {sampled} in all, its telemetry off. \
                 `flowgate check` was given the whole tree of {flows} flows, and then the same {sampled} one by one."
            ),
            &["", "wall time per flow", "ratio"],
            &[
                vec!["`pf flow validate FLOW`".to_owned(), ms(engine), "1".to_owned()],
                vec!["`flowgate check FLOW`".to_owned(), ms(single), times(engine / single)],
                vec!["`flowgate check TREE`".to_owned(), ms(per_flow), times(engine / per_flow)],
            ],
        );
    }

    /// Takes: small and large on one core, small and large on all, and the large one with findings.
    pub(super) fn growth(&mut self, rows: &[(&str, f64, f64); 5]) {
        let [(_, small, _), (_, large, _), (_, _, small_peak), (_, all, large_peak), (_, _, faulty_peak)] = *rows;
        self.sum_up("10,000 flows : 1,000 flows, time", format!("{:.1} x", large / small), "10 x");
        self.sum_up("one core : all cores, 10,000 flows", format!("{:.2} x", large / all), "the number of cores");
        self.sum_up(
            "10,000 flows : 1,000 flows, peak memory, no findings",
            format!("{:.2} x", large_peak / small_peak),
            "grows with findings, not with flows",
        );
        self.sum_up(
            "30,000 findings : none, peak memory, 10,000 flows",
            format!("{:.2} x", faulty_peak / large_peak),
            "",
        );
        let rows: Vec<Vec<String>> = rows
            .iter()
            .map(|(name, time, peak)| vec![(*name).to_owned(), ms(*time), format!("{peak:.1} MiB")])
            .collect();
        self.section(
            "Growth",
            "A generated repository: each flow has three nodes, two Python tools, a prompt and a requirements file.",
            &["", "wall time", "peak memory"],
            &rows,
        );
    }

    pub(super) fn hostile(&mut self, name: &str, time: f64, peak: f64) {
        if !self.text.contains("## Hostile files") {
            self.section(
                "Hostile files",
                "One flow, of which one file is made to be slow.",
                &["", "wall time", "peak memory"],
                &[],
            );
            self.text.pop();
        }
        let _ = writeln!(self.text, "| {name} | {} | {peak:.1} MiB |", ms(time));
    }

    fn section(&mut self, title: &str, words: &str, head: &[&str], rows: &[Vec<String>]) {
        let _ = writeln!(self.text, "\n## {title}\n{words}\n");
        let _ = writeln!(self.text, "| {} |\n|{}", head.join(" | "), "---|".repeat(head.len()));
        for row in rows {
            let _ = writeln!(self.text, "| {} |", row.join(" | "));
        }
    }

    /// Takes: a build by docker, cold and warm ones by flowgate; then both where nothing is left to do.
    pub(super) fn environment(
        &mut self,
        builder: &str,
        requirements: &str,
        [docker, cold, warm]: [f64; 3],
        [cached, again]: [f64; 2],
        builds: usize,
    ) {
        self.sum_up("cached `docker build` : second build", format!("{:.1} x", cached / again), "at least 10 x");
        self.sum_up("cold build : `docker build --no-cache`", ratio(cold, docker), "at most 1.5 x");
        self.sum_up("build with a warm gate cache : `docker build --no-cache`", ratio(warm, docker), "at most 1 x");
        let row = |name: &str, time: f64, of: f64| vec![name.to_owned(), ms(time), ratio(time, of)];
        self.section(
            "Where the image is not there",
            &format!(
                "The requirements are {}, on flowgate's base image. Both sides use the same `uv`; `docker build` ({builder}, \
                 its steps on the machine's own network) fetches from the public index, flowgate's build container through the \
                 gate, with an empty cache of files or with a full one. Medians of {builds} runs, each of the three as often \
                 the first of a round as the last. Every build begins with the disk at rest, and with the base, the kept \
                 files and the programs in memory. flowgate also resolves what promptflow needs, and checks that the image \
                 gives a runtime; it compiles all modules but packages' own tests, which `uv --compile-bytecode` does not \
                 leave out, and does not wait until the engine has removed the files of its container, as `docker build` does.",
                requirements.split_whitespace().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
            ),
            &["", "wall time", "ratio"],
            &[
                row("`docker build --no-cache`", docker, docker),
                row("`flowgate environment build`, empty cache", cold, docker),
                row("`flowgate environment build`, full cache", warm, docker),
            ],
        );
        self.section(
            "Where the image is there",
            &format!("The same two commands once more. Medians of {} runs.", self.runs),
            &["", "wall time", "ratio"],
            &[row("`docker build`, all cached", cached, again), row("`flowgate environment build`", again, again)],
        );
    }

    pub(super) fn runtime(&mut self, figures: &RuntimeFigures) {
        let RuntimeFigures { cold, bare, warm, exec, pf, job, stream, environment, install, .. } = *figures;
        self.sum_up("warm `flowgate run` : bare exec + one forked job", ratio(warm, exec + job), "at most 2 x");
        self.sum_up("job over an open stream : forked job alone", ratio(stream, job), "at most 1.3 x");
        let (alone, crowded) = (figures.alone, figures.crowded);
        self.sum_up("a line beside a frozen and a flooding client : alone", ratio(crowded, alone), "at most 1.5 x");
        self.sum_up(
            "cold `flowgate run` : container + import + warm-up of a bare script",
            ratio(cold, bare),
            "at most 1.2 x",
        );
        self.sum_up("`pf flow test` : warm `flowgate run`", format!("{:.1} x", pf / warm), "at least 10 x");
        self.sum_up(
            "memory of a warm runtime above a bare script's",
            format!("{:.1} MiB", figures.memory),
            "at most 20 MB",
        );
        self.sum_up(
            "second environment of the process backend : `uv pip install scikit-learn`",
            format!(
                "{} + {:.2} s",
                ratio(environment.min(install * 1.5), install),
                (environment - install * 1.5).max(0.0)
            ),
            "at most 1.5 x + 1 s",
        );
        self.sum_up("what a flow lacks is told within", ms(figures.lacks), "2 s");
        let row = |name: &str, time: f64, of: f64| vec![name.to_owned(), ms(time), ratio(time, of)];
        self.section(
            "The first line",
            &format!(
                "The whole command, from its start to its end, {} runs each; `pf flow test` a third of them. The bare \
                 script imports what flowgate's zygote imports, runs the flow once to warm up, and then once more, in a \
                 container of the same image with the same limits.",
                self.runs
            ),
            &["", "wall time", "ratio"],
            &[
                row("`docker exec python3 -I -S -c pass`", exec, warm),
                row("`flowgate run`, warm", warm, warm),
                row("`flowgate run`, cold", cold, warm),
                row("`docker run` of the bare script", bare, warm),
                row("`pf flow test`", pf, warm),
            ],
        );
        self.section(
            "One job",
            "From the request to the result. The forked job copies the flow, loads it and runs one line, in a fork of the bare \
             script. Over the stream also travel the request and the result, through the engine's `exec`, the relay and the \
             broker; the archive was sent once.",
            &["", "wall time", "ratio"],
            &[row("forked job alone", job, job), row("over an open stream", stream, job)],
        );
        self.section(
            "Three clients",
            "The median of 200 lines of one client, alone and then beside two others: one is stopped (SIGSTOP) while its job \
             has a thousand lines to answer, one sends requests as fast as they are taken while its job prints 16 MiB.",
            &["", "wall time", "ratio"],
            &[row("alone", alone, alone), row("beside the others", crowded, alone)],
        );
        self.section(
            "Other figures",
            "Memory is the proportional set size of broker and zygote, and of the bare script. The second environment is what \
             a run of the process backend takes longer where its environment is not there yet, its base being there; `uv` \
             installs into an empty virtual environment from the same full cache, and compiles. (pandas is in the base: its \
             environment takes half a second.)",
            &["", "", "ratio"],
            &[
                vec![
                    "memory of a warm runtime".to_owned(),
                    format!("{:.1} MiB", figures.memory_of_script + figures.memory),
                    ratio(figures.memory_of_script + figures.memory, figures.memory_of_script),
                ],
                row("second environment, scikit-learn", environment, install),
                row("`uv pip install scikit-learn`", install, install),
            ],
        );
    }

    /// The whole text, with what a reader must know first.
    pub(super) fn text(self, words: &str) -> Result<String> {
        let mut page = format!(
            "# {}\n\n{words}\n\nMachine: {}.\n\n| ratio | measured | aim |\n|---|---|---|\n",
            self.title,
            machine()?,
        );
        for (what, figure, aim) in &self.summary {
            let _ = writeln!(page, "| {what} | {figure} | {aim} |");
        }
        Ok(page + self.text.trim_end() + "\n")
    }
}

fn machine() -> Result<String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("a processor that does not say its name", |(_, name)| name.trim());
    let system = output(std::process::Command::new("uname").args(["-s", "-r", "-m"]))?;
    Ok(format!("{cores} cores of {model}, {}", system.trim()))
}

fn ratio(time: f64, of: f64) -> String {
    format!("{:.2} x", time / of)
}

fn ms(seconds: f64) -> String {
    match seconds * 1000.0 {
        ms if ms < 10.0 => format!("{ms:.2} ms"),
        ms if ms < 100.0 => format!("{ms:.1} ms"),
        ms => format!("{ms:.0} ms"),
    }
}

/// `12,345 x`.
fn times(ratio: f64) -> String {
    let digits = format!("{ratio:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text + " x"
}
