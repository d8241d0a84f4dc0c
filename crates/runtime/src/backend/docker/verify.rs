//! The contract check: whether an image gives a runtime, before anybody uses it.
//!
//! Of an image that flowgate installs into, the worker is started in the container of the build, while modules are
//! compiled there: the engine then takes its time over the image, and starting the worker only after that would have
//! everybody wait for it. The image itself is asked what is installed in it.

use std::collections::BTreeMap;

use bollard::exec::StartExecResults;
use bollard::models::ExecConfig;

use super::{Docker, container, stream};
use crate::backend::Limits;
use crate::environment::contract;
use crate::error::{RuntimeError, Stage};
use crate::installer::Installer;
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

    /// An error where the worker does not start in the running container that becomes the image `name`.
    pub(super) async fn worker_starts_in(&self, container: &str, name: &str) -> Result<(), RuntimeError> {
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
        let output = stream::WorkerOutput::new(output, log.clone());
        let started = Session::start(output, input, log, Limits::default().start_timeout).await;
        started.map(drop).map_err(|error| contract::unfit(name, error))
    }

    /// An error where a runtime of an image does not have what was installed into it. `started` is called once the
    /// engine has started its container.
    pub(super) async fn holds(
        &self,
        id: &str,
        name: &str,
        installed: &BTreeMap<String, String>,
        started: impl FnOnce(),
    ) -> Result<(), RuntimeError> {
        let limits = Limits::default();
        let (mut leftover, container) = self.create(id, &limits).await?;
        let held = async {
            let attached = self.attach_and_start(&container, name, limits.memory).await?;
            started();
            let agent = Installer::start(attached.output, attached.input, attached.log, limits.start_timeout).await;
            agent.map(|agent| agent.packages()).map_err(|error| contract::unfit(name, error))
        };
        let held = held.await;
        let removed = self.remove(&container).await;
        leftover.is_seen_to();
        let held = held?;
        let lost = installed.iter().find(|(package, version)| held.get(*package) != Some(version));
        let Some((package, version)) = lost else { return removed };
        let has = held.get(package).map_or("none", String::as_str);
        let message = format!("{package} {version} was installed, and the image has {has}");
        let hint =
            "the base may keep its packages in a volume, or start another Python; install into an image of your own";
        Err(RuntimeError::new(Stage::Environment, message).with_hint(hint))
    }
}
