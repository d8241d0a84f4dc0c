//! `flowgate environment check-version`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flowgate_check::{Facts, Finding, Level};
use flowgate_flow::Project;
use flowgate_flow::base_image::{is_microsofts, versions};
use flowgate_flow::config::{CheckConfig, Config};
use flowgate_flow::load::{self, Memory};
use flowgate_report::base_image::{VersionReport, json, terminal};
use flowgate_runtime::identity::Identity;
use flowgate_runtime::outcome::ExitReason;
use flowgate_runtime::registry::{Registries, RegistryErrorKind};

use crate::args::CheckVersionArguments;
use crate::commands::{Failure, block_on, one_flow};
use crate::places::Places;
use crate::say;

/// The rules that look at the base image.
const RULES: [&str; 3] = ["malformed-base-image", "unpinned-base-image", "known-bad-base-image"];

pub(super) fn run(arguments: &CheckVersionArguments) -> Result<u8, Failure> {
    let places = Places::of_this_process()?;
    let (project, config) = project(&arguments.image, &places.working_directory)?;
    let client_id = arguments.identity.client_id.clone().or_else(|| config.environment.identity.clone());
    let image = project.flow.as_ref().and_then(|file| file.flow.environment.as_ref()?.image.as_ref());
    let Some(image) = image.map(|image| image.value.clone()) else {
        if let Some(cause) = unreadable(&project) {
            return Err(Failure {
                code: ExitReason::Environment.code(),
                message: format!("{}: {cause}", arguments.image.display()),
                hint: Some(format!("`flowgate check {}` shows the place", arguments.image.display())),
            });
        }
        say::note("the flow names no base image");
        return Ok(0);
    };
    let identity = Arc::new(Identity::new(Places::identity(client_id)));
    let registries = Registries::new(places.docker_config.clone(), identity);
    let (tags, digest) = block_on(async { (registries.tags(&image).await, registries.digest(&image).await) })?;

    let answers = [tags.as_ref().err(), digest.as_ref().err()].into_iter().flatten();
    let answers: Vec<ExitReason> = answers.map(|error| reason(error.kind)).collect();
    let unknown = tags.as_ref().err().or(digest.as_ref().err()).map(|error| match &error.hint {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    });
    let versions = tags.ok().map(|tags| versions(&tags));
    let mut report = VersionReport {
        frozen: is_microsofts(&image),
        digest: digest.ok(),
        versions,
        unknown,
        image,
        ..Default::default()
    };
    let mut facts = Facts::default();
    // The rules know the versions of Microsoft's image only.
    facts.newest_base_image = report.versions.as_ref().filter(|_| report.frozen).and_then(|all| all.first().cloned());
    report.findings = findings(&project, &config.check, &facts);
    say::report(arguments.format, || terminal::render(&report), || json::render(&report))?;
    let wrong = report.findings.iter().any(|finding| finding.level == Level::Error).then_some(ExitReason::Findings);
    Ok(ExitReason::worst(answers.into_iter().chain(wrong)).code())
}

/// What is not known is no error; what is known to be wrong is.
fn reason(kind: RegistryErrorKind) -> ExitReason {
    match kind {
        RegistryErrorKind::Name => ExitReason::Usage,
        RegistryErrorKind::Refused | RegistryErrorKind::NotFound => ExitReason::Environment,
        RegistryErrorKind::Unanswered => ExitReason::Passed,
    }
}

/// Why a flow does not say which image it names.
fn unreadable(project: &Project) -> Option<String> {
    let flow = project.flow.as_ref()?;
    let reason = project.file(flow.file).and_then(|file| file.unreadable.clone());
    reason.map(|reason| reason.to_string()).or_else(|| Some(flow.document.errors.first()?.message.clone()))
}

/// The flow, or one that holds nothing but the named image.
fn project(written: &OsStr, base: &Path) -> Result<(Project, Arc<Config>), Failure> {
    let (path, named) = (base.join(written), &*written.to_string_lossy());
    if path.exists() {
        let flow = one_flow(&path, named)?;
        let folder = flow.parent().unwrap_or(base);
        let fs = super::super::within(base, &[written.into()]);
        let config = flowgate_check::config::load(&fs, folder).map_err(|error| Failure::usage(error.to_string()))?;
        return Ok((load::load_project(&fs, &flow), config.config));
    }
    let text = format!("environment:\n  image: {}\n", serde_json::Value::from(named));
    let flow = PathBuf::from("/flow.dag.yaml");
    let files = Memory { files: [(flow.clone(), text.into_bytes())].into() };
    Ok((load::load_project(&files, &flow), Arc::default()))
}

fn findings(project: &Project, config: &CheckConfig, facts: &Facts) -> Vec<Finding> {
    let findings = flowgate_check::check(project, config, facts);
    findings.into_iter().filter(|finding| RULES.contains(&finding.rule)).collect()
}
