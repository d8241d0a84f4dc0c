//! Time and memory of other programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::command::{Result, at, binary, output};

/// How many cores a program gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cores {
    One,
    All,
}

/// A program that takes a path.
pub(super) struct Tool {
    words: Vec<&'static str>,
    program: &'static str,
    cores: Cores,
}

impl Tool {
    /// The whole check.
    pub(super) fn check(cores: Cores) -> Self {
        Self { words: vec!["check", "--format", "json", "--fail-on", "never"], program: "flowgate", cores }
    }

    /// Reading and parsing alone, on one core.
    pub(super) fn read() -> Self {
        Self { words: vec!["read"], program: "xtask", cores: Cores::One }
    }

    /// On that path.
    pub(super) fn command(&self, path: &Path) -> Command {
        let program = binary("release", self.program);
        let mut command = match self.cores {
            Cores::All => Command::new(program),
            Cores::One => {
                let mut command = Command::new("taskset");
                command.args(["-c", "0"]).arg(program);
                command
            }
        };
        command.args(&self.words).arg(path);
        command
    }
}

/// What a check says that it did.
pub(super) struct Report {
    pub(super) files: usize,
    pub(super) findings: usize,
}

/// Checks a folder.
pub(super) fn report(folder: &Path) -> Result<Report> {
    let json = output(&mut Tool::check(Cores::All).command(folder))?;
    let report: serde_json::Value = serde_json::from_str(&json).map_err(|error| error.to_string())?;
    let files = report["summary"]["files"].as_u64().unwrap_or(0) as usize;
    Ok(Report { files, findings: report["findings"].as_array().map_or(0, Vec::len) })
}

/// The median wall time of some runs, in seconds.
pub(super) fn seconds(runs: usize, command: impl Fn() -> Command) -> Result<f64> {
    let times = (0..runs).map(|_| {
        let started = Instant::now();
        quiet(command()).and_then(|mut child| child.wait().map_err(|error| error.to_string()))?;
        Ok(started.elapsed().as_secs_f64())
    });
    Ok(median(times.collect::<Result<_>>()?))
}

/// The wall time of one run that must succeed, in seconds.
///
/// # Errors
/// It did not; then with what it said.
pub(super) fn succeeded(command: &mut Command) -> Result<f64> {
    let started = Instant::now();
    output(command)?;
    Ok(started.elapsed().as_secs_f64())
}

/// The most memory that a run has resident at once, in MiB: the kernel's own high-water mark, looked
/// at until the program ends.
pub(super) fn peak_mib(command: impl Fn() -> Command) -> Result<f64> {
    let mut child = quiet(command())?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0_u64;
    while child.try_wait().map_err(|error| error.to_string())?.is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let mark = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = mark.and_then(|mark| mark.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0));
        std::thread::sleep(Duration::from_micros(500));
    }
    Ok(peak as f64 / 1024.0)
}

fn quiet(mut command: Command) -> Result<std::process::Child> {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map_err(|error| format!("cannot start {:?}: {error}", command.get_program()))
}

/// The middle of some figures.
pub(super) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(0.0)
}

/// The memory of a process in MiB, what it shares with others counted in part.
pub(crate) fn memory(process: &str) -> Result<f64> {
    let path = PathBuf::from(format!("/proc/{process}/smaps_rollup"));
    let text = std::fs::read_to_string(&path).map_err(at(&path))?;
    let kib = text.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.map(|kib| kib / 1024.0).ok_or_else(|| format!("{} does not say its Pss", path.display()))
}
