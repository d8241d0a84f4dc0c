//! `cargo xtask test`: everything that must hold before a change is done.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::command::{Result, at, cargo, find, flowgate, in_ci, run, say};
use crate::{docs, testbed};

/// Runs all checks and tests, and ends with one line of totals.
///
/// # Errors
/// The first check that does not hold, or the totals of the tests where some failed.
pub(crate) fn test() -> Result<()> {
    let started = Instant::now();
    step("formatting");
    run(&mut cargo(&["fmt", "--all", "--check"])).map_err(|error| format!("{error}\nformat with `cargo fmt --all`"))?;
    step("lints");
    run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    step("generated docs");
    docs::check()?;
    step("test bed and build");
    // The one waits for the network, the other for the processor.
    let (built, made) = std::thread::scope(|scope| {
        let building = scope.spawn(flowgate);
        let made = testbed::make();
        (building.join().unwrap_or_else(|_| Err("the build broke off".to_owned())), made)
    });
    // The end-to-end tests drive the binary, which is no dependency of theirs.
    built?;
    let missing = match made {
        Err(reason) if in_ci() => return Err(reason),
        made => made.err(),
    };
    step("tests");
    let skips = testbed::folder()?.join("skipped");
    std::fs::write(&skips, "").map_err(at(&skips))?;
    let totals = tests(&skips)?;
    let skipped = std::fs::read_to_string(&skips).map_err(at(&skips))?;
    let skipped: Vec<&str> = skipped.lines().collect();
    for line in &skipped {
        say(&format!("skipped: {line}"));
    }
    if let Some(reason) = missing {
        say(&format!("no whole test bed: {reason}"));
    }
    let line = format!(
        "{} passed, {} failed, {} skipped, in {} s",
        totals.passed.saturating_sub(skipped.len()),
        totals.failed,
        totals.skipped + skipped.len(),
        started.elapsed().as_secs()
    );
    if totals.good && totals.passed > 0 {
        say(&format!("all good: {line}"));
        return Ok(());
    }
    Err(format!("tests failed: {line}"))
}

fn step(name: &str) {
    say(&format!("== {name}"));
}

/// What the runners counted.
#[derive(Debug, PartialEq, Eq)]
struct Totals {
    passed: usize,
    failed: usize,
    skipped: usize,
    good: bool,
}

impl Totals {
    const NONE: Self = Self { passed: 0, failed: 0, skipped: 0, good: true };

    fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.good &= other.good;
    }
}

/// Runs the tests with nextest where it is installed, which leaves out the documentation's
/// examples, and else with cargo's own runner.
fn tests(skips: &Path) -> Result<Totals> {
    let mut totals = Totals::NONE;
    let path = testbed::path()?;
    let passes: &[&[&str]] = if find("cargo-nextest").is_some() {
        &[&["nextest", "run", "--workspace", "--no-fail-fast"], &["test", "--workspace", "--doc", "--no-fail-fast"]]
    } else {
        &[&["test", "--workspace", "--no-fail-fast"]]
    };
    for arguments in passes {
        let mut command = cargo(arguments);
        command.env("FLOWGATE_SKIPPED", skips).env("PATH", &path);
        totals.add(&counted(&mut command)?);
    }
    Ok(totals)
}

/// Runs a test runner, passes on what it says, and adds up the totals that it prints.
fn counted(command: &mut Command) -> Result<Totals> {
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|error| format!("cannot start cargo: {error}"))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let mut totals = Totals::NONE;
    std::thread::scope(|scope| {
        let aside = scope.spawn(move || err.map(pass_on));
        totals.add(&out.map_or(Totals::NONE, pass_on));
        if let Ok(Some(more)) = aside.join() {
            totals.add(&more);
        }
    });
    let status = child.wait().map_err(|error| format!("cannot wait for cargo: {error}"))?;
    totals.good = status.success();
    Ok(totals)
}

fn pass_on(stream: impl Read) -> Totals {
    let mut totals = Totals::NONE;
    for line in BufReader::new(stream).split(b'\n').map_while(std::result::Result::ok) {
        let line = String::from_utf8_lossy(&line);
        say(&line);
        if let Some(counts) = counts(&line) {
            totals.add(&counts);
        }
    }
    totals
}

/// Reads a runner's closing line: `test result: ok. 3 passed; 0 failed; 1 ignored; ...`, or
/// `Summary [ 1.2s] 4 tests run: 3 passed (1 slow), 1 failed, 0 skipped`.
fn counts(line: &str) -> Option<Totals> {
    // nextest indents its own line, and what it repeats of a failed test.
    if !line.starts_with("test result: ") && !line.trim_start().starts_with("Summary [") {
        return None;
    }
    let words: Vec<&str> = line.split([' ', ';', ',', '.', ':']).collect();
    let before = |name: &str| {
        let position = words.iter().position(|word| *word == name)?;
        words[..position].last()?.parse::<usize>().ok()
    };
    let sum = |names: &[&str]| names.iter().filter_map(|name| before(name)).sum();
    Some(Totals {
        passed: before("passed").unwrap_or(0),
        failed: sum(&["failed", "timed"]),
        skipped: sum(&["ignored", "skipped"]),
        good: true,
    })
}

#[cfg(test)]
mod tests {
    use super::{Totals, counts};

    #[test]
    fn the_closing_lines_of_both_runners_are_counted() {
        let cargo =
            "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.02s";
        assert_eq!(counts(cargo), Some(Totals { passed: 12, failed: 3, skipped: 1, good: true }));
        let nextest = "     Summary [   0.012s] 4 tests run: 3 passed (1 slow), 1 failed, 2 skipped";
        assert_eq!(counts(nextest), Some(Totals { passed: 3, failed: 1, skipped: 2, good: true }));
        for other in ["running 3 tests, 2 passed", "    test result: FAILED. 0 passed; 1 failed; 0 ignored"] {
            assert_eq!(counts(other), None);
        }
    }
}
