//! What a flow needs to run, as data: no engine, no index and no identity is asked.

use flowgate_flow::{Project, requirements};
use sha2::{Digest, Sha256};

use crate::error::{RuntimeError, Stage};

/// The version of `promptflow` that the lock and flowgate's own base image hold.
pub const PROMPTFLOW_VERSION: &str = "1.18.5";

/// The repository of flowgate's own base image; its tag is [`PROMPTFLOW_VERSION`].
pub const BASE_IMAGE: &str = "flowgate-base";

/// Packages at fixed versions with their hashes, on which every environment rests.
pub const LOCK: &str = include_str!("lock/requirements.txt");

/// What a flow needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentPlan {
    /// The base image that the flow names, if it names one.
    pub image: Option<String>,
    /// Its requirement lines, in order, nested files inlined, without comments.
    pub requirements: Vec<PlannedRequirement>,
    /// Its option lines, such as `--index-url URL`, in order, without `-r` and `-c`.
    pub options: Vec<String>,
    /// Lines of `-c` files, which only restrict versions.
    pub constraints: Vec<String>,
    /// Content address of all of the above and of the lock, in hexadecimal.
    pub key: String,
}

/// One requirement with the place that it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedRequirement {
    /// The line as pip gets it, continued lines joined, per-requirement options kept.
    pub line: String,
    /// `path:line`, for messages; the path starts at the flow's folder where it lies below it.
    pub place: String,
}

impl EnvironmentPlan {
    /// The image that the docker backend runs in.
    pub fn image_or_base(&self) -> String {
        self.image.clone().unwrap_or_else(|| format!("{BASE_IMAGE}:{PROMPTFLOW_VERSION}"))
    }
}

/// Plans the environment of a flow.
///
/// # Errors
/// A requirements file that is named but cannot be read, and the placeholder `{private}`, which no
/// backend can replace yet: sending it as it is would only fail later, at the feed.
pub fn plan(project: &Project) -> Result<EnvironmentPlan, RuntimeError> {
    let environment = project.flow.as_ref().and_then(|flow| flow.flow.environment.as_ref());
    let fail = |message: String| RuntimeError::new(Stage::Environment, message);
    if let Some(named) = environment.and_then(|e| e.python_requirements_txt.as_ref())
        && project.requirements.is_empty()
    {
        let hint = "run `flowgate check` on the flow: it names the files that are there";
        return Err(fail(format!("requirements file `{}` is not there", named.value)).with_hint(hint));
    }
    let image = environment.and_then(|e| e.image.as_ref()).map(|image| image.value.clone());
    let (mut lines, mut options, mut constraints) = (Vec::new(), Vec::new(), Vec::new());
    for file in &project.requirements {
        let Some(source) = project.file(file.file) else { continue };
        if let Some(reason) = &source.unreadable {
            return Err(fail(format!("{}: {reason}", source.path.display())));
        }
        for line in &file.requirements.lines {
            let text = line.text.clone();
            let path = source.path.strip_prefix(&project.folder).unwrap_or(&source.path);
            let place = format!("{}:{}", path.display(), source.lines.line_of(line.span.start) + 1);
            if text.contains(requirements::PRIVATE_PLACEHOLDER) {
                let message = format!(
                    "{place}: the index URL holds `{{private}}`, which stands for a token, and flowgate passes no token into an environment"
                );
                return Err(fail(message).with_hint(
                    "install the private packages in your own base image and name it under `environment.image`",
                ));
            }
            let nested = line.nested().is_some();
            match (&line.requirement, file.constraint) {
                (Some(_), true) => constraints.push(text),
                (Some(_), false) => lines.push(PlannedRequirement { line: text, place }),
                (None, _) if nested => {}
                (None, _) => options.push(text),
            }
        }
    }
    let mut hash = Sha256::new();
    let mut add = |part: &str| {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    };
    add("1");
    add(image.as_deref().unwrap_or(""));
    add(LOCK);
    for group in [&lines.iter().map(|l| l.line.clone()).collect(), &options, &constraints] {
        add(&group.len().to_string());
        for line in group {
            add(line);
        }
    }
    let key = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(EnvironmentPlan { image, requirements: lines, options, constraints, key })
}
