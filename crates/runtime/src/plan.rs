//! What a flow needs to run, as data: no engine, no index and no identity is asked.

use std::path::{Path, PathBuf};

use flowgate_flow::config::{EnvironmentConfig, FeedConfig};
use flowgate_flow::load::Within;
use flowgate_flow::requirements::{self, Indexes, Line, OptionKind, Requirements};
use flowgate_flow::{Project, SourceFile};

use crate::environment::base::{self, DEFAULT_PYTHON, PROMPTFLOW_VERSION, PYTHONS};
use crate::environment::image::ImageBuild;
use crate::environment::key::Content;
use crate::environment::local::{self, LocalContent};
use crate::environment::normal;
use crate::error::{RuntimeError, Stage};

/// What a flow needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentPlan {
    /// The folder of the flow that it was made for; no part of its address.
    pub flow: PathBuf,
    /// The image that everything else is put upon.
    pub base: Base,
    /// Its requirement lines, in order, nested files inlined, without comments.
    pub requirements: Vec<PlannedRequirement>,
    /// Its option lines, such as `--index-url URL`, in order, without `-r` and `-c`.
    pub options: Vec<PlannedRequirement>,
    /// Lines of `-c` files, which only restrict versions.
    pub constraints: Vec<PlannedRequirement>,
    /// Where packages come from, as pip understands the options.
    pub indexes: Indexes,
    /// The files of the flow that its requirements name.
    pub local: Vec<LocalContent>,
    /// The Python of flowgate's own base image; of another base, its own is used.
    pub python: String,
    /// `linux/amd64` or `linux/arm64`.
    pub platform: String,
    /// The indexes that may be asked beside the public one; no part of the address.
    pub feeds: Vec<FeedConfig>,
    /// The client id of the identity that opens private ones, where the configuration names one; no part of the
    /// address.
    pub identity: Option<String>,
    /// What may make two builds of this plan differ: full sentences.
    pub warnings: Vec<String>,
}

/// What an environment is built upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// flowgate's own base image.
    Own,
    /// An image that the flow names.
    Named(String),
    /// An image that the flow names, and whose folder flowgate.yaml knows.
    Built(ImageBuild),
}

/// One line with the place that it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedRequirement {
    /// The line as pip gets it, continued lines joined, per-requirement options kept.
    pub line: String,
    /// `path:line`, for messages; the path starts at the flow's folder where it lies below it.
    pub place: String,
    /// What it means, in one spelling.
    pub normal: String,
}

/// What a plan depends on beside the flow.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The section `environment` of flowgate.yaml.
    pub config: EnvironmentConfig,
    /// The folder of flowgate.yaml: where paths in it start.
    pub root: PathBuf,
    /// The platform to build for; `None` is this machine's.
    pub platform: Option<String>,
    /// What of this machine may enter an environment or a runtime; `None` is the flow's folder.
    pub boundary: Option<Within>,
}

impl EnvironmentPlan {
    /// The name of the base, as the engine knows it.
    pub fn base_name(&self) -> String {
        match &self.base {
            Base::Own => base::image_name(&self.python),
            Base::Named(name) => name.clone(),
            Base::Built(build) => build.name.clone(),
        }
    }

    /// A content address of all that the flow says: equal where two flows need the same. The address of the
    /// environment also holds what the base holds: [`Self::address`].
    pub fn fingerprint(&self) -> String {
        let mut content = self.content();
        content.add("base", [self.base_name()]);
        if let Base::Built(build) = &self.base {
            content.add("build", [build.root.join(&build.folder).display().to_string()]);
        }
        content.address()
    }

    /// The address of the environment: what the plan says, upon a base of that identity.
    pub(crate) fn address(&self, base: &str) -> String {
        let mut content = self.content();
        content.add("base", [base.to_owned()]);
        content.address()
    }

    /// What the key of the environment covers, but for the base.
    pub(crate) fn content(&self) -> Content {
        let mut content = Content::default();
        content.add("python", [self.python.clone()]);
        content.add("platform", [self.platform.clone()]);
        content.add_sorted("requirements", self.requirements.iter().map(|line| line.normal.clone()));
        content.add_sorted("constraints", self.constraints.iter().map(|line| line.normal.clone()));
        // Of two indexes the first may count more, so their order stays.
        content.add("indexes", self.indexes.addresses());
        content.add_sorted("options", self.other_options().map(|option| option.normal.clone()));
        if self.checks_hashes() {
            content.add("hashes", ["checked".to_owned()]);
        }
        content.add_sorted("local", self.local.iter().map(|local| format!("{} {}", local.path, local.sha256)));
        content
    }

    /// The options that name no index.
    pub(crate) fn other_options(&self) -> impl Iterator<Item = &PlannedRequirement> {
        let is_of_indexes =
            |line: &str| requirements::read(line).options().any(|(_, option)| option.kind.is_of_indexes());
        self.options.iter().filter(move |option| !is_of_indexes(&option.line))
    }

    /// True where the base has all that the flow asks for.
    pub fn is_bare(&self) -> bool {
        self.requirements.is_empty()
    }
}

/// Plans the environment of a flow. Reads the files that its requirements name, and nothing else.
///
/// # Errors
/// A flow that cannot be read, is empty, or leads over the boundary; a requirements file that is named but cannot be read,
/// or that pip refuses; a local package that is not there; a Python that flowgate has no base image for.
pub fn plan(project: &Project, settings: &Settings) -> Result<EnvironmentPlan, RuntimeError> {
    if let Some(file) = project.files.first()
        && let Some(reason) = &file.unreadable
    {
        return Err(fail(format!("{}: {reason}", file.path.display())));
    }
    if let Some(file) = project.flow.as_ref().filter(|flow| flow.is_empty()).and_then(|flow| project.file(flow.file)) {
        return Err(fail(format!("{}: the flow is empty", file.path.display())));
    }
    if let Some(barred) = project.barred.iter().find(|barred| barred.keeps_from_running()) {
        return Err(fail(barred.message()).with_hint(barred.help()));
    }
    let environment = project.flow.as_ref().and_then(|flow| flow.flow.environment.as_ref());
    if let Some(named) = environment.and_then(|e| e.python_requirements_txt.as_ref())
        && project.requirements.is_empty()
    {
        let hint = "create it beside the flow, or remove `python_requirements_txt`";
        return Err(fail(format!("requirements file `{}` is not there", named.value)).with_hint(hint));
    }
    let mut plan = EnvironmentPlan {
        flow: std::path::absolute(&project.folder).unwrap_or_else(|_| project.folder.clone()),
        base: base_of(environment.and_then(|e| e.image.as_ref()).map(|image| image.value.as_str()), settings)?,
        requirements: Vec::new(),
        options: Vec::new(),
        constraints: Vec::new(),
        indexes: Indexes::default(),
        local: Vec::new(),
        python: python(settings)?,
        platform: settings.platform.clone().unwrap_or_else(platform),
        feeds: settings.config.feeds.clone(),
        identity: settings.config.identity.clone(),
        warnings: Vec::new(),
    };
    for file in &project.requirements {
        let Some(source) = project.file(file.file) else { continue };
        if let Some(reason) = &source.unreadable {
            return Err(fail(format!("{}: {reason}", source.path.display())));
        }
        take(&mut plan, project, source, &file.requirements, file.constraint)?;
    }
    let options: Vec<&str> = plan.options.iter().map(|option| option.line.as_str()).collect();
    plan.indexes = Indexes::of(&requirements::read(&options.join("\n")));
    let paths = plan.requirements.iter().filter_map(|line| Some((local::path(&line.normal)?, line.place.as_str())));
    plan.local = local::contents(project, settings.boundary.as_ref(), paths)?;
    Ok(plan)
}

/// Adds the lines of one file.
fn take(
    plan: &mut EnvironmentPlan,
    project: &Project,
    source: &SourceFile,
    read: &Requirements,
    constraint: bool,
) -> Result<(), RuntimeError> {
    let path = source.path.strip_prefix(&project.folder).unwrap_or(&source.path);
    let folder = path.parent().unwrap_or(Path::new(""));
    for line in &read.lines {
        let place = format!("{}:{}", path.display(), source.lines.line_of(line.span.start) + 1);
        if line.refusal.is_some() {
            return Err(fail(format!("{place}: pip refuses the options of `{}`", line.text))
                .with_hint("run `flowgate check` on the flow: it says why"));
        }
        if line.nested().is_some() {
            continue;
        }
        let planned = |normal: String| PlannedRequirement { line: line.text.clone(), place: place.clone(), normal };
        match normal::of(line, folder) {
            Some(normal) if constraint => plan.constraints.push(planned(normal)),
            Some(normal) => {
                plan.warnings.extend(normal::mutable(line).map(|what| {
                    format!("{place}: {what}, so two builds of this environment may differ; name a commit or add `#sha256=...`.")
                }));
                plan.requirements.push(planned(normal));
            }
            None => plan.options.extend(options(line, &place)),
        }
    }
    Ok(())
}

/// The options of a line that requires nothing, one each, in the order in which pip takes them.
fn options(line: &Line, place: &str) -> Vec<PlannedRequirement> {
    let (replacing, others): (Vec<_>, Vec<_>) =
        line.options.iter().partition(|option| option.kind == OptionKind::IndexUrl);
    replacing
        .into_iter()
        .chain(others)
        .filter(|option| !option.kind.is_per_requirement() && option.kind != OptionKind::Editable)
        .map(|option| {
            let text = match &option.value {
                Some(value) => format!("{} {}", option.name.value, value.value),
                None => option.name.value.clone(),
            };
            PlannedRequirement { normal: text.clone(), line: text, place: place.to_owned() }
        })
        .collect()
}

fn base_of(image: Option<&str>, settings: &Settings) -> Result<Base, RuntimeError> {
    let Some(name) = image else { return Ok(Base::Own) };
    match settings.config.images.get(name) {
        Some(config) => Ok(Base::Built(ImageBuild::new(name, config, &settings.root)?)),
        None => Ok(Base::Named(name.to_owned())),
    }
}

fn python(settings: &Settings) -> Result<String, RuntimeError> {
    let Some(named) = &settings.config.python else { return Ok(DEFAULT_PYTHON.to_owned()) };
    if PYTHONS.contains(&named.as_str()) {
        return Ok(named.clone());
    }
    Err(fail(format!(
        "flowgate.yaml: environment.python is `{named}`, and promptflow {PROMPTFLOW_VERSION} runs on {}",
        PYTHONS.join(", ")
    )))
}

/// The platform of this machine's containers.
pub fn platform() -> String {
    match std::env::consts::ARCH {
        "x86_64" => "linux/amd64".to_owned(),
        "aarch64" => "linux/arm64".to_owned(),
        other => format!("linux/{other}"),
    }
}

fn fail(message: String) -> RuntimeError {
    RuntimeError::new(Stage::Environment, message)
}

/// The name of the placeholder, for messages.
pub(crate) const PLACEHOLDER: &str = requirements::PRIVATE_PLACEHOLDER;
