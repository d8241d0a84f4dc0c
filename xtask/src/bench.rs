//! `cargo xtask bench`: what a check costs, as ratios of what it is compared with in the same run.
//!
//! Needs Linux: cores are limited with `taskset`, and memory is read in `/proc`.

mod environment;
mod hostile;
pub(crate) mod measure;
mod page;
mod reading;
pub(crate) mod runtime;
mod synthetic;

use std::path::{Path, PathBuf};
use std::process::Command;

use flowgate_flow::load;

use crate::command::{Result, at, cargo, find, output, remove, root, run, say};
use crate::{oracle, python};
use measure::{Cores, Tool, median, peak_mib, seconds};
use page::Page;

pub(crate) use environment::all as environment;
pub(crate) use runtime::all as runtime;

/// Names the tree.
const VARIABLE: &str = "FLOWGATE_BENCH_TREE";
/// Runs per figure.
const RUNS: usize = 9;
/// `pf flow validate` takes seconds: it is asked for every tenth flow.
const STEP: usize = 10;

/// Measures everything and writes `docs/benchmarks.md`.
///
/// # Errors
/// Something could not be built, run or written.
pub(crate) fn all() -> Result<()> {
    find("taskset").ok_or("`taskset` limits a run to one core; install util-linux")?;
    let tree = oracle::tree(VARIABLE)?;
    run(&mut cargo(&["build", "--quiet", "--release", "-p", "flowgate", "-p", "xtask"]))?;
    write("docs/benchmarks.md", |folder| measured(&tree, folder))
}

/// Measures in a folder that is there for as long, and writes the page.
fn write(page: &str, measure: impl FnOnce(&Path) -> Result<String>) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("flowgate-bench-{}", std::process::id()));
    remove(&folder)?;
    std::fs::create_dir_all(&folder).map_err(at(&folder))?;
    let measured = measure(&folder);
    remove(&folder)?;
    let page = root().join(page);
    std::fs::write(&page, measured?).map_err(at(&page))?;
    say(&format!("bench: wrote {}", page.display()));
    Ok(())
}

fn measured(tree: &Path, folder: &Path) -> Result<String> {
    // `pf` writes beside the flows, and runs their code.
    let copy = folder.join("tree");
    output(Command::new("cp").args(["-a", "--no-target-directory"]).arg(tree).arg(&copy))?;
    let mut page = Page::new("Benchmarks: checking", RUNS);
    against_reading(&mut page, &copy, folder)?;
    against_engine(&mut page, &copy, folder)?;
    growth(&mut page, folder)?;
    for (name, file) in hostile::files(&folder.join("hostile"))? {
        say(&format!("bench: {name}"));
        let run = || Tool::check(Cores::All).command(&file);
        page.hostile(name, seconds(RUNS, run)?, peak_mib(run)?);
    }
    page.text(&format!(
        "One run of `FLOWGATE_BENCH_TREE=TREE cargo xtask bench`, where `TREE` is a clone of microsoft/promptflow. Each figure\nis \
         the median of {RUNS} runs of a release build, but those of `pf flow validate`, which ran once per flow. What counts \
         are\nthe ratios: both sides of each come from the same run, the same files and the same machine."
    ))
}

/// The whole check against reading and parsing the same files.
fn against_reading(page: &mut Page, tree: &Path, folder: &Path) -> Result<()> {
    say("bench: check and read");
    let (list, files) = reading::list(tree)?;
    let checked = measure::report(tree)?.files;
    if checked != files {
        return Err(format!("a check of {} reads {checked} files, not {files}", tree.display()));
    }
    let place = folder.join("files");
    std::fs::write(&place, list).map_err(at(&place))?;
    let (mut check, mut read, mut found) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        check.push(seconds(1, || Tool::check(Cores::One).command(tree))?);
        read.push(seconds(1, || Tool::read().command(&place))?);
        found.push(seconds(1, || {
            let mut command = Tool::read().command(tree);
            command.arg(&place);
            command
        })?);
    }
    page.reading(files, [median(read), median(found), median(check)]);
    Ok(())
}

/// The whole tree against the engine's own validation, flow by flow.
fn against_engine(page: &mut Page, tree: &Path, folder: &Path) -> Result<()> {
    let flows = load::discover(tree).map_err(at(tree))?;
    let whole = seconds(RUNS, || Tool::check(Cores::All).command(tree))?;
    let sample: Vec<PathBuf> = oracle::flows(tree)?
        .iter()
        .step_by(STEP)
        .filter_map(|flow| Some(tree.join(flow).parent()?.to_owned()))
        .collect();
    let home = folder.join("home");
    let validate = Validate::new(&home)?;
    let (mut engine, mut single) = (Vec::new(), Vec::new());
    for (number, flow) in sample.iter().enumerate() {
        say(&format!("bench: pf flow validate {} of {}", number + 1, sample.len()));
        engine.push(seconds(1, || validate.command(flow))?);
        single.push(seconds(1, || Tool::check(Cores::All).command(flow))?);
    }
    let mean = |times: Vec<f64>| times.iter().sum::<f64>() / times.len().max(1) as f64;
    page.engine(sample.len(), mean(engine), mean(single), flows.len(), whole);
    Ok(())
}

/// `pf flow validate`, without what it would send over the network.
struct Validate {
    program: PathBuf,
    home: PathBuf,
}

impl Validate {
    fn new(home: &Path) -> Result<Self> {
        std::fs::create_dir_all(home).map_err(at(home))?;
        let python = python::with_engine()?;
        let program = python.parent().unwrap_or(Path::new("")).join("pf");
        let validate = Self { program, home: home.to_owned() };
        output(validate.pf().args(["config", "set", "telemetry.enabled=false"]))?;
        Ok(validate)
    }

    fn pf(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env("HOME", &self.home).env("APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED", "true");
        command
    }

    fn command(&self, flow: &Path) -> Command {
        let mut command = self.pf();
        command.args(["flow", "validate", "--source"]).arg(flow);
        command
    }
}

/// How time and memory grow with the number of flows, of cores and of findings.
fn growth(page: &mut Page, folder: &Path) -> Result<()> {
    let (small, large, faulty) = (folder.join("1000"), folder.join("10000"), folder.join("faulty"));
    for (place, count, faults) in [(&small, 1_000, 0), (&large, 10_000, 0), (&faulty, 10_000, 3)] {
        say(&format!("bench: writing {count} flows with {faults} faults each"));
        synthetic::write(place, count, faults)?;
        let found = measure::report(place)?.findings;
        if found != count * faults {
            return Err(format!("{}: {found} findings instead of {}", place.display(), count * faults));
        }
    }
    say("bench: growth");
    let time = |place: &Path, cores| seconds(RUNS, || Tool::check(cores).command(place));
    page.growth(&[
        ("1,000 flows, one core", time(&small, Cores::One)?, peak_mib(|| Tool::check(Cores::One).command(&small))?),
        ("10,000 flows, one core", time(&large, Cores::One)?, peak_mib(|| Tool::check(Cores::One).command(&large))?),
        ("1,000 flows, all cores", time(&small, Cores::All)?, peak_mib(|| Tool::check(Cores::All).command(&small))?),
        ("10,000 flows, all cores", time(&large, Cores::All)?, peak_mib(|| Tool::check(Cores::All).command(&large))?),
        (
            "10,000 flows, all cores, 30,000 findings",
            time(&faulty, Cores::All)?,
            peak_mib(|| Tool::check(Cores::All).command(&faulty))?,
        ),
    ]);
    Ok(())
}

/// Walks through the tree, if one is given, and reads and parses the files of a list that
/// [`reading::list`] wrote.
///
/// # Errors
/// One of them cannot be read.
pub(crate) fn read(tree: Option<&str>, list: &str) -> Result<()> {
    if let Some(tree) = tree {
        std::hint::black_box(load::discover(Path::new(tree)).map_err(at(Path::new(tree)))?);
    }
    reading::read(Path::new(list))
}
