//! Only reading and parsing what a check reads: what a check is compared with.

use std::collections::BTreeMap;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use flowgate_flow::load::{self, Disk};
use flowgate_flow::project::{FileId, RunFlow};
use flowgate_flow::{FileKind, Project, prompty, python, requirements, template, yaml};

use crate::command::{Result, at};

/// The readers of the checker.
#[derive(Debug, Clone, Copy)]
enum Reader {
    Yaml,
    Prompty,
    Python,
    Template,
    Requirements,
}

const READERS: [(&str, Reader); 5] = [
    ("yaml", Reader::Yaml),
    ("prompty", Reader::Prompty),
    ("python", Reader::Python),
    ("template", Reader::Template),
    ("requirements", Reader::Requirements),
];

/// Every file that a check of the tree reads whole, each once, as a list for [`read`]: a line is the
/// name of a reader, a tab and a path. And how many there are.
///
/// # Errors
/// The tree cannot be read.
pub(super) fn list(tree: &Path) -> Result<(String, usize)> {
    let files: Mutex<BTreeMap<PathBuf, &str>> = Mutex::default();
    load::discover_all(tree, 1, |path, kind| {
        let project = match kind {
            FileKind::Flow => load::load_project(&Disk, &path),
            _ => load::load_sibling(&Disk, &path),
        };
        let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, file) in project.files.iter().enumerate() {
            files.insert(flowgate_flow::include::lexical(&file.path), reader(&project, FileId(index)));
        }
    })
    .map_err(at(tree))?;
    let files = files.into_inner().unwrap_or_else(PoisonError::into_inner);
    let lines = files.iter().map(|(path, reader)| format!("{reader}\t{}\n", path.display()));
    Ok((lines.collect(), files.len()))
}

/// The name of the reader of a project's file.
fn reader(project: &Project, file: FileId) -> &'static str {
    let mut prompty = project.prompty.iter().map(|prompty| prompty.file);
    let run = project.run.as_ref().and_then(|run| match &run.flow {
        Some(RunFlow::Prompty(prompty)) => Some(prompty.file),
        _ => None,
    });
    if prompty.any(|known| known == file) || run == Some(file) {
        "prompty"
    } else if project.python.values().any(|known| known.file == file) {
        "python"
    } else if project.templates.values().any(|known| known.file == file) {
        "template"
    } else if project.requirements.iter().any(|known| known.file == file) {
        "requirements"
    } else {
        "yaml"
    }
}

/// Reads and parses every file of a list.
///
/// # Errors
/// The list or a file of it cannot be read.
pub(super) fn read(list: &Path) -> Result<()> {
    for line in fs::read_to_string(list).map_err(at(list))?.lines() {
        let (name, path) = line.split_once('\t').ok_or_else(|| format!("`{line}` has no tab"))?;
        let (_, reader) =
            READERS.iter().find(|(known, _)| *known == name).ok_or_else(|| format!("no reader `{name}`"))?;
        let path = Path::new(path);
        parse(*reader, fs::read(path).map_err(at(path))?);
    }
    Ok(())
}

fn parse(reader: Reader, bytes: Vec<u8>) {
    let text = match reader {
        Reader::Requirements => requirements::decode(bytes).map(|(text, _)| text).ok(),
        _ => String::from_utf8(bytes).ok(),
    };
    // What is no text is read and not parsed, in a check as well.
    let text = text.unwrap_or_default();
    match reader {
        Reader::Yaml => drop(black_box(yaml::read(&text))),
        Reader::Prompty => drop(black_box(prompty::read(&text))),
        Reader::Python => drop(black_box(python::read(&text))),
        Reader::Template => drop(black_box(template::read(&text))),
        Reader::Requirements => drop(black_box(requirements::read(&text))),
    }
}
