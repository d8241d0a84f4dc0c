//! How the files of a virtual environment are made: what flowgate's lock holds, or that and what a flow requires.

use std::fs;
use std::path::{Path, PathBuf};

use flowgate_flow::lock::LOCK;
use tokio::process::Command;

use super::super::folders::blocking;
use super::ProcessOptions;
use super::copy;
use super::venvs::{python_of, venv_of};
use crate::backend::{Progress, explain};
use crate::environment::base::PROMPTFLOW_VERSION;
use crate::environment::hashes;
use crate::environment::packages::Versions;
use crate::error::{RuntimeError, Stage};
use crate::log::LogTail;
use crate::plan::EnvironmentPlan;

/// Prints what is installed, by normalized names, and which of it came from a URL of its own.
const LIST: &str = "
import importlib.metadata as m, json, re
found = {re.sub(r'[-_.]+', '-', d.metadata['Name']).lower(): d for d in m.distributions() if d.metadata['Name']}
direct = [name for name, d in found.items() if d.read_text('direct_url.json')]
print(json.dumps([{name: d.version for name, d in found.items()}, direct]))
";
/// What comes first.
const BASE: explain::Base<'_> = explain::Base {
    name: "flowgate's lock",
    hint: "relax the requirement that it names; promptflow and its tools are pinned",
};
/// How many last lines of an installer's log an error shows.
const LOG_LINES: usize = 20;

/// What an environment holds.
#[derive(Clone, Copy)]
pub(super) enum Content<'c> {
    /// flowgate's lock.
    Lock,
    /// That, as the environment of this Python has it, and what a flow requires.
    Flow(&'c EnvironmentPlan, &'c Path),
}

/// One build, in a folder of its own.
pub(super) struct Build<'b> {
    pub(super) options: &'b ProcessOptions,
    pub(super) folder: PathBuf,
    /// What it is made from, as `uv` or the shell understands it.
    pub(super) python: String,
}

impl Build<'_> {
    pub(super) async fn make(&self, content: Content<'_>, progress: Progress<'_>) -> Result<(), RuntimeError> {
        fs::create_dir_all(&self.folder).map_err(|error| RuntimeError::disk("make", &self.folder, &error))?;
        progress.step("making a virtual environment");
        self.run(self.make_venv(content), "making a virtual environment").await?;
        match content {
            Content::Lock => {
                self.install_lock(progress).await?;
                let venv = venv_of(&python_of(&self.folder)).to_owned();
                blocking(move || copy::protect(&venv)).await
            }
            Content::Flow(plan, base) => {
                let (from, to) = (venv_of(base).to_owned(), venv_of(&python_of(&self.folder)).to_owned());
                blocking(move || copy::packages(&from, &to)).await?;
                self.install_requirements(plan, progress).await
            }
        }
    }

    async fn install_lock(&self, progress: Progress<'_>) -> Result<(), RuntimeError> {
        let with = self.installer_name();
        progress
            .step(&format!("installing promptflow {PROMPTFLOW_VERSION} with {with}, about 250 MB, once for all flows"));
        let lock = self.file("lock.txt", LOCK)?;
        let mut command = self.installer();
        command.args(["--require-hashes", "--no-deps", "-r"]).arg(lock);
        self.run(command, &format!("installing promptflow {PROMPTFLOW_VERSION}")).await
    }

    async fn install_requirements(&self, plan: &EnvironmentPlan, progress: Progress<'_>) -> Result<(), RuntimeError> {
        let (before, _) = self.packages_where_hashed(plan).await?;
        hashes::refuse(plan, &before)?;
        progress.step(&format!("installing the flow's requirements with {}", self.installer_name()));
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
        installed.map_err(|error| explain::failure(error, &explain::Steps::default(), &plan.requirements, &BASE))?;
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
        if !output.status.success() {
            return Err(fail(last_lines(&String::from_utf8_lossy(&output.stderr))));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| fail(error.to_string()))
    }

    fn make_venv(&self, content: Content<'_>) -> Command {
        let made = python_of(&self.folder);
        // A copy is of the same Python as what it is made from, whatever the machine has by now.
        let from = match content {
            Content::Lock => Path::new(&self.python),
            Content::Flow(_, base) => base,
        };
        match &self.options.uv {
            Some(uv) => {
                let mut command = Command::new(uv);
                command.args(["venv", "--quiet", "--no-project", "--python"]).arg(from).arg(venv_of(&made));
                command
            }
            None => {
                let mut command = Command::new(from);
                command.args(["-I", "-m", "venv"]);
                // It comes with the packages.
                if matches!(content, Content::Flow(..)) {
                    command.arg("--without-pip");
                }
                command.arg(venv_of(&made));
                command
            }
        }
    }

    fn installer_name(&self) -> &'static str {
        if self.options.uv.is_some() { "uv" } else { "pip" }
    }

    fn installer(&self) -> Command {
        let python = python_of(&self.folder);
        match &self.options.uv {
            Some(uv) => {
                let mut command = Command::new(uv);
                // Modules are compiled now, as the worker writes nothing into the environment; of several indexes the
                // best version counts, which is pip's meaning; and no file is one of uv's cache, too.
                command
                    .args([
                        "pip",
                        "install",
                        "--quiet",
                        "--compile-bytecode",
                        "--link-mode",
                        "copy",
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

/// The engine's own packages, as the lock has them.
fn engine<'l>() -> impl Iterator<Item = &'l str> {
    let lines = LOCK.lines().filter(|line| line.starts_with("promptflow"));
    lines.map(|line| line.split([' ', '\\']).next().unwrap_or(line))
}

fn write(path: &Path, text: &str) -> Result<(), RuntimeError> {
    fs::write(path, text).map_err(|error| RuntimeError::disk("write", path, &error))
}

/// The end of an installer's log.
pub(super) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}
