//! An engine behind ssh, reached as the docker command line reaches it: `ssh HOST docker system dial-stdio`, with the
//! user's own configuration, keys and known hosts. A process for each connection, which ends with its pipes: when flowgate
//! is killed, nothing of it stays on either machine.

use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use hyper::Uri;
use hyper::rt::ReadBufCursor;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tower_service::Service;

use crate::endpoint::Address;
use crate::sync::lock;

/// The end of what ssh writes for people, in bytes.
const MAX_SAID: u64 = 4096;
/// How long a process that has closed its output may take to say why.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A client whose connections are processes of ssh.
pub(super) fn client(address: &Address, timeout: u64) -> Result<Docker, Error> {
    let words = Words::default();
    let dial = Dial { arguments: arguments(address), words: words.clone() };
    // Idle connections are kept, as each costs a handshake.
    let client = Client::builder(TokioExecutor::new()).build(dial);
    let ask = move |request: BollardRequest| {
        let (answer, words) = (client.request(request), words.clone());
        let asked = async move {
            match answer.await {
                Ok(answer) => Ok(answer),
                // That the connection was closed says nothing; ssh itself said why.
                Err(error) => match words.last().await {
                    Some(said) => Err(Error::IOError { err: io::Error::other(said) }),
                    None => Err(Error::HyperLegacyError { err: error }),
                },
            }
        };
        Box::pin(asked) as Pin<Box<dyn Future<Output = _> + Send>>
    };
    Docker::connect_with_custom_transport(ask, Some("http://docker"), timeout, API_DEFAULT_VERSION)
}

/// What follows `ssh` on its command line.
fn arguments(address: &Address) -> Vec<String> {
    let Address::Ssh { user, host, port, socket } = address else { return Vec::new() };
    // Never prompts, and times out before we do, so that its own error is reported. Host keys are checked as the user
    // configured it.
    let mut arguments: Vec<String> = ["-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=8"].map(str::to_owned).into();
    if let Some(user) = user {
        arguments.extend(["-l".to_owned(), user.clone()]);
    }
    if let Some(port) = port {
        arguments.extend(["-p".to_owned(), port.to_string()]);
    }
    arguments.extend(["--".to_owned(), host.clone(), "docker".to_owned()]);
    if let Some(socket) = socket {
        // `Address` takes no character that a shell would read otherwise.
        arguments.push(format!("--host=unix://{socket}"));
    }
    arguments.extend(["system".to_owned(), "dial-stdio".to_owned()]);
    arguments
}

/// What the processes of a client wrote when they ended.
#[derive(Debug, Clone, Default)]
struct Words {
    said: Arc<Mutex<Option<String>>>,
    ended: Arc<tokio::sync::Notify>,
}

impl Words {
    fn keep(&self, said: String) {
        *lock(&self.said) = Some(said);
        self.ended.notify_one();
    }

    /// What was said last, which may come shortly after the end of a connection.
    async fn last(&self) -> Option<String> {
        let said = lock(&self.said).take();
        if said.is_some() {
            return said;
        }
        let _ = tokio::time::timeout(LAST_WORDS, self.ended.notified()).await;
        lock(&self.said).take()
    }
}

/// Starts the processes.
#[derive(Debug, Clone)]
struct Dial {
    arguments: Vec<String>,
    words: Words,
}

impl Service<Uri> for Dial {
    type Response = Pipes;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<Pipes>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        std::future::ready(self.start())
    }
}

impl Dial {
    fn start(&self) -> io::Result<Pipes> {
        let mut command = Command::new("ssh");
        command.args(&self.arguments).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A key that cancels flowgate must not end the way by which it tidies up.
        #[cfg(unix)]
        command.process_group(0);
        let mut child =
            command.spawn().map_err(|error| io::Error::new(error.kind(), format!("cannot start `ssh`: {error}")))?;
        let lost = || io::Error::other("ssh was started without its pipes");
        let (input, output) = (child.stdin.take().ok_or_else(lost)?, child.stdout.take().ok_or_else(lost)?);
        let errors = child.stderr.take().ok_or_else(lost)?;
        tokio::spawn(bury(child, errors, self.words.clone()));
        Ok(Pipes { input: Some(TokioIo::new(input)), output: TokioIo::new(output) })
    }
}

/// Waits for the end of a process, and keeps what it wrote where it failed.
async fn bury(mut child: Child, mut errors: ChildStderr, words: Words) {
    let mut said = Vec::new();
    let _ = (&mut errors).take(MAX_SAID).read_to_end(&mut said).await;
    // What is more is read and dropped, so that it does not wait for a reader.
    let _ = tokio::io::copy(&mut errors, &mut tokio::io::sink()).await;
    let Ok(status) = child.wait().await else { return };
    if status.success() {
        return;
    }
    let said = String::from_utf8_lossy(&said);
    let said = said.trim();
    words.keep(match (said, status.code()) {
        ("", Some(code)) => format!("ssh ended with exit code {code}"),
        ("", None) => "ssh was killed".to_owned(),
        (said, _) => said.lines().map(str::trim).collect::<Vec<_>>().join("; "),
    });
}

/// The pipes of a process, as a connection.
struct Pipes {
    input: Option<TokioIo<ChildStdin>>,
    output: TokioIo<ChildStdout>,
}

impl Pipes {
    fn input(self: Pin<&mut Self>) -> io::Result<Pin<&mut TokioIo<ChildStdin>>> {
        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        self.get_mut().input.as_mut().map(Pin::new).ok_or_else(closed)
    }
}

impl Connection for Pipes {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for Pipes {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().output).poll_read(cx, buffer)
    }
}

impl hyper::rt::Write for Pipes {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.input()?.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.input()?.poll_flush(cx)
    }

    /// The end of a pipe is that nobody has it any more.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().input = None;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_is_called_as_the_docker_command_line_calls_it() {
        let of = |text: &str| arguments(&Address::parse(text, None).expect("an address")).join(" ");
        let options = "-T -o BatchMode=yes -o ConnectTimeout=8";
        assert_eq!(of("ssh://lab"), format!("{options} -- lab docker system dial-stdio"));
        assert_eq!(
            of("ssh://me@[::1]:22/run/docker.sock"),
            format!("{options} -l me -p 22 -- ::1 docker --host=unix:///run/docker.sock system dial-stdio")
        );
    }
}
