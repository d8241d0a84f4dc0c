//! Text to spanned nouns.
//!
//! A file is text, and reading it never fails: every reader here returns what it understood and a
//! list of what it did not. Nothing in this crate prints, decides how bad a fault is, or knows a
//! front end.
//!
//! Start at [`load::load_project`], which gathers one flow and the files that it names into a
//! [`Project`]: an immutable snapshot that rules and runs read.
//!
//! Invariants:
//! - no bytes make a reader panic, hang, or use memory out of proportion to their length;
//! - every value carries the byte range that it came from ([`Span`]); lines and columns are
//!   computed at the doors only ([`LineIndex`]);
//! - only [`load`] touches the disk, and only through [`load::FileSystem`].

pub mod base_image;
pub mod classify;
pub mod config;
pub mod connection;
pub mod credential;
pub mod data;
pub mod feed;
pub mod graph;
pub mod include;
pub mod load;
pub mod lock;
pub mod lower;
pub mod model;
pub mod project;
pub mod prompty;
pub mod python;
pub mod reference;
pub mod requirements;
pub mod run;
pub mod span;
pub mod suggest;
pub mod template;
pub mod text;
pub mod value_type;
pub mod yaml;

pub use classify::FileKind;
pub use config::Config;
pub use model::Flow;
pub use project::{Project, SourceFile};
pub use reference::Reference;
pub use span::{Span, Spanned};
pub use template::Template;
pub use text::{ColumnUnit, LineIndex, Position};
pub use value_type::ValueType;
