//! `--explain-why`: what each file counts as, what it is read with and configured by, or why it is not checked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use flowgate_check::config;
use flowgate_check::workspace::{self, Found, Target, Unit};
use flowgate_flow::load::{self, FileSystem, PassedOver};
use flowgate_flow::{FileKind, classify, include};
use flowgate_report::check::{display_path, plural};
use flowgate_report::escape;

use super::super::Failure;

/// One entry per file, by path, then how many are checked.
///
/// # Errors
/// A folder that cannot be read, or a configuration that cannot be used.
pub(super) fn explain(fs: &dyn FileSystem, found: &Found, named: &[PathBuf], base: &Path) -> Result<String, Failure> {
    let show = |path: &Path| display_path(path, base);
    let configuration = |folder: &Path| {
        let loaded = config::load(fs, folder).map_err(|error| Failure::usage(error.to_string()))?;
        Ok(loaded.file.map(|file| show(&file.path)))
    };
    let mut lines: BTreeMap<String, String> = BTreeMap::new();
    let mut read: BTreeSet<PathBuf> = BTreeSet::new();
    for target in &found.targets {
        let (path, what) = describe(fs, target, &show);
        let project = workspace::load(fs, target);
        let others: Vec<String> =
            project.files.iter().map(|file| show(&file.path)).filter(|file| *file != show(path)).collect();
        read.extend(project.files.iter().map(|file| include::lexical(&file.path)));
        let mut text = format!("checked as {what}\n");
        if !others.is_empty() {
            text += &format!("  with {}\n", others.join(", "));
        }
        if let Some(file) = configuration(&project.folder)? {
            text += &format!("  configured by {file}\n");
        }
        lines.insert(show(path), text);
    }
    let checked = lines.len();
    for (path, pattern) in &found.excluded {
        let file = configuration(path.parent().unwrap_or(Path::new("")))?.unwrap_or_default();
        lines.insert(show(path), format!("not checked: `{pattern}` in check.exclude of {file}\n"));
    }
    for folder in named.iter().filter(|path| load::is_folder(path) == Some(true)) {
        let passed_over = load::passed_over(folder)
            .map_err(|error| Failure::usage(format!("{}: cannot read the folder: {error}", show(folder))))?;
        for (path, why) in passed_over {
            if !read.contains(&include::lexical(&path)) {
                lines.entry(show(&path)).or_insert_with(|| format!("{}\n", reason(why)));
            }
        }
    }
    let not = lines.len() - checked;
    let entries: String = lines.iter().map(|(path, text)| format!("{path}: {text}")).collect();
    Ok(escape::terminal(&format!("{entries}{} checked, {not} not\n", plural(checked, "file"))))
}

fn describe<'t>(fs: &dyn FileSystem, target: &'t Target, show: &impl Fn(&Path) -> String) -> (&'t Path, String) {
    match &target.unit {
        Unit::Flow(path) | Unit::Sibling(path) => {
            let what = match load::kind_of(fs, path) {
                FileKind::Flow => "a flow",
                FileKind::Prompty => "a prompty",
                FileKind::RunSpecification => "a run specification",
                FileKind::Connection => "a connection",
                FileKind::Requirements | FileKind::Other => return (path, "a flow, because it was named".to_owned()),
            };
            let by = if classify::is_told_by_text(path) { "text" } else { "name" };
            (path, format!("{what}, by its {by}"))
        }
        Unit::RequirementsOf { path, flow } => (path, format!("the requirements file of {}", show(flow))),
        Unit::Requirements(path) => (path, "a requirements file that no flow near it reads".to_owned()),
    }
}

fn reason(why: PassedOver) -> &'static str {
    match why {
        PassedOver::Requirements => "not checked: no flow reads it; name it to check it alone",
        PassedOver::ToolFolder => "not searched: tools keep copies there",
        PassedOver::VirtualEnvironment => "not searched: a virtual environment",
        PassedOver::Hidden => "not checked: hidden; name it to check it",
        PassedOver::Ignored => "not checked: git ignores it; name it to check it",
    }
}
