//! Findings and runs to words and pictures: one file per format.
//!
//! Wire formats have structs of their own ([`check::json`], [`run::json`]), documented and
//! versioned; the core types are never serialized. Whatever came from a file or a runtime is
//! escaped for the place that it goes to ([`escape`]).

pub mod base_image;
pub mod check;
pub mod compute;
pub mod docs;
pub mod environment;
pub mod escape;
pub mod feed;
pub mod file;
pub mod graph;
pub mod run;
pub mod runtime;
mod table;
