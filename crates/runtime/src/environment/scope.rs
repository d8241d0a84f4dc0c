//! Who may use what a build made.

use std::fmt;

use super::key::sha256;

/// Whose words an environment was built from. A build runs foreign code, so that an image is no
/// function of its key: trusted events never use what an untrusted one made, and one pull request
/// never uses another's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum TrustScope {
    /// People who may write to the repository, or to this machine.
    #[default]
    Trusted,
    /// One pull request.
    PullRequest {
        /// `owner/name`: runners of one's own may serve several repositories.
        repository: String,
        /// Its number.
        number: u64,
    },
}

impl TrustScope {
    /// Its part of an image's tag.
    pub fn tag(&self) -> String {
        match self {
            Self::Trusted => "trusted".to_owned(),
            // The label holds it whole; this only keeps the nicknames of two repositories apart.
            Self::PullRequest { repository, number } => {
                let digest = sha256(repository.to_ascii_lowercase().as_bytes());
                format!("pr{number}-{}", digest.get(..8).unwrap_or_default())
            }
        }
    }
}

impl fmt::Display for TrustScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trusted => f.write_str("trusted"),
            Self::PullRequest { repository, number } => {
                write!(f, "pull-request:{}#{number}", repository.to_ascii_lowercase())
            }
        }
    }
}
