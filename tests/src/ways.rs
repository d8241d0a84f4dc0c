//! Ways to an engine that are no socket of this machine: a real sshd, and certificates for TLS.

use std::fmt::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::engine::wait_for;
use crate::{Finished, Folder, skip};

/// A port of the loopback interface that nobody listens on.
///
/// # Panics
/// Where there is none.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port()
}

/// OpenSSH's server on loopback, which lets the current user in by a key of its own, until it is dropped.
#[derive(Debug)]
pub struct Sshd {
    process: Child,
    folder: Folder,
    port: u16,
}

impl Sshd {
    /// Starts one. `None`, and said, where this machine has none.
    ///
    /// # Panics
    /// Where it does not start, and under continuous integration where there is none.
    pub fn start() -> Option<Self> {
        let program = "/usr/sbin/sshd";
        if !Path::new(program).is_file() {
            skip("no sshd: install openssh-server");
            return None;
        }
        let (folder, port) = (Folder::new("sshd"), free_port());
        for key in ["host", "user", "stranger"] {
            run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", key], folder.path());
        }
        let path = |name: &str| folder.path().join(name).display().to_string();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("a key");
        folder.write("authorized", read("user.pub"));
        folder.write("known", format!("[127.0.0.1]:{port} {}", read("host.pub")));
        let mut config = String::new();
        for (option, value) in [
            ("Port", port.to_string()),
            ("ListenAddress", "127.0.0.1".to_owned()),
            ("HostKey", path("host")),
            ("AuthorizedKeysFile", path("authorized")),
            ("StrictModes", "no".to_owned()),
            ("UsePAM", "no".to_owned()),
            ("PasswordAuthentication", "no".to_owned()),
            ("PermitRootLogin", "yes".to_owned()),
            ("PidFile", "none".to_owned()),
            ("MaxStartups", "100".to_owned()),
        ] {
            let _ = writeln!(config, "{option} {value}");
        }
        folder.write("sshd_config", config);
        // OpenSSH reads the home from the user database, so that only `-F` keeps a test from the user's own configuration.
        for (name, key, known) in [("ssh", "user", "known"), ("denied", "stranger", "known"), ("new", "user", "none")] {
            folder.write(
                &format!("{name}_config"),
                format!(
                    "IdentityFile {}\nIdentitiesOnly yes\nUserKnownHostsFile {}\nGlobalKnownHostsFile none\n",
                    path(key),
                    path(known)
                ),
            );
            let script = format!("#!/bin/sh\nexec /usr/bin/ssh -F {} \"$@\"\n", path(&format!("{name}_config")));
            folder.write(&format!("{name}/ssh"), script);
            run("chmod", &["+x", &format!("{name}/ssh")], folder.path());
        }
        // Where it parts with its privileges.
        let _ = std::fs::create_dir_all("/run/sshd");
        let log = std::fs::File::create(folder.path().join("log")).expect("a log");
        let mut sshd = Command::new(program);
        sshd.args(["-D", "-e", "-f"]).arg(folder.path().join("sshd_config")).stdin(Stdio::null()).stderr(log);
        let process = sshd.spawn().expect("sshd starts");
        wait_for("an sshd", || TcpStream::connect(("127.0.0.1", port)).ok().map(drop));
        Some(Self { process, folder, port })
    }

    /// A `PATH` whose `ssh` is the real one, with the configuration of that name: `ssh` is let in, the key of `denied` is not,
    /// and `new` does not know the host.
    pub fn path(&self, name: &str) -> String {
        let path = std::env::var("PATH").unwrap_or_default();
        format!("{}:{path}", self.folder.path().join(name).display())
    }

    /// The address of an engine's socket behind it.
    pub fn address(&self, socket: &str) -> String {
        format!("ssh://127.0.0.1:{}{socket}", self.port)
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Certificates in a folder: those of a client as `DOCKER_CERT_PATH` has them, and `server.pem` and `server-key.pem`.
///
/// # Panics
/// Where openssl fails.
pub fn certificates(folder: &Path) -> PathBuf {
    let openssl = |arguments: &str| run("openssl", &arguments.split(' ').collect::<Vec<_>>(), folder);
    std::fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1\n").expect("a file");
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {key} -keyout ca-key.pem -out ca.pem -subj /CN=authority -days 2"));
    for (name, file) in [("server", "server"), ("client", "cert")] {
        let its_key = if name == "client" { "key.pem" } else { "server-key.pem" };
        openssl(&format!("req {key} -keyout {its_key} -out {name}.csr -subj /CN={name}"));
        openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -out {file}.pem -days 2 -extfile names"
        ));
    }
    folder.to_owned()
}

fn run(program: &str, arguments: &[&str], folder: &Path) {
    let done = Command::new(program).args(arguments).current_dir(folder).stdin(Stdio::null()).output();
    let done = Finished::of(done.unwrap_or_else(|error| panic!("{program}: {error}")));
    assert_eq!(done.code, Some(0), "{program} {arguments:?}: {done:?}");
}
