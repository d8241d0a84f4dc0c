//! `cargo xtask fuzz [SECONDS]`: every fuzz target in turn.

use std::fs;
use std::process::Command;

use crate::command::{Result, at, find, root, run, say};

/// How long each target runs unless told otherwise.
const SECONDS: &str = "900";
/// One input may take that many seconds; far longer than any needs, also where all is instrumented.
const TIMEOUT: &str = "-timeout=10";
/// And the whole process that many mebibytes, of which the sanitizer takes a good part.
const MEMORY: &str = "-rss_limit_mb=2048";

/// Runs each target, with the files of `tests/corpus` and of earlier runs as a start.
///
/// # Errors
/// What is missing, or the targets that found a crash or a hang.
pub(crate) fn all(seconds: Option<&str>) -> Result<()> {
    let seconds = seconds.unwrap_or(SECONDS);
    if seconds.parse::<u32>().is_err() {
        return Err(format!("`{seconds}` is no number of seconds"));
    }
    find("cargo-fuzz").ok_or("install cargo-fuzz (`cargo install cargo-fuzz`) and a nightly toolchain")?;
    let folder = root().join("fuzz");
    let mut targets: Vec<String> = fs::read_dir(folder.join("fuzz_targets"))
        .map_err(at(&folder))?
        .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_str()?.to_owned()))
        .collect();
    targets.sort();
    let mut failed = Vec::new();
    for target in &targets {
        say(&format!("== fuzz {target}, {seconds} s"));
        let corpus = folder.join("corpus").join(target);
        fs::create_dir_all(&corpus).map_err(at(&corpus))?;
        let mut command = Command::new("cargo");
        command.args(["+nightly", "fuzz", "run", target]).arg(&corpus).arg(root().join("tests/corpus"));
        command.args(["--", TIMEOUT, MEMORY, "-print_final_stats=1"]).arg(format!("-max_total_time={seconds}"));
        // The toolchain of the outer `cargo xtask` must not be the inner one's.
        let command = command.current_dir(root()).env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
        if let Err(error) = run(command) {
            say(&error);
            failed.push(target.as_str());
        }
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(format!("fuzz: {} failed; the inputs are in fuzz/artifacts", failed.join(", "))),
    }
}
