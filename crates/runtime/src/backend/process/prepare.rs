//! Makes virtual environments: what flowgate's lock holds, and on it what a flow requires.

use std::fs::File;
use std::path::PathBuf;

use flowgate_flow::lock::LOCK;
use sha2::{Digest, Sha256};

use super::super::folders::{blocking, lock, unique};
use super::ProcessOptions;
use super::build::{Build, Content};
use super::interpreter::{self, Interpreter};
use super::venvs::{hold, mark, ready, sweep_builds, try_lock};
use crate::backend::Progress;
use crate::error::{RuntimeError, Stage};
use crate::plan::{EnvironmentPlan, PLACEHOLDER};

/// Raised when environments are made in another way.
const RECIPE: &str = "4";

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
    let python = interpreter::find(options).await?;
    let venvs = Venvs { options, python, progress };
    if plan.requirements.is_empty() {
        return venvs.base().await;
    }
    let home = venvs.home(&plan.fingerprint());
    if let Some(python) = ready(&home) {
        return Ok(python);
    }
    loop {
        let base = venvs.base().await?;
        let (cache, held) = (options.cache_dir.clone(), base.clone());
        let _held = blocking(move || hold(&cache, &held)).await?;
        // Nobody has removed it in between, and now nobody can.
        if base.exists() {
            return venvs.made(home, Content::Flow(plan, &base)).await;
        }
    }
}

/// The environments that one interpreter makes.
struct Venvs<'v> {
    options: &'v ProcessOptions,
    python: Interpreter,
    progress: Progress<'v>,
}

impl Venvs<'_> {
    /// The folder of an environment, by its content address: what it holds, the interpreter, and the way of making it.
    fn home(&self, content: &str) -> PathBuf {
        self.options.cache_dir.join("venvs").join(name(content, &self.python.identity))
    }

    /// The Python of the environment that holds flowgate's lock, and nothing else.
    async fn base(&self) -> Result<PathBuf, RuntimeError> {
        self.made(self.home("lock"), Content::Lock).await
    }

    /// Makes an environment, or finds it, and gives its Python.
    async fn made(&self, home: PathBuf, content: Content<'_>) -> Result<PathBuf, RuntimeError> {
        if let Some(python) = ready(&home) {
            return Ok(python);
        }
        let lock_path = home.with_extension("lock");
        let _lock: File = match try_lock(&lock_path)? {
            Some(file) => file,
            None => {
                self.progress.step("waiting for another flowgate that makes the same environment");
                blocking(move || lock(&lock_path)).await?
            }
        };
        // Another one may have made it while we waited.
        if let Some(python) = ready(&home) {
            return Ok(python);
        }
        // What a killed flowgate's installer still writes stays until the next build; this one has a folder of its own.
        let sweep = home.clone();
        let _ = blocking(move || sweep_builds(&sweep)).await;
        let id = unique();
        let build = Build { options: self.options, folder: home.join(&id), python: self.python.request.clone() };
        let made = tokio::time::timeout(self.options.timeout, build.make(content, self.progress)).await;
        if let Err(error) = made.unwrap_or_else(|_| Err(RuntimeError::not_built_within(self.options.timeout))) {
            let _ = blocking(move || sweep_builds(&home)).await;
            return Err(error);
        }
        mark(&home, &id)?;
        ready(&home).ok_or_else(|| {
            RuntimeError::new(Stage::Environment, format!("the environment in {} has no python", home.display()))
        })
    }
}

fn name(content: &str, interpreter: &str) -> String {
    let mut hash = Sha256::new();
    for part in [RECIPE, LOCK, content, interpreter] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect()
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

#[cfg(test)]
mod tests {
    use flowgate_flow::requirements::normalize;

    use super::*;
    use crate::environment::base::PROMPTFLOW_VERSION;

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
        assert_eq!(name("lock", "3.11"), name("lock", "3.11"));
        assert_ne!(name("lock", "3.11"), name("lock", "3.12"));
        assert_ne!(name("lock", "3.11"), name("flow", "3.11"));
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
