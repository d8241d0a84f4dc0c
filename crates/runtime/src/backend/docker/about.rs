//! What an engine says of itself and of its machine.

use bollard::models::SystemInfo;

use super::{Docker, runtimes};
use crate::computes::About;
use crate::error::RuntimeError;

impl Docker {
    /// Asks the engine what it is.
    ///
    /// # Errors
    /// [`crate::Stage::Infrastructure`] where it does not answer.
    pub async fn about(&self) -> Result<About, RuntimeError> {
        let version = self.first(self.engine.version()).await?;
        let version = version.map_err(|error| self.broken("say its version", &error))?;
        let info = self.engine.info().await.map_err(|error| self.broken("say what its machine has", &error))?;
        let runtimes = self.containers("label", runtimes::NAME_LABEL).await?.len();
        // Podman's API says what it is by the name of its first component.
        let named = version.components.as_ref().and_then(|components| components.first());
        let is_podman = named.is_some_and(|component| component.name.starts_with("Podman"));
        let name = if is_podman { "Podman" } else { "Docker" };
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        Ok(About {
            engine: format!("{name} {}", text(&version.version)),
            api: text(&version.api_version),
            platform: format!("{}/{}", text(&version.os), text(&version.arch)),
            system: text(&info.operating_system),
            size: runtimes::machine(&info),
            lacks: lacks(&info),
            runtimes,
        })
    }
}

fn lacks(info: &SystemInfo) -> Vec<String> {
    let limits =
        [(info.memory_limit, "memory"), (info.cpu_cfs_quota, "processors"), (info.pids_limit, "numbers of processes")];
    let lacking = limits.into_iter().filter(|(is_kept, _)| *is_kept == Some(false));
    lacking.map(|(_, what)| format!("it does not limit {what}, so that runtimes have no bounds there")).collect()
}
