//! The Python worker, which is sent into every runtime; `worker/PROTOCOL.md` describes it.

use serde_json::json;

/// What `python -I -B -c` gets: it reads the rest from its standard input.
pub const BOOTSTRAP: &str = include_str!("worker/bootstrap.py");

/// The worker's modules, in the order in which they are loaded.
const MODULES: [(&str, &str); 5] = [
    ("flowgate_wire", include_str!("worker/wire.py")),
    ("flowgate_job", include_str!("worker/job.py")),
    ("flowgate_warm", include_str!("worker/warm.py")),
    ("flowgate_keeper", include_str!("worker/keeper.py")),
    ("flowgate_worker", include_str!("worker/worker.py")),
];

/// The arguments that start the worker in any Python.
pub fn arguments() -> [&'static str; 4] {
    ["-I", "-B", "-c", BOOTSTRAP]
}

/// The first bytes on the worker's standard input, before any frame.
pub(crate) fn preamble() -> Vec<u8> {
    preamble_of(&MODULES)
}

/// The same for other modules, of which the last has a `main`.
pub(crate) fn preamble_of(modules: &[(&str, &str)]) -> Vec<u8> {
    let source = json!(modules).to_string().into_bytes();
    let mut bytes = u32::try_from(source.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    bytes.extend(source);
    bytes
}
