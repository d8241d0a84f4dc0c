//! The ways to an engine: a socket of this machine, TLS, or ssh.

mod ssh;

use std::time::Duration;

use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, Docker};

use crate::endpoint::{Address, Tls};
use crate::http;

/// How long an engine may take to answer, in seconds.
const ANSWER_SECONDS: u64 = 60;
/// How long what cannot be awaited may take.
const UNAWAITED: Duration = Duration::from_secs(10);

/// A client of the engine there, which asks nothing yet.
pub(super) fn client(address: &Address) -> Result<Docker, Error> {
    match address {
        Address::Socket(path) => {
            let address = format!("unix://{}", path.display());
            Docker::connect_with_socket(&address, ANSWER_SECONDS, API_DEFAULT_VERSION)
        }
        Address::Tcp { authority, tls: Some(Tls { ca, cert, key }) } => {
            http::use_ring();
            Docker::connect_with_ssl(authority, key, cert, ca, ANSWER_SECONDS, API_DEFAULT_VERSION)
        }
        Address::Tcp { authority, tls: None } => {
            Docker::connect_with_http(authority, ANSWER_SECONDS, API_DEFAULT_VERSION)
        }
        Address::Ssh { .. } => ssh::client(address, ANSWER_SECONDS),
    }
}

/// Asks the engine for something where nothing can be awaited, as when a value is dropped, and waits for the answer. It has a
/// thread and a connection of its own: those of the others may need the thread that waits here.
pub(super) fn ask_now<F: Future<Output = ()>>(address: &Address, question: impl FnOnce(Docker) -> F + Send) {
    let ask = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            if let Ok(engine) = client(address) {
                let _ = tokio::time::timeout(UNAWAITED, question(engine)).await;
            }
        });
        // A name that does not resolve must not keep it.
        runtime.shutdown_background();
    };
    // If no thread can be started, the next sweep cleans up.
    std::thread::scope(|scope| {
        let _ = std::thread::Builder::new().spawn_scoped(scope, ask);
    });
}
