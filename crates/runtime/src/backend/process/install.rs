//! Makes virtual environments: what flowgate's lock holds, and on it what a flow requires.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use flowgate_flow::lock::LOCK;
use sha2::{Digest, Sha256};
use tokio::process::Command;

use super::super::folders::{blocking, lock, unique};
use super::ProcessOptions;
use super::venvs::{python_of, ready, sweep_builds, try_lock};
use crate::backend::{Progress, explain};
use crate::environment::hashes;
use crate::environment::packages::Versions;
use crate::error::{RuntimeError, Stage};
use crate::log::LogTail;
use crate::plan::{EnvironmentPlan, PLACEHOLDER, PROMPTFLOW_VERSION};

/// The oldest and the newest minor version of Python 3 that the lock was made and tested for.
const PYTHONS: (u32, u32) = (10, 13);
/// Raised when environments are made in another way.
const RECIPE: &str = "2";
/// Prints what makes an interpreter different from others: version, platform, place.
const PROBE: &str = "import platform, sys; print(sys.version_info[0], sys.version_info[1], platform.python_version(), sys.implementation.name, platform.machine(), sys.platform, sys.base_prefix)";
/// Prints what is installed, by normalized names, and which of it came from a URL of its own.
const LIST: &str = "
import importlib.metadata as m, json, re
found = {re.sub(r'[-_.]+', '-', d.metadata['Name']).lower(): d for d in m.distributions() if d.metadata['Name']}
direct = [name for name, d in found.items() if d.read_text('direct_url.json')]
print(json.dumps([{name: d.version for name, d in found.items()}, direct]))
";
/// How many last lines of an installer's log an error shows.
const LOG_LINES: usize = 20;

/// Makes the environment of a plan, or finds it, and gives its Python.
pub(super) async fn prepare(
    options: &ProcessOptions,
    plan: &EnvironmentPlan,
    progress: Progress<'_>,
) -> Result<PathBuf, RuntimeError> {
    if let Some(line) = plan.requirements.iter().find(|line| is_local(&line.line)) {
        return Err(local(&line.place, &line.line));
    }
    if let Some(option) = plan.options.iter().find(|option| is_local_option(&option.line)) {
        return Err(local(&option.place, &option.line));
    }
    if plan.indexes.is_private() {
        return Err(private(plan));
    }
    let python = interpreter(options).await?;
    let home = options.cache_dir.join("venvs").join(name(plan, &python.identity));
    if let Some(python) = ready(&home) {
        return Ok(python);
    }
    let lock_path = home.with_extension("lock");
    let _lock: File = match try_lock(&lock_path)? {
        Some(file) => file,
        None => {
            progress.step("waiting for another flowgate that makes the same environment");
            blocking(move || lock(&lock_path)).await?
        }
    };
    // Another one may have made it while we waited.
    if let Some(python) = ready(&home) {
        return Ok(python);
    }
    let sweep = home.clone();
    blocking(move || sweep_builds(&sweep)).await?;
    let id = unique();
    let build = Build { options, folder: home.join(&id), python: python.request };
    let made = tokio::time::timeout(options.timeout, build.make(plan, progress)).await;
    if let Err(error) = made.unwrap_or_else(|_| Err(RuntimeError::not_built_within(options.timeout))) {
        let _ = blocking(move || sweep_builds(&home)).await;
        return Err(error);
    }
    let marker = home.join("ready");
    write(&home.join("ready.new"), &id)?;
    fs::rename(home.join("ready.new"), &marker).map_err(|error| RuntimeError::disk("write", &marker, &error))?;
    ready(&home).ok_or_else(|| {
        RuntimeError::new(Stage::Environment, format!("the environment in {} has no python", home.display()))
    })
}

/// The content address: the plan, the interpreter, and the way of making it.
fn name(plan: &EnvironmentPlan, interpreter: &str) -> String {
    let mut hash = Sha256::new();
    for part in [RECIPE, &plan.fingerprint(), interpreter] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}

/// The engine's own packages, as the lock has them.
fn engine<'l>() -> impl Iterator<Item = &'l str> {
    let lines = LOCK.lines().filter(|line| line.starts_with("promptflow"));
    lines.map(|line| line.split([' ', '\\']).next().unwrap_or(line))
}

fn is_local(line: &str) -> bool {
    let head = line.split([' ', ';', '@']).next().unwrap_or("");
    let scheme = line.to_ascii_lowercase();
    let archive = [".whl", ".zip", ".tar.gz"].iter().any(|suffix| head.ends_with(suffix));
    scheme.contains("file:")
        || !head.contains("://") && (archive || head.starts_with(['.', '~']) || head.contains(['/', '\\']))
}

fn is_local_option(option: &str) -> bool {
    let mut words = option.split_whitespace();
    match (words.next(), words.next()) {
        (Some("-e" | "--editable"), _) => true,
        (Some("-f" | "--find-links"), Some(place)) => !place.contains("://") || place.starts_with("file:"),
        _ => false,
    }
}

fn local(place: &str, line: &str) -> RuntimeError {
    let message = format!(
        "{place}: `{line}` names files of this machine, and an environment is shared by all flows with the same requirements"
    );
    RuntimeError::new(Stage::Environment, message)
        .with_hint("put the code beside the flow or into `additional_includes`, or publish the package to an index")
}

fn private(plan: &EnvironmentPlan) -> RuntimeError {
    let option = plan.options.iter().find(|option| option.line.contains(PLACEHOLDER));
    let place = option.map_or("the requirements file", |option| option.place.as_str());
    let message = format!(
        "{place}: the index URL holds `{PLACEHOLDER}`, which stands for a token, and the process backend passes none to an installer"
    );
    RuntimeError::new(Stage::Environment, message)
        .with_hint("use `--backend docker`, whose packages come through a gate that keeps the token")
}

/// A Python that environments can be made from.
struct Interpreter {
    /// What `uv` or the shell understands: a path, or a range of versions.
    request: String,
    /// What makes it different from others.
    identity: String,
}

async fn interpreter(options: &ProcessOptions) -> Result<Interpreter, RuntimeError> {
    let range = format!("3.{} to 3.{}", PYTHONS.0, PYTHONS.1);
    let hint = format!(
        "install Python {range}, and name it with FLOWGATE_PYTHON where it is not the first one on the search path"
    );
    let fail = |message: String| RuntimeError::new(Stage::Environment, message).with_hint(hint.clone());
    let Some(python) = &options.python else {
        if options.uv.is_some() {
            let request = format!(">=3.{},<3.{}", PYTHONS.0, PYTHONS.1 + 1);
            return Ok(Interpreter { identity: request.clone(), request });
        }
        return Err(fail("there is no Python on the search path".to_owned()));
    };
    let mut command = Command::new(python);
    command
        .args(["-I", "-c", PROBE])
        .env_clear()
        .envs(options.env.iter().cloned())
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true);
    let output = command.output().await.map_err(|error| fail(format!("cannot start {}: {error}", python.display())))?;
    let identity = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let mut words = identity.split(' ');
    let version = words.next().zip(words.next()).map(|(major, minor)| (major.to_owned(), minor.parse::<u32>().ok()));
    match version {
        Some((major, Some(minor))) if major == "3" && (PYTHONS.0..=PYTHONS.1).contains(&minor) => {}
        Some((major, Some(minor))) => {
            return Err(fail(format!(
                "{} is Python {major}.{minor}, and promptflow {PROMPTFLOW_VERSION} needs {range}",
                python.display()
            )));
        }
        _ => {
            let text = String::from_utf8_lossy(&output.stderr);
            return Err(fail(format!("{} does not run", python.display())).with_log(last_lines(&text)));
        }
    }
    // The identity alone does not tell two installations of one version apart.
    Ok(Interpreter { request: python.display().to_string(), identity: format!("{identity} {}", python.display()) })
}

struct Build<'b> {
    options: &'b ProcessOptions,
    folder: PathBuf,
    python: String,
}

impl Build<'_> {
    async fn make(&self, plan: &EnvironmentPlan, progress: Progress<'_>) -> Result<(), RuntimeError> {
        let with = if self.options.uv.is_some() { "uv" } else { "pip" };
        fs::create_dir_all(&self.folder).map_err(|error| RuntimeError::disk("make", &self.folder, &error))?;
        progress.step("making a virtual environment");
        self.run(self.make_venv(), "making a virtual environment").await?;
        progress.step(&format!(
            "installing promptflow {PROMPTFLOW_VERSION} with {with}, about 250 MB, once for all flows with the same requirements"
        ));
        let lock = self.file("lock.txt", LOCK)?;
        let mut command = self.installer();
        command.args(["--require-hashes", "--no-deps", "-r"]).arg(lock);
        self.run(command, &format!("installing promptflow {PROMPTFLOW_VERSION}")).await?;
        if plan.requirements.is_empty() {
            return Ok(());
        }
        let (before, _) = self.packages_where_hashed(plan).await?;
        hashes::refuse(plan, &before)?;
        progress.step(&format!("installing the flow's requirements with {with}"));
        let mut lines: Vec<&str> = plan.requirements.iter().map(|line| line.line.as_str()).collect();
        // What is installed must go with the engine, and where it does not, the resolver says so.
        lines.extend(engine());
        let mut command = self.installer();
        let options = self.understood(plan.options.iter().map(|option| option.line.as_str()), &mut command);
        let requirements = self.file("requirements.txt", &[options, lines.join("\n")].join("\n"))?;
        command.arg("-r").arg(requirements);
        if !plan.constraints.is_empty() {
            let lines: Vec<&str> = plan.constraints.iter().map(|line| line.line.as_str()).collect();
            command.arg("-c").arg(self.file("constraints.txt", &lines.join("\n"))?);
        }
        let installed = self.run(command, "installing the flow's requirements").await;
        installed.map_err(|error| {
            explain::failure(error, &explain::Steps::default(), &plan.requirements, "flowgate's lock")
        })?;
        let (after, direct) = self.packages_where_hashed(plan).await?;
        hashes::refuse_unnamed(plan, &before, &after, &direct)
    }

    /// What is installed, and which of it came from a URL of its own, for a plan whose hashes are checked.
    async fn packages_where_hashed(&self, plan: &EnvironmentPlan) -> Result<(Versions, Vec<String>), RuntimeError> {
        if !plan.checks_hashes() {
            return Ok(Default::default());
        }
        let mut command = Command::new(python_of(&self.folder));
        command.args(["-I", "-c", LIST]).env_clear().stdin(std::process::Stdio::null()).kill_on_drop(true);
        let fail =
            |error: String| RuntimeError::new(Stage::Environment, format!("cannot list what is installed: {error}"));
        let output = command.output().await.map_err(|error| fail(error.to_string()))?;
        serde_json::from_slice(&output.stdout).map_err(|error| fail(error.to_string()))
    }

    fn make_venv(&self) -> Command {
        let venv = self.folder.join("venv");
        match &self.options.uv {
            Some(uv) => {
                let mut command = Command::new(uv);
                command.args(["venv", "--quiet", "--no-project", "--python", &self.python]).arg(venv);
                command
            }
            None => {
                let mut command = Command::new(&self.python);
                command.args(["-I", "-m", "venv"]).arg(venv);
                command
            }
        }
    }

    fn installer(&self) -> Command {
        let python = python_of(&self.folder);
        match &self.options.uv {
            Some(uv) => {
                let mut command = Command::new(uv);
                // Modules are compiled now, as the worker writes nothing into the environment;
                // and of several indexes the best version counts, which is pip's meaning.
                command
                    .args([
                        "pip",
                        "install",
                        "--quiet",
                        "--compile-bytecode",
                        "--index-strategy",
                        "unsafe-best-match",
                        "--python",
                    ])
                    .arg(python);
                command
            }
            None => {
                let mut command = Command::new(python);
                command.args(["-I", "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]);
                command
            }
        }
    }

    /// The option lines for a requirements file. Those that `uv` has under other names, or does
    /// not need, become arguments.
    fn understood<'o>(&self, options: impl Iterator<Item = &'o str>, command: &mut Command) -> String {
        if self.options.uv.is_none() {
            return options.collect::<Vec<_>>().join("\n");
        }
        let mut kept = Vec::new();
        for option in options {
            let (name, value) = option.split_once(' ').unwrap_or((option, ""));
            match name {
                "--pre" => drop(command.arg("--prerelease=allow")),
                "--trusted-host" => drop(command.args(["--allow-insecure-host", value])),
                // What pip wants of every line is seen to before and after.
                "--require-hashes" | "--prefer-binary" | "--use-feature" => {}
                "--pypi-url" => kept.push(format!("--index-url {value}")),
                _ => kept.push(option.to_owned()),
            }
        }
        kept.join("\n")
    }

    fn file(&self, name: &str, text: &str) -> Result<PathBuf, RuntimeError> {
        let path = self.folder.join(name);
        write(&path, &format!("{text}\n"))?;
        Ok(path)
    }

    /// Runs an installer to its end; it is killed where this is dropped.
    async fn run(&self, mut command: Command, what: &str) -> Result<(), RuntimeError> {
        use std::process::Stdio;
        command
            .env_clear()
            .envs(self.options.env.iter().cloned())
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        let fail = |cause: String| RuntimeError::new(Stage::Environment, format!("{what} failed: {cause}"));
        let mut child = command.spawn().map_err(|error| fail(format!("cannot start {program}: {error}")))?;
        let mut group = Group::of(&child);
        let (log, errors) = (LogTail::default(), LogTail::default());
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let output = async {
            if let Some(stream) = stdout {
                log.clone().fill(stream).await;
            }
        };
        let complaint = async {
            if let Some(stream) = stderr {
                errors.clone().fill(stream).await;
            }
        };
        let (status, (), ()) = tokio::join!(child.wait(), output, complaint);
        group.has_ended();
        let status = status.map_err(|error| fail(format!("cannot wait for {program}: {error}")))?;
        if status.success() {
            return Ok(());
        }
        // What goes wrong stands in the one or the other.
        let text = [log.text(), errors.text()].into_iter().flatten().collect::<Vec<_>>().join("\n");
        let hint =
            "look at the end of its log; `pip install -r` of the same file in a clean environment shows all of it";
        let error = fail(format!("{program} ended with {status}")).with_hint(hint).with_log(last_lines(&text));
        Err(error.or_full(&self.options.cache_dir))
    }
}

/// An installer and all that it started, which ends where this is dropped before it has ended: a package's build would
/// go on for ever.
struct Group(Option<u32>);

impl Group {
    fn of(leader: &tokio::process::Child) -> Self {
        Self(leader.id())
    }

    fn has_ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(group) = self.0.and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?)) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

fn write(path: &Path, text: &str) -> Result<(), RuntimeError> {
    fs::write(path, text).map_err(|error| RuntimeError::disk("write", path, &error))
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use flowgate_flow::requirements::normalize;

    use super::*;

    #[test]
    fn what_names_files_of_this_machine_is_told_from_what_an_index_has() {
        for line in ["./pkg", "../pkg[x]", "/abs/pkg", "sub/pkg", "pkg @ file:///x/y", "a-1.0-py3-none-any.whl", "~/x"]
        {
            assert!(is_local(line), "{line}");
        }
        for line in [
            "requests==2",
            "pkg[a]>=1 ; python_version < '3.12'",
            "pkg @ https://host/a/b.whl",
            "git+https://host/a/b",
            "https://host/a.whl",
        ] {
            assert!(!is_local(line), "{line}");
        }
        assert!(is_local_option("-e git+https://host/x") && is_local_option("-f ./wheels"));
        assert!(
            !is_local_option("--find-links https://host/wheels") && !is_local_option("--index-url https://host/simple")
        );
    }

    #[test]
    fn each_content_has_its_own_name() {
        let plan = crate::plan::plan(&flowgate_flow::Project::default(), &crate::plan::Settings::default()).unwrap();
        let other = EnvironmentPlan { python: "3.12".to_owned(), ..plan.clone() };
        assert_eq!(name(&plan, "3.11"), name(&plan, "3.11"));
        assert_ne!(name(&plan, "3.11"), name(&plan, "3.12"));
        assert_ne!(name(&plan, "3.11"), name(&other, "3.11"));
    }

    #[test]
    fn the_lock_holds_the_engine_with_hashes_and_names_no_index() {
        let names: Vec<String> = LOCK
            .lines()
            .filter(|line| line.starts_with(|c: char| c.is_ascii_alphanumeric()))
            .map(|line| normalize(line.split("==").next().unwrap()))
            .collect();
        assert!(LOCK.contains(&format!("\npromptflow=={PROMPTFLOW_VERSION} \\\n")));
        assert!(names.iter().any(|name| name == "promptflow-tools") && names.len() > 50);
        let requirements = LOCK.lines().filter(|line| line.contains("==")).count();
        let hashed = LOCK
            .lines()
            .zip(LOCK.lines().skip(1))
            .filter(|(line, next)| line.contains("==") && next.trim_start().starts_with("--hash=sha256:"))
            .count();
        assert!(hashed >= names.len() && requirements >= hashed);
        assert!(!LOCK.contains("://") && !LOCK.contains("--index-url") && !LOCK.contains("--find-links"));
    }
}
