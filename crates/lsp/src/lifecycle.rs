//! When the server ends.
//!
//! Editors ask for the end, or close the pipes, or crash. The framework panics where the output
//! closes under it, so the output is wrapped.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::sync::Notify;

/// How long answers that are under way may take to be written after `exit`.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How often the editor's process is looked for.
const PARENT_INTERVAL: Duration = Duration::from_secs(2);

/// What is known about the end; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Lifecycle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    shutdown: AtomicBool,
    abandoned: Notify,
}

impl Lifecycle {
    pub(crate) fn new() -> Self {
        Self { shared: Arc::new(Shared { shutdown: AtomicBool::new(false), abandoned: Notify::new() }) }
    }

    /// 0 where the editor has asked for the end, else 1.
    pub(crate) fn exit_code(&self) -> u8 {
        u8::from(!self.shared.shutdown.load(Ordering::Acquire))
    }

    /// Resolves when nobody listens any more, or when the last answers cannot be written.
    pub(crate) async fn abandoned(&self) {
        self.shared.abandoned.notified().await;
    }

    /// Watches the editor's process. One that cannot be seen from here, because it lives in
    /// another container, is not watched.
    pub(crate) fn watch_parent(&self, process: u32) {
        if !lives(process) {
            return;
        }
        let lifecycle = self.clone();
        tokio::spawn(async move {
            while lives(process) {
                tokio::time::sleep(PARENT_INTERVAL).await;
            }
            lifecycle.shared.abandoned.notify_one();
        });
    }

    /// The editor has asked for the end.
    pub(crate) fn shutdown(&self) {
        self.shared.shutdown.store(true, Ordering::Release);
    }

    /// The end begins: what is under way has a moment to be answered.
    pub(crate) fn exit(&self) {
        let lifecycle = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(LAST_WORDS).await;
            lifecycle.shared.abandoned.notify_one();
        });
    }

    /// Wraps the output.
    pub(crate) fn output<O>(&self, inner: O) -> Output<O> {
        Output { inner, lifecycle: self.clone() }
    }
}

#[cfg(unix)]
fn lives(process: u32) -> bool {
    let Some(process) = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw) else { return false };
    !matches!(rustix::process::test_kill_process(process), Err(rustix::io::Errno::SRCH))
}

/// Elsewhere the system closes the input of an orphan.
#[cfg(not(unix))]
fn lives(_process: u32) -> bool {
    false
}

/// An output whose end is not an error but the end of the server.
pub(crate) struct Output<O> {
    inner: O,
    lifecycle: Lifecycle,
}

impl<O> Output<O> {
    fn accept<T>(&self, result: Poll<io::Result<T>>, instead: T) -> Poll<io::Result<T>> {
        match result {
            Poll::Ready(Err(_)) => {
                self.lifecycle.shared.abandoned.notify_one();
                Poll::Ready(Ok(instead))
            }
            other => other,
        }
    }
}

impl<O: AsyncWrite + Unpin> AsyncWrite for Output<O> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.accept(result, bytes.len())
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_flush(context);
        self.accept(result, ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_shutdown(context);
        self.accept(result, ())
    }
}
