//! The contract check: whether an image gives a runtime, before anybody uses it.
//!
//! Of an image that flowgate installs into, the worker is started in the container of the build, while modules are
//! compiled there. The files are the image's, and so are its Python and its variables; waiting for the engine to write
//! the image, and for a container of that, would prove nothing more.

use std::collections::BTreeMap;

use super::{Docker, Exec};
use crate::backend::Limits;
use crate::environment::contract;
use crate::error::RuntimeError;
use crate::session::Session;
use crate::worker;

impl Docker {
    /// An error where an image gives no runtime.
    pub(super) async fn keeps_contract(&self, id: &str, name: &str) -> Result<(), RuntimeError> {
        let runtime = self.launch(name, id, &Limits::default()).await?;
        drop(runtime.session);
        runtime.stop.stop().await
    }

    /// An error where the worker does not start in the running container that becomes the image `name`, or does not
    /// find there what was installed.
    pub(super) async fn worker_starts_in(
        &self,
        container: &str,
        name: &str,
        installed: &BTreeMap<String, String>,
    ) -> Result<(), RuntimeError> {
        // All that it writes goes there, and becomes no part of the image.
        let variables = ["HOME=/tmp", "FLOWGATE_WORK=/tmp"];
        let Exec { output, input, log } = self.exec_python(container, &worker::arguments(), &variables).await?;
        let started = Session::start(output, input, log, Limits::default().start_timeout).await;
        let session = started.map_err(|error| contract::unfit(name, error))?;
        let found = &session.hello().packages;
        match installed.iter().find(|(package, version)| found.get(*package) != Some(version)) {
            Some((package, version)) => {
                Err(contract::lost(name, package, version, found.get(package).map(String::as_str)))
            }
            None => Ok(()),
        }
    }
}
