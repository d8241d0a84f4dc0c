//! Container registries on loopback: Debian's own, and fakes of broken ones.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::{Folder, skip};

/// Who may use a protected registry.
pub const USER: &str = "someone";
/// With what.
pub const PASSWORD: &str = "open sesame";
/// `someone:open sesame` in Base64, as `docker login` keeps it and a request carries it.
pub const ENCODED: &str = "c29tZW9uZTpvcGVuIHNlc2FtZQ==";
/// The line of `htpasswd -B` for both.
const HTPASSWD: &str = "someone:$2b$05$abcdefghijklmnopqrstuupx2xBUC4954936wVIjyyPHmUBFu0wCW\n";

/// Debian's registry on a free port of the loopback device, until it is dropped.
#[derive(Debug)]
pub struct Registry {
    process: Child,
    /// Its host and port.
    pub address: String,
    /// What it keeps, below `data`.
    pub folder: Folder,
}

impl Registry {
    /// Starts one, with a password for everything or without. `None`, and said, where there is none on this machine.
    ///
    /// # Panics
    /// Where it does not start, and under continuous integration where there is none.
    pub fn start(protected: bool) -> Option<Self> {
        let folder = Folder::new("registry");
        let root = folder.path().display();
        let auth = format!("auth: {{htpasswd: {{realm: tests, path: {root}/htpasswd}}}}\n");
        let auth = if protected { auth } else { String::new() };
        folder.write("htpasswd", HTPASSWD);
        folder.write(
            "config.yml",
            format!(
                "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {root}/data}}}}\nhttp: {{addr: 127.0.0.1:0}}\n{auth}"
            ),
        );
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(folder.path().join("config.yml")).stdout(Stdio::null()).stderr(Stdio::piped());
        let Ok(mut process) = command.spawn() else {
            skip("no docker-registry in PATH");
            return None;
        };
        let mut lines = BufReader::new(process.stderr.take().expect("its log")).lines().map_while(Result::ok);
        let address = lines.find_map(|line| Some(line.split_once("listening on ")?.1.split('"').next()?.to_owned()));
        let address = address.expect("where it listens");
        // Else it blocks when nobody reads its log.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { process, address, folder })
    }

    /// What `docker login` writes into `config.json` for it.
    pub fn login(&self) -> String {
        login(&self.address, ENCODED)
    }

    /// The tags of a repository, past flowgate and the engine: from its disk.
    pub fn tags(&self, repository: &str) -> Vec<String> {
        let folder = self.folder.path().join("data/docker/registry/v2/repositories").join(repository);
        let entries = std::fs::read_dir(folder.join("_manifests/tags")).into_iter().flatten().flatten();
        let mut tags: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        tags.sort();
        tags
    }

    /// Ends it: nobody listens there any more.
    ///
    /// # Panics
    /// Where it cannot be ended.
    pub fn stop(&mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("gone");
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Docker's `config.json` with one credential: a user and a password in Base64.
pub fn login(registry: &str, encoded: &str) -> String {
    format!("{{\"auths\":{{\"{registry}\":{{\"auth\":\"{encoded}\"}}}}}}")
}

/// How a fake registry fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It answers everything with 500.
    Broken,
    /// It takes connections and says nothing.
    Silent,
    /// It refuses everything, and repeats the credential that it was sent.
    Talkative,
}

/// Starts a fake of a broken registry, which lives as long as the test; gives its host and port.
///
/// # Panics
/// Where no port is free.
pub fn fake_registry(fault: Fault) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    std::thread::spawn(move || {
        let mut silent = Vec::new();
        for stream in listener.incoming().flatten() {
            match fault {
                Fault::Silent => silent.push(stream),
                Fault::Broken | Fault::Talkative => drop(std::thread::spawn(move || fail(stream, fault))),
            }
        }
    });
    address
}

fn fail(mut stream: TcpStream, fault: Fault) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let (mut length, mut sent, mut method) = (0, String::new(), String::new());
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let lower = line.to_ascii_lowercase();
            if method.is_empty() {
                method = line.split(' ').next()?.to_owned();
            } else if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            } else if lower.starts_with("authorization:") {
                sent = line.trim().to_owned();
            } else if line.trim().is_empty() {
                break;
            }
        }
        std::io::copy(&mut (&mut reader).take(length), &mut std::io::sink()).ok()?;
        let (status, more) = match fault {
            Fault::Talkative => ("401 Unauthorized", "WWW-Authenticate: Basic realm=\"fake\"\r\n"),
            Fault::Broken | Fault::Silent => ("500 Internal Server Error", ""),
        };
        let body = format!("{{\"errors\":[{{\"code\":\"UNAUTHORIZED\",\"message\":\"fake registry: {sent}\"}}]}}");
        let head = format!(
            "HTTP/1.1 {status}\r\n{more}Content-Type: application/json\r\nDocker-Distribution-Api-Version: registry/2.0\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        if method != "HEAD" {
            stream.write_all(body.as_bytes()).ok()?;
        }
    }
}
