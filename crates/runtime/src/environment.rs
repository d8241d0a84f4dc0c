//! Environments: what a flow needs, as an image that is addressed by its content.
//!
//! [`crate::plan::plan`] says what a flow needs; [`key::Content`] gives that, together with what
//! the base image holds, its address. The backend looks the address up before it builds anything.

pub mod access;
pub mod base;
pub mod cache;
pub(crate) mod contract;
pub(crate) mod hashes;
pub mod image;
pub mod key;
pub mod local;
pub(crate) mod normal;
pub mod packages;
pub mod record;
pub mod scope;
pub mod show;

use std::path::PathBuf;
use std::time::Duration;

pub use access::PackageAccess;
pub use cache::RegistryCache;
pub use scope::TrustScope;

use crate::registry::Registries;

/// The repository of the images of environments.
pub const REPOSITORY: &str = "flowgate-env";

/// The registries that anybody may ask, and from anywhere: those of the large publishers of images. Docker Hub has the
/// names that its clients give it.
pub const PUBLIC_REGISTRIES: [&str; 12] = [
    "docker.io",
    "index.docker.io",
    "registry-1.docker.io",
    "gcr.io",
    "ghcr.io",
    "lscr.io",
    "mcr.microsoft.com",
    "nvcr.io",
    "public.ecr.aws",
    "quay.io",
    "registry.gitlab.com",
    "registry.k8s.io",
];

/// Which images of trusted events a pull request's may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TrustedImages {
    /// None.
    No,
    /// Those that hold nothing but what everybody can have: flowgate's own base, and packages of indexes without a
    /// token.
    WithoutSecrets,
    /// All.
    #[default]
    All,
}

/// What building environments depends on, beside the plan.
#[derive(Debug, Clone)]
pub struct Environments {
    /// Where locks and records are kept.
    pub state: PathBuf,
    /// Whose words the flows are.
    pub scope: TrustScope,
    /// Which images of trusted events may be used in that scope: what was built for everybody need not be built again.
    pub trusted_images: TrustedImages,
    /// The hosts of the registries whose images may be named; `None` is any. The engine asks them from where it is, which
    /// may be a network that nobody outside may ask anything in.
    pub image_registries: Option<Vec<String>>,
    /// The platform of the images.
    pub platform: String,
    /// How long one build may take.
    pub timeout: Duration,
    /// Whether images of folders are built without BuildKit, also where the engine has it.
    pub classic_builder: bool,
    /// How packages are reached.
    pub packages: PackageAccess,
    /// With which credentials images are pulled and pushed.
    pub registries: Registries,
    /// Where environments are shared between machines.
    pub cache: RegistryCache,
}

/// The name of an environment's image: a nickname, as its label holds the whole address.
pub fn image_name(scope: &TrustScope, key: &str) -> String {
    format!("{REPOSITORY}:{}-{}", scope.tag(), key.get(..16).unwrap_or(key))
}
