//! The package gate and the installer through their public doors, with real installers in a
//! Python of their own. Hostile and broken indexes are `FakeIndex`es on loopback.
#![cfg(unix)]

mod agent;
mod hostile;
mod index;
mod inside;
mod place;
mod real;

use std::path::Path;
use std::sync::Arc;

use flowgate_runtime::gate::{Feed, Gate, GateOptions, GatePolicy};
use flowgate_runtime::secret::Secret;

/// What nobody but its own feed may see.
const TOKEN: &str = "t0ken-of-the-feed";

fn gate(policy: GatePolicy, cache: &Path) -> Arc<Gate> {
    Gate::new(policy, &GateOptions::new(cache.to_owned())).unwrap()
}

/// A feed on this machine.
fn feed(url: &str) -> Feed {
    Feed::new(url).unwrap().on_private_network()
}

/// The same, with its token.
fn private_feed(url: &str) -> Feed {
    feed(url).with_credential(Secret::new(TOKEN)).unwrap()
}
