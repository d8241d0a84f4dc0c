//! `flowgate runtime start` and `create`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use flowgate_flow::load::{self, Disk};
use flowgate_flow::{FileKind, Spanned, run};
use flowgate_runtime::backend::docker::Docker;
use flowgate_runtime::backend::{Limits, Progress};
use flowgate_runtime::runtimes::size::{self, Asked};
use flowgate_runtime::runtimes::{Kind, Wanted};

use super::super::{Failure, say_identity, within};
use super::{engine, identity_of, planned, prepare, size_of, tell_started};
use crate::args::{CreateArguments, OnCompute, StartArguments, StartingArguments};
use crate::places::Places;
use crate::say;
use crate::status::Status;

/// Starts the runtime of a flow, or the one of that name again.
pub(super) async fn start(places: &Places, on: &OnCompute, arguments: &StartArguments) -> Result<u8, Failure> {
    let what = What::of(places, on, &arguments.target, &arguments.starting)?;
    let named = arguments.target.to_string_lossy();
    let docker = engine(&what.places).await?;
    let runtimes = docker.runtimes().await.map_err(Failure::of)?;
    match runtimes.into_iter().find(|runtime| runtime.name == named) {
        Some(runtime) => {
            let name = (runtime.kind == Kind::Named).then_some(runtime.name);
            begin(&docker, &What { flow: runtime.flow, ..what }, name, &arguments.starting).await
        }
        None => begin(&docker, &what, None, &arguments.starting).await,
    }
}

/// Starts a runtime of that name.
pub(super) async fn create(places: &Places, on: &OnCompute, arguments: &CreateArguments) -> Result<u8, Failure> {
    let what = What::of(places, on, &arguments.flow, &arguments.starting)?;
    let docker = engine(&what.places).await?;
    begin(&docker, &what, Some(arguments.name.clone()), &arguments.starting).await
}

/// What is to be started, and where.
struct What {
    places: Places,
    flow: PathBuf,
    size: Option<Asked>,
}

impl What {
    /// What the command line says, and beneath it the run specification that it names.
    fn of(places: &Places, on: &OnCompute, target: &OsStr, starting: &StartingArguments) -> Result<Self, Failure> {
        let (mut places, mut flow) = (places.clone().making(&starting.making).on(on)?, PathBuf::from(target));
        let mut size = starting.settings.size.clone();
        let path = places.working_directory.join(target);
        if path.is_file() && load::kind_of(&Disk, &path) == FileKind::RunSpecification {
            let shown = Path::new(target).display();
            let boundary = within(&places.working_directory, &[flow.clone()]);
            let project = load::load_sibling(&boundary, &path);
            let specification = project.run.map(|run| run.specification).unwrap_or_default();
            let text = |value: Option<Spanned<String>>| value.map(|value| value.value);
            let named = text(specification.flow)
                .filter(|flow| !run::is_remote(flow))
                .ok_or_else(|| Failure::usage(format!("{shown} names no flow of this machine")))?;
            flow = Path::new(target).parent().unwrap_or(Path::new("")).join(named);
            size = size.or(text(specification.instance_type).and_then(|name| name.parse().ok()));
            if let Some(identity) = text(specification.identity)
                && starting.making.identity.client_id.is_none()
            {
                places = places.identified(identity);
            }
            if let Some(name) = text(specification.compute)
                && on.compute.is_none()
            {
                match places.computes()?.named(&name) {
                    Ok(_) => places = places.on(&OnCompute { compute: Some(name) })?,
                    Err(_) => say::note(&format!("The compute `{name}` of {shown} is not known here, and ignored.")),
                }
            }
        }
        Ok(Self { places, flow, size })
    }
}

async fn begin(
    docker: &Docker,
    what: &What,
    name: Option<String>,
    starting: &StartingArguments,
) -> Result<u8, Failure> {
    let places = &what.places;
    let (flow, plan) = planned(places, &what.flow)?;
    let size = what.size.as_ref().and_then(|asked| size_of(asked, size::DEFAULT));
    let status = Status::new(Places::is_live());
    let progress = Progress(&|said| status.tell(&flow, said));
    let idle = starting.settings.idle;
    let identity = identity_of(places, &plan);
    let wanted = Wanted { name, idle, size, flow: plan.flow.clone(), identity };
    let image = prepare(docker, &plan, progress).await?;
    let timeout = Limits::default().start_timeout;
    let started = docker.start_runtime(&image, &wanted, timeout, progress).await.map_err(Failure::of)?;
    drop(status);
    say_identity(&places.engines.environments.packages.identity);
    tell_started(places, docker, started, starting.format).await
}
