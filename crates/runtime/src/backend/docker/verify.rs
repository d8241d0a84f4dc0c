//! The contract check: whether an image gives a runtime, before anybody uses it.
//!
//! Of an image that flowgate installs into, the worker is started in the container of the build, while modules are
//! compiled there. The files are the image's, and so are its Python and its variables; waiting for the engine to write
//! the image, and for a container of that, would prove nothing more.

use std::collections::BTreeMap;

use bollard::exec::StartExecResults;
use bollard::models::ExecConfig;

use super::{Docker, container, stream};
use crate::backend::Limits;
use crate::environment::contract;
use crate::error::{RuntimeError, Stage};
use crate::log::LogTail;
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
        let broken = |error| self.broken("start the worker in the container of a build", &error);
        let config = ExecConfig {
            cmd: Some(container::python(&worker::arguments())),
            user: Some("0:0".to_owned()),
            working_dir: Some("/".to_owned()),
            // All that it writes goes there, and becomes no part of the image.
            env: Some(vec!["HOME=/tmp".to_owned(), "FLOWGATE_WORK=/tmp".to_owned()]),
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..ExecConfig::default()
        };
        let exec = self.engine.create_exec(container, config).await.map_err(broken)?;
        let StartExecResults::Attached { output, input } =
            self.engine.start_exec(&exec.id, None).await.map_err(broken)?
        else {
            let message = "the engine started the worker in the container of a build, and gave no stream to it";
            return Err(RuntimeError::new(Stage::Infrastructure, message).with_hint("look at the engine's log"));
        };
        let log = LogTail::default();
        let output = stream::WorkerOutput::of_exec(output, log.clone());
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
