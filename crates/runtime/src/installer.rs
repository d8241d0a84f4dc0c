//! Installs packages into a Python that has no network, through a [`Gate`].
//!
//! The caller starts `python` with [`arguments`], anywhere, and hands over its standard input and
//! output. [`Installer::start`] sends the agent over them (`installer/PROTOCOL.md`), and
//! [`Installer::run`] has it run `uv`, where that is, or else pip. What comes back is hostile: a
//! package's own code ran beside it.

mod command;
mod frames;
mod relay;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flowgate_flow::requirements;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::error::{RuntimeError, Stage};
use crate::gate::{Gate, Session, Sources, Trouble};
use crate::log::LogTail;
use crate::wire::clip;
use frames::{Hello, Kind};
use relay::Channel;

/// The arguments that start the agent in any Python.
pub fn arguments() -> [&'static str; 4] {
    ["-I", "-B", "-c", crate::worker::BOOTSTRAP]
}

/// The agent's modules, as the bootstrap takes them.
const MODULES: [(&str, &str); 2] = [crate::worker::STREAMS, ("flowgate_installer", include_str!("installer/agent.py"))];
/// How many packages are listed.
const MAX_PACKAGES: usize = 20_000;

/// What to install.
#[derive(Debug, Clone, Default)]
pub struct InstallRequest {
    /// Requirement lines as pip gets them, nested files inlined.
    pub requirements: Vec<String>,
    /// Lines that only restrict versions.
    pub constraints: Vec<String>,
    /// Option lines in their order, such as `--index-url URL`.
    pub options: Vec<String>,
    /// Packages that come with the request itself, and not from an index.
    pub archives: Vec<Archive>,
    /// Asks no index: only files that the gate keeps are offered.
    pub replay: bool,
}

/// A package that comes with the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// Its file name, which tells what kind of archive it is.
    pub name: String,
    /// A wheel, or a source tree as a `.tar.gz`.
    pub bytes: Arc<[u8]>,
    /// What follows it on its requirement line: extras, a marker, options.
    pub rest: String,
    /// What messages call it in the place of its path in the build.
    pub shown: String,
}

/// What was installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// `uv`, or `pip` with its version.
    pub installer: String,
    /// Python's version.
    pub python: String,
    /// Normalised name to version, before.
    pub before: BTreeMap<String, String>,
    /// And after.
    pub after: BTreeMap<String, String>,
    /// Which of the new ones came from a URL of their own, and not from an index.
    pub direct: Vec<String>,
    /// What went wrong and was done without, such as files of an index on hosts that are not allowed.
    pub troubles: Vec<Trouble>,
    /// The end of what the installer said, unescaped.
    pub log: Option<String>,
}

/// A Python that can be installed into.
pub struct Installer {
    hello: Hello,
    channel: Channel,
}

impl Installer {
    /// Sends the agent, and waits until it is there. `errors` holds what Python says on standard
    /// error, for the message of a failure.
    ///
    /// # Errors
    /// It does not answer within `limit`, or not as it should.
    pub async fn start(
        reader: impl AsyncRead + Send + Unpin + 'static,
        mut writer: impl AsyncWrite + Send + Unpin + 'static,
        errors: LogTail,
        limit: Duration,
    ) -> Result<Self, RuntimeError> {
        let fail = |cause: String| {
            let error = RuntimeError::new(Stage::Environment, format!("the installer's agent did not start: {cause}"));
            let error = error.with_hint("a base image needs Python 3.9 or newer with its standard library");
            match errors.text() {
                Some(log) => error.with_log(log),
                None => error,
            }
        };
        let begun = async {
            let preamble = crate::worker::preamble_of(&MODULES);
            writer.write_all(&preamble).await.map_err(|error| error.to_string())?;
            writer.flush().await.map_err(|error| error.to_string())?;
            let mut channel = Channel::new(reader, writer);
            let (kind, payload) = channel.next_of_agent().await?;
            match kind {
                Kind::Hello => {
                    let hello: Hello = relay::json(&payload)?;
                    Ok((channel, hello))
                }
                Kind::Fatal => Err(relay::json::<frames::Fatal>(&payload)?.message),
                other => Err(format!("it began with {other:?}")),
            }
        };
        let (channel, hello) = tokio::time::timeout(limit, begun)
            .await
            .map_err(|_| fail(format!("it did not answer within {} s", limit.as_secs())))?
            .map_err(&fail)?;
        if hello.protocol != frames::PROTOCOL {
            return Err(fail(format!("it speaks version {} of the protocol", hello.protocol)));
        }
        Ok(Self { hello, channel })
    }

    /// What is installed, as the place itself says: normalised name to version.
    pub fn packages(&self) -> BTreeMap<String, String> {
        bounded(&self.hello.packages)
    }

    /// What packages go to where that is not the place's own disk, such as a volume.
    pub fn mount(&self) -> Option<String> {
        self.hello.mount.clone().map(|path| clip(path, 500))
    }

    /// Installs. `progress` gets each line that the installer prints, unescaped.
    ///
    /// # Errors
    /// An index that is not allowed, before anything is sent; an installer that fails, with what
    /// the gate knows of the cause; and one that left out a part of the requirements and yet exits with 0.
    pub async fn run(
        &mut self,
        request: &InstallRequest,
        gate: &Arc<Gate>,
        progress: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Installed, RuntimeError> {
        let Some(installer) = command::installer(&self.hello) else {
            let error = RuntimeError::new(Stage::Environment, "the base image has neither uv nor pip");
            return Err(error.with_hint("add one to it: `python -m ensurepip`"));
        };
        let sources = Sources::read(gate.policy(), &request.options).map_err(refused)?;
        let session = Arc::new(gate.session(&sources, self.hello.wheels.clone(), request.replay));
        let own = |path: String| format!("http://127.0.0.1:{}{path}", self.hello.port);
        let lines = |lines: &[String]| {
            lines.iter().map(|line| line_through(&session, line, &own)).collect::<Result<Vec<_>, _>>()
        };
        let mut requirements = lines(&request.requirements).map_err(refused)?;
        let archives = session.keep(&request.archives).map_err(refused)?;
        requirements
            .extend(archives.iter().zip(&request.archives).map(|(path, archive)| format!(".{path}{}", archive.rest)));
        let order = command::Order {
            requirements,
            constraints: lines(&request.constraints).map_err(refused)?,
            indexes: session.index_paths().map(own).collect(),
            options: sources.options.clone(),
            archives,
        };
        let run = command::run(&self.hello, &order);
        let before = self.packages();
        let tail = LogTail::default();
        let own_words = |text: &str| {
            let shown = run.archives.iter().zip(&request.archives);
            shown.fold(text.to_owned(), |text, (path, archive)| replaced(&text, path, &archive.shown))
        };
        let mut progress = |line: &str| progress(&own_words(line));
        let mut said = Lines { log: tail.clone(), progress: &mut progress, open: Vec::new() };
        let exited = self.channel.run(&run, &session, &mut |bytes| said.push(bytes)).await;
        let log = tail.text().map(|log| own_words(&log));
        let fail = |cause: String| failure(&format!("{installer} {cause}"), &session, log.clone());
        let exited = exited.map_err(|cause| fail(format!("was lost: {cause}")))?;
        match (exited.exit, exited.signal) {
            (Some(0), _) => {}
            (Some(code), _) => return Err(fail(format!("could not install the requirements (exit code {code})"))),
            (None, Some(signal)) => return Err(fail(format!("was ended by signal {signal}"))),
            (None, None) => return Err(fail(format!("did not start: {}", clip(exited.detail, 300)))),
        }
        if let Some(trouble) = session.lost() {
            let message = format!("{installer} went on without an index that it was told to ask: {trouble}");
            return Err(with(RuntimeError::new(Stage::Environment, message), trouble.hint(), log));
        }
        if let Some(line) = log.as_deref().and_then(command::loss) {
            let message = format!("{installer} left out a part of the requirements: {}", clip(line.to_owned(), 400));
            return Err(RuntimeError::new(Stage::Environment, message));
        }
        self.hello.packages = exited.packages;
        let direct = exited.direct.into_iter().take(MAX_PACKAGES).map(|name| clip(name, 200)).collect();
        let python = clip(self.hello.python.clone(), 40);
        let (after, troubles) = (self.packages(), session.troubles());
        Ok(Installed { installer, python, before, after, direct, troubles, log })
    }

    /// Compiles the modules of what was installed: a runtime writes nothing into its environment.
    ///
    /// # Errors
    /// The place is lost.
    pub async fn compile(&mut self) -> Result<(), RuntimeError> {
        self.channel.compile().await.map_err(|cause| {
            let message = format!("the installer's agent was lost while it compiled modules: {cause}");
            RuntimeError::new(Stage::Environment, message)
                .with_hint("it may have run out of memory: ask for smaller packages, or for fewer of them")
        })
    }

    /// Ends the agent, and with it the place that it holds. False where it has not ended within `limit`.
    pub async fn end(mut self, limit: Duration) -> bool {
        tokio::time::timeout(limit, self.channel.end()).await.is_ok()
    }
}

impl std::fmt::Debug for Installer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Installer").field("hello", &self.hello).finish_non_exhaustive()
    }
}

/// A requirement whose URL, where it has one, leads through the gate.
fn line_through(session: &Session, line: &str, own: &impl Fn(String) -> String) -> Result<String, Trouble> {
    let file = requirements::read(line);
    let Some(requirement) = file.requirements().next() else { return Ok(line.to_owned()) };
    let Some(url) = requirement.url() else { return Ok(line.to_owned()) };
    let url = url.split(' ').next().unwrap_or(url);
    let name = requirement.name.as_ref().map_or("archive", |name| name.value.as_str());
    Ok(line.replacen(url, &own(session.file_path(name, url)?), 1))
}

fn refused(trouble: Trouble) -> RuntimeError {
    let error = RuntimeError::new(Stage::Environment, trouble.to_string());
    with(error, trouble.hint(), None)
}

/// What failed, with what the gate knows about why.
fn failure(what: &str, session: &Session, log: Option<String>) -> RuntimeError {
    let troubles = session.troubles();
    let causes: Vec<String> = troubles.iter().map(ToString::to_string).collect();
    let message = if causes.is_empty() { what.to_owned() } else { format!("{what}: {}", causes.join("; ")) };
    let hint = troubles.iter().find_map(Trouble::hint);
    let stage = if session.disk().is_some() { Stage::Infrastructure } else { Stage::Environment };
    with(RuntimeError::new(stage, clip(message, 4000)), hint, log)
}

fn with(error: RuntimeError, hint: Option<&str>, log: Option<String>) -> RuntimeError {
    let error = match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    };
    match log {
        Some(log) => error.with_log(log),
        None => error,
    }
}

/// A text in which whatever ends with that path, back to the last blank or mark, is `shown`.
fn replaced(text: &str, path: &str, shown: &str) -> String {
    let mut parts = text.split(path);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let start = out.rfind(|c: char| c.is_whitespace() || "('`\"".contains(c)).map_or(0, |at| at + 1);
        out.replace_range(start.., shown);
        out += part;
    }
    out
}

fn bounded(packages: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    packages
        .iter()
        .take(MAX_PACKAGES)
        .map(|(name, version)| (clip(name.clone(), 200), clip(version.clone(), 200)))
        .collect()
}

/// Cuts output into lines.
struct Lines<'p> {
    log: LogTail,
    progress: &'p mut (dyn FnMut(&str) + Send),
    open: Vec<u8>,
}

impl Lines<'_> {
    fn push(&mut self, bytes: &[u8]) {
        self.log.push(bytes);
        for byte in bytes {
            // A line that never ends is cut, so that it costs no memory.
            if *byte == b'\n' || self.open.len() >= 4096 {
                let line = String::from_utf8_lossy(&self.open).trim_end().to_owned();
                if !line.is_empty() {
                    (self.progress)(&line);
                }
                self.open.clear();
            }
            if *byte != b'\n' {
                self.open.push(*byte);
            }
        }
    }
}
