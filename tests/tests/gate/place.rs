//! A Python of its own to install into, reached over a stream as one in a container would be.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use flowgate_runtime::RuntimeError;
use flowgate_runtime::gate::Gate;
use flowgate_runtime::installer::{InstallRequest, Installed, Installer, arguments};
use flowgate_runtime::log::LogTail;
use tokio::process::Child;

const MINUTE: Duration = Duration::from_secs(60);

/// Which installer a place has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum With {
    Pip,
    Uv,
}

/// A virtual environment, and the agent in it.
pub(crate) struct Place {
    pub(crate) installer: Installer,
    pub(crate) lines: Vec<String>,
    python: PathBuf,
    _folder: tempfile::TempDir,
    _child: Child,
}

impl Place {
    /// One that has nothing else. None where there is no uv to have.
    pub(crate) async fn new(with: With) -> Option<Self> {
        let uv = match with {
            With::Uv => Some(find("uv")?),
            With::Pip => None,
        };
        let folder = tempfile::tempdir().unwrap();
        let venv = folder.path().join("venv");
        make_venv(&venv, &["--without-pip"]);
        let bin = venv.join("bin");
        let mut path = vec![bin.clone()];
        match uv {
            Some(uv) => {
                let tools = folder.path().join("tools");
                std::fs::create_dir(&tools).unwrap();
                std::os::unix::fs::symlink(std::fs::canonicalize(uv).unwrap(), tools.join("uv")).unwrap();
                path.push(tools);
            }
            None => add_pip(&venv),
        }
        path.extend([PathBuf::from("/usr/bin"), PathBuf::from("/bin")]);
        let python = bin.join("python");
        let mut child = tokio::process::Command::new(&python)
            .args(arguments())
            .env_clear()
            .env("PATH", std::env::join_paths(path).unwrap())
            // What a base image may have set: none of it reaches an installer.
            .env("PIP_INDEX_URL", "http://127.0.0.1:9/none/")
            .env("UV_INDEX_URL", "http://127.0.0.1:9/none/")
            .env("PLACE_SECRET", "of-the-place")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = LogTail::default();
        tokio::spawn(log.clone().fill(child.stderr.take().unwrap()));
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let installer = Installer::start(stdout, stdin, log, MINUTE).await.unwrap();
        Some(Self { installer, lines: Vec::new(), python, _folder: folder, _child: child })
    }

    /// Installs what `lines` of a requirements file say.
    pub(crate) async fn install(&mut self, gate: &Arc<Gate>, lines: &[&str]) -> Result<Installed, RuntimeError> {
        let (options, requirements): (Vec<_>, Vec<_>) =
            lines.iter().map(|line| (*line).to_owned()).partition(|line: &String| line.starts_with('-'));
        self.request(gate, InstallRequest { requirements, options, ..InstallRequest::default() }).await
    }

    pub(crate) async fn request(
        &mut self,
        gate: &Arc<Gate>,
        request: InstallRequest,
    ) -> Result<Installed, RuntimeError> {
        let lines = &mut self.lines;
        let mut keep = |line: &str| lines.push(line.to_owned());
        let run = self.installer.run(&request, gate, &mut keep);
        tokio::time::timeout(5 * MINUTE, run).await.unwrap()
    }

    /// What a program prints there.
    pub(crate) fn python(&self, program: &str) -> String {
        run(Command::new(&self.python).args(["-I", "-c", program]))
    }
}

fn make_venv(venv: &Path, options: &[&str]) {
    run(Command::new(find("python3").unwrap()).args(["-I", "-m", "venv"]).args(options).arg(venv));
}

/// Copies the pip that Python brings: to have it unpacked and compiled takes longer than all else.
fn add_pip(venv: &Path) {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("venv-with-pip");
    let (lock, ready) = (home.with_extension("lock"), home.join("ready"));
    let lock = std::fs::File::create(lock).unwrap();
    lock.lock().unwrap();
    if !ready.is_file() {
        let _ = std::fs::remove_dir_all(&home);
        make_venv(&home, &[]);
        std::fs::write(&ready, "").unwrap();
    }
    drop(lock);
    let packages = |venv: &Path| {
        let python = std::fs::read_dir(venv.join("lib")).unwrap().next().unwrap().unwrap().path();
        python.join("site-packages")
    };
    run(Command::new("cp").arg("-R").arg(packages(&home)).arg(packages(venv).parent().unwrap()));
}

/// A program of the search path.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Runs a command to its end, and gives what it printed.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Makes a wheel of one module, and gives its path.
pub(crate) fn wheel(folder: &Path, name: &str, version: &str, source: &str, requires: &[&str]) -> PathBuf {
    wheel_of(folder, name, version, &[(&format!("{name}.py"), source)], requires)
}

/// Makes a wheel of those files, and gives its path.
pub(crate) fn wheel_of(folder: &Path, name: &str, version: &str, files: &[(&str, &str)], requires: &[&str]) -> PathBuf {
    const PROGRAM: &str = r#"
import json, sys, zipfile
folder, name, version, files, *requires = sys.argv[1:]
path = f"{folder}/{name}-{version}-py3-none-any.whl"
info = f"{name}-{version}.dist-info"
files = dict(json.loads(files))
files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + "".join(f"Requires-Dist: {r}\n" for r in requires)
files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
with zipfile.ZipFile(path, "w") as archive:
    for file, text in files.items():
        archive.writestr(file, text)
print(path)
"#;
    let files = serde_json::to_string(files).unwrap();
    let mut command = Command::new(find("python3").unwrap());
    command.args(["-I", "-c", PROGRAM]).arg(folder).args([name, version, &files]).args(requires);
    PathBuf::from(run(&mut command))
}
