//! Computes: Docker engines that a person gave a name. Docker's own contexts are computes as they are; others are in
//! `computes.yaml`, which people may edit, too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flowgate_flow::config::{self, ConfigError};
use flowgate_flow::suggest;
use flowgate_flow::yaml::{self, Entry};
use serde::Deserialize;

use crate::endpoint::{Address, Endpoint};
use crate::error::{RuntimeError, Stage};
use crate::runtimes::Size;

/// The name of the file, in flowgate's folder of the user's configuration.
pub const FILE_NAME: &str = "computes.yaml";
/// The name of the engine that is used by default, as Docker's own default context has it.
pub const DEFAULT: &str = "default";
/// The first line of a new file.
const HEADER: &str = "# Docker engines that `flowgate --compute NAME` knows beside Docker's own contexts.\n";
/// What YAML reads as something else than text.
const WORDS: [&str; 11] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"];

/// A name that a person may give a compute.
///
/// # Errors
/// What a name looks like; a sentence without its end.
pub fn check_name(name: &str) -> Result<(), String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.len() > 63 || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(is_word) {
        return Err("a compute's name begins with a letter or a digit, and has at most 63 letters, digits, `.`, `_` \
                    and `-`"
            .to_owned());
    }
    Ok(())
}

/// Who gave a compute its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Nobody: `DOCKER_HOST`, else the usual socket.
    Default,
    /// A Docker context.
    Context,
    /// `computes.yaml`.
    File,
}

/// A Docker engine under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compute {
    /// The name.
    pub name: String,
    /// Who gave it.
    pub origin: Origin,
    /// Where the engine is.
    pub endpoint: Endpoint,
}

/// Every compute that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Computes {
    /// The default one, Docker's contexts, and those of the file, each by name.
    pub all: Vec<Compute>,
    /// The name of the one that is used without `--compute`.
    pub current: String,
    /// The user's own file.
    pub path: PathBuf,
    /// What it says; nothing where it is not there.
    pub text: String,
}

/// An engine and its machine. What it does not say is empty.
#[derive(Debug, Clone, PartialEq)]
pub struct About {
    /// `Docker 28.5.2`.
    pub engine: String,
    /// The newest version of its API.
    pub api: String,
    /// What its images run on: `linux/amd64`.
    pub platform: String,
    /// The machine's system: `Debian GNU/Linux 12 (bookworm)`.
    pub system: String,
    /// What the machine has.
    pub size: Size,
    /// What it does not do that a runtime counts on: sentences without their end.
    pub lacks: Vec<String>,
    /// How many warm runtimes it has, in whatever state.
    pub runtimes: usize,
}

/// `computes.yaml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    computes: Option<BTreeMap<String, Written>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// As in `DOCKER_HOST`.
    host: String,
    /// The folder with `ca.pem`, `cert.pem` and `key.pem`, relative to the file's.
    tls: Option<PathBuf>,
}

/// What Docker itself knows of engines.
#[derive(Debug, Clone)]
pub struct DockerSettings<'a> {
    /// The folder of its `config.json`.
    pub folder: Option<&'a Path>,
    /// `DOCKER_HOST`, else the usual socket.
    pub default: Endpoint,
    /// The name of the context in use, where it is not the default one.
    pub current: Option<String>,
}

impl Computes {
    /// Those of Docker, and of the text of a `computes.yaml` at that path.
    ///
    /// # Errors
    /// [`Stage::Usage`] where the file cannot be read as one: its place and why.
    pub fn read(path: &Path, text: &str, docker: &DockerSettings<'_>) -> Result<Self, RuntimeError> {
        let mut all =
            vec![Compute { name: DEFAULT.to_owned(), origin: Origin::Default, endpoint: docker.default.clone() }];
        let contexts = docker.folder.map(Endpoint::contexts).unwrap_or_default();
        all.extend(contexts.into_iter().map(|(name, endpoint)| Compute { name, origin: Origin::Context, endpoint }));
        let folder = path.parent().unwrap_or(Path::new(""));
        for (name, written) in entries(path, text)? {
            let tls = written.tls.map(|tls| folder.join(tls));
            let endpoint = Endpoint {
                source: format!("the compute `{name}`"),
                address: Address::parse(&written.host, tls.as_deref()),
            };
            all.push(Compute { name, origin: Origin::File, endpoint });
        }
        let current = docker.current.clone().unwrap_or_else(|| DEFAULT.to_owned());
        Ok(Self { all, current, path: path.to_owned(), text: text.to_owned() })
    }

    /// The compute of that name. A Docker context outranks one of the file, which cannot be added then.
    ///
    /// # Errors
    /// [`Stage::Usage`] where there is none.
    pub fn named(&self, name: &str) -> Result<&Compute, RuntimeError> {
        self.all.iter().find(|compute| compute.name == name).ok_or_else(|| {
            let near = suggest::nearest(name, self.all.iter().map(|compute| compute.name.as_str()));
            let near = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
            RuntimeError::new(Stage::Usage, format!("there is no compute `{name}`"))
                .with_hint(format!("{near}`flowgate compute list` lists them"))
        })
    }
}

/// The text of `computes.yaml` with one more compute; the rest stays as it is.
///
/// # Errors
/// [`Stage::Usage`] where the file cannot be read, or is written in a way that a line cannot be added to.
pub fn with(path: &Path, text: &str, name: &str, host: &str, tls: Option<&Path>) -> Result<String, RuntimeError> {
    let mut expected = entries(path, text)?;
    expected.insert(name.to_owned(), Written { host: host.to_owned(), tls: tls.map(Path::to_owned) });
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let document = yaml::read(text);
    let computes = document.root.get("computes");
    let last = computes.and_then(|entry| entry.value.mapping()?.last());
    let (at, indent) = match (computes, last) {
        (_, Some(last)) => (end_of_line(text, last.value.span.end.max(last.key.span.end)), column(text, last)),
        (Some(empty), None) => (end_of_line(text, empty.key.span.end), 2),
        (None, None) => (text.len(), 2),
    };
    let (before, after) = text.split_at(at);
    let mut out = before.to_owned();
    if out.is_empty() && after.is_empty() {
        out += HEADER;
    } else if !out.ends_with('\n') {
        out += newline;
    }
    if computes.is_none() {
        out = out + "computes:" + newline;
    }
    let indent = " ".repeat(indent);
    let mut line = |key: &str, value: &str| out = format!("{out}{indent}{key}:{value}{newline}");
    line(&scalar(name), "");
    line("  host", &format!(" {}", scalar(host)));
    if let Some(tls) = tls {
        line("  tls", &format!(" {}", scalar(&tls.to_string_lossy())));
    }
    is_as_expected(path, out + after, &expected)
}

/// The text of `computes.yaml` with one compute less; the rest stays as it is.
///
/// # Errors
/// As those of [`with`].
pub fn without(path: &Path, text: &str, name: &str) -> Result<String, RuntimeError> {
    let mut expected = entries(path, text)?;
    expected.remove(name);
    let document = yaml::read(text);
    let computes = document.root.get("computes");
    let entry = computes.and_then(|entry| entry.value.get(name)).ok_or_else(|| by_hand(path))?;
    let start = text[..entry.key.span.start].rfind('\n').map_or(0, |at| at + 1);
    let end = end_of_line(text, entry.value.span.end.max(entry.key.span.end));
    is_as_expected(path, format!("{}{}", &text[..start], &text[end..]), &expected)
}

fn entries(path: &Path, text: &str) -> Result<BTreeMap<String, Written>, RuntimeError> {
    let file: Result<File, ConfigError> = config::parse(path, text);
    let file = file.map_err(|error| RuntimeError::new(Stage::Usage, error.to_string()))?;
    Ok(file.computes.unwrap_or_default())
}

/// A change by text alone is proven by reading it.
fn is_as_expected(path: &Path, text: String, expected: &BTreeMap<String, Written>) -> Result<String, RuntimeError> {
    match entries(path, &text) {
        Ok(read) if read == *expected => Ok(text),
        _ => Err(by_hand(path)),
    }
}

fn by_hand(path: &Path) -> RuntimeError {
    RuntimeError::new(Stage::Usage, format!("{} is not written as blocks of keys", path.display()))
        .with_hint("change it in an editor")
}

/// The end of the line of that byte, its line break included. A value's span may end behind that.
fn end_of_line(text: &str, at: usize) -> usize {
    match text[..at].ends_with('\n') {
        true => at,
        false => text[at..].find('\n').map_or(text.len(), |end| at + end + 1),
    }
}

/// How far a key is indented.
fn column(text: &str, entry: &Entry) -> usize {
    let at = entry.key.span.start;
    at - text[..at].rfind('\n').map_or(0, |start| start + 1)
}

/// A text as YAML: as it is where that reads as the same.
fn scalar(text: &str) -> String {
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "/:@._-+".contains(c))
        && !text.ends_with(':')
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    match is_plain {
        true => text.to_owned(),
        false => serde_json::Value::from(text).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/c/computes.yaml";

    fn add(text: &str, name: &str, host: &str) -> String {
        with(Path::new(PATH), text, name, host, None).unwrap()
    }

    #[test]
    fn a_file_grows_and_shrinks_and_keeps_its_rest() {
        let one = add("", "lab", "ssh://me@lab");
        assert_eq!(one, format!("{HEADER}computes:\n  lab:\n    host: ssh://me@lab\n"));
        let two = with(Path::new(PATH), &one, "gpu", "tcp://[::1]:1", Some(Path::new("/certs"))).unwrap();
        assert!(two.ends_with("  gpu:\n    host: \"tcp://[::1]:1\"\n    tls: /certs\n"), "{two}");
        let without = |text: &str, name: &str| without(Path::new(PATH), text, name).unwrap();
        assert_eq!(without(&two, "gpu"), one);
        assert_eq!(without(&two, "lab"), two.replace("  lab:\n    host: ssh://me@lab\n", ""));
        // Down to nothing, and up again.
        let none = without(&one, "lab");
        assert_eq!(none, format!("{HEADER}computes:\n"));
        assert_eq!(add(&none, "lab", "ssh://me@lab"), one);
    }

    #[test]
    fn what_people_wrote_stays() {
        let text = "# mine\r\ncomputes:\r\n    # the big one\r\n    a: {host: ssh://a}  # why\r\n\r\n# end\r\n";
        let more = add(text, "b", "ssh://b");
        assert_eq!(more, text.replace("  # why\r\n", "  # why\r\n    b:\r\n      host: ssh://b\r\n"));
        assert_eq!(without(Path::new(PATH), &more, "b").unwrap(), text);
        for name in ["null", "1", "on", "a-b"] {
            let more = add(text, name, "ssh://b");
            assert_eq!(without(Path::new(PATH), &more, name).unwrap(), text, "{name}");
        }
        // What lines cannot be added to is said, and left.
        for text in ["computes: {a: {host: ssh://a}}\n", "{}\n", "computes:\n  a:\n    host: ssh://a\n...\n"] {
            let added = with(Path::new(PATH), text, "b", "ssh://b", None);
            assert!(added.as_ref().is_ok_and(|text| text.contains("b:\n")) || added.is_err(), "{text}: {added:?}");
        }
        assert!(with(Path::new(PATH), "{}\n", "b", "ssh://b", None).unwrap_err().message.contains("blocks of keys"));
    }

    #[test]
    fn a_broken_file_says_where() {
        for (text, error) in [
            ("computes:\n  a: 3\n", "/c/computes.yaml:2:6: computes.a: invalid type"),
            ("computes:\n  a:\n    hots: x\n", "/c/computes.yaml:3:5: computes.a: unknown field `hots`"),
            ("computes:\n  a: {}\n", "/c/computes.yaml:2:6: computes.a: missing field `host`"),
            ("computes: [\n", "/c/computes.yaml:1:11: unclosed bracket"),
        ] {
            let found = entries(Path::new(PATH), text).unwrap_err().message;
            assert!(found.starts_with(error), "{text}: {found}");
        }
    }

    #[test]
    fn computes_are_dockers_and_those_of_the_file() {
        let default = Endpoint { source: "x".to_owned(), address: Address::parse("unix:///x", None) };
        let docker = DockerSettings { folder: None, default, current: None };
        let text = "computes:\n  lab: {host: ssh://lab}\n  odd: {host: lab}\n";
        let computes = Computes::read(Path::new(PATH), text, &docker).unwrap();
        assert_eq!(computes.current, DEFAULT);
        assert_eq!(computes.named("lab").unwrap().endpoint.address.as_ref().unwrap().to_string(), "ssh://lab");
        assert!(computes.named("odd").unwrap().endpoint.address.is_err());
        let error = computes.named("lap").unwrap_err();
        assert!(error.hint.is_some_and(|hint| hint.contains("did you mean `lab`?")));
    }
}
