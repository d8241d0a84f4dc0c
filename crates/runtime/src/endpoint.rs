//! Where a Docker engine is said to be: by `DOCKER_HOST`, or by a Docker context.

use std::path::Path;

use serde::Deserialize;

use crate::environment::key::sha256;

/// Where somebody says that the Docker engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Who says it, in words: `DOCKER_HOST`.
    pub source: String,
    /// `unix://...`, or why the source does not give it: a lower-case fragment.
    pub address: Result<String, String>,
}

impl Endpoint {
    /// Docker's current context, from the folder of its `config.json`, or the one of that name. `None` for the default
    /// context, which says nothing.
    pub fn of_context(folder: &Path, named: Option<&str>) -> Option<Self> {
        #[derive(Deserialize)]
        struct Config {
            #[serde(rename = "currentContext")]
            current: Option<String>,
        }
        let current = || {
            let config: Config = serde_json::from_slice(&std::fs::read(folder.join("config.json")).ok()?).ok()?;
            config.current
        };
        let name = named.map(str::to_owned).or_else(current).filter(|name| !name.is_empty() && name != "default")?;
        Some(Self { source: format!("the Docker context `{name}`"), address: host_of_context(folder, &name) })
    }
}

fn host_of_context(folder: &Path, name: &str) -> Result<String, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Meta {
        endpoints: Endpoints,
    }
    #[derive(Deserialize)]
    struct Endpoints {
        docker: Docker,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Docker {
        host: String,
    }
    // The docker command line keeps a context in a folder named after the hash of its name.
    let path = folder.join("contexts/meta").join(sha256(name.as_bytes())).join("meta.json");
    let cannot = |cause: String| format!("cannot read {}: {cause}", path.display());
    let text = std::fs::read(&path).map_err(|error| cannot(error.to_string()))?;
    let meta: Meta = serde_json::from_slice(&text).map_err(|error| cannot(error.to_string()))?;
    Ok(meta.endpoints.docker.host)
}
