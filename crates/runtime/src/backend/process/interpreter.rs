//! The Python that virtual environments are made from.

use tokio::process::Command;

use super::ProcessOptions;
use super::build::last_lines;
use crate::environment::base::PROMPTFLOW_VERSION;
use crate::error::{RuntimeError, Stage};

/// The oldest and the newest minor version of Python 3 that the lock was made and tested for.
const PYTHONS: (u32, u32) = (10, 13);
/// Prints what makes an interpreter different from others: version, platform, place.
const PROBE: &str = "import platform, sys; print(sys.version_info[0], sys.version_info[1], platform.python_version(), sys.implementation.name, platform.machine(), sys.platform, sys.base_prefix)";

/// A Python that environments can be made from.
pub(super) struct Interpreter {
    /// What `uv` or the shell understands: a path, or a range of versions.
    pub(super) request: String,
    /// What makes it different from others.
    pub(super) identity: String,
}

pub(super) async fn find(options: &ProcessOptions) -> Result<Interpreter, RuntimeError> {
    let range = format!("3.{} to 3.{}", PYTHONS.0, PYTHONS.1);
    let hint = format!(
        "install Python {range}, and name it with FLOWGATE_PYTHON where it is not the first one on the search path"
    );
    let fail = |message: String| RuntimeError::new(Stage::Environment, message).with_hint(hint.clone());
    let Some(python) = &options.python else {
        if options.uv.is_some() {
            let request = format!(">=3.{},<3.{}", PYTHONS.0, PYTHONS.1 + 1);
            return Ok(Interpreter { identity: request.clone(), request });
        }
        return Err(fail("there is no Python on the search path".to_owned()));
    };
    let mut command = Command::new(python);
    command
        .args(["-I", "-c", PROBE])
        .env_clear()
        .envs(options.env.iter().cloned())
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true);
    let output = command.output().await.map_err(|error| fail(format!("cannot start {}: {error}", python.display())))?;
    let identity = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let mut words = identity.split(' ');
    let version = words.next().zip(words.next()).map(|(major, minor)| (major.to_owned(), minor.parse::<u32>().ok()));
    match version {
        Some((major, Some(minor))) if major == "3" && (PYTHONS.0..=PYTHONS.1).contains(&minor) => {}
        Some((major, Some(minor))) => {
            return Err(fail(format!(
                "{} is Python {major}.{minor}, and promptflow {PROMPTFLOW_VERSION} needs {range}",
                python.display()
            )));
        }
        _ => {
            let text = String::from_utf8_lossy(&output.stderr);
            return Err(fail(format!("{} does not run", python.display())).with_log(last_lines(&text)));
        }
    }
    // The identity alone does not tell two installations of one version apart.
    Ok(Interpreter { request: python.display().to_string(), identity: format!("{identity} {}", python.display()) })
}
