//! The recipe of flowgate's own base image: an official Python image on Debian, and on it the
//! packages of the lock, with uv to install more. Microsoft's images get no more updates; this one can always be made anew.

use std::borrow::Cow;

use flowgate_flow::lock::{LOCK, UV};

use super::key::Content;

/// The version of `promptflow` that the lock and flowgate's own base image hold.
pub const PROMPTFLOW_VERSION: &str = "1.18.5";

/// The packages of promptflow: what a base image is for.
pub(crate) const PACKAGES: [&str; 6] = [
    "promptflow",
    "promptflow-azure",
    "promptflow-core",
    "promptflow-devkit",
    "promptflow-tools",
    "promptflow-tracing",
];

/// The repository of flowgate's own base image.
pub const BASE_IMAGE: &str = "flowgate-base";

/// The versions of Python that the lock holds on.
pub const PYTHONS: [&str; 4] = ["3.10", "3.11", "3.12", "3.13"];
/// The one that is taken where nothing is said.
pub const DEFAULT_PYTHON: &str = "3.11";
/// Who containers of the image run as, unless their user says otherwise. A number, so that an orchestrator can
/// tell that it is not root.
pub const USER: &str = "10001:10001";
/// Raised when the image is made in another way.
const RECIPE: &str = "3";

/// The name of the image: [`BASE_IMAGE`], tagged with the version of promptflow, and of Python where it is not
/// [`DEFAULT_PYTHON`].
pub fn image_name(python: &str) -> String {
    let suffix = if python == DEFAULT_PYTHON { String::new() } else { format!("-python{python}") };
    format!("{BASE_IMAGE}:{PROMPTFLOW_VERSION}{suffix}")
}

/// The image that the recipe starts from.
pub fn from(python: &str) -> String {
    format!("python:{python}-slim-bookworm")
}

/// The content address of the recipe: what stands for the base image in an environment's key. It needs no engine.
pub fn recipe(python: &str, platform: &str) -> String {
    let mut content = Content::default();
    let texts: [Cow<'static, str>; 7] = [
        RECIPE.into(),
        from(python).into(),
        platform.to_owned().into(),
        PROMPTFLOW_VERSION.into(),
        USER.into(),
        LOCK.into(),
        UV.into(),
    ];
    content.add("recipe", texts);
    content.address()
}
