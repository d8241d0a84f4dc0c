//! A container in which packages are installed, and the image that becomes of it.
//!
//! It has no network: packages come through the gate, over the stream that also is its lease. When this process
//! dies, the agent in it reads the end of its input and ends, and the engine removes the container.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig};
use bollard::query_parameters::CreateContainerOptionsBuilder;
use flowgate_flow::lock::{LOCK, UV};
use flowgate_flow::requirements;
use tokio::time::timeout;

use super::commit::Words;
use super::images::{Found, RECIPE_LABEL};
use super::leftover::Leftover;
use super::owner::{self, Owner};
use super::shared::Wanted;
use super::{Attached, Docker, container};
use crate::backend::folders::unique;
use crate::backend::{Limits, Progress, explain};
use crate::environment::base::PROMPTFLOW_VERSION;
use crate::environment::packages::Packages;
use crate::environment::{base, contract, hashes, local};
use crate::error::{RuntimeError, Stage};
use crate::gate::Gate;
use crate::installer::{self, Archive, InstallRequest, Installer};
use crate::plan::{EnvironmentPlan, PlannedRequirement};

/// What an install may do as root beyond its own files: images have files of other owners.
const CAPABILITIES: [&str; 3] = ["CHOWN", "DAC_OVERRIDE", "FOWNER"];
/// The memory of a build, and of what it keeps below `/tmp`, in bytes.
const MEMORY: u64 = 3 << 30;
/// How long an agent may take to end by itself.
const AGENT_END: Duration = Duration::from_secs(5);

impl Docker {
    /// Installs what a plan requires upon its base, and gives the image of that name.
    pub(super) async fn install(
        &self,
        plan: &EnvironmentPlan,
        base: &Found,
        name: &str,
        words: Labelled<'_>,
        progress: Progress<'_>,
    ) -> Result<Found, RuntimeError> {
        // Where a token is missing, nothing is begun.
        let gate = self.environments.packages.open(plan).await?;
        let (plan, base_name, request) = (Some(plan), &plan.base_name(), &request(plan));
        let job = Job { base, base_name, plan, request, gate: &gate, name, words };
        self.within(&job, progress).await
    }

    /// flowgate's own base image, built where the engine does not have it; gives its name.
    ///
    /// # Errors
    /// The image that it starts from cannot be pulled, or its packages cannot be installed.
    pub async fn own_base(
        &self,
        python: &str,
        from: Option<&str>,
        progress: Progress<'_>,
    ) -> Result<String, RuntimeError> {
        self.build_base(python, &self.environments.platform, from, progress).await?;
        Ok(base::image_name(python))
    }

    /// Builds flowgate's own base image from an official Python image.
    pub(super) async fn build_base(
        &self,
        python: &str,
        platform: &str,
        from: Option<&str>,
        progress: Progress<'_>,
    ) -> Result<Found, RuntimeError> {
        let recipe = base::recipe(python, platform);
        let _lock = self.lock(&format!("base-{}", recipe.get(..16).unwrap_or(&recipe)), progress).await?;
        let name = base::image_name(python);
        let old = match self.find(&name).await? {
            Some(found) if found.label(RECIPE_LABEL) == Some(&recipe) => return Ok(found),
            other => other,
        };
        let wanted = Wanted::base(&name, &recipe);
        let fetched = if from.is_none() { self.fetch(&wanted, progress).await } else { None };
        let made = match fetched {
            Some(found) => found,
            None => {
                let made = self.make_base(&name, &recipe, python, platform, from, progress).await?;
                self.share(&wanted, &made, progress).await;
                made
            }
        };
        if let Some(old) = old {
            // Where something still stands upon it, it stays until that is gone.
            let _ = self.remove_image(&old.id).await;
        }
        Ok(made)
    }

    async fn make_base(
        &self,
        name: &str,
        recipe: &str,
        python: &str,
        platform: &str,
        from: Option<&str>,
        progress: Progress<'_>,
    ) -> Result<Found, RuntimeError> {
        let start = from.map_or_else(|| base::from(python), str::to_owned);
        let found = self.find_or_pull(&start, progress).await.map_err(|error| {
            let message =
                format!("flowgate's base image {name} is not there, and is built upon {start}: {}", error.message);
            let hint =
                "build it upon another Python image on Debian or Ubuntu with `flowgate environment base --from IMAGE`";
            RuntimeError { message, hint: Some(hint.to_owned()), ..error }
        })?;
        self.fits(&start, &found, platform)?;
        progress
            .step(&format!("installing promptflow {PROMPTFLOW_VERSION} and its packages, about 250 MB, upon {start}"));
        let words = |_: &Packages| {
            Ok(Words {
                labels: [(RECIPE_LABEL.to_owned(), recipe.to_owned())].into(),
                env: vec!["LANG=C.UTF-8".to_owned()],
                user: Some(base::USER.to_owned()),
            })
        };
        let gate = self.environments.packages.public()?;
        let request = locked();
        let (base, base_name, words) = (&found, start.as_str(), &words);
        let job = Job { base, base_name, plan: None, request: &request, gate: &gate, name, words };
        self.within(&job, progress).await
    }

    /// Runs an installer in a container of an image, and names the image that becomes of it.
    async fn within(&self, job: &Job<'_>, progress: Progress<'_>) -> Result<Found, RuntimeError> {
        let (limit, name) = (self.environments.timeout, job.name);
        let build = async {
            self.run_installer(job, progress).await?;
            self.find(name).await?.ok_or_else(|| {
                let message = format!("the engine does not have the image {name} that it was given");
                RuntimeError::new(Stage::Infrastructure, message)
            })
        };
        timeout(limit, build).await.unwrap_or_else(|_| Err(RuntimeError::not_built_within(limit)))
    }

    /// Makes the image.
    async fn run_installer(&self, job: &Job<'_>, progress: Progress<'_>) -> Result<(), RuntimeError> {
        let name = owner::build_name(Owner::this_process().as_ref(), self.environments.timeout, &unique());
        let mut leftover = Leftover::new(self.address.clone(), name);
        let options = CreateContainerOptionsBuilder::new().name(leftover.name()).build();
        let created = self.engine.create_container(Some(options), body(&job.base.id)).await;
        let container = created.map_err(|error| self.broken("create a container", &error))?.id;
        leftover.is_created();
        let made = self.converse_with_installer(&container, job, progress).await;
        let done = match made {
            // The engine removes a container that has ended by itself. It takes its time over one with many new files,
            // and nobody needs to wait for that.
            Ok(installer) => match installer.end(AGENT_END).await {
                true => Ok(()),
                false => self.remove(&container).await,
            },
            Err(error) => {
                // What went wrong says more than that something could not be removed; the sweep comes back to that.
                let _ = self.remove(&container).await;
                Err(error)
            }
        };
        leftover.is_seen_to();
        done
    }

    /// Installs, and makes an image of it. Gives back the agent, which holds the container.
    async fn converse_with_installer(
        &self,
        container: &str,
        job: &Job<'_>,
        progress: Progress<'_>,
    ) -> Result<Installer, RuntimeError> {
        let Attached { output, input, log, watch: _watch } =
            self.attach_and_start(container, job.base_name, MEMORY).await?;
        let installer = Installer::start(output, input, log, Limits::default().start_timeout).await;
        let mut installer = match installer {
            Ok(installer) => installer,
            Err(error) => return Err(self.lost_or(contract::unfit(job.base_name, error)).await),
        };
        if let Some(mount) = installer.mount() {
            return Err(contract::in_a_mount(job.base_name, &mount));
        }
        if let Some(plan) = job.plan {
            hashes::refuse(plan, &installer.packages())?;
        }
        let mut steps = explain::Steps::default();
        let mut tell = |line: &str| {
            if let Some(step) = steps.of(line) {
                progress.part(step);
            }
        };
        if job.plan.is_some() {
            progress.step("installing the flow's requirements");
        }
        let request = with_engine(job.request, &installer.packages());
        let installed = installer.run(&request, job.gate, &mut tell).await;
        let planned = job.plan.map_or(&[][..], |plan| &plan.requirements);
        let installed = match installed {
            Ok(installed) => installed,
            Err(error) => {
                let hint = "relax the requirement that it names, or build a base image of your own with the versions that you need";
                let base = explain::Base { name: job.base_name, hint };
                return Err(self.lost_or(explain::failure(error, &steps, planned, &base)).await);
            }
        };
        if let Some(plan) = job.plan {
            hashes::refuse_unnamed(plan, &installed.before, &installed.after, &installed.direct)?;
        }
        progress.step("compiling modules, and starting the worker");
        let started = self.worker_starts_in(container, job.name, &installed.after);
        let (compiled, started) = tokio::join!(installer.compile(), started);
        if let Err(error) = compiled.and(started) {
            return Err(self.lost_or(error).await);
        }
        let named = job.request.requirements.iter().flat_map(|line| explain::named(line));
        // The name of a local file stands in the file.
        let named = named.chain(installed.direct).collect();
        let packages = Packages::of(&installed.before, &installed.after, &named);
        let words = (job.words)(&packages)
            .map_err(|error| RuntimeError::new(Stage::Infrastructure, format!("cannot write a label: {error}")))?;
        // While the agent still holds the container: its end would remove it.
        let id = self.commit(container, &job.base.config, words).await?;
        // Only now a name: where we are interrupted, the container is removed, and the engine goes on with the files that
        // it still finds.
        self.tag(&id, job.name).await?;
        Ok(installer)
    }
}

/// What is installed where, and what becomes of it.
struct Job<'j> {
    base: &'j Found,
    base_name: &'j str,
    /// What a person wrote; `None` for flowgate's own base.
    plan: Option<&'j EnvironmentPlan>,
    request: &'j InstallRequest,
    gate: &'j Arc<Gate>,
    name: &'j str,
    words: Labelled<'j>,
}

/// What an image says of itself, once it is known what is installed in it.
pub(super) type Labelled<'w> = &'w (dyn Fn(&Packages) -> Result<Words, serde_json::Error> + Send + Sync);

fn request(plan: &EnvironmentPlan) -> InstallRequest {
    let lines = |lines: &[PlannedRequirement]| lines.iter().map(|line| line.line.clone()).collect();
    let (local, named): (Vec<_>, Vec<_>) =
        plan.requirements.iter().partition(|line| local::path(&line.normal).is_some());
    let archives = local.into_iter().filter_map(|line| {
        let (path, rest) = local::parts(&line.normal)?;
        let content = plan.local.iter().find(|content| content.path == path)?;
        let (name, bytes) = (content.name.clone(), Arc::clone(&content.bytes));
        // A `;` that follows at once would be part of the path.
        let rest = rest.replacen(';', " ; ", 1);
        Some(Archive { name, bytes, rest, shown: format!("./{path}") })
    });
    InstallRequest {
        archives: archives.collect(),
        requirements: named.into_iter().map(|line| line.line.clone()).collect(),
        constraints: lines(&plan.constraints),
        // What pip wants of every line is seen to here, and the engine's own packages have no hashes.
        options: lines(&plan.options).into_iter().filter(|line| line != "--require-hashes").collect(),
        ..InstallRequest::default()
    }
}

/// The packages that make a base what it is, in the versions that it has: what is installed must go with them, and
/// where it does not, the resolver says so before anything is changed. A file with hashes is complete without.
fn with_engine(request: &InstallRequest, present: &BTreeMap<String, String>) -> InstallRequest {
    let mut request = request.clone();
    if !request.options.iter().any(|option| option.starts_with("--require-hashes")) {
        let engine = present.iter().filter(|(name, _)| base::PACKAGES.contains(&name.as_str()));
        request.requirements.extend(engine.map(|(name, version)| format!("{name}=={version}")));
    }
    request
}

/// The packages of the lock, each with its hash.
fn locked() -> InstallRequest {
    let lines = [LOCK, UV].iter().flat_map(|lock| requirements::read(lock).lines).map(|line| line.text).collect();
    InstallRequest { requirements: lines, options: vec!["--require-hashes".to_owned()], ..InstallRequest::default() }
}

fn body(image: &str) -> ContainerCreateBody {
    let strings = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let memory = i64::try_from(MEMORY).unwrap_or(i64::MAX);
    ContainerCreateBody {
        image: Some(image.to_owned()),
        // All of it here: the engine writes a container's command into the history of the image.
        entrypoint: Some(container::python(&installer::arguments())),
        cmd: Some(Vec::new()),
        user: Some("0:0".to_owned()),
        working_dir: Some("/".to_owned()),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        open_stdin: Some(true),
        // The engine closes the agent's input when its client goes away.
        stdin_once: Some(true),
        tty: Some(false),
        host_config: Some(HostConfig {
            network_mode: Some("none".to_owned()),
            cap_drop: Some(strings(&["ALL"])),
            cap_add: Some(strings(&CAPABILITIES)),
            security_opt: Some(strings(&["no-new-privileges"])),
            // What an installer leaves there is no part of the image.
            tmpfs: Some([("/tmp".to_owned(), format!("rw,exec,nosuid,nodev,mode=1777,size={}", MEMORY / 2))].into()),
            memory: Some(memory),
            memory_swap: Some(memory),
            pids_limit: Some(1024),
            auto_remove: Some(true),
            log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}
