//! The package gate: what stands between an installer without a network and package indexes.
//!
//! Who installs sees `http://127.0.0.1:PORT/...` alone and no credential. [`Gate`] knows which
//! indexes are allowed ([`GatePolicy`]), adds the credential where it belongs, verifies and keeps
//! files, and says why something was not had. It knows nothing of containers: a
//! [`Session`] answers HTTP on connections, wherever they come from, and [`crate::installer`]
//! brings them over a stream.
//!
//! Invariants:
//! - what is allowed comes from the door, never from a requirements file;
//! - a credential goes to its own feed only, and into no text;
//! - nothing goes to an address that the policy does not allow, whatever a name resolves to;
//! - a file is whole and verified, or an error.

mod address;
mod cache;
mod download;
mod fetch;
mod http;
mod page;
mod policy;
mod session;
mod sources;
mod trouble;
mod wheels;

use std::fmt::Debug;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub(crate) use fetch::check as check_address;
pub(crate) use http::serve;
pub use policy::{Feed, GatePolicy};
pub use session::Session;
pub(crate) use sources::Sources;
pub use trouble::{Cause, Trouble};
pub(crate) use wheels::Target;

use crate::error::{RuntimeError, Stage};

/// The address of a name. The system's own, but in tests.
#[async_trait]
pub trait Resolver: Debug + Send + Sync {
    /// Every address of a host.
    ///
    /// # Errors
    /// There is none, or nobody to ask.
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The system's resolver.
#[derive(Debug, Clone, Copy)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// How a gate works.
#[derive(Debug, Clone)]
pub struct GateOptions {
    /// Where downloaded files are kept, for all processes of a user.
    pub cache_dir: PathBuf,
    /// How many bytes of them: what was used least lately goes first.
    pub cache_limit: u64,
    /// How long a connection may take.
    pub connect_limit: Duration,
    /// How long nothing may come of an answer.
    pub stall_limit: Duration,
    /// Who knows the addresses of names.
    pub resolver: Arc<dyn Resolver>,
}

impl GateOptions {
    /// 5 GiB in that folder, 10 s for a connection, 60 s for the next byte.
    pub fn new(cache_dir: PathBuf) -> Self {
        Self {
            cache_dir,
            cache_limit: 5 << 30,
            connect_limit: Duration::from_secs(10),
            stall_limit: Duration::from_secs(60),
            resolver: Arc::new(SystemResolver),
        }
    }
}

/// The gate, for any number of installs at once.
#[derive(Debug)]
pub struct Gate {
    policy: Arc<GatePolicy>,
    fetcher: fetch::Fetcher,
    cache: cache::Cache,
}

impl Gate {
    /// Opens a gate.
    ///
    /// # Errors
    /// Its folder cannot be made, or the system's certificates cannot be read.
    pub fn new(policy: GatePolicy, options: &GateOptions) -> Result<Arc<Self>, RuntimeError> {
        let policy = Arc::new(policy);
        let folder = &options.cache_dir;
        let cache = cache::Cache::new(folder.clone(), options.cache_limit)
            .map_err(|error| RuntimeError::disk("make the folder for downloads", folder, &error))?;
        let fetcher = fetch::Fetcher::new(policy.clone(), options).map_err(|why| {
            RuntimeError::new(Stage::Infrastructure, format!("cannot prepare for package indexes: {why}"))
                .with_hint("look at the system's certificates, and at SSL_CERT_FILE where it is set")
        })?;
        Ok(Arc::new(Self { policy, fetcher, cache }))
    }

    /// What is allowed.
    pub fn policy(&self) -> &GatePolicy {
        &self.policy
    }
}
