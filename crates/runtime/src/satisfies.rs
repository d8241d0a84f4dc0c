//! Whether a runtime holds what a flow requires. Nothing is installed into a container, so what it
//! lacks must be said before a line fails for it.

use std::str::FromStr;

use flowgate_flow::requirements::{self, OptionKind, Requirement};
use pep508_rs::pep440_rs::Version;
use pep508_rs::{MarkerEnvironment, MarkerEnvironmentBuilder, VersionOrUrl};

use crate::error::{RuntimeError, Stage};
use crate::plan::{EnvironmentPlan, PlannedRequirement};
use crate::wire::Hello;

const HINT: &str = "install them in an image of your own, built FROM flowgate's base, and name it under `environment.image`; \
                    or use `--backend process`, which installs them but is no sandbox";

/// Refuses what nobody can find in an image, and names what will not be looked at.
///
/// # Errors
/// [`Stage::Environment`] with every line that asks for a URL, a path or an editable install, and
/// every line that cannot be read.
pub(crate) fn can_be_checked(plan: &EnvironmentPlan) -> Result<Vec<String>, RuntimeError> {
    let (mut refused, mut unchecked) = (Vec::new(), Vec::new());
    for planned in &plan.requirements {
        let PlannedRequirement { line, place } = planned;
        match read(line).as_ref().map(|requirement| (requirement, &requirement.parsed)) {
            Some((_, Ok(parsed))) if matches!(parsed.version_or_url, Some(VersionOrUrl::Url(_))) => {
                refused.push(format!("{place}: `{line}` names a URL"))
            }
            Some((_, Ok(parsed))) if !parsed.extras.is_empty() => {
                unchecked.push(format!("{place}: not checking the extras of `{line}`"))
            }
            Some((_, Ok(_))) => {}
            Some((requirement, Err(_))) if requirement.name.is_none() => {
                refused.push(format!("{place}: `{line}` names a URL or a path"))
            }
            Some((_, Err(cause))) => {
                refused.push(format!("{place}: `{line}` cannot be read: {}", cause.lines().next().unwrap_or_default()))
            }
            None => refused.push(format!("{place}: `{line}` is no requirement")),
        }
    }
    for option in &plan.options {
        let lines = requirements::read(option).lines;
        if lines.iter().flat_map(|line| &line.options).any(|option| option.kind == OptionKind::Editable) {
            refused.push(format!("`{option}` is an editable install"));
        }
    }
    if refused.is_empty() {
        return Ok(unchecked);
    }
    Err(unsatisfied("cannot be looked up in an image, and the docker backend installs nothing", &refused))
}

/// Compares what an image's worker says it holds with what is required.
///
/// # Errors
/// [`Stage::Environment`] with every line that is not satisfied: its place, what it wants, and what
/// was found. A worker whose own facts cannot be read is [`Stage::Runtime`].
pub(crate) fn check(image: &str, wanted: &[PlannedRequirement], hello: &Hello) -> Result<(), RuntimeError> {
    if wanted.is_empty() {
        return Ok(());
    }
    let environment = environment(hello)?;
    let missing: Vec<String> = wanted.iter().filter_map(|planned| lacks(planned, hello, &environment)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(unsatisfied(&format!("not satisfied by the image {image}, and the docker backend installs nothing"), &missing))
}

fn unsatisfied(what: &str, lines: &[String]) -> RuntimeError {
    let message = format!("{} of the flow's requirements {what}: {}", lines.len(), lines.join("; "));
    RuntimeError::new(Stage::Environment, message).with_hint(HINT)
}

/// What a line wants and the image does not have.
fn lacks(planned: &PlannedRequirement, hello: &Hello, environment: &MarkerEnvironment) -> Option<String> {
    let PlannedRequirement { line, place } = planned;
    let requirement = read(line)?;
    let parsed = requirement.parsed.as_ref().ok()?;
    if !parsed.evaluate_markers(environment, &[]) {
        return None;
    }
    let Some(found) = requirement.normalized_name().and_then(|name| hello.packages.get(&name)) else {
        return Some(format!("{place}: `{line}` is not there"));
    };
    let Some(VersionOrUrl::VersionSpecifier(specifiers)) = &parsed.version_or_url else { return None };
    match Version::from_str(found) {
        Ok(version) if specifiers.contains(&version) => None,
        _ => Some(format!("{place}: `{line}`, found {}", found.escape_debug())),
    }
}

fn read(line: &str) -> Option<Requirement> {
    requirements::read(line).lines.into_iter().find_map(|line| line.requirement)
}

/// The markers of the runtime's Python, by their names in PEP 508.
fn environment(hello: &Hello) -> Result<MarkerEnvironment, RuntimeError> {
    let marker = |name: &str| hello.markers.get(name).map_or("", String::as_str);
    let built = MarkerEnvironmentBuilder {
        implementation_name: marker("implementation_name"),
        implementation_version: marker("implementation_version"),
        os_name: marker("os_name"),
        platform_machine: marker("platform_machine"),
        platform_python_implementation: marker("platform_python_implementation"),
        platform_release: marker("platform_release"),
        platform_system: marker("platform_system"),
        platform_version: marker("platform_version"),
        python_full_version: marker("python_full_version"),
        python_version: marker("python_version"),
        sys_platform: marker("sys_platform"),
    };
    MarkerEnvironment::try_from(built).map_err(|error| {
        let version = marker("python_full_version").escape_debug();
        RuntimeError::new(
            Stage::Runtime,
            format!("the worker says that its Python is `{version}`, which is no version: {error}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(packages: &[(&str, &str)]) -> Hello {
        let pairs = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let markers = [
            ("implementation_name", "cpython"),
            ("implementation_version", "3.11.2"),
            ("os_name", "posix"),
            ("platform_machine", "x86_64"),
            ("platform_python_implementation", "CPython"),
            ("platform_release", "6.1"),
            ("platform_system", "Linux"),
            ("platform_version", "#1"),
            ("python_full_version", "3.11.2"),
            ("python_version", "3.11"),
            ("sys_platform", "linux"),
        ];
        Hello { packages: pairs(packages), markers: pairs(&markers), ..Hello::default() }
    }

    fn planned(lines: &[&str]) -> Vec<PlannedRequirement> {
        lines
            .iter()
            .enumerate()
            .map(|(index, line)| PlannedRequirement {
                line: (*line).to_owned(),
                place: format!("requirements.txt:{}", index + 1),
            })
            .collect()
    }

    fn plan(lines: &[&str], options: &[&str]) -> EnvironmentPlan {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        EnvironmentPlan {
            image: None,
            requirements: planned(lines),
            options,
            constraints: Vec::new(),
            key: String::new(),
        }
    }

    #[test]
    fn what_is_there_in_a_fitting_version_satisfies() {
        let hello = hello(&[("promptflow", "1.18.5"), ("promptflow-tools", "1.6.1"), ("beautifulsoup4", "4.12.0rc1")]);
        let lines = planned(&[
            "promptflow",
            "Promptflow_Tools[azure]>=1.0,<2",
            "beautifulsoup4>=4.11",
            "pywin32; sys_platform == 'win32'",
            "tomli>=2; python_version < '3.11'",
            "promptflow===1.18.5 --hash=sha256:00",
        ]);
        assert_eq!(check("image", &lines, &hello), Ok(()));
        assert_eq!(check("image", &[], &Hello::default()), Ok(()), "with no requirement nothing is asked");
    }

    #[test]
    fn every_line_that_is_not_satisfied_is_named_with_what_was_found() {
        let hello = hello(&[("requests", "2.31.0"), ("odd", "not\u{1b}a version")]);
        let lines = planned(&["requests>=3", "langchain==0.1; os_name == 'posix'", "odd>1", "requests"]);
        let error = check("image", &lines, &hello).unwrap_err();
        assert_eq!(error.stage, Stage::Environment);
        assert_eq!(
            error.message,
            "3 of the flow's requirements not satisfied by the image image, and the docker backend installs nothing: \
             requirements.txt:1: `requests>=3`, found 2.31.0; \
             requirements.txt:2: `langchain==0.1; os_name == 'posix'` is not there; \
             requirements.txt:3: `odd>1`, found not\\u{1b}a version"
        );
        assert!(error.hint.is_some());
    }

    #[test]
    fn urls_paths_and_editable_installs_are_refused_by_name() {
        let lines = ["./wheels/a.whl", "b @ https://example.com/b.whl", "https://example.com/c.whl", "d==1"];
        let error = can_be_checked(&plan(&lines, &["--editable ./e", "--no-index"])).unwrap_err();
        assert_eq!(error.stage, Stage::Environment);
        assert!(error.message.starts_with("4 of the flow's requirements cannot be looked up"), "{}", error.message);
        for name in [
            "requirements.txt:1: `./wheels/a.whl`",
            "requirements.txt:2: `b @ ",
            "requirements.txt:3: `https:",
            "`--editable ./e`",
        ] {
            assert!(error.message.contains(name), "{name}: {}", error.message);
        }
    }

    #[test]
    fn extras_are_not_checked_and_named() {
        let unchecked = can_be_checked(&plan(&["promptflow[azure]>=1", "d==1"], &[])).unwrap();
        assert_eq!(unchecked, ["requirements.txt:1: not checking the extras of `promptflow[azure]>=1`"]);
    }

    #[test]
    fn a_worker_that_says_nothing_sensible_is_an_error_of_the_runtime() {
        let error = check("image", &planned(&["a"]), &Hello::default()).unwrap_err();
        assert_eq!(error.stage, Stage::Runtime);
    }
}
