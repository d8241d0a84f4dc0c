//! Computes, for people and for machines.

pub mod json;
pub mod terminal;

use flowgate_runtime::computes::{About, Compute};

/// A compute, with what its engine answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// The compute.
    pub compute: Compute,
    /// Whether commands use it without `--compute`.
    pub is_current: bool,
    /// What its engine says, or why it says nothing: a lower-case fragment.
    pub answer: Result<About, String>,
}

impl Shown {
    /// Its address; where it has none, nothing.
    fn host(&self) -> Option<String> {
        self.compute.endpoint.address.as_ref().ok().map(ToString::to_string)
    }
}
