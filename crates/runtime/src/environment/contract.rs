//! What an image must keep to be a runtime, and what to do where it does not: a Python is found, promptflow can be
//! imported, its version is one that the worker knows, and the worker answers.

use flowgate_flow::base_image;

use crate::error::{RuntimeError, Stage};

/// Why an image is not even fetched: its maker warns of it.
pub(crate) fn known_bad(image: &str) -> Option<RuntimeError> {
    let version = base_image::known_bad(image)?;
    let why = version.bad.unwrap_or_default();
    let message = format!("the image {image} is not used: Microsoft says not to use `{}`: {why}", version.tag);
    Some(
        RuntimeError::new(Stage::Environment, message).with_hint(format!("name `{}` in its place", base_image::NEWEST)),
    )
}

/// Why an image's container could not be started at all.
pub(crate) fn not_started(image: &str, cause: &str) -> RuntimeError {
    let lower = cause.to_ascii_lowercase();
    if lower.contains("exec format error") {
        return verdict(image, "its programs are for another kind of processor")
            .with_hint("build or pull it for this machine's platform (`docker build --platform ...`)");
    }
    if lower.contains("executable file not found") || lower.contains("no such file or directory") {
        return verdict(image, "it has no `sh` in its PATH").with_hint(
            "build it FROM an image with a shell and Python, such as flowgate's own base, and keep both in PATH",
        );
    }
    verdict(image, &format!("its container does not start: {}", cause.trim()))
}

/// Why nothing is installed into an image whose packages are in a mount: it would be no part of the image.
pub(crate) fn in_a_mount(image: &str, mount: &str) -> RuntimeError {
    let message = format!(
        "nothing can be installed into the image {image}: its Python has its packages in the volume {mount}, and what is installed there becomes no part of an image"
    );
    RuntimeError::new(Stage::Environment, message)
        .with_hint("remove that `VOLUME` from its Dockerfile, or use a Python outside of it")
}

/// Why an image is not used in whose runtime a package is missing that was installed.
pub(crate) fn lost(image: &str, package: &str, version: &str, has: Option<&str>) -> RuntimeError {
    let has = has.map_or("does not have it".to_owned(), |has| format!("has {has}"));
    let message = format!("{package} {version} was installed, and a runtime of the image {image} {has}");
    RuntimeError::new(Stage::Environment, message).with_hint(
        "a package may have put another `python` into its PATH, or have changed what Python imports at its start",
    )
}

/// Why no worker answered in an image's container.
pub(crate) fn unfit(image: &str, error: RuntimeError) -> RuntimeError {
    let said = format!("{}\n{}", error.message, error.log.as_deref().unwrap_or_default());
    let (cause, fix) = if said.contains("exec format error") || said.contains("Exec format error") {
        ("its programs are for another kind of processor", "build or pull it for this machine's platform")
    } else if said.contains("there is no python in") {
        ("no Python is found in its PATH", "install Python 3.9 or newer, and put it into PATH with `ENV PATH=...`")
    } else if said.contains("UnsupportedPython") || said.contains("SyntaxError") {
        ("its Python is too old", "install Python 3.9 or newer, and put it first into PATH")
    } else if said.contains("ImportError") || said.contains("ModuleNotFoundError") {
        (
            "its Python cannot import promptflow",
            "add `RUN pip install promptflow promptflow-tools` to its Dockerfile; where they are there, import them in it by hand and see what is missing",
        )
    } else {
        let mut plain = verdict(image, &error.message);
        plain.log = error.log;
        return plain.with_hint(
            "an image needs `sh`, Python 3.9 or newer and promptflow; one that is built FROM flowgate's base image has them",
        );
    };
    // What was not found, and by whom, stands in its own words only.
    verdict(image, cause).with_hint(fix).with_log(said.trim())
}

fn verdict(image: &str, cause: &str) -> RuntimeError {
    RuntimeError::new(Stage::Environment, format!("the image {image} gave no runtime: {cause}"))
}
