//! What a runtime's container says of itself. Anybody who may use the engine can write labels: what does not fit is
//! not believed.

use std::collections::HashMap;
use std::path::PathBuf;

use bollard::models::{ContainerInspectResponse, ContainerSummary, ContainerSummaryStateEnum};

use super::super::owner::{self, Owner};
use super::PREFIX;
use crate::runtimes::{Idle, Kind, Phase, Size, State, Wanted, WarmRuntime};
use crate::worker;

/// The runtime's name.
pub(in super::super) const NAME_LABEL: &str = "flowgate.runtime.name";
const TYPE_LABEL: &str = "flowgate.runtime.type";
/// The content address of the environment.
pub(super) const KEY_LABEL: &str = "flowgate.runtime.key";
const SCOPE_LABEL: &str = "flowgate.runtime.scope";
const FLOW_LABEL: &str = "flowgate.runtime.flow";
const IMAGE_LABEL: &str = "flowgate.runtime.image";
const IDLE_LABEL: &str = "flowgate.runtime.idle";
const IDENTITY_LABEL: &str = "flowgate.runtime.identity";
const CREATED_LABEL: &str = "flowgate.runtime.created";
const WORKER_LABEL: &str = "flowgate.runtime.worker";
/// The flowgate that created the container: what it did not get to start is left behind when it is dead.
const STARTER_LABEL: &str = "flowgate.runtime.starter";
/// Only trusted runtimes stay warm.
const SCOPE: &str = "trusted";
/// Seconds after which a container that was never started is abandoned, where its creator is unknown.
const NEVER_STARTED: u64 = 3600;

pub(super) fn of(
    name: &str,
    kind: Kind,
    key: &str,
    image: &str,
    idle: Idle,
    wanted: &Wanted,
) -> HashMap<String, String> {
    let starter = Owner::this_process().map_or_else(|| "unknown".to_owned(), |owner| owner.to_string());
    let mut labels: HashMap<String, String> = [
        (NAME_LABEL, name.to_owned()),
        (TYPE_LABEL, kind.to_string()),
        (KEY_LABEL, key.to_owned()),
        (SCOPE_LABEL, SCOPE.to_owned()),
        (FLOW_LABEL, wanted.flow.display().to_string()),
        (IMAGE_LABEL, image.to_owned()),
        (IDLE_LABEL, idle.to_string()),
        (CREATED_LABEL, owner::now().to_string()),
        (WORKER_LABEL, worker::digest()),
        (STARTER_LABEL, starter),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    if let Some(identity) = &wanted.identity {
        labels.insert(IDENTITY_LABEL.to_owned(), identity.clone());
    }
    labels
}

/// The runtime of that name; `None` where the container's labels are not those of one.
pub(super) fn read(name: &str, id: &str, container: &ContainerInspectResponse) -> Option<WarmRuntime> {
    let labels = container.config.as_ref()?.labels.as_ref()?;
    let label = |name: &str| labels.get(name).map(String::as_str);
    let kind = match label(TYPE_LABEL)? {
        "automatic" => Kind::Automatic,
        "named" => Kind::Named,
        _ => return None,
    };
    let key = label(KEY_LABEL)?;
    let is_key = key.len() == 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit());
    if label(NAME_LABEL) != Some(name) || label(SCOPE_LABEL) != Some(SCOPE) || !is_key {
        return None;
    }
    let host = container.host_config.as_ref()?;
    let (state, stage, reason) = state_of(container);
    Some(WarmRuntime {
        name: name.to_owned(),
        kind,
        state,
        stage,
        reason,
        key: key.to_owned(),
        flow: PathBuf::from(label(FLOW_LABEL)?),
        image: label(IMAGE_LABEL)?.to_owned(),
        container: id.to_owned(),
        size: Size {
            cpus: host.nano_cpus.unwrap_or_default() as f64 / 1e9,
            memory: u64::try_from(host.memory.unwrap_or_default()).unwrap_or_default(),
        },
        started_with: label(IDLE_LABEL)?.parse().ok()?,
        identity: label(IDENTITY_LABEL).map(str::to_owned),
        created: label(CREATED_LABEL)?.parse().ok()?,
        worker: label(WORKER_LABEL)?.to_owned(),
        usage: None,
    })
}

/// The engine's word.
fn status_of(container: &ContainerInspectResponse) -> String {
    let status = container.state.as_ref().and_then(|state| state.status);
    status.map(|status| status.to_string()).unwrap_or_default()
}

fn state_of(container: &ContainerInspectResponse) -> (State, Option<Phase>, Option<String>) {
    let reason = |text: &str| Some(text.to_owned());
    let Some(state) = &container.state else {
        return (State::NotAvailable, Some(Phase::Silent), reason("its state is unknown"));
    };
    let status = status_of(container);
    let starting = Some(Phase::Starting);
    match status.as_str() {
        "running" => (State::Running, None, None),
        "created" => (State::NotAvailable, starting, reason("its container is about to start")),
        "restarting" => (State::NotAvailable, starting, reason("its container is restarting")),
        "paused" => (State::NotAvailable, Some(Phase::Paused), reason("its container is paused")),
        "removing" => (State::Stopping, None, None),
        // The engine says it, too, where a job alone was killed and the worker ended much later.
        _ if state.oom_killed == Some(true) && state.exit_code == Some(137) => {
            (State::Failed, Some(Phase::Ended), reason("its memory limit was reached"))
        }
        // Ended by the engine: 0 and 143 at its shutdown, 137 where that took too long.
        _ => match state.exit_code {
            Some(code) if ![0, 137, 143].contains(&code) => {
                (State::Failed, Some(Phase::Ended), Some(format!("its worker ended with exit code {code}")))
            }
            _ => (State::NotAvailable, Some(Phase::Ended), reason("its container had ended")),
        },
    }
}

/// Whether a container of a runtime, one of `all`, was created by a flowgate that did not get to start it, or to give it
/// its name. One that lost its name to no other is kept: it may be the only one.
pub(in super::super) fn is_left_behind(container: &ContainerSummary, all: &[ContainerSummary]) -> bool {
    let label = |name: &str| container.labels.as_ref()?.get(name).cloned();
    let own = format!("/{PREFIX}{}", label(NAME_LABEL).unwrap_or_default());
    let has_name = |container: &ContainerSummary| container.names.iter().flatten().any(|name| *name == own);
    let is_other = !has_name(container) && all.iter().any(has_name);
    if !is_other && container.state != Some(ContainerSummaryStateEnum::CREATED) {
        return false;
    }
    let Some(starter) = label(STARTER_LABEL) else { return false };
    let deadline = label(CREATED_LABEL).and_then(|text| text.parse::<u64>().ok()).unwrap_or(u64::MAX);
    let deadline = deadline.saturating_add(NEVER_STARTED);
    owner::is_dead_or_overdue(&starter, deadline, Owner::this_process().as_ref(), owner::now())
}
