//! One flow and the files that it names, as they were when they were read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::connection::{Connection, Secret};
use crate::credential;
use crate::model::Flow;
use crate::prompty::Prompty;
use crate::python::Module;
use crate::requirements::{Encoding, Requirements};
use crate::run::RunSpecification;
use crate::span::{Span, Spanned};
use crate::template::Template;
use crate::text::LineIndex;
use crate::yaml::Document;

/// A file of a [`Project`], by its index in [`Project::files`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub usize);

/// An immutable snapshot of one flow, of one requirements file that no flow owns, or of one file beside flows.
#[derive(Debug, Clone, Default)]
pub struct Project {
    /// The folder that paths in the flow start from.
    pub folder: PathBuf,
    /// Every file that was read, the flow's own first.
    pub files: Vec<SourceFile>,
    /// The flow.
    pub flow: Option<FlowFile>,
    /// The requirements file and the files that it includes, each once, in order of inclusion.
    pub requirements: Vec<RequirementsFile>,
    /// What stands at each path that the flow names, by the path as written.
    pub paths: BTreeMap<String, PathFact>,
    /// The files of the Python nodes that may run, and of a flex flow's entry, by their paths as
    /// written (an entry's: with `/` and `.py`). Two spellings of one path share their file.
    pub python: BTreeMap<String, PythonFile>,
    /// The modules of the flow's merged folder that those need in order to load, directly or not.
    pub helpers: Vec<PythonFile>,
    /// The assistant definitions that Python nodes are given, by their paths as written.
    pub assistants: BTreeMap<String, AssistantFile>,
    /// The names of the modules and packages in the flow's merged folder, where Python looks first;
    /// empty where no Python file was read.
    pub local_modules: BTreeSet<String>,
    /// The prompt templates of its nodes and variants, by their path as written; a prompty's by its
    /// own name.
    pub templates: BTreeMap<String, TemplateFile>,
    /// The run specification, where that is what was loaded.
    pub run: Option<RunFile>,
    /// The connection, where that is what was loaded.
    pub connection: Option<ConnectionFile>,
    /// The prompty, where that is what was loaded.
    pub prompty: Option<PromptyFile>,
    /// What each entry of `additional_includes` leads to, in their order.
    pub included: Vec<Included>,
    /// The files in the flow's folder of a name by which the SDK finds a flow in a folder.
    pub flow_files: Vec<String>,
    /// What was not looked at, in order of place.
    pub barred: Vec<Barred>,
}

/// What is named, or is in the flow's merged folder, and is never opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Barred {
    /// As written where it is named, else its path in the merged folder.
    pub path: String,
    /// Where it is named; `None` for what is merely there.
    pub at: Option<(FileId, Span)>,
    /// Why.
    pub bar: Bar,
}

/// Why something is never opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bar {
    /// It is outside what is named here, such as `the repository`, or a link that leads there.
    Outside(String),
    /// It is what is named here, such as `a named pipe`.
    Special(&'static str),
}

impl Barred {
    /// What is wrong with it, as a lower-case fragment.
    pub fn message(&self) -> String {
        let path = &self.path;
        let is_of_git = || path.split(['/', '\\']).any(|part| part.eq_ignore_ascii_case(".git"));
        match (&self.bar, self.at) {
            (Bar::Special(what), Some(_)) => format!("`{path}` is {what}, not a file"),
            (Bar::Special(what), None) => format!("the flow's folder holds `{path}`, which is {what}"),
            (Bar::Outside(_), Some(_)) if is_of_git() => format!("`{path}` belongs to git"),
            (Bar::Outside(boundary), Some(_)) => format!("`{path}` is outside {boundary}"),
            (Bar::Outside(boundary), None) => {
                format!("the flow's folder holds `{path}`, a link that leads out of {boundary}")
            }
        }
    }

    /// The next step.
    pub fn help(&self) -> &'static str {
        match (&self.bar, self.at) {
            (Bar::Special(_), Some(_)) => "name a regular file: nothing else is opened",
            (Bar::Special(_), None) => "remove it: it is not sent into a runtime",
            (Bar::Outside(_), Some(_)) => {
                "nothing outside is read or sent into a runtime: move it inside, or name a folder that holds both on the command line"
            }
            (Bar::Outside(_), None) => {
                "nothing outside is read or sent into a runtime: remove the link, or put a copy in its place"
            }
        }
    }

    /// False for what a flow runs without.
    pub fn keeps_from_running(&self) -> bool {
        self.at.is_some() || matches!(self.bar, Bar::Outside(_))
    }
}

/// A flow with its text.
#[derive(Debug, Clone)]
pub struct FlowFile {
    /// Its file.
    pub file: FileId,
    /// Its tree.
    pub document: Document,
    /// Its nouns.
    pub flow: Flow,
}

impl FlowFile {
    /// True where the file says nothing at all, in whatever spelling.
    pub fn is_empty(&self) -> bool {
        let root = &self.document.root;
        self.document.is_complete() && (root.is_null() || root.mapping().is_some_and(<[_]>::is_empty))
    }
}

/// An assistant definition.
#[derive(Debug, Clone)]
pub struct AssistantFile {
    /// Its file.
    pub file: FileId,
    /// Its tree.
    pub document: Document,
}

/// A run specification with its text.
#[derive(Debug, Clone)]
pub struct RunFile {
    /// Its file.
    pub file: FileId,
    /// Its tree.
    pub document: Document,
    /// Its nouns.
    pub specification: RunSpecification,
    /// Its flow, where that could be read.
    pub flow: Option<RunFlow>,
}

/// What a run specification runs.
#[derive(Debug, Clone)]
pub enum RunFlow {
    /// A DAG or flex flow.
    Flow(Box<FlowFile>),
    /// A prompty.
    Prompty(Box<PromptyFile>),
    /// A folder without a flow file, or with those several.
    Folder(Vec<String>),
}

/// A connection with its text.
#[derive(Debug, Clone)]
pub struct ConnectionFile {
    /// Its file.
    pub file: FileId,
    /// Its tree.
    pub document: Document,
    /// Its nouns.
    pub connection: Connection,
}

/// A prompty with its text.
#[derive(Debug, Clone)]
pub struct PromptyFile {
    /// Its file.
    pub file: FileId,
    /// Its parts.
    pub prompty: Prompty,
}

/// A requirements file with its text.
#[derive(Debug, Clone)]
pub struct RequirementsFile {
    /// Its file.
    pub file: FileId,
    /// Its lines.
    pub requirements: Requirements,
    /// True for a `-c` file, which only restricts versions.
    pub constraint: bool,
    /// Its `-r` and `-c`, in order.
    pub nested: Vec<NestedRequirements>,
}

/// A `-r` or `-c` of a requirements file.
#[derive(Debug, Clone)]
pub struct NestedRequirements {
    /// The path or URL as written.
    pub path: Spanned<String>,
    /// True for `-c`.
    pub constraint: bool,
    /// What is there.
    pub target: NestedTarget,
}

/// What a `-r` or `-c` leads to.
#[derive(Debug, Clone)]
pub enum NestedTarget {
    /// A file of the project.
    File(FileId),
    /// A file that includes the one at hand, directly or not, or is it.
    Recursive(FileId),
    /// No file; the path is relative to the flow's folder.
    Missing(PathFact),
    /// Nothing that is looked at: a URL, a path with a variable in it, or one file too many.
    NotFollowed,
}

/// A Python file with its text.
#[derive(Debug, Clone)]
pub struct PythonFile {
    /// Its file.
    pub file: FileId,
    /// What it holds.
    pub module: Arc<Module>,
}

/// A prompt template with its text.
#[derive(Debug, Clone)]
pub struct TemplateFile {
    /// Its file.
    pub file: FileId,
    /// What it asks for.
    pub template: Arc<Template>,
}

/// A file's text.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Where it is, as the caller spelled the flow's path.
    pub path: PathBuf,
    /// Its text; empty where it could not be read.
    pub text: Arc<str>,
    /// Its lines.
    pub lines: LineIndex,
    /// Why it could not be read, if it could not.
    pub unreadable: Option<String>,
    /// How its bytes were decoded; only requirements files come in another encoding than UTF-8.
    pub encoding: Encoding,
}

/// One entry of `additional_includes`, and what it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Included {
    /// Its name in the merged folder; `None` for the root directory.
    pub name: Option<String>,
    /// What is there; a file where the SDK makes one, see `archive`.
    pub fact: PathFact,
    /// What the flow's own folder holds under that name.
    pub own: Presence,
    /// The folder `x` that the SDK packs into `x.zip` where that file is missing.
    pub archive: Option<PathBuf>,
    /// A file in a folder of that folder, which the SDK looks for in the wrong place.
    pub nested: Option<String>,
}

/// What stands at a path that the flow names, after the includes are merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathFact {
    /// Where it was looked for.
    pub path: PathBuf,
    /// What is there.
    pub presence: Presence,
    /// Where nothing is there: files near it, relative to the flow's folder, with `/`.
    pub candidates: Vec<String>,
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// What is never opened, for people: `a named pipe`.
    Special(&'static str),
    /// What is never looked at, whether something is there or not.
    Outside,
    /// Nothing.
    Missing,
    /// Nothing of that spelling, but a name that differs in upper and lower case only: the whole
    /// path in its right spelling, relative to the flow's folder.
    OtherCase(String),
}

impl Project {
    /// The file of that id.
    pub fn file(&self, id: FileId) -> Option<&SourceFile> {
        self.files.get(id.0)
    }

    /// The text of that file, or `""`.
    pub fn text(&self, id: FileId) -> &str {
        self.file(id).map_or("", |file| &file.text)
    }

    /// The id of the file at that path.
    pub fn find(&self, path: &Path) -> Option<FileId> {
        self.files.iter().position(|file| file.path == path).map(FileId)
    }

    /// The keys and tokens in clear text in that file, which nobody may see.
    pub fn secrets(&self, id: FileId) -> impl Iterator<Item = &Secret> {
        let connection = self.connection.iter().filter(move |file| file.file == id);
        let prompties = self.prompty.iter().chain(self.run.iter().filter_map(|run| match &run.flow {
            Some(RunFlow::Prompty(prompty)) => Some(prompty.as_ref()),
            _ => None,
        }));
        let prompties = prompties.filter(move |file| file.file == id);
        let secrets = connection.flat_map(|file| &file.connection.secrets);
        secrets.chain(prompties.filter_map(|file| file.prompty.secret.as_ref())).filter(|secret| secret.is_real)
    }

    /// The text of that file as it may be shown: with a `*` for each byte of a secret. All places
    /// stay where they are.
    pub fn masked(&self, id: FileId) -> String {
        let mut text = credential::mask(self.text(id)).into_owned();
        for Secret { span, .. } in self.secrets(id) {
            let secret = span.slice(&text);
            // What is left of a block still has its lines.
            let stars: String = secret
                .split_inclusive('\n')
                .map(|line| {
                    let end = line.len() - line.trim_end_matches(['\r', '\n']).len();
                    "*".repeat(line.len() - end) + &line[line.len() - end..]
                })
                .collect();
            text.replace_range(span.start..span.end, &stars);
        }
        text
    }

    /// The flow's file name, for example `flow.dag.yaml`.
    pub fn flow_file_name(&self) -> Option<&str> {
        let flow = self.flow.as_ref()?;
        self.file(flow.file)?.path.file_name()?.to_str()
    }

    /// The module that a flex flow's `entry` names, where it is in the flow's folder.
    pub fn entry_module(&self) -> Option<&PythonFile> {
        self.flow.as_ref()?.flow.entry_modules().into_iter().find_map(|path| self.python.get(&path))
    }

    /// Every Python file, helpers included, once.
    pub fn python_files(&self) -> impl Iterator<Item = &PythonFile> {
        let mut seen = BTreeSet::new();
        self.python.values().chain(&self.helpers).filter(move |file| seen.insert(file.file))
    }

    /// The YAML that was loaded, with its file: the flow's, or that of the file beside flows.
    pub fn documents(&self) -> impl Iterator<Item = (FileId, &Document)> {
        let flow = self.flow.iter().map(|flow| (flow.file, &flow.document));
        let run = self.run.iter().map(|run| (run.file, &run.document));
        let connection = self.connection.iter().map(|connection| (connection.file, &connection.document));
        let prompty = self.prompty.iter().map(|prompty| (prompty.file, &prompty.prompty.document));
        flow.chain(run).chain(connection).chain(prompty)
    }

    /// `additional_includes`, as written.
    pub fn includes(&self) -> impl DoubleEndedIterator<Item = &str> + Clone {
        self.flow.iter().flat_map(|flow| flow.flow.additional_includes.iter().map(|include| include.value.as_str()))
    }
}
