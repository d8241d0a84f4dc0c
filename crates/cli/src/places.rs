//! What this process knows about its machine: the only place of the workspace that reads
//! environment variables, the home and the search path, and hands them on.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flowgate_flow::config;
use flowgate_flow::load::Within;
use flowgate_runtime::backend::process::ProcessOptions;
use flowgate_runtime::computes::{self, Computes};
use flowgate_runtime::endpoint::{Address, Endpoint};
use flowgate_runtime::engines::Engines;
use flowgate_runtime::environment::{Environments, PackageAccess, RegistryCache, TrustScope, TrustedImages};
use flowgate_runtime::gate::GateOptions;
use flowgate_runtime::identity::{Identity, IdentityOptions};
use flowgate_runtime::plan::{self, Settings};
use flowgate_runtime::registry::Registries;
use flowgate_runtime::runtimes::WarmUse;
use flowgate_runtime::secret::Secret;

use crate::args::{MakingArguments, OnCompute};
use crate::failure::Failure;

/// Variables that an installer of packages may see: how to reach an index, and nothing else.
const INSTALLER_VARIABLES: [&str; 14] = [
    "PATH",
    "HOME",
    "LANG",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// How long one build may take, unless the user says otherwise.
const BUILD_TIMEOUT: Duration = Duration::from_secs(3600);

/// Where things are.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// The working directory.
    pub(crate) working_directory: PathBuf,
    /// The engines of this machine.
    pub(crate) engines: Engines,
    /// Where temporary files go.
    pub(crate) temporary: PathBuf,
    /// Docker's `config.json`, where `docker login` writes.
    pub(crate) docker_config: Option<PathBuf>,
    /// flowgate's folder of the user's configuration.
    config: Option<PathBuf>,
}

impl Places {
    /// Reads them.
    pub(crate) fn of_this_process() -> Result<Self, Failure> {
        let working_directory = working_directory()?;
        let search: Vec<PathBuf> =
            std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
        let env = std::env::vars_os().filter(|(name, _)| installer_may_see(name)).collect();
        let cache = cache_dir()?;
        let (python, uv) = (python(&search), find(&search, "uv"));
        let process = ProcessOptions { cache_dir: cache.clone(), python, uv, env, timeout: BUILD_TIMEOUT };
        let identity = Arc::new(Identity::new(Self::identity(None)));
        let docker_config = docker_config();
        let environments = Environments {
            state: cache.join("environments"),
            scope: TrustScope::Trusted,
            trusted_images: TrustedImages::All,
            image_registries: None,
            platform: text("DOCKER_DEFAULT_PLATFORM").unwrap_or_else(plan::platform),
            timeout: BUILD_TIMEOUT,
            // As the docker command line has it.
            classic_builder: text("DOCKER_BUILDKIT").is_some_and(|value| matches!(value.as_str(), "0" | "false")),
            packages: PackageAccess {
                gate: GateOptions::new(cache.join("packages")),
                identity: Arc::clone(&identity),
                feeds: Vec::new(),
                feed_advice: "add it to `environment.feeds` in flowgate.yaml",
            },
            registries: Registries::new(docker_config.clone(), identity),
            cache: RegistryCache::default(),
        };
        let docker_endpoint = current_context(docker_config.as_deref()).or_else(docker_host);
        let engines = Engines { docker_endpoint, process, environments, warm_use: WarmUse::Never };
        let temporary = std::env::temp_dir();
        Ok(Self { working_directory, engines, temporary, docker_config, config: config_dir() })
    }

    /// What is known of who we are: `FLOWGATE_FEED_TOKEN`, and the identity that the user named.
    pub(crate) fn identity(client_id: Option<String>) -> IdentityOptions {
        let token = text("FLOWGATE_FEED_TOKEN").filter(|token| !token.trim().is_empty());
        IdentityOptions { feed_token: token.map(|token| Secret::new(token.trim())), client_id, ..Default::default() }
    }

    /// Uses the engine of that compute.
    pub(crate) fn on(mut self, compute: &OnCompute) -> Result<Self, Failure> {
        if let Some(name) = &compute.compute {
            let computes = self.computes()?;
            self.engines.docker_endpoint = Some(computes.named(name).map_err(Failure::of)?.endpoint.clone());
        }
        Ok(self)
    }

    /// Every compute that is known.
    pub(crate) fn computes(&self) -> Result<Computes, Failure> {
        let folder = self.config.as_ref().ok_or_else(|| Failure {
            hint: Some("set XDG_CONFIG_HOME".to_owned()),
            ..Failure::usage("no home directory found for `computes.yaml`")
        })?;
        let path = folder.join(computes::FILE_NAME);
        let text = match std::fs::read(&path) {
            Ok(bytes) => String::from_utf8(bytes)
                .map_err(|_| Failure::usage(format!("{}: the file is not UTF-8 text", path.display())))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Failure::usage(format!("cannot read {}: {error}", path.display()))),
        };
        let default = docker_host().unwrap_or_else(Endpoint::usual);
        let config = self.docker_config.as_deref();
        let docker =
            computes::DockerSettings { folder: config.and_then(Path::parent), default, current: current_name(config) };
        Computes::read(&path, &text, &docker).map_err(Failure::of)
    }

    /// Makes environments as the user says.
    pub(crate) fn making(mut self, arguments: &MakingArguments) -> Self {
        let timeout = Duration::from_secs(arguments.build_timeout);
        self.engines.process.timeout = timeout;
        self.engines.environments.timeout = timeout;
        self.engines.environments.cache =
            RegistryCache { from: arguments.cache_from.clone(), to: arguments.cache_to.clone() };
        match arguments.identity.client_id.clone() {
            Some(client_id) => self.identified(client_id),
            None => self,
        }
    }

    /// Opens feeds and registries as that identity, by its client id.
    pub(crate) fn identified(mut self, client_id: String) -> Self {
        let identity = Arc::new(Identity::new(Self::identity(Some(client_id))));
        let environments = &mut self.engines.environments;
        environments.registries = Registries::new(self.docker_config.clone(), Arc::clone(&identity));
        environments.packages.identity = identity;
        self
    }

    /// The client id of the identity that was named.
    pub(crate) fn client_id(&self) -> Option<&str> {
        self.engines.environments.packages.identity.options().client_id.as_deref()
    }

    /// What the environment of a flow in that folder depends on, beside the flow, of what the boundary lets in.
    pub(crate) fn settings(&self, boundary: &Within, folder: &Path) -> Result<Settings, Failure> {
        let loaded = config::load(boundary, folder).map_err(|error| Failure::usage(error.to_string()))?;
        let root = loaded.file.as_ref().and_then(|file| file.path.parent()).unwrap_or(folder).to_owned();
        Ok(Settings {
            config: loaded.config.environment.clone(),
            root,
            platform: Some(self.engines.environments.platform.clone()),
            boundary: Some(boundary.clone()),
        })
    }

    /// Whether standard error is a terminal that can move its cursor.
    pub(crate) fn is_live() -> bool {
        std::io::stderr().is_terminal() && text("TERM").is_none_or(|terminal| terminal != "dumb")
    }

    /// The variables of this process that are text: a workflow's inputs and its event.
    #[cfg(feature = "action")]
    pub(crate) fn variables() -> HashMap<String, String> {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }
}

fn installer_may_see(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    INSTALLER_VARIABLES.contains(&name.as_ref()) || name.starts_with("PIP_") || name.starts_with("UV_")
}

/// Whether GitHub's runner reads what this process says.
pub(crate) fn is_workflow() -> bool {
    text("GITHUB_ACTIONS").is_some_and(|value| value == "true")
}

/// A variable that is text, and not empty.
fn text(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Where paths on the command line start.
pub(crate) fn working_directory() -> Result<PathBuf, Failure> {
    std::env::current_dir().map_err(|error| Failure::usage(format!("cannot read the working directory: {error}")))
}

/// `FLOWGATE_CACHE_DIR`, else the user's cache folder.
fn cache_dir() -> Result<PathBuf, Failure> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("FLOWGATE_CACHE_DIR")
        .or_else(|| variable("XDG_CACHE_HOME").map(|cache| cache.join("flowgate")))
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache/flowgate")))
        .ok_or_else(|| Failure {
            hint: Some("set FLOWGATE_CACHE_DIR".to_owned()),
            ..Failure::usage("there is no home folder to keep environments in")
        })
}

/// `config.json` in `DOCKER_CONFIG`, else in `~/.docker`.
fn docker_config() -> Option<PathBuf> {
    let folder = std::env::var_os("DOCKER_CONFIG").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let folder = folder.or_else(|| std::env::home_dir().map(|home| home.join(".docker")));
    folder.map(|folder| folder.join("config.json"))
}

/// `DOCKER_HOST`, with the certificates that go with it.
fn docker_host() -> Option<Endpoint> {
    let host = text("DOCKER_HOST")?;
    let verified = text("DOCKER_TLS_VERIFY").is_some() || text("DOCKER_TLS").is_some();
    let folder = || {
        let named = std::env::var_os("DOCKER_CERT_PATH").filter(|folder| !folder.is_empty()).map(PathBuf::from);
        named.or_else(|| docker_config()?.parent().map(Path::to_owned))
    };
    let tls = if verified { folder() } else { None };
    Some(Endpoint { source: "DOCKER_HOST".to_owned(), address: Address::parse(&host, tls.as_deref()) })
}

/// The Docker context in use. `DOCKER_HOST` outranks it, as on the docker command line.
fn current_context(config: Option<&Path>) -> Option<Endpoint> {
    Some(Endpoint::of_context(config?.parent()?, &current_name(config)?))
}

/// The name of the Docker context in use, where it is not the default one.
fn current_name(config: Option<&Path>) -> Option<String> {
    if text("DOCKER_HOST").is_some() {
        return None;
    }
    Endpoint::current_context(config?.parent()?, text("DOCKER_CONTEXT").as_deref())
}

/// `flowgate` in `XDG_CONFIG_HOME`, else in `~/.config`.
fn config_dir() -> Option<PathBuf> {
    let folder = std::env::var_os("XDG_CONFIG_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let folder = folder.or_else(|| std::env::home_dir().map(|home| home.join(".config")));
    folder.map(|folder| folder.join("flowgate"))
}

/// `FLOWGATE_PYTHON`, else the first Python on the search path.
fn python(search: &[PathBuf]) -> Option<PathBuf> {
    let named = std::env::var_os("FLOWGATE_PYTHON").filter(|value| !value.is_empty()).map(PathBuf::from);
    named.or_else(|| find(search, "python3")).or_else(|| find(search, "python"))
}

fn find(search: &[PathBuf], name: &str) -> Option<PathBuf> {
    search.iter().map(|folder| folder.join(name)).find(|path| is_executable(path))
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(path: &Path) -> bool {
    path.is_file()
}
