//! The Docker engine as the tests see it: past flowgate, over the engine's own socket.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use flowgate_runtime::environment::base::{BASE_IMAGE, PROMPTFLOW_VERSION};
use serde_json::Value;

/// The label that flowgate puts on its containers.
const OWNER: &str = "flowgate.owner";
/// How long something that must happen may take.
const DEADLINE: Duration = Duration::from_secs(120);

/// A Docker engine that holds flowgate's base image.
#[derive(Debug)]
pub struct Engine {
    socket: PathBuf,
}

/// The engine, or `None` where there is none on a developer's machine: then the test says loudly
/// that it was skipped, and why. `cargo xtask test` counts those.
///
/// # Panics
/// Under continuous integration (`CI=true`), where nothing may be skipped.
pub fn docker_or_skip() -> Option<Engine> {
    match Engine::of_this_machine() {
        Ok(engine) => Some(engine),
        Err(reason) => {
            crate::skip(&reason);
            None
        }
    }
}

impl Engine {
    fn of_this_machine() -> Result<Self, String> {
        let host = std::env::var("DOCKER_HOST")
            .ok()
            .filter(|host| !host.is_empty())
            .unwrap_or("unix:///var/run/docker.sock".to_owned());
        let Some(socket) = host.strip_prefix("unix://").map(PathBuf::from) else {
            return Err(format!("DOCKER_HOST={host} is not a local socket"));
        };
        let engine = Self { socket };
        let image = base_image();
        match engine.try_ask("GET", &format!("/images/{image}/json")) {
            Ok((200, _)) => Ok(engine),
            Ok(_) => Err(format!("the Docker engine at {host} has no image {image}")),
            Err(error) => Err(format!("no Docker engine answers at {host}: {error}")),
        }
    }

    /// Its socket.
    pub fn socket(&self) -> &std::path::Path {
        &self.socket
    }

    /// Sends a request and gives the answer's status and body; `null` where that is no JSON.
    ///
    /// # Panics
    /// Where the engine does not answer.
    pub fn ask(&self, method: &str, path: &str) -> (u16, Value) {
        self.try_ask(method, path).expect("the engine answers")
    }

    fn try_ask(&self, method: &str, path: &str) -> std::io::Result<(u16, Value)> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        write!(stream, "{method} {path} HTTP/1.0\r\nHost: docker\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::InvalidData)?;
        let status =
            head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(std::io::ErrorKind::InvalidData)?;
        Ok((status, serde_json::from_str(body).unwrap_or(Value::Null)))
    }

    /// The containers that a flowgate process started, in whatever state, by their ids.
    pub fn containers_of(&self, process: u32) -> Vec<String> {
        // {"label":["flowgate.owner"]}
        let (status, all) =
            self.ask("GET", "/containers/json?all=true&filters=%7B%22label%22%3A%5B%22flowgate.owner%22%5D%7D");
        assert_eq!(status, 200, "{all}");
        let of_process = |container: &&Value| {
            let owner = container["Labels"][OWNER].as_str().unwrap_or_default();
            owner.split(':').nth(2) == Some(&process.to_string())
        };
        all.as_array()
            .expect("a list")
            .iter()
            .filter(of_process)
            .map(|container| container["Id"].as_str().expect("an id").to_owned())
            .collect()
    }

    /// True while the engine knows the container, in whatever state.
    pub fn has(&self, container: &str) -> bool {
        self.ask("GET", &format!("/containers/{container}/json")).0 == 200
    }
}

/// flowgate's base image, which `cargo xtask testbed` makes.
pub fn base_image() -> String {
    format!("{BASE_IMAGE}:{PROMPTFLOW_VERSION}")
}

/// Waits until something is so.
///
/// # Panics
/// Where it is not so within two minutes.
pub fn wait_for<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {} s", DEADLINE.as_secs());
        std::thread::sleep(Duration::from_millis(20));
    }
}
