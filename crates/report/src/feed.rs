//! What `flowgate doctor feed` found, to words.

pub mod json;
pub mod terminal;

use flowgate_runtime::feed::{Ended, Fault};

/// The name of how a step ended.
fn ended_name(ended: Ended) -> &'static str {
    match ended {
        Ended::Passed => "passed",
        Ended::Noted => "noted",
        Ended::Failed(_) => "failed",
    }
}

/// The name of a fault, in kebab case.
fn fault_name(fault: Fault) -> &'static str {
    match fault {
        Fault::Malformed => "malformed",
        Fault::NotAllowed => "not-allowed",
        Fault::UnknownHost => "unknown-host",
        Fault::Unreachable => "unreachable",
        Fault::Address => "address",
        Fault::Certificate => "certificate",
        Fault::NoIdentity => "no-identity",
        Fault::Unauthorized => "unauthorized",
        Fault::Forbidden => "forbidden",
        Fault::NoFeed => "no-feed",
        Fault::NoPackage => "no-package",
        Fault::Unexpected => "unexpected",
    }
}
