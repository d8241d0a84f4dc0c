//! A private package index on loopback, served by `pypiserver`, and small packages to put into it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const SERVER: &str = r#"
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIServer, make_server
import pypiserver
folder, passwords = sys.argv[1:]
every = ["list", "download", "update"]
app = pypiserver.app(roots=[folder], password_file=passwords, authenticate=every, disable_fallback=True)
class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
server = make_server("127.0.0.1", 0, app, server_class=Server)
print(server.server_port, flush=True)
server.serve_forever()
"#;

/// pypiserver with a password for everything.
#[derive(Debug)]
pub struct Pypiserver {
    child: Child,
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
}

impl Pypiserver {
    /// Serves a folder to who has the password. `None` where it is not installed: then the test says loudly that it was
    /// skipped.
    ///
    /// # Panics
    /// Under continuous integration, where nothing may be skipped.
    pub fn start(folder: &Path, password: &str) -> Option<Self> {
        let Some(program) = find("pypi-server") else {
            crate::skip("pypiserver is not installed");
            return None;
        };
        let python = std::fs::canonicalize(program).expect("its path").with_file_name("python");
        let passwords = folder.with_extension("htpasswd");
        std::fs::write(&passwords, format!("flowgate:{password}\n")).expect("the passwords");
        let mut command = Command::new(python);
        command.args(["-I", "-c", SERVER]).arg(folder).arg(passwords);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("pypiserver starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("its port");
        Some(Self { child, port: line.trim().parse().expect("its port") })
    }

    /// The URL of its index, without a user.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/simple/", self.port)
    }

    /// The same with the placeholder for a token.
    pub fn private_url(&self) -> String {
        format!("http://{{private}}@127.0.0.1:{}/simple/", self.port)
    }
}

impl Drop for Pypiserver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program of the search path.
pub fn find(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Writes a wheel with one module of that text.
///
/// # Panics
/// Where there is no Python.
pub fn wheel(folder: &Path, name: &str, version: &str, module: &str) {
    const PROGRAM: &str = r#"
import sys, zipfile
folder, name, version, module = sys.argv[1:]
under = name.replace("-", "_")
info = f"{under}-{version}.dist-info"
with zipfile.ZipFile(f"{folder}/{under}-{version}-py3-none-any.whl", "w") as wheel:
    wheel.writestr(f"{under}.py", module)
    wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(f"{info}/RECORD", "")
"#;
    python(PROGRAM, &[&folder.display().to_string(), name, version, module]);
}

/// Writes a source archive whose `setup.py` is that text.
///
/// # Panics
/// Where there is no Python.
pub fn source(folder: &Path, name: &str, version: &str, setup: &str) {
    const PROGRAM: &str = r#"
import io, sys, tarfile
folder, name, version, setup = sys.argv[1:]
top = f"{name.replace('-', '_')}-{version}"
with tarfile.open(f"{folder}/{top}.tar.gz", "w:gz") as archive:
    for file, text in (("setup.py", setup), ("PKG-INFO", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")):
        entry = tarfile.TarInfo(f"{top}/{file}")
        data = text.encode()
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
"#;
    python(PROGRAM, &[&folder.display().to_string(), name, version, setup]);
}

fn python(program: &str, arguments: &[&str]) {
    let status = Command::new("python3").args(["-I", "-c", program]).args(arguments).status().expect("Python starts");
    assert!(status.success(), "{status}");
}
