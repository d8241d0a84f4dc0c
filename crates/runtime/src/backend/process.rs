//! Runtimes in virtual environments on this machine. No sandbox: the flow's code can do
//! what the user can.

mod build;
mod copy;
mod interpreter;
mod prepare;
mod venvs;

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::folders::{self, WorkFolder};
use super::{Backend, BackendKind, Image, Limits, Prepared, Progress, Pruned, Runtime, Stop};
use crate::error::{RuntimeError, Stage};
use crate::log::LogTail;
use crate::plan::{Base, EnvironmentPlan};
use crate::session::Session;
use crate::worker;

/// How long an environment that nothing uses is kept.
const UNUSED: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long a worker may take to end after its input has.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// What the door knows about this machine.
#[derive(Debug, Clone)]
pub struct ProcessOptions {
    /// Where virtual environments are kept; also the place of the folders that flows run in.
    pub cache_dir: PathBuf,
    /// The Python that environments are made from.
    pub python: Option<PathBuf>,
    /// `uv`, which installs faster than `pip` and finds a Python where none is named.
    pub uv: Option<PathBuf>,
    /// The whole environment of installers: how to reach an index. Flows never see it.
    pub env: Vec<(OsString, OsString)>,
    /// How long one environment may take to be made.
    pub timeout: Duration,
}

/// The process backend.
#[derive(Debug, Clone)]
pub struct Process {
    options: ProcessOptions,
}

impl Process {
    /// A backend; nothing is touched yet.
    pub fn new(options: ProcessOptions) -> Self {
        Self { options }
    }

    /// Removes the environments that no runtime uses: all, or those that none has used for 30 days.
    ///
    /// # Errors
    /// The folder that they are in cannot be read.
    pub fn prune(&self, all: bool) -> Result<Vec<Pruned>, RuntimeError> {
        venvs::prune(&self.options.cache_dir, if all { Duration::ZERO } else { UNUSED })
    }

    /// Makes sure that the virtual environment of a plan is there: its Python.
    ///
    /// # Errors
    /// As those of [`Backend::prepare`].
    pub async fn python(&self, plan: &EnvironmentPlan, progress: Progress<'_>) -> Result<PathBuf, RuntimeError> {
        prepare::prepare(&self.options, plan, progress).await
    }

    /// Starts the worker with a Python.
    ///
    /// # Errors
    /// As those of [`Prepared::start`].
    pub async fn start(&self, python: &Path, limits: &Limits) -> Result<Runtime, RuntimeError> {
        let parent = self.options.cache_dir.join("work");
        let folder = folders::blocking(move || WorkFolder::new(&parent)).await?;
        let (cache, held) = (self.options.cache_dir.clone(), python.to_owned());
        let held = folders::blocking(move || venvs::hold(&cache, &held)).await?;
        let mut child = spawn(python, folder.path())?;
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(RuntimeError::new(Stage::Infrastructure, "the worker's streams are not there"));
        };
        let log = LogTail::default();
        tokio::spawn(log.clone().fill(stderr));
        match Session::start(stdout, stdin, log, limits.start_timeout).await {
            Ok(session) => {
                let stop = Box::new(Started { child, folder, _held: held });
                Ok(Runtime { session, notice: None, cpus: None, stop })
            }
            Err(error) => {
                let _ = Box::new(Started { child, folder, _held: held }).stop().await;
                Err(error.or_full(&self.options.cache_dir))
            }
        }
    }
}

#[async_trait]
impl Backend for Process {
    fn kind(&self) -> BackendKind {
        BackendKind::Process
    }

    async fn prepare(&self, plan: &EnvironmentPlan, progress: Progress<'_>) -> Result<Box<dyn Prepared>, RuntimeError> {
        if plan.base != Base::Own {
            let image = plan.base_name();
            progress.step(&format!("ignoring the image {image}: the process backend does not use images"));
        }
        let python = self.python(plan, progress).await?;
        Ok(Box::new(PreparedVenv { process: self.clone(), python }))
    }
}

/// The Python of a virtual environment.
struct PreparedVenv {
    process: Process,
    python: PathBuf,
}

#[async_trait]
impl Prepared for PreparedVenv {
    fn image(&self) -> Option<&Image> {
        None
    }

    async fn start(&self, limits: &Limits) -> Result<Runtime, RuntimeError> {
        self.process.start(&self.python, limits).await
    }
}

fn spawn(python: &Path, work: &Path) -> Result<Child, RuntimeError> {
    let mut path = python.parent().map(|bin| bin.as_os_str().to_owned()).unwrap_or_default();
    path.push(":/usr/local/bin:/usr/bin:/bin");
    let mut command = Command::new(python);
    command
        .args(worker::arguments())
        .env_clear()
        .env("PATH", path)
        .env("LANG", "C.UTF-8")
        .env("FLOWGATE_ISOLATION", "process")
        .env("FLOWGATE_WORK", work)
        .current_dir(work)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    // Ctrl-C is for us: we end the worker in order.
    #[cfg(unix)]
    command.process_group(0);
    command
        .spawn()
        .map_err(|error| RuntimeError::new(Stage::Runtime, format!("cannot start {}: {error}", python.display())))
}

struct Started {
    child: Child,
    folder: WorkFolder,
    /// Its environment is not removed.
    _held: Option<File>,
}

#[async_trait]
impl Stop for Started {
    async fn stop(mut self: Box<Self>) -> Result<(), RuntimeError> {
        // The session is gone, so the worker reads the end of its input and ends its jobs.
        if timeout(STOP_TIMEOUT, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
        let folder = self.folder;
        folders::blocking(move || folder.remove()).await
    }
}
