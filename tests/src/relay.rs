//! The engine behind another socket.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::Folder;
use crate::engine::Engine;

/// The real engine behind another socket, which counts requests and can go away.
#[derive(Debug)]
pub struct Relay {
    /// For `DOCKER_HOST`.
    pub host: String,
    requests: Arc<AtomicUsize>,
    open: Arc<Mutex<Vec<UnixStream>>>,
    socket: PathBuf,
}

impl Relay {
    /// Starts one, whose socket is in that folder; it lives as long as the test.
    ///
    /// # Panics
    /// Where the socket cannot be made.
    pub fn start(folder: &Folder, engine: &Engine) -> Self {
        let socket = folder.path().join("relay.sock");
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let (engine, requests, open) = (engine.socket().to_owned(), Arc::new(AtomicUsize::new(0)), Arc::default());
        let (counter, streams): (_, Arc<Mutex<Vec<UnixStream>>>) = (Arc::clone(&requests), Arc::clone(&open));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = UnixStream::connect(&engine).unwrap();
                streams.lock().unwrap().extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
                let (mut from_client, mut to_client) = (client.try_clone().unwrap(), client);
                let (mut to_server, mut from_server) = (server.try_clone().unwrap(), server);
                std::thread::spawn(move || std::io::copy(&mut from_server, &mut to_client));
                let counter = Arc::clone(&counter);
                std::thread::spawn(move || {
                    let mut part = [0; 65536];
                    while let Ok(count @ 1..) = from_client.read(&mut part) {
                        let heads = ["GET /", "POST /", "DELETE /", "HEAD /"];
                        if heads.iter().any(|head| part.starts_with(head.as_bytes())) {
                            counter.fetch_add(1, Ordering::Relaxed);
                        }
                        if to_server.write_all(&part[..count]).is_err() {
                            break;
                        }
                    }
                    let _ = to_server.shutdown(std::net::Shutdown::Write);
                });
            }
        });
        Self { host: format!("unix://{}", socket.display()), requests, open, socket }
    }

    /// How many requests came so far.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// Breaks every connection, and takes no more.
    ///
    /// # Panics
    /// Never.
    pub fn die(&self) {
        let _ = std::fs::remove_file(&self.socket);
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}
