//! One unit of work: load, check, keep.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use flowgate_check::workspace::check_project;
use flowgate_check::{Facts, Finding};
use flowgate_flow::Project;
use flowgate_flow::config::CheckConfig;
use flowgate_flow::load::{self, FileSystem};

/// What is analysed as a whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unit {
    /// A flow with everything that it names.
    Flow(PathBuf),
    /// A requirements file that no flow is known to own, with what it includes.
    Requirements(PathBuf),
    /// A run specification, a connection or a prompty.
    Sibling(PathBuf),
}

impl Unit {
    /// The file that it starts from.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Flow(path) | Self::Requirements(path) | Self::Sibling(path) => path,
        }
    }
}

/// What is known about a unit.
#[derive(Debug, Default)]
pub(crate) struct Analysis {
    pub(crate) project: Project,
    pub(crate) findings: Vec<Finding>,
    /// Why the configuration could not be used, where it could not; then the findings are those
    /// of the defaults.
    pub(crate) config_error: Option<String>,
}

impl Analysis {
    /// The files whose text it depends on.
    pub(crate) fn reads(&self) -> BTreeSet<PathBuf> {
        reads(&self.project)
    }
}

/// The files whose text a project was made from.
pub(crate) fn reads(project: &Project) -> BTreeSet<PathBuf> {
    project.files.iter().map(|file| file.path.clone()).collect()
}

/// Loads and checks.
pub(crate) fn analyse(fs: &dyn FileSystem, unit: &Unit) -> Analysis {
    let project = match unit {
        Unit::Flow(path) => load::load_project(fs, path),
        Unit::Requirements(path) => load::load_requirements(fs, path),
        Unit::Sibling(path) => load::load_sibling(fs, path),
    };
    match check_project(fs, &project) {
        Ok(findings) => Analysis { project, findings, config_error: None },
        Err(error) => {
            let findings = flowgate_check::check(&project, &CheckConfig::default(), &Facts::default());
            Analysis { project, findings, config_error: Some(error.to_string()) }
        }
    }
}
