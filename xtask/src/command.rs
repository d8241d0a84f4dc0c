//! Other programs, started and judged in one way.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Errors are texts with their cause and next step: a developer reads them, no program does.
pub(crate) type Result<T> = std::result::Result<T, String>;

/// Prints one line of progress. Where nobody listens any more, there is nobody to tell.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// True under continuous integration, where nothing may be skipped.
pub(crate) fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true" || value == "1")
}

/// The program's path, where `PATH` has it.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// Cargo in the repository, as a shell would start it. Cargo tells this program which package it is, and a build script
/// that looks at the same variables (ring's) would have half of the dependencies built anew each time.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let is_own =
            |name: &str| name == "OUT_DIR" || name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        if name.to_str().is_some_and(is_own) {
            command.env_remove(name);
        }
    }
    command.args(arguments).current_dir(root());
    command
}

/// Builds the tests and what they drive, flowgate itself, and gives its path. With another selection of packages some
/// dependencies have other features, and half of all would be compiled once more.
///
/// # Errors
/// It cannot be built.
pub(crate) fn flowgate() -> Result<PathBuf> {
    let words = ["build", "--quiet", "--workspace", "--bins", "--tests", "--message-format=json-render-diagnostics"];
    let built = output(&mut cargo(&words))?;
    if is_compiled_twice(&built) {
        say("note: this program and the tests are compiled from two sets of dependencies: see `xtask/Cargo.toml`");
    }
    Ok(binary("debug", "flowgate"))
}

/// Whether what this program was compiled with had to be compiled again, by what a build of the workspace says.
fn is_compiled_twice(built: &str) -> bool {
    let messages = built.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let is_own = |message: &serde_json::Value| {
        message["target"]["name"] == "flowgate_runtime"
            && message["target"]["kind"][0] == "lib"
            && message["profile"]["test"] == false
    };
    messages.into_iter().any(|message| is_own(&message) && message["fresh"] == false)
}

/// A binary of the workspace, as a profile builds it.
pub(crate) fn binary(profile: &str, name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    target.join(profile).join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// Runs a command that speaks for itself.
///
/// # Errors
/// It could not be started, or it failed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status().map_err(|error| could_not_start(command, &error))?;
    if status.success() { Ok(()) } else { Err(format!("{}: {status}", shown(command))) }
}

/// Runs a command quietly and gives its standard output.
///
/// # Errors
/// It could not be started, or it failed; then with what it wrote to standard error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| could_not_start(command, &error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let said = [out.trim(), err.trim()].join("\n");
    Err(format!("{}: {}\n{}", shown(command), output.status, tail(said.trim())))
}

fn could_not_start(command: &Command, error: &std::io::Error) -> String {
    format!("cannot start {}: {error}", shown(command))
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args()).take(4);
    format!("`{}`", words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" "))
}

/// The last lines of a text.
pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// Adds the path to an error of the file system.
pub(crate) fn at(path: &Path) -> impl FnOnce(std::io::Error) -> String + '_ {
    move |error| format!("{}: {error}", path.display())
}

/// Removes a folder with all that is in it, if it is there.
pub(crate) fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(at(folder)(error)),
        _ => Ok(()),
    }
}
