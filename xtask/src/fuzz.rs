//! `cargo xtask fuzz [SECONDS]`: every fuzz target in turn.

use std::fs;
use std::process::Command;

use crate::command::{Result, at, find, output, root, run, say};

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
    find("cargo-fuzz").ok_or("install cargo-fuzz (`cargo install --locked cargo-fuzz`)")?;
    let nightly = output(Command::new("rustup").args(["run", "nightly", "rustc", "--version"])).is_ok();
    say(if nightly { "fuzz: with the nightly toolchain" } else { "fuzz: with this toolchain and RUSTC_BOOTSTRAP=1" });
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
        // The toolchain of the outer `cargo xtask` must not be the inner one's.
        command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO").current_dir(root());
        // Sanitizers are not stable.
        match nightly {
            true => command.arg("+nightly"),
            false => command.env("RUSTC_BOOTSTRAP", "1"),
        };
        command.args(["fuzz", "run", target]).arg(&corpus).arg(root().join("tests/corpus"));
        command.args(["--", TIMEOUT, MEMORY, "-print_final_stats=1"]).arg(format!("-max_total_time={seconds}"));
        if let Err(error) = run(&mut command) {
            say(&error);
            failed.push(target.as_str());
        }
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(format!("fuzz: {} failed; the inputs are in fuzz/artifacts", failed.join(", "))),
    }
}
