//! Many flows at once: load, configure, check, on every core.
//!
//! This module touches files only through [`load`].

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flowgate_flow::config::{CheckConfig, Config, ConfigError};
use flowgate_flow::load::{self, Entry, FileSystem};
use flowgate_flow::{FileKind, Project, classify, include};

use crate::config::{self, Configurations};
use crate::{Facts, Finding, Selection, check};

/// One file to check, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The file.
    pub unit: Unit,
    /// What its folder configures.
    pub config: Arc<Config>,
}

/// One file to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unit {
    /// A flow with everything that it names.
    Flow(PathBuf),
    /// A run specification, a connection or a prompty.
    Sibling(PathBuf),
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

/// What to check, and what a configuration leaves out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// To check.
    pub targets: Vec<Target>,
    /// Left out, each with the pattern that says so.
    pub excluded: Vec<(PathBuf, String)>,
}

/// Why there is nothing to check for a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetError {
    /// It is not there, or not a file that flowgate knows: a lower-case fragment without the path.
    Path(String),
    /// A configuration that cannot be used.
    Config(ConfigError),
}

impl TargetError {
    /// The error with the path that the user named, where the path is at fault.
    pub fn with_path(&self, shown: &str) -> String {
        match self {
            Self::Path(cause) => format!("{shown}: {cause}"),
            Self::Config(error) => error.to_string(),
        }
    }
}

/// What to check for a path that the user named, in order of path: every flow and every file beside
/// flows below a folder that no configuration leaves out, one of them, or a requirements file
/// together with the flow that owns it.
///
/// # Errors
/// See [`TargetError`].
pub fn targets(fs: &(dyn FileSystem + Sync), path: &Path) -> Result<Found, TargetError> {
    let targets = Mutex::new(Vec::new());
    let excluded = find(fs, path, cores(), |target| lock(&targets).push(target))?;
    let mut targets = targets.into_inner().unwrap_or_else(PoisonError::into_inner);
    targets.sort_by(|a, b| a.unit.file().cmp(b.unit.file()));
    Ok(Found { targets, excluded })
}

/// Hands over what [`targets`] gives, as it is found, and gives what is left out, in order of path.
fn find(
    fs: &(dyn FileSystem + Sync),
    path: &Path,
    threads: usize,
    each: impl Fn(Target) + Sync,
) -> Result<Vec<(PathBuf, String)>, TargetError> {
    match load::is_folder(path) {
        None => return Err(TargetError::Path("there is no such file or folder".to_owned())),
        Some(false) => {
            each(target_of_file(fs, path)?);
            return Ok(Vec::new());
        }
        Some(true) => {}
    }
    let configurations = Configurations::new(fs);
    let excluded = Mutex::new(Vec::new());
    // Of several, the first by its file: the order in which they are met is chance.
    let wrong: Mutex<Option<ConfigError>> = Mutex::new(None);
    load::discover_all(path, threads, |path, kind| {
        let folder = path.parent().unwrap_or(Path::new(""));
        match configurations.of(folder) {
            Ok(loaded) => match loaded.excludes(&path).map(str::to_owned) {
                Some(pattern) => lock(&excluded).push((path, pattern)),
                None => {
                    let unit = if kind == FileKind::Flow { Unit::Flow(path) } else { Unit::Sibling(path) };
                    each(Target { unit, config: loaded.config.clone() });
                }
            },
            Err(error) => {
                let mut wrong = lock(&wrong);
                if wrong.as_ref().is_none_or(|wrong| error.path < wrong.path) {
                    *wrong = Some(error);
                }
            }
        }
    })
    .map_err(|error| TargetError::Path(format!("cannot read the folder: {error}")))?;
    if let Some(error) = wrong.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(TargetError::Config(error));
    }
    let mut excluded = excluded.into_inner().unwrap_or_else(PoisonError::into_inner);
    excluded.sort();
    Ok(excluded)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What to check for a file that the user named; it need not be there.
///
/// # Errors
/// See [`TargetError`].
pub fn target_of_file(fs: &dyn FileSystem, path: &Path) -> Result<Target, TargetError> {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("");
    let unit = match (load::kind_of(fs, path), extension) {
        (FileKind::RunSpecification | FileKind::Connection | FileKind::Prompty, _) => Unit::Sibling(path.to_owned()),
        (FileKind::Flow, _) | (FileKind::Other, "yaml" | "yml") => Unit::Flow(path.to_owned()),
        (FileKind::Requirements, _) | (FileKind::Other, "txt") => match owner(fs, path) {
            Some(flow) => Unit::RequirementsOf { path: path.to_owned(), flow },
            None => Unit::Requirements(path.to_owned()),
        },
        (FileKind::Other, _) => {
            let cause = "not a flow, a file beside flows, a requirements file or a folder";
            return Err(TargetError::Path(cause.to_owned()));
        }
    };
    let folder = unit.file().parent().unwrap_or(Path::new(""));
    let config = config::load(fs, folder).map_err(TargetError::Config)?.config;
    Ok(Target { unit, config })
}

impl Unit {
    /// The file that everything else is read for.
    fn file(&self) -> &Path {
        match self {
            Self::Flow(path) | Self::Sibling(path) | Self::Requirements(path) => path,
            Self::RequirementsOf { flow, .. } => flow,
        }
    }
}

/// The flow that names a requirements file: in its folder, or in one of the two folders above.
fn owner(fs: &dyn FileSystem, path: &Path) -> Option<PathBuf> {
    let path = include::lexical(path);
    flows_near(fs, path.parent()?).find(|flow| load::load_project(fs, flow).find(&path).is_some())
}

/// The flows in a folder and in the two folders above, the nearest first.
pub fn flows_near<'f>(fs: &'f dyn FileSystem, folder: &'f Path) -> impl Iterator<Item = PathBuf> + 'f {
    folder.ancestors().take(3).flat_map(|folder| {
        let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let names = fs.list(listed).unwrap_or_default().into_iter();
        let flows = names
            .filter(|(name, entry)| *entry != Entry::Folder && classify::classify(Path::new(name)) == FileKind::Flow);
        flows.map(|(name, _)| folder.join(name))
    })
}

/// How targets are checked.
#[derive(Debug, Clone)]
pub struct Options {
    /// On how many threads.
    pub threads: usize,
    /// By which rules.
    pub selection: Selection,
}

impl Default for Options {
    /// By every rule, on every core.
    fn default() -> Self {
        Self { threads: cores(), selection: Selection::default() }
    }
}

/// Finds what [`targets`] gives for a path, and checks it at once. Each project is `made` into what
/// is kept of it where it was checked, on every core; that is handed over in any order, one at a time.
/// Gives how many there were, and what was left out.
///
/// # Errors
/// See [`TargetError`].
pub fn check_path<T>(
    fs: &(dyn FileSystem + Sync),
    path: &Path,
    options: &Options,
    made: impl Fn(Project, Vec<Finding>) -> T + Sync,
    each: impl FnMut(T) + Send,
) -> Result<(usize, Vec<(PathBuf, String)>), TargetError> {
    let count = AtomicUsize::new(0);
    let each = Mutex::new(each);
    let excluded = find(fs, path, options.threads, |target| {
        count.fetch_add(1, Ordering::Relaxed);
        let (project, findings) = check_one(fs, &target, &options.selection);
        let made = made(project, findings);
        lock(&each)(made);
    })?;
    Ok((count.into_inner(), excluded))
}

/// Checks targets as [`check_path`] does, with the index of each.
pub fn check_all<T>(
    fs: &(dyn FileSystem + Sync),
    targets: &[Target],
    options: &Options,
    made: impl Fn(usize, Project, Vec<Finding>) -> T + Sync,
    each: impl FnMut(T) + Send,
) {
    let next = AtomicUsize::new(0);
    let each = Mutex::new(each);
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(target) = targets.get(index) else { return };
            let (project, findings) = check_one(fs, target, &options.selection);
            let made = made(index, project, findings);
            lock(&each)(made);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..options.threads.min(targets.len()) {
            scope.spawn(work);
        }
        work();
    });
}

/// Reads a target with everything that it names.
pub fn load(fs: &dyn FileSystem, target: &Target) -> Project {
    match &target.unit {
        Unit::Flow(flow) | Unit::RequirementsOf { flow, .. } => load::load_project(fs, flow),
        Unit::Requirements(path) => load::load_requirements(fs, path),
        Unit::Sibling(path) => load::load_sibling(fs, path),
    }
}

fn check_one(fs: &dyn FileSystem, target: &Target, selection: &Selection) -> (Project, Vec<Finding>) {
    let project = load(fs, target);
    let mut findings = check_selected(&project, &target.config.check, selection);
    if let Unit::RequirementsOf { path, .. } = &target.unit {
        let only = project.find(&include::lexical(path));
        findings.retain(|finding| Some(finding.at.file) == only);
    }
    (project, findings)
}

/// Checks one project with the configuration that its folder has.
///
/// # Errors
/// A configuration that cannot be used.
pub fn check_project(fs: &dyn FileSystem, project: &Project) -> Result<Vec<Finding>, ConfigError> {
    let config = config::load(fs, &project.folder)?.config;
    Ok(check_selected(project, &config.check, &Selection::default()))
}

fn check_selected(project: &Project, config: &CheckConfig, selection: &Selection) -> Vec<Finding> {
    let mut config = config.clone();
    selection.apply(&mut config);
    check(project, &config, &Facts::default())
}
