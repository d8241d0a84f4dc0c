//! One install: the pages and files that its indexes offer, under names of the gate's own.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, Weak};

use flowgate_flow::requirements::normalize;
use tokio::sync::Semaphore;
use url::Url;

use super::cache::{Key, PUBLIC};
use super::download::{Download, Reader};
use super::fetch::PageBody;
use super::page::{self, Entry, Offer};
use super::policy::Index;
use super::trouble::{Cause, Trouble, shown};
use super::{Gate, Sources, Target};
use crate::installer::Archive;
use crate::sync::lock;

/// Pages that are read at once: each may need the room of the largest, and where it came packed, twice.
const MAX_READ: usize = 8;
/// Files that one install may be offered: a few hundred projects with a thousand each.
const MAX_FILES: usize = 500_000;
/// Troubles that are remembered.
const MAX_TROUBLES: usize = 100;

/// What an installer asks.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// As in the request's first line.
    pub(crate) target: String,
    pub(crate) accept: String,
    /// Whether it brings a body.
    pub(crate) body: bool,
}

/// What it gets.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Printable ASCII.
    pub(crate) reason: String,
    pub(crate) content_type: &'static str,
    /// Of the body, where it is known.
    pub(crate) length: Option<u64>,
    pub(crate) body: Body,
}

/// What follows the head.
#[derive(Debug)]
pub(crate) enum Body {
    /// All of it, and how many bytes were taken.
    Bytes(Arc<[u8]>, usize),
    /// A file, perhaps still on its way.
    File(Reader),
}

impl Body {
    /// The next part; empty at the end.
    pub(crate) async fn next(&mut self, most: usize) -> Result<Vec<u8>, Trouble> {
        match self {
            Self::Bytes(bytes, taken) => {
                let rest = bytes.get(*taken..).unwrap_or_default();
                let part = rest.get(..most).unwrap_or(rest).to_vec();
                *taken += part.len();
                Ok(part)
            }
            Self::File(reader) => reader.next().await,
        }
    }
}

/// One install's view of the gate.
#[derive(Debug)]
pub struct Session {
    gate: Arc<Gate>,
    indexes: Vec<Arc<Index>>,
    target: Option<Target>,
    replay: bool,
    reading: Semaphore,
    pages: Mutex<Vec<Arc<Page>>>,
    archives: Mutex<Vec<Archive>>,
    downloads: Mutex<HashMap<Url, Weak<Download>>>,
    troubles: Mutex<Vec<(Trouble, bool)>>,
}

/// Files that this install may ask for. They are numbered on from page to page.
#[derive(Debug)]
struct Page {
    index: Arc<Index>,
    project: String,
    /// The number of its first file.
    first: usize,
    entries: Vec<Entry>,
}

impl Page {
    /// The gate's own path of one of its files.
    fn path(&self, nth: usize, entry: &Entry) -> String {
        // A `+` stands for itself in a path, and the rest of a name is plain.
        format!("/f/{}/{}", self.first + nth, entry.filename)
    }
}

impl Gate {
    /// Begins an install, for that Python where it is known. With `replay`, only what is kept is offered, and no index is
    /// asked.
    pub(crate) fn session(self: &Arc<Self>, sources: &Sources, target: Option<Target>, replay: bool) -> Session {
        Session {
            gate: self.clone(),
            indexes: sources.indexes.iter().cloned().map(Arc::new).collect(),
            target,
            replay,
            reading: Semaphore::new(MAX_READ),
            pages: Mutex::default(),
            archives: Mutex::default(),
            downloads: Mutex::default(),
            troubles: Mutex::default(),
        }
    }
}

impl Session {
    /// The paths that take the places of the indexes, in their order.
    pub(crate) fn index_paths(&self) -> impl Iterator<Item = String> {
        (0..self.indexes.len()).map(|n| format!("/{n}/simple/"))
    }

    /// The path that takes the place of the URL in a requirement `name @ URL`.
    pub(crate) fn file_path(&self, name: &str, text: &str) -> Result<String, Trouble> {
        let text = text.trim();
        let (bare, fragment) = text.split_once('#').unwrap_or((text, ""));
        if !bare.starts_with("https://") && !bare.starts_with("http://") {
            return Err(Trouble::refused(
                format!("the URL of `{name}`"),
                "only archives over http(s) can be installed",
            ));
        }
        let index = self.gate.policy.file(bare)?;
        let hash =
            |part: &str| part.strip_prefix("sha256=").filter(|hash| hash.len() == 64).map(str::to_ascii_lowercase);
        let last = index.url.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or("");
        let last = percent_encoding::percent_decode_str(last).decode_utf8_lossy();
        let filename = page::filename(last.into_owned())
            .ok_or_else(|| Trouble::refused(shown(&index.url), "its last part is not the name of an archive"))?;
        let entry = Entry {
            filename,
            url: index.url.clone(),
            sha256: fragment.split('&').find_map(hash),
            other_hash: None,
            requires_python: None,
            yanked: None,
            metadata: None,
        };
        let page = self.offer(Arc::new(index), &normalize(name), vec![entry]);
        let page = page.ok_or_else(|| Trouble::refused("the requirements", "they name too many files"))?;
        let path = page.entries.first().map_or_else(String::new, |entry| page.path(0, entry));
        Ok(if fragment.is_empty() { path } else { format!("{path}#{fragment}") })
    }

    /// Keeps packages that come with the request, and gives each a path.
    pub(crate) fn keep(&self, archives: &[Archive]) -> Result<Vec<String>, Trouble> {
        for archive in archives {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte);
            if archive.name.is_empty() || !archive.name.bytes().all(plain) {
                return Err(Trouble::refused(printable(&archive.name), "it is not the name of an archive"));
            }
        }
        let mut kept = lock(&self.archives);
        let first = kept.len();
        kept.extend_from_slice(archives);
        Ok(archives.iter().enumerate().map(|(n, archive)| format!("/l/{}/{}", first + n, archive.name)).collect())
    }

    /// Everything that went wrong so far, each once, in order.
    pub fn troubles(&self) -> Vec<Trouble> {
        lock(&self.troubles).iter().map(|(trouble, _)| trouble.clone()).collect()
    }

    /// What an installer does without in silence: an index that did not give a page.
    pub(crate) fn lost(&self) -> Option<Trouble> {
        lock(&self.troubles).iter().find(|(_, lost)| *lost).map(|(trouble, _)| trouble.clone())
    }

    /// What this machine's disk did not take: nothing else can be had after it, either.
    pub(crate) fn disk(&self) -> Option<Trouble> {
        let is_disk = |(trouble, _): &&(Trouble, bool)| matches!(trouble.cause, Cause::Disk(_));
        lock(&self.troubles).iter().find(is_disk).map(|(trouble, _)| trouble.clone())
    }

    fn note(&self, trouble: Trouble, lost: bool) {
        let mut troubles = lock(&self.troubles);
        if troubles.len() < MAX_TROUBLES && !troubles.iter().any(|(known, _)| *known == trouble) {
            troubles.push((trouble, lost));
        }
    }

    /// Remembers what broke within a body.
    pub(crate) fn broke(&self, trouble: Trouble) {
        self.note(trouble, false);
    }

    /// Answers a request; whatever is in it is hostile.
    pub(crate) async fn answer(&self, request: &Request) -> Response {
        let answered = self.route(request).await.unwrap_or_else(|(trouble, lost)| {
            let response = Response::trouble(&trouble);
            self.note(trouble, lost);
            response
        });
        match request.method.as_str() {
            "HEAD" => Response { body: Body::Bytes(Arc::default(), 0), ..answered },
            _ => answered,
        }
    }

    async fn route(&self, request: &Request) -> Result<Response, (Trouble, bool)> {
        let target = request.target.as_str();
        let refuse = |why: &str| Err((Trouble::refused(printable(target), why), false));
        let outside = "there is no network here: packages come from the indexes of the requirements, and nothing else";
        match request.method.as_str() {
            "CONNECT" => return refuse(outside),
            "GET" | "HEAD" => {}
            _ => return refuse("an index is only read: GET and HEAD"),
        }
        if request.body {
            return refuse("a request to an index has no body");
        }
        if let Some(full) = self.disk() {
            return Err((full, false));
        }
        let Some(path) = target.strip_prefix('/') else { return refuse(outside) };
        let path = path.split(['?', '#']).next().unwrap_or("");
        let mut parts = path.trim_end_matches('/').split('/');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("f"), Some(id), Some(name), None) => self.file(id, name).await.map_err(|trouble| (trouble, false)),
            (Some("l"), Some(id), Some(name), None) => {
                let archive = id.parse().ok().and_then(|id: usize| lock(&self.archives).get(id).cloned());
                match archive.filter(|archive| archive.name == name) {
                    Some(archive) => Ok(Response::of("application/octet-stream", archive.bytes)),
                    None => refuse("there is nothing of that name"),
                }
            }
            (Some(n), Some("simple"), Some(project), None) => {
                let index = n.parse().ok().and_then(|n: usize| self.indexes.get(n));
                let plain = !project.is_empty()
                    && project.len() <= 200
                    && project.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
                let (Some(index), true) = (index, plain) else { return refuse("there is no such index or project") };
                let project = normalize(project);
                let page = self.page(index, &project, &request.accept).await;
                page.map_err(|trouble| {
                    let lost = trouble.cause != Cause::NotFound;
                    (trouble, lost)
                })
            }
            _ => refuse("there is nothing of that name"),
        }
    }

    async fn page(&self, index: &Arc<Index>, project: &str, accept: &str) -> Result<Response, Trouble> {
        let entries = if self.replay { self.kept(index, project) } else { self.asked(index, project).await? };
        let page = self.offer(index.clone(), project, entries);
        let page =
            page.ok_or_else(|| Trouble::refused(shown(&index.url), "this install asks for too many projects"))?;
        let offer = |(nth, entry)| Offer { entry, path: page.path(nth, entry) };
        let offers: Vec<Offer<'_>> = page.entries.iter().enumerate().map(offer).collect();
        Ok(if accept.contains(page::JSON) {
            Response::of(page::JSON, page::write_json(project, &offers))
        } else {
            Response::of("text/html; charset=utf-8", page::write_html(project, &offers))
        })
    }

    async fn asked(&self, index: &Index, project: &str) -> Result<Vec<Entry>, Trouble> {
        let url = index.url.join(&format!("{project}/"));
        let url = url.map_err(|error| Trouble::new(&index.url, Cause::Broken(error.to_string())))?;
        let PageBody { url: base, kind, bytes } = self.gate.fetcher.page(index, url, &self.reading).await?;
        let fail = |cause| Trouble::new(&base, cause);
        let entries = page::read(&base, &kind, &bytes, self.target.as_ref());
        let mut entries = entries.map_err(|why| fail(Cause::NotAnIndex(why)))?;
        let mut elsewhere = BTreeSet::new();
        entries.retain(|entry| {
            let allowed = self.gate.policy.allows(&entry.url);
            if !allowed && elsewhere.len() < 3 {
                elsewhere.insert(printable(entry.url.host_str().unwrap_or(entry.url.scheme())));
            }
            allowed
        });
        if !elsewhere.is_empty() {
            let hosts = elsewhere.into_iter().collect::<Vec<_>>().join("`, `");
            let why = format!("its files on `{hosts}` were left out, as nothing allows an index to lead there");
            self.note(fail(Cause::Refused(why)), false);
        }
        Ok(entries)
    }

    /// What is kept of a project.
    fn kept(&self, index: &Index, project: &str) -> Vec<Entry> {
        let files = self.gate.cache.files(&scope(index), project);
        let known: HashMap<&str, &str> = files.iter().map(|(name, hash)| (name.as_str(), hash.as_str())).collect();
        let entry = |(name, hash): &(String, String)| {
            Some(Entry {
                filename: page::filename(name.clone())?,
                url: index.url.join(name).ok()?,
                sha256: Some(hash.clone()),
                other_hash: None,
                requires_python: None,
                yanked: None,
                metadata: known.get(format!("{name}.metadata").as_str()).map(|hash| Some((*hash).to_owned())),
            })
        };
        files.iter().filter_map(entry).collect()
    }

    /// Numbers files; none where there are too many.
    fn offer(&self, index: Arc<Index>, project: &str, entries: Vec<Entry>) -> Option<Arc<Page>> {
        let mut pages = lock(&self.pages);
        let first = pages.last().map_or(0, |last| last.first + last.entries.len());
        let page = Arc::new(Page { index, project: project.to_owned(), first, entries });
        if first + page.entries.len() > MAX_FILES {
            return None;
        }
        // Of pages without files there may be any number.
        if !page.entries.is_empty() {
            pages.push(page.clone());
        }
        Some(page)
    }

    /// The file of that number, as its place on its page.
    fn offered(&self, number: usize) -> Option<(Arc<Page>, usize)> {
        let pages = lock(&self.pages);
        let after = pages.partition_point(|page| page.first <= number);
        let page = pages.get(after.checked_sub(1)?)?;
        Some((page.clone(), number - page.first))
    }

    async fn file(&self, id: &str, name: &str) -> Result<Response, Trouble> {
        let unknown = || Trouble::refused(printable(name), "no page of this install named it");
        let (page, nth) = id.parse().ok().and_then(|id| self.offered(id)).ok_or_else(unknown)?;
        let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
        let Page { index, project, entries, .. } = &*page;
        let entry = entries.get(nth).ok_or_else(unknown)?;
        let (mut url, mut expected) = (entry.url.clone(), entry.sha256.clone());
        let kind = match (name.strip_prefix(entry.filename.as_str()), &entry.metadata) {
            (Some(""), _) => "application/octet-stream",
            (Some(".metadata"), Some(hash)) => {
                url.set_path(&format!("{}.metadata", url.path()));
                expected.clone_from(hash);
                "text/plain; charset=utf-8"
            }
            _ => return Err(unknown()),
        };
        let key = expected.clone().map(|sha256| Key {
            scope: scope(index),
            project: project.clone(),
            sha256,
            filename: name.clone().into_owned(),
        });
        if let Some((file, length)) = key.as_ref().and_then(|key| self.gate.cache.open(key)) {
            return Ok(Response::file(kind, Some(length), Reader::of_file(file)));
        }
        if self.replay {
            return Err(Trouble { place: format!("the kept file {name}"), cause: Cause::NotFound });
        }
        let running = lock(&self.downloads).get(&url).and_then(Weak::upgrade).filter(|running| !running.failed());
        let download = match running {
            Some(running) => running,
            None => {
                let response = self.gate.fetcher.file(index, url.clone()).await?;
                let started = Arc::new(Download::start(self.gate.clone(), response, expected, key)?);
                lock(&self.downloads).insert(url.clone(), Arc::downgrade(&started));
                started
            }
        };
        let reader = Reader::of_download(&download);
        let reader = reader.map_err(|error| Trouble::new(&url, Cause::Disk(error.to_string())))?;
        Ok(Response::file(kind, download.length, reader))
    }
}

/// Where an index's files are kept.
fn scope(index: &Index) -> String {
    if index.private { index.feed.scope() } else { PUBLIC.to_owned() }
}

/// A text from the other side, for a message.
fn printable(text: &str) -> String {
    let text: String = text.chars().take(200).map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect();
    text.split('?').next().unwrap_or("").to_owned()
}

impl Response {
    fn of(content_type: &'static str, body: impl Into<Arc<[u8]>>) -> Self {
        let body = body.into();
        let length = Some(body.len() as u64);
        Self { status: 200, reason: "OK".to_owned(), content_type, length, body: Body::Bytes(body, 0) }
    }

    fn file(content_type: &'static str, length: Option<u64>, reader: Reader) -> Self {
        Self { status: 200, reason: "OK".to_owned(), content_type, length, body: Body::File(reader) }
    }

    /// pip shows the reason, a browser the page.
    fn trouble(trouble: &Trouble) -> Self {
        let text = format!("flowgate: {trouble}");
        let ascii = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
        let reason = text.chars().take(400).map(ascii).collect();
        let body = match trouble.hint() {
            Some(hint) => format!("{text}\n{hint}\n"),
            None => format!("{text}\n"),
        };
        Self { status: trouble.status(), reason, ..Self::of("text/plain; charset=utf-8", body.into_bytes()) }
    }
}
