//! Where a Docker engine is: an address, and who gives it (`DOCKER_HOST`, a Docker context, a compute).

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use url::Url;

use crate::environment::key::sha256;

/// Where an engine listens unless somebody says otherwise.
pub const USUAL_SOCKET: &str = "/var/run/docker.sock";

/// Where somebody says that the Docker engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Who says it, in words: `DOCKER_HOST`.
    pub source: String,
    /// The address, or why the source does not give one: a lower-case fragment.
    pub address: Result<Address, String>,
}

/// How an engine is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `unix:///path`: a socket of this machine.
    Socket(PathBuf),
    /// `tcp://host:port`, with TLS; without it on this machine only.
    Tcp {
        /// `host:port`.
        authority: String,
        /// The certificates.
        tls: Option<Tls>,
    },
    /// `ssh://[user@]host[:port][/socket]`: as the docker command line does, by `ssh` and `docker system dial-stdio` there.
    Ssh {
        /// Without it, what the configuration of ssh says.
        user: Option<String>,
        /// A host, or a name in the configuration of ssh.
        host: String,
        /// Without it, what the configuration of ssh says.
        port: Option<u16>,
        /// The engine's socket there, where it is not the usual one.
        socket: Option<String>,
    },
}

/// The certificates by which a client and an engine know each other, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Who signed the engine's certificate.
    pub ca: PathBuf,
    /// The client's certificate.
    pub cert: PathBuf,
    /// The client's key.
    pub key: PathBuf,
}

impl Tls {
    /// `ca.pem`, `cert.pem` and `key.pem` in a folder, as in `DOCKER_CERT_PATH`.
    ///
    /// # Errors
    /// Which of them is not there; a lower-case fragment.
    pub fn in_folder(folder: &Path) -> Result<Self, String> {
        let file = |name: &str| {
            let path = folder.join(name);
            match path.metadata() {
                Ok(data) if data.is_file() => Ok(path),
                Ok(_) => Err(format!("{} is not a file", path.display())),
                Err(error) => Err(format!("cannot read {}: {error}", path.display())),
            }
        };
        Ok(Self { ca: file("ca.pem")?, cert: file("cert.pem")?, key: file("key.pem")? })
    }
}

impl Address {
    /// Reads an address as `DOCKER_HOST` has it. `tls` is the folder of the certificates, for `tcp://`.
    ///
    /// # Errors
    /// What is wrong with it; a lower-case fragment.
    pub fn parse(text: &str, tls: Option<&Path>) -> Result<Self, String> {
        match text.split_once("://") {
            Some(("unix", path)) if path.starts_with('/') => Ok(Self::Socket(PathBuf::from(path))),
            Some(("unix", _)) => Err(format!("`{text}` has no absolute path: write unix:///var/run/docker.sock")),
            Some(("tcp" | "http" | "https", _)) => Self::tcp(text, tls),
            Some(("ssh", _)) => Self::ssh(text),
            _ => Err(format!("`{text}` is not unix:///PATH, ssh://[USER@]HOST or tcp://HOST:PORT")),
        }
    }

    fn tcp(text: &str, tls: Option<&Path>) -> Result<Self, String> {
        let (_, rest) = text.split_once("://").unwrap_or_default();
        // The parser knows the parts of this scheme only.
        let url = Url::parse(&format!("http://{rest}")).map_err(|error| format!("`{text}`: {error}"))?;
        let host = url.host_str().filter(|_| matches!(url.path(), "" | "/") && url.query().is_none());
        let host = host.ok_or_else(|| format!("`{text}` is not tcp://HOST:PORT"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("an address has no credentials: the engine knows its clients by their certificates".to_owned());
        }
        let tls = tls.map(Tls::in_folder).transpose()?;
        let port = url.port().unwrap_or(if tls.is_some() { 2376 } else { 2375 });
        let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        if tls.is_none() && host != "localhost" && !ip.is_ok_and(|ip| ip.is_loopback()) {
            return Err(format!(
                "`{text}` has no TLS, so that anybody on the network could read and change what is sent: use \
                 certificates, or ssh://{host}"
            ));
        }
        Ok(Self::Tcp { authority: format!("{host}:{port}"), tls })
    }

    fn ssh(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("`{text}`: {error}"))?;
        if url.password().is_some() {
            return Err("a password is not taken from an address: ssh uses keys, and its own configuration".to_owned());
        }
        let host = url.host_str().filter(|_| url.query().is_none() && url.fragment().is_none());
        let host = host.ok_or_else(|| format!("`{text}` is not ssh://[USER@]HOST[:PORT]"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let user = Some(url.username()).filter(|user| !user.is_empty());
        // What ssh takes for an option, or what a shell takes for more than a word, comes from nobody who means well.
        let is_word = |word: &str| {
            !word.starts_with('-') && word.chars().all(|c| c.is_ascii_alphanumeric() || "._-:@\\+".contains(c))
        };
        if !is_word(host) || !user.is_none_or(is_word) {
            return Err(format!("`{text}` is not ssh://[USER@]HOST[:PORT]"));
        }
        let socket = Some(url.path()).filter(|path| !matches!(*path, "" | "/"));
        if !socket.is_none_or(|path| path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))) {
            return Err(format!("`{text}`: the path of a socket has letters, digits, `/`, `.`, `_` and `-` only"));
        }
        Ok(Self::Ssh {
            user: user.map(str::to_owned),
            host: host.to_owned(),
            port: url.port(),
            socket: socket.map(str::to_owned),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { authority, .. } => write!(f, "tcp://{authority}"),
            Self::Ssh { user, host, port, socket } => {
                f.write_str("ssh://")?;
                if let Some(user) = user {
                    write!(f, "{user}@")?;
                }
                match host.contains(':') {
                    true => write!(f, "[{host}]")?,
                    false => f.write_str(host)?,
                }
                if let Some(port) = port {
                    write!(f, ":{port}")?;
                }
                f.write_str(socket.as_deref().unwrap_or_default())
            }
        }
    }
}

impl Endpoint {
    /// Where an engine listens unless somebody says otherwise.
    pub fn usual() -> Self {
        Self { source: "the usual socket".to_owned(), address: Ok(Address::Socket(PathBuf::from(USUAL_SOCKET))) }
    }

    /// The name of Docker's context in use, from the folder of its `config.json`, or the one that is named. `None` for the
    /// default context, which says nothing.
    pub fn current_context(folder: &Path, named: Option<&str>) -> Option<String> {
        #[derive(Deserialize)]
        struct Config {
            #[serde(rename = "currentContext")]
            current: Option<String>,
        }
        let current = || {
            let config: Config = serde_json::from_slice(&std::fs::read(folder.join("config.json")).ok()?).ok()?;
            config.current
        };
        named.map(str::to_owned).or_else(current).filter(|name| !name.is_empty() && name != "default")
    }

    /// The Docker context of that name, from the folder of Docker's `config.json`.
    pub fn of_context(folder: &Path, name: &str) -> Self {
        // The docker command line keeps a context in a folder named after the hash of its name.
        let id = sha256(name.as_bytes());
        let source = format!("the Docker context `{name}`");
        let address = context(&folder.join("contexts/meta").join(&id)).and_then(|context| context.address(folder, &id));
        Self { source, address }
    }

    /// Every Docker context by name, from the folder of Docker's `config.json`. One that cannot be read is left out: it has
    /// no name.
    pub fn contexts(folder: &Path) -> Vec<(String, Self)> {
        let entries = std::fs::read_dir(folder.join("contexts/meta")).into_iter().flatten().flatten();
        let contexts = entries.filter_map(|entry| {
            let id = entry.file_name().into_string().ok()?;
            let context = context(&entry.path()).ok().filter(|context| sha256(context.name.as_bytes()) == id)?;
            let name = context.name.clone();
            let source = format!("the Docker context `{name}`");
            Some((name, Self { source, address: context.address(folder, &id) }))
        });
        let mut contexts: Vec<_> = contexts.collect();
        contexts.sort_by(|a, b| a.0.cmp(&b.0));
        contexts
    }
}

/// A context as the docker command line keeps it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Context {
    #[serde(default)]
    name: String,
    endpoints: ContextEndpoints,
}

#[derive(Deserialize)]
struct ContextEndpoints {
    docker: ContextDocker,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContextDocker {
    host: String,
    #[serde(default, rename = "SkipTLSVerify")]
    skip_tls_verify: bool,
}

fn context(folder: &Path) -> Result<Context, String> {
    let path = folder.join("meta.json");
    let cannot = |cause: String| format!("cannot read {}: {cause}", path.display());
    let text = std::fs::read(&path).map_err(|error| cannot(error.to_string()))?;
    serde_json::from_slice(&text).map_err(|error| cannot(error.to_string()))
}

impl Context {
    fn address(&self, folder: &Path, id: &str) -> Result<Address, String> {
        let tls = folder.join("contexts/tls").join(id).join("docker");
        let docker = &self.endpoints.docker;
        if docker.skip_tls_verify {
            return Err("it does not verify the engine's certificate (SkipTLSVerify), and flowgate does".to_owned());
        }
        Address::parse(&docker.host, tls.is_dir().then_some(tls.as_path()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for (text, written) in [
            ("unix:///var/run/docker.sock", "unix:///var/run/docker.sock"),
            ("ssh://lab", "ssh://lab"),
            ("ssh://me@lab.example.com:2222", "ssh://me@lab.example.com:2222"),
            ("ssh://me@[::1]:22/run/user/1000/docker.sock", "ssh://me@[::1]:22/run/user/1000/docker.sock"),
            ("tcp://127.0.0.1:2375", "tcp://127.0.0.1:2375"),
            ("tcp://localhost", "tcp://localhost:2375"),
            ("http://[::1]:1/", "tcp://[::1]:1"),
        ] {
            assert_eq!(Address::parse(text, None).map(|address| address.to_string()).as_deref(), Ok(written), "{text}");
        }
    }

    #[test]
    fn addresses_that_are_none_say_why() {
        for (text, why) in [
            ("", "is not unix:///PATH"),
            ("docker", "is not unix:///PATH"),
            ("npipe:////./pipe/docker_engine", "is not unix:///PATH"),
            ("unix://docker.sock", "no absolute path"),
            ("tcp://", "empty host"),
            ("tcp://10.0.0.1:2375", "no TLS"),
            ("tcp://me:pw@127.0.0.1:1", "no credentials"),
            ("tcp://127.0.0.1:1/path", "is not tcp://HOST:PORT"),
            ("tcp://127.0.0.1:99999", "invalid port"),
            ("ssh://", "is not ssh://"),
            ("ssh://me:pw@lab", "a password"),
            ("ssh://-oProxyCommand=x", "is not ssh://"),
            ("ssh://-l@lab", "is not ssh://"),
            ("ssh://lab/run/docker.sock;reboot", "the path of a socket"),
            ("ssh://lab/$(x)", "the path of a socket"),
        ] {
            let error = Address::parse(text, None).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        // No secret is repeated.
        assert!(!Address::parse("ssh://me:s3cr3t@lab", None).unwrap_err().contains("s3cr3t"));
        let folder = tempfile::tempdir().unwrap();
        assert!(Address::parse("tcp://lab:2376", Some(folder.path())).unwrap_err().contains("ca.pem"));
        for name in ["ca.pem", "cert.pem", "key.pem"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let Ok(Address::Tcp { authority, tls: Some(_) }) = Address::parse("tcp://lab", Some(folder.path())) else {
            panic!("an address with TLS")
        };
        assert_eq!(authority, "lab:2376");
    }

    #[test]
    fn a_context_says_where_the_engine_is() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let of = |named: Option<&str>| {
            let name = Endpoint::current_context(folder.path(), named)?;
            Some(Endpoint::of_context(folder.path(), &name))
        };
        assert_eq!(of(None), None);
        for config in ["{}", "not JSON", "{\"currentContext\": \"\"}", "{\"currentContext\": \"default\"}"] {
            write("config.json", config);
            assert_eq!(of(None), None, "{config}");
        }
        write("config.json", "{\"currentContext\": \"rootless\"}");
        let unreadable = of(None).unwrap();
        assert_eq!(unreadable.source, "the Docker context `rootless`");
        assert!(unreadable.address.unwrap_err().contains("meta.json: "));
        // As `docker context create rootless --docker host=unix:///run/user/1/docker.sock` leaves it.
        write(
            "contexts/meta/12b961af5feb3e9d39f93b2cefb9a1a944f18d02cca0cac2f04f5a982240605f/meta.json",
            r#"{"Name":"rootless","Metadata":{},"Endpoints":{"docker":{"Host":"unix:///run/user/1/docker.sock","SkipTLSVerify":false}}}"#,
        );
        assert_eq!(of(None).unwrap().address, Ok(Address::Socket("/run/user/1/docker.sock".into())));
        // DOCKER_CONTEXT outranks the file.
        assert_eq!(of(Some("default")), None);
        assert_eq!(of(Some("other")).unwrap().source, "the Docker context `other`");
        // One whose folder is not that of its name, and one that is no JSON, are none.
        write("contexts/meta/other/meta.json", r#"{"Name":"x","Endpoints":{"docker":{"Host":"unix:///x"}}}"#);
        write("contexts/meta/broken/meta.json", "{");
        let names: Vec<String> = Endpoint::contexts(folder.path()).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["rootless"]);
        // A context whose certificates are kept beside it.
        let id = sha256(b"gpu");
        let meta = r#"{"Name":"gpu","Endpoints":{"docker":{"Host":"tcp://gpu:2376","SkipTLSVerify":SKIP}}}"#;
        write(&format!("contexts/meta/{id}/meta.json"), &meta.replace("SKIP", "false"));
        assert!(of(Some("gpu")).unwrap().address.unwrap_err().contains("no TLS"));
        for name in ["ca", "cert", "key"] {
            write(&format!("contexts/tls/{id}/docker/{name}.pem"), "");
        }
        assert_eq!(of(Some("gpu")).unwrap().address.unwrap().to_string(), "tcp://gpu:2376");
        write(&format!("contexts/meta/{id}/meta.json"), &meta.replace("SKIP", "true"));
        assert!(of(Some("gpu")).unwrap().address.unwrap_err().contains("SkipTLSVerify"));
    }
}
