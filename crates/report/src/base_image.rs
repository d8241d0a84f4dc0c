//! What `flowgate environment check-version` found, to words.

pub mod json;
pub mod terminal;

use flowgate_check::Finding;

/// What is said of [`VersionReport::frozen`] images.
pub const FROZEN: &str = "Microsoft no longer updates this image, not even for its security";

/// A base image and what its registry says about it.
#[derive(Debug, Clone, Default)]
pub struct VersionReport {
    /// The image, as the flow names it.
    pub image: String,
    /// The digest that its tag has now.
    pub digest: Option<String>,
    /// The versions in its repository (`YYYYMMDD.vN`), newest first; `None` where the registry was not
    /// asked with success.
    pub versions: Option<Vec<String>>,
    /// Why something is not known.
    pub unknown: Option<String>,
    /// True for an image that its maker no longer updates.
    pub frozen: bool,
    /// What the rules say about it, with these facts.
    pub findings: Vec<Finding>,
}

impl VersionReport {
    fn newest(&self) -> Option<&str> {
        self.versions.as_ref()?.first().map(String::as_str)
    }
}
