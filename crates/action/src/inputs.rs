//! The Action's inputs, as `action.yml` hands them on.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use flowgate_check::Level;
use flowgate_flow::base_image::Reference;
use flowgate_flow::config::FeedConfig;
use flowgate_runtime::engines::Choice;
use flowgate_runtime::environment::RegistryCache;
use flowgate_runtime::environment::cache::CacheRepository;
use flowgate_runtime::gate::Feed;
use flowgate_runtime::identity::OidcRequest;
use flowgate_runtime::secret::Secret;

/// An input that cannot be used, or a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputError(pub(crate) String);

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InputError {}

/// What the workflow asks for.
#[derive(Debug, Clone)]
pub(crate) struct Inputs {
    /// The checked-out repository.
    pub(crate) workspace: PathBuf,
    /// Flows and folders, relative to it; one a line.
    pub(crate) flows: Vec<String>,
    /// Never `Auto`: a sandbox is not given up because it is missing.
    pub(crate) backend: Choice,
    /// The lowest level of findings that fails the step.
    pub(crate) fail_on: Option<Level>,
    /// Package indexes that requirements may use, beside those that flowgate.yaml names.
    pub(crate) feeds: Vec<FeedConfig>,
    /// The hosts of the registries that untrusted code may name images of, beside the public ones.
    pub(crate) registries: Vec<String>,
    /// Where environments are shared between runners.
    pub(crate) cache: RegistryCache,
    /// Whether an untrusted Dockerfile may use the network.
    pub(crate) build_network: bool,
    /// The client id of the Azure identity to use.
    pub(crate) azure_client_id: Option<String>,
    /// Its tenant, for the exchange of the workflow's own token.
    pub(crate) azure_tenant_id: Option<String>,
    /// Where GitHub hands out that token: only to jobs with `permissions: id-token: write`.
    pub(crate) oidc: Option<OidcRequest>,
    /// `GITHUB_OUTPUT`.
    pub(crate) output: Option<PathBuf>,
    /// `GITHUB_STEP_SUMMARY`.
    pub(crate) summary: Option<PathBuf>,
    /// Where the report goes.
    pub(crate) report: PathBuf,
    /// Where the findings go, for code scanning.
    pub(crate) sarif: PathBuf,
}

/// Reads the inputs; an empty one counts as not given, as GitHub passes it.
pub(crate) fn read(variables: &HashMap<String, String>, working_directory: &Path) -> Result<Inputs, InputError> {
    let get = |name: &str| variables.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
    // A path ends up in logs and in the workflow's outputs, where a line break would begin another line.
    let path = |name: &str| match get(name) {
        Some(value) if value.contains(char::is_control) => {
            Err(InputError(format!("{name}: `{}` holds a control character", value.escape_debug())))
        }
        value => Ok(value.map(PathBuf::from)),
    };
    let workspace = path("GITHUB_WORKSPACE")?.unwrap_or_else(|| working_directory.to_owned());
    let flows = get("INPUT_FLOWS")
        .unwrap_or(".")
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect();
    let backend = match get("INPUT_BACKEND").unwrap_or("docker") {
        "docker" => Choice::Docker,
        "process" => Choice::Process,
        other => return Err(InputError(format!("input `backend`: `{other}` is not one of docker, process"))),
    };
    let fail_on = match get("INPUT_FAIL_ON").unwrap_or("error") {
        "error" => Some(Level::Error),
        "warning" => Some(Level::Warning),
        "hint" => Some(Level::Hint),
        "never" => None,
        other => {
            return Err(InputError(format!("input `fail-on`: `{other}` is not one of error, warning, hint, never")));
        }
    };
    let lines = |variable| get(variable).unwrap_or("").lines().map(str::trim).filter(|line| !line.is_empty());
    let feeds = lines("INPUT_FEEDS").map(|url| match Feed::new(url) {
        Ok(_) => Ok(FeedConfig { url: url.to_owned(), private_network: false }),
        Err(cause) => Err(InputError(format!("input `feeds`: {cause}"))),
    });
    let feeds = feeds.collect::<Result<_, _>>()?;
    let is_host = |text: &str| {
        let name = format!("{text}/name");
        Reference::parse(&name).ok().and_then(|parts| parts.host) == Some(0..text.len())
    };
    let registries = lines("INPUT_REGISTRIES").map(|host| match is_host(host) {
        true => Ok(host.to_owned()),
        false => Err(InputError(format!(
            "input `registries`: `{host}` is not the host of a registry, such as `contoso.azurecr.io`"
        ))),
    });
    let registries = registries.collect::<Result<_, _>>()?;
    let build_network = match get("INPUT_BUILD_NETWORK").unwrap_or("false") {
        "true" => true,
        "false" => false,
        other => return Err(InputError(format!("input `build-network`: `{other}` is not one of true, false"))),
    };
    let text = |name: &str| get(name).map(str::to_owned);
    let (azure_client_id, azure_tenant_id) = (text("INPUT_AZURE_CLIENT_ID"), text("INPUT_AZURE_TENANT_ID"));
    if azure_client_id.is_none() && azure_tenant_id.is_some() {
        return Err(InputError(
            "input `azure-tenant-id`: it goes with `azure-client-id`, which is not given".to_owned(),
        ));
    }
    let oidc = text("ACTIONS_ID_TOKEN_REQUEST_URL").zip(get("ACTIONS_ID_TOKEN_REQUEST_TOKEN"));
    let oidc = oidc.map(|(url, token)| OidcRequest { url, token: Secret::new(token) });
    let repository = |variable: &str, name: &str| {
        let parsed = get(variable).map(str::parse::<CacheRepository>).transpose();
        parsed.map_err(|error| InputError(format!("input `{name}`: {error}")))
    };
    let cache = RegistryCache {
        from: repository("INPUT_CACHE_FROM", "cache-from")?,
        to: repository("INPUT_CACHE_TO", "cache-to")?,
    };
    // Outside the workspace: a later step may commit or upload what is in it.
    let folder = path("RUNNER_TEMP")?.unwrap_or_else(|| workspace.clone());
    Ok(Inputs {
        workspace,
        flows,
        backend,
        fail_on,
        feeds,
        registries,
        cache,
        build_network,
        azure_client_id,
        azure_tenant_id,
        oidc,
        output: path("GITHUB_OUTPUT")?,
        summary: path("GITHUB_STEP_SUMMARY")?,
        report: folder.join("flowgate-report.json"),
        sarif: folder.join("flowgate.sarif"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Inputs, InputError> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        read(&variables, Path::new("/here"))
    }

    #[test]
    fn defaults_are_the_safe_ones() {
        let inputs = of(&[("INPUT_BACKEND", ""), ("INPUT_FLOWS", " ")]).unwrap();
        assert_eq!((inputs.backend, inputs.fail_on), (Choice::Docker, Some(Level::Error)));
        assert_eq!((inputs.workspace, inputs.flows), (PathBuf::from("/here"), vec![".".to_owned()]));
    }

    #[test]
    fn values_are_checked_by_name() {
        let inputs =
            of(&[("INPUT_FLOWS", "a\n b/c \n\n"), ("INPUT_FAIL_ON", "never"), ("RUNNER_TEMP", "/tmp/r")]).unwrap();
        assert_eq!((inputs.flows, inputs.fail_on), (vec!["a".to_owned(), "b/c".to_owned()], None));
        assert_eq!(inputs.report, Path::new("/tmp/r/flowgate-report.json"));
        assert_eq!(
            of(&[("INPUT_BACKEND", "auto")]).unwrap_err().to_string(),
            "input `backend`: `auto` is not one of docker, process"
        );
        assert_eq!(
            of(&[("INPUT_AZURE_TENANT_ID", "t")]).unwrap_err().to_string(),
            "input `azure-tenant-id`: it goes with `azure-client-id`, which is not given"
        );
        assert_eq!(
            of(&[("INPUT_FAIL_ON", "lines")]).unwrap_err().to_string(),
            "input `fail-on`: `lines` is not one of error, warning, hint, never"
        );
        for feeds in ["nonsense", "https://pypi.example.com/simple/\nnonsense", "ftp://host/simple/"] {
            let refused = of(&[("INPUT_FEEDS", feeds)]).unwrap_err().to_string();
            assert!(refused.starts_with("input `feeds`: `"), "{refused}");
        }
        for registries in ["https://contoso.azurecr.io", "contoso", "contoso.azurecr.io/flows"] {
            let refused = of(&[("INPUT_REGISTRIES", registries)]).unwrap_err().to_string();
            assert!(refused.starts_with("input `registries`: `"), "{refused}");
        }
        for name in ["RUNNER_TEMP", "GITHUB_WORKSPACE", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"] {
            let refused = of(&[(name, "/tmp/a\nverdict=passed")]).unwrap_err().to_string();
            assert_eq!(refused, format!("{name}: `/tmp/a\\nverdict=passed` holds a control character"));
        }
        let refused = of(&[("INPUT_CACHE_TO", "env:1")]).unwrap_err().to_string();
        assert!(refused.starts_with("input `cache-to`: `env:1` is not a repository"), "{refused}");
    }
}
