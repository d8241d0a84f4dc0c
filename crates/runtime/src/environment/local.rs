//! The files of a flow that its requirements name: they are part of the environment, and so of
//! its address.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use flowgate_flow::Project;
use flowgate_flow::load::Within;

use super::key::{Content, sha256};
use super::normal::PATH;
use crate::error::{RuntimeError, Stage};
use crate::outcome::FlowError;
use crate::pack;

/// A package or an archive within the flow's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalContent {
    /// Relative to the flow's folder.
    pub path: String,
    /// Over its files with their paths.
    pub sha256: String,
    /// The file name of `bytes`.
    pub name: String,
    /// An archive as it is, or a folder as a `.tar.gz`.
    pub bytes: Arc<[u8]>,
}

/// The path of a normal form, and what follows it: extras, a marker, options.
pub(crate) fn parts(normal: &str) -> Option<(&str, &str)> {
    let text = normal.strip_prefix(PATH)?;
    let end = text.find(['[', ';']).into_iter().chain(text.find(" --")).min().unwrap_or(text.len());
    let (path, rest) = text.split_at(end);
    Some((path.trim(), rest))
}

/// The path of a normal form.
pub(crate) fn path(normal: &str) -> Option<&str> {
    parts(normal).map(|(path, _)| path)
}

/// What stands at each of those paths, in the flow's merged folder. Each comes with the place that names it.
///
/// # Errors
/// A path that leads out of the folder, and one where nothing is.
pub(crate) fn contents<'p>(
    project: &Project,
    boundary: Option<&Within>,
    paths: impl Iterator<Item = (&'p str, &'p str)>,
) -> Result<Vec<LocalContent>, RuntimeError> {
    let mut paths: Vec<(&str, &str)> = paths.collect();
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    paths.sort_unstable();
    paths.dedup_by_key(|(path, _)| *path);
    let fail = |message: String| RuntimeError::new(Stage::Environment, message);
    let outside = |(path, _): &&(&str, &str)| Path::new(path).is_absolute() || path.starts_with("..");
    if let Some((path, place)) = paths.iter().find(outside) {
        return Err(fail(format!("{place}: the requirement `{path}` is outside the flow's folder"))
            .with_hint("name its folder under `additional_includes`, and require it by its base name"));
    }
    let archive = pack::pack(project, boundary).map_err(|error| match error {
        FlowError::Runtime(error) => error,
        FlowError::Refused(fault) => fail(fault.message),
    })?;
    let files = files(&archive).map_err(|error| fail(format!("cannot read the packed flow: {error}")))?;
    paths
        .into_iter()
        .map(|(path, place)| {
            let below = files.iter().filter(|(name, _)| path == "." || Path::new(name).starts_with(path));
            let files: Vec<String> = below.flat_map(|(name, hash)| [name.clone(), hash.clone()]).collect();
            if files.is_empty() {
                return Err(fail(format!("{place}: the requirement `{path}` is not in the flow's folder")));
            }
            let mut content = Content::default();
            content.add("files", files);
            let (name, bytes) = packed(&archive, path)?;
            Ok(LocalContent { path: path.to_owned(), sha256: content.address(), name, bytes })
        })
        .collect()
}

/// A file of the archive, or what is below a folder of it, as an archive with one folder at its top.
fn packed(archive: &[u8], path: &str) -> Result<(String, Arc<[u8]>), RuntimeError> {
    let broken =
        |error: std::io::Error| RuntimeError::new(Stage::Infrastructure, format!("cannot pack `{path}`: {error}"));
    let last = Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or("flow");
    // uv takes no other archive of sources than these.
    let mut packed = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for entry in tar::Archive::new(archive).entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let name = entry.path().map_err(broken)?.into_owned();
        let is_file = entry.header().entry_type().is_file();
        if is_file && name == Path::new(path) {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(broken)?;
            return Ok((last.to_owned(), bytes.into()));
        }
        let Some(rest) = (if path == "." { Some(name.as_path()) } else { name.strip_prefix(path).ok() }) else {
            continue;
        };
        if is_file {
            let mut header = entry.header().clone();
            packed.append_data(&mut header, Path::new(last).join(rest), &mut entry).map_err(broken)?;
        }
    }
    let bytes = packed.into_inner().and_then(GzEncoder::finish).map_err(broken)?;
    Ok((format!("{last}.tar.gz"), bytes.into()))
}

/// Hashes by path.
fn files(archive: &[u8]) -> std::io::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            files.insert(entry.path()?.display().to_string(), sha256(&bytes));
        }
    }
    Ok(files)
}
