//! Many flows at once: load, configure, check, on every core.
//!
//! This module touches files only through [`load`].

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use flowgate_flow::config::{self, ConfigError};
use flowgate_flow::load::{self, FileSystem};
use flowgate_flow::{FileKind, Project, classify, include};

use crate::{Facts, Finding, check, unknown_rules};

/// One file to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A flow with everything that it names.
    Flow(PathBuf),
    /// A requirements file alone, because no flow beside it or above it names it.
    Requirements(PathBuf),
    /// A requirements file of the flow; only its own findings count.
    RequirementsOf {
        /// The requirements file.
        path: PathBuf,
        /// The flow that names it.
        flow: PathBuf,
    },
}

/// What to check for a path that the user named: every flow below a folder, a flow, or a
/// requirements file together with the flow that owns it.
///
/// # Errors
/// A path that is not there, or not a file that flowgate knows, as a lower-case fragment without
/// the path.
pub fn targets(fs: &dyn FileSystem, path: &Path) -> Result<Vec<Target>, String> {
    match load::is_folder(path) {
        None => return Err("there is no such file or folder".to_owned()),
        Some(true) => {
            let flows = load::discover(path).map_err(|error| format!("cannot read the folder: {error}"))?;
            return Ok(flows.into_iter().map(Target::Flow).collect());
        }
        Some(false) => {}
    }
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("");
    match (classify::classify(path), extension) {
        (FileKind::Flow, _) | (FileKind::Other, "yaml" | "yml") => Ok(vec![Target::Flow(path.to_owned())]),
        (FileKind::Requirements, _) | (FileKind::Other, "txt") => Ok(vec![match owner(fs, path) {
            Some(flow) => Target::RequirementsOf { path: path.to_owned(), flow },
            None => Target::Requirements(path.to_owned()),
        }]),
        (FileKind::Other, _) => Err("not a flow, a requirements file or a folder".to_owned()),
    }
}

/// The flow that names a requirements file: in its folder, or in one of the two folders above.
fn owner(fs: &dyn FileSystem, path: &Path) -> Option<PathBuf> {
    let path = include::lexical(path);
    let folder = path.parent()?;
    folder.ancestors().take(3).find_map(|folder| {
        let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let names = fs.list(listed).ok()?;
        let flows = names
            .into_iter()
            .filter(|(name, is_folder)| !is_folder && classify::classify(Path::new(name)) == FileKind::Flow);
        flows.map(|(name, _)| folder.join(name)).find(|flow| load::load_project(fs, flow).find(&path).is_some())
    })
}

/// Checks targets on `threads` threads and hands over each project with its findings, in any
/// order, as soon as it is done.
///
/// # Errors
/// The first configuration that cannot be used; nothing is handed over after it.
pub fn check_all(
    fs: &(dyn FileSystem + Sync),
    targets: &[Target],
    threads: usize,
    mut each: impl FnMut(Project, Vec<Finding>),
) -> Result<(), ConfigError> {
    let next = AtomicUsize::new(0);
    // Bounded: a slow consumer holds the checkers back instead of piling up projects.
    let (sender, receiver) = mpsc::sync_channel(threads.max(1) * 4);
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, targets.len().max(1)) {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if sender.send(check_one(fs, target)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for result in receiver {
            let (project, findings) = result?;
            each(project, findings);
        }
        Ok(())
    })
}

fn check_one(fs: &dyn FileSystem, target: &Target) -> Result<(Project, Vec<Finding>), ConfigError> {
    let project = match target {
        Target::Flow(flow) | Target::RequirementsOf { flow, .. } => load::load_project(fs, flow),
        Target::Requirements(path) => load::load_requirements(fs, path),
    };
    let findings = check_project(fs, &project)?;
    let findings = match target {
        Target::RequirementsOf { path, .. } => {
            let only = project.find(&include::lexical(path));
            findings.into_iter().filter(|finding| Some(finding.at.file) == only).collect()
        }
        _ => findings,
    };
    Ok((project, findings))
}

/// Checks one project with the configuration that its folder has.
///
/// # Errors
/// A configuration that cannot be used.
pub fn check_project(fs: &dyn FileSystem, project: &Project) -> Result<Vec<Finding>, ConfigError> {
    let (config, path) = config::load(fs, &project.folder)?;
    if let Some((name, near)) = unknown_rules(&config.check).into_iter().next() {
        let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        return Err(ConfigError {
            path: path.unwrap_or_default(),
            message: format!("check.rules: there is no rule `{name}`{near}"),
        });
    }
    Ok(check(project, &config.check, &Facts::default()))
}
