//! Which backend a run gets, and why.

use std::path::Path;

use crate::backend::Backend;
#[cfg(feature = "docker")]
use crate::backend::docker::Docker;
use crate::backend::process::{Process, ProcessOptions};
use crate::endpoint::{Endpoint, USUAL_SOCKET};
use crate::environment::Environments;
use crate::error::RuntimeError;
use crate::runtimes::WarmUse;

/// What the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Docker where an engine is configured or installed, else process: a sandbox is not given up because it is broken.
    Auto,
    /// Docker, or an error.
    Docker,
    /// Process.
    Process,
}

/// What a door knows about this machine.
#[derive(Debug, Clone)]
pub struct Engines {
    /// `DOCKER_HOST` or a Docker context, where one says where the engine is.
    pub docker_endpoint: Option<Endpoint>,
    /// Where and how virtual environments are made.
    pub process: ProcessOptions,
    /// Where and for whom environments are built.
    pub environments: Environments,
    /// Which warm runtimes a run may use.
    pub warm_use: WarmUse,
}

/// A backend that is ready to prepare environments.
pub struct Connected {
    /// The backend.
    pub backend: Box<dyn Backend>,
    /// What was chosen and why, and what the user should know about it: full sentences.
    pub notice: Option<String>,
}

const NO_SANDBOX: &str = "The process backend is not a sandbox: the flow's code can read and change whatever you can.";

impl Engines {
    /// Connects to the engine that was asked for, and removes what dead owners left in it.
    ///
    /// # Errors
    /// [`crate::Stage::Infrastructure`] where no engine answers, and docker was asked for or one should be there.
    pub async fn connect(&self, choice: Choice) -> Result<Connected, RuntimeError> {
        match choice {
            Choice::Process => Ok(self.process(NO_SANDBOX.to_owned())),
            Choice::Docker => Ok(Connected { backend: self.docker_backend().await?, notice: None }),
            Choice::Auto => match self.docker_backend().await {
                Ok(backend) => Ok(Connected { backend, notice: Some("Backend docker: an engine answers.".to_owned()) }),
                Err(error) if !self.has_engine() => {
                    Ok(self.process(format!("Backend process: {}. {NO_SANDBOX}", error.message)))
                }
                Err(error) => Err(error),
            },
        }
    }

    fn process(&self, mut notice: String) -> Connected {
        if !self.environments.cache.is_none() {
            notice += " The registry's cache is not used: it is for images, of the docker backend.";
        }
        if self.warm_use == WarmUse::Start {
            notice += " It has no warm runtimes, so `--keep` has no effect.";
        }
        Connected { backend: Box::new(Process::new(self.process.clone())), notice: Some(notice) }
    }

    /// Whether a Docker engine is configured or installed, running or not.
    #[cfg(feature = "docker")]
    pub fn has_engine(&self) -> bool {
        // What may not be looked at is there.
        let is_absent = |error: std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
        self.docker_endpoint.is_some() || !Path::new(USUAL_SOCKET).symlink_metadata().is_err_and(is_absent)
    }

    #[cfg(not(feature = "docker"))]
    fn has_engine(&self) -> bool {
        false
    }

    /// The Docker engine, which is not asked anything yet.
    ///
    /// # Errors
    /// [`crate::Stage::Infrastructure`] where there is no socket.
    #[cfg(feature = "docker")]
    pub fn engine(&self) -> Result<Docker, RuntimeError> {
        Docker::at(self.docker_endpoint.as_ref(), self.environments.clone())
    }

    /// The Docker engine, once what dead owners left in it is removed.
    ///
    /// # Errors
    /// [`crate::Stage::Infrastructure`] where none answers.
    #[cfg(feature = "docker")]
    pub async fn docker(&self) -> Result<Docker, RuntimeError> {
        let docker = Docker::connect(self.docker_endpoint.as_ref(), self.environments.clone()).await?;
        docker.sweep().await?;
        Ok(docker)
    }

    #[cfg(feature = "docker")]
    async fn docker_backend(&self) -> Result<Box<dyn Backend>, RuntimeError> {
        Ok(Box::new(self.docker().await?.with_warm(self.warm_use)))
    }

    #[cfg(not(feature = "docker"))]
    async fn docker_backend(&self) -> Result<Box<dyn Backend>, RuntimeError> {
        Err(RuntimeError::new(
            crate::error::Stage::Infrastructure,
            "this flowgate was built without the docker backend",
        ))
    }
}
