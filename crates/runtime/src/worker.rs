//! The Python worker, which is sent into every runtime; `worker/PROTOCOL.md` describes it.

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::environment::key::hex;

/// What `python -c` gets: it reads the rest from its standard input.
pub(crate) const BOOTSTRAP: &str = include_str!("worker/bootstrap.py");

const WIRE: (&str, &str) = ("flowgate_wire", include_str!("worker/wire.py"));
/// Shared with the installer's agent.
pub(crate) const STREAMS: (&str, &str) = ("flowgate_streams", include_str!("worker/streams.py"));
/// The broker's modules, in the order in which they are loaded. `flowgate_sources` comes before the last one.
const BROKER: [(&str, &str); 7] = [
    WIRE,
    STREAMS,
    ("flowgate_archives", include_str!("worker/archives.py")),
    ("flowgate_client", include_str!("worker/client.py")),
    ("flowgate_memory", include_str!("worker/memory.py")),
    ("flowgate_places", include_str!("worker/places.py")),
    ("flowgate_broker", include_str!("worker/broker.py")),
];
/// The zygote's, which the broker starts.
const ZYGOTE: [(&str, &str); 5] = [
    WIRE,
    ("flowgate_job", include_str!("worker/job.py")),
    ("flowgate_warm", include_str!("worker/warm.py")),
    ("flowgate_keeper", include_str!("worker/keeper.py")),
    ("flowgate_zygote", include_str!("worker/zygote.py")),
];

/// The arguments that start the worker in any Python. Without `site`: no package of the environment has code that runs
/// in the broker.
pub fn arguments() -> [&'static str; 5] {
    ["-I", "-S", "-B", "-c", BOOTSTRAP]
}

/// The first bytes on the worker's standard input, before any frame.
pub(crate) fn preamble() -> Vec<u8> {
    // JSON strings are Python's, too: nothing but control characters, quotes and backslashes is escaped.
    let sources = format!("BOOTSTRAP = {}\nZYGOTE = {}\n", json!(BOOTSTRAP), json!(ZYGOTE));
    let [modules @ .., broker] = BROKER;
    preamble_of(&[&modules[..], &[("flowgate_sources", &sources), broker]].concat())
}

/// Run in a warm runtime for each client, with the number of seconds that it may wait as its argument.
#[cfg(feature = "docker")]
pub(crate) const RELAY: &str = include_str!("worker/relay.py");

/// The digest of the worker: a runtime that was started with another one is not used.
#[cfg(feature = "docker")]
pub(crate) fn digest() -> String {
    let mut digest = hex(&Sha256::digest(preamble()));
    digest.truncate(16);
    digest
}

/// The same for other modules, of which the last has a `main`.
pub(crate) fn preamble_of(modules: &[(&str, &str)]) -> Vec<u8> {
    let source = json!(modules).to_string().into_bytes();
    let mut bytes = u32::try_from(source.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    bytes.extend(source);
    bytes
}
