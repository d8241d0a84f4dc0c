//! The language server: findings as you type, and their fixes.
//!
//! It translates and decides nothing: what is wrong with a text is said by [`flowgate_check`], and
//! what a file is by [`flowgate_flow::classify`]. This is the only crate that names the types of
//! the Language Server Protocol, and `convert` is the only module that makes them out of ours.
//!
//! One `state::State` behind one lock holds the open texts and the last analysis of each unit: a
//! flow with the files that it names, or a requirements file that no flow owns. Notifications
//! change it before their first `await`, because the framework runs handlers concurrently and
//! keeps their order only up to there. One task (`publish`) analyses what is out of date, on
//! threads of its own, and publishes; a result for a text that has changed meanwhile is dropped.

mod actions;
mod analysis;
mod convert;
mod documents;
mod input;
mod lifecycle;
mod overlay;
mod ownership;
mod publish;
mod server;
mod state;

use lifecycle::Lifecycle;
use tokio::io::{AsyncRead, AsyncWrite};
use tower_lsp::{LspService, Server};

/// Requests and notifications that may wait at the same time. The framework's default of 4 lets a
/// few slow requests hold up everything else.
const CONCURRENCY: usize = 64;
/// Bytes between the reader of messages and the framework.
const PIPE: usize = 64 * 1024;

/// Serves one editor over standard input and output, and gives the exit code for the process: see
/// [`serve_over`]. Nothing else may be printed to standard output meanwhile.
pub async fn serve() -> u8 {
    serve_over(tokio::io::stdin(), tokio::io::stdout()).await
}

/// Serves one editor and gives the exit code that the protocol asks for: 0 where the editor has
/// sent `shutdown`, else 1.
///
/// Ends when the editor sends `exit`, closes the input, stops reading the output, or its process
/// is gone. Threads may then still be reading the input: end the process without waiting for them.
pub async fn serve_over<I, O>(input: I, output: O) -> u8
where
    I: AsyncRead + Unpin,
    O: AsyncWrite + Unpin,
{
    let lifecycle = Lifecycle::new();
    let (service, socket) = LspService::new(|client| server::FlowgateServer::new(client, lifecycle.clone()));
    let (to_server, messages) = tokio::io::duplex(PIPE);
    let serving = Server::new(messages, lifecycle.output(output), socket).concurrency_level(CONCURRENCY).serve(service);
    tokio::select! {
        _ = async { tokio::join!(input::pass_on(input, to_server, lifecycle.clone()), serving) } => {}
        () = lifecycle.abandoned() => {}
    }
    lifecycle.exit_code()
}
