//! Which runtime is meant: a flow's folder, a name, or the start of one.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use flowgate_flow::suggest;
use flowgate_runtime::EnvironmentPlan;
use flowgate_runtime::backend::docker::Docker;
use flowgate_runtime::runtimes::WarmRuntime;

use super::super::environment::{advised, plan_of};
use super::super::{Failure, one_flow, within};
use crate::places::Places;

/// What a word on the command line leads to.
pub(super) struct Target {
    runtimes: Vec<WarmRuntime>,
    /// Whether it is a flow.
    is_flow: bool,
    /// A name that was perhaps meant.
    near: Option<String>,
}

impl Target {
    /// The runtimes, at least one.
    pub(super) fn found(self, target: &OsStr) -> Result<Vec<WarmRuntime>, Failure> {
        if !self.runtimes.is_empty() {
            return Ok(self.runtimes);
        }
        let target = target.to_string_lossy();
        if self.is_flow {
            return Err(Failure {
                hint: Some(format!("start one with `flowgate runtime start {target}`")),
                ..Failure::usage(format!("{target}: the flow has no runtime"))
            });
        }
        let near = self.near.map(|near| format!("did you mean `{near}`? "));
        Err(Failure {
            hint: Some(format!("{}`flowgate runtime list` lists them", near.unwrap_or_default())),
            ..Failure::usage(format!("`{target}` is neither a runtime nor a flow"))
        })
    }
}

/// The one runtime that is meant.
pub(super) fn only(target: Target, named: &OsStr) -> Result<WarmRuntime, Failure> {
    let mut runtimes = target.found(named)?;
    if runtimes.len() > 1 {
        let names: Vec<&str> = runtimes.iter().map(|runtime| runtime.name.as_str()).collect();
        return Err(Failure {
            hint: Some(format!("name one of them: {}", names.join(", "))),
            ..Failure::usage(format!("`{}` may be any of {} runtimes", named.to_string_lossy(), runtimes.len()))
        });
    }
    Ok(runtimes.remove(0))
}

/// The runtimes that a word on the command line means.
pub(super) async fn resolve(places: &Places, docker: &Docker, target: &OsStr) -> Result<Target, Failure> {
    let runtimes = docker.runtimes().await.map_err(Failure::of)?;
    let name = target.to_string_lossy().into_owned();
    if name.is_empty() {
        return Err(Failure::usage("a flow's folder or a runtime's name is empty"));
    }
    if let Some(exact) = runtimes.iter().find(|runtime| runtime.name == name) {
        return Ok(Target { runtimes: vec![exact.clone()], is_flow: false, near: None });
    }
    if places.working_directory.join(target).exists() {
        let (_, folder, plan) = of_flow(places, Path::new(target))?;
        // One that was started for it, also where it needs another environment by now; else one that it can use.
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let folder = real(&folder);
        let of_flow: Vec<WarmRuntime> =
            runtimes.iter().filter(|runtime| real(&runtime.flow) == folder).cloned().collect();
        let found = match plan {
            Ok(plan) if of_flow.is_empty() => {
                let key = docker.inspect(&plan).await.map_err(Failure::of)?.key;
                runtimes.into_iter().filter(|runtime| Some(&runtime.key) == key.as_ref()).collect()
            }
            _ => of_flow,
        };
        return Ok(Target { runtimes: found, is_flow: true, near: None });
    }
    let near = suggest::nearest(&name, runtimes.iter().map(|runtime| runtime.name.as_str()));
    let near = near.map(str::to_owned);
    let starts = |runtime: &&WarmRuntime| runtime.name.starts_with(&name);
    Ok(Target { runtimes: runtimes.iter().filter(starts).cloned().collect(), is_flow: false, near })
}

/// The name of the one flow at a path, its folder, and its plan.
pub(super) fn of_flow(
    places: &Places,
    flow: &Path,
) -> Result<(String, PathBuf, Result<EnvironmentPlan, Failure>), Failure> {
    let file = one_flow(&places.working_directory.join(flow), &flow.display().to_string())?;
    let boundary = within(&places.working_directory, &[flow.to_owned()]);
    let (name, project, plan) = plan_of(places, &boundary, &file)?;
    let plan = plan.map_err(|error| advised(&boundary, &name, &project, error));
    Ok((name, project.folder, plan))
}
