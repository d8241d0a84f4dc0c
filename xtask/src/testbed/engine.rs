//! The Docker engine: the one that answers, else Debian's own, started here.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::packages::is_root;
use crate::command::{Result, at, output, run, say, tail};

const SOCKET: &str = "/var/run/docker.sock";
/// Where Debian's engine and its containerd note their process numbers.
const PID_FILES: [(&str, &str); 2] =
    [("/var/run/docker.pid", "dockerd"), ("/var/run/docker/containerd/containerd.pid", "containerd")];
const CGROUPS: &str = "/sys/fs/cgroup";
const READY_WITHIN: Duration = Duration::from_secs(60);

/// True where an engine answers without our doing.
pub(crate) fn answers_already() -> bool {
    socket().is_ok_and(|socket| answers(&socket))
}

/// Makes sure that an engine answers. One that is started here outlives this process.
///
/// # Errors
/// None answers and none can be started.
pub(crate) fn start(folder: &Path) -> Result<()> {
    let socket = socket()?;
    if answers(&socket) {
        return Ok(());
    }
    if socket != Path::new(SOCKET) {
        return Err(format!("no Docker engine answers at {} (from DOCKER_HOST)", socket.display()));
    }
    if !is_root() {
        return Err(format!("no Docker engine answers at {SOCKET}; start yours, or run this as root"));
    }
    mount_cgroups()?;
    for (file, program) in PID_FILES {
        forget_if_stale(Path::new(file), program)?;
    }
    let path = folder.join("dockerd.log");
    let log = File::create(&path).map_err(at(&path))?;
    let twin = log.try_clone().map_err(at(&path))?;
    say(&format!("testbed: starting dockerd, log in {}", path.display()));
    // A session of its own, so that no terminal or runner that goes away takes it along.
    let mut dockerd = Command::new("setsid");
    dockerd.arg("dockerd").stdin(Stdio::null()).stdout(log).stderr(twin).current_dir("/");
    let mut child = dockerd.spawn().map_err(|error| format!("cannot start dockerd: {error}"))?;
    let deadline = Instant::now() + READY_WITHIN;
    while !answers(&socket) {
        let ended = child.try_wait().map_err(|error| format!("cannot watch dockerd: {error}"))?;
        let said = || tail(&fs::read_to_string(&path).unwrap_or_default());
        if let Some(status) = ended {
            return Err(format!("dockerd ended with {status}:\n{}", said()));
        }
        if Instant::now() > deadline {
            return Err(format!("dockerd does not answer after {} s:\n{}", READY_WITHIN.as_secs(), said()));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Removes the note of a process that is gone. An engine that was killed leaves it behind, and the
/// next one refuses to start, or waits for nothing, where another process has the number by now.
fn forget_if_stale(file: &Path, program: &str) -> Result<()> {
    let Ok(pid) = fs::read_to_string(file) else { return Ok(()) };
    let running = fs::read_to_string(Path::new("/proc").join(pid.trim()).join("comm")).unwrap_or_default();
    if running.trim() == program {
        return Ok(());
    }
    say(&format!("testbed: removing {}, whose {program} is gone", file.display()));
    fs::remove_file(file).map_err(at(file))
}

/// Where the engine listens.
fn socket() -> Result<PathBuf> {
    match std::env::var("DOCKER_HOST") {
        Ok(host) if !host.is_empty() => match host.strip_prefix("unix://") {
            Some(path) => Ok(PathBuf::from(path)),
            None => {
                Err(format!("DOCKER_HOST={host} is not a local socket (unix://...), the only kind that the tests use"))
            }
        },
        _ => Ok(PathBuf::from(SOCKET)),
    }
}

/// True where an engine answers a ping.
fn answers(socket: &Path) -> bool {
    let ping = || -> std::io::Result<bool> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /_ping HTTP/1.0\r\n\r\n")?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        Ok(status.ends_with(b" 200"))
    };
    ping().unwrap_or(false)
}

/// Mounts the control groups where no init system did: without them dockerd does not start.
fn mount_cgroups() -> Result<()> {
    let mounts = fs::read_to_string("/proc/mounts").map_err(at(Path::new("/proc/mounts")))?;
    if mounts.lines().any(|line| line.split(' ').nth(1) == Some(CGROUPS)) {
        return Ok(());
    }
    say("testbed: mounting control groups");
    let table = fs::read_to_string("/proc/cgroups").map_err(at(Path::new("/proc/cgroups")))?;
    let enabled: Vec<&str> = table
        .lines()
        .filter(|line| !line.starts_with('#') && line.ends_with('1'))
        .filter_map(|line| line.split('\t').next())
        .collect();
    run(Command::new("mount").args(["-t", "tmpfs", "-o", "mode=755", "cgroup", CGROUPS]))?;
    let mut mounted = 0;
    for controller in enabled {
        let path = Path::new(CGROUPS).join(controller);
        fs::create_dir_all(&path).map_err(at(&path))?;
        // One that the other hierarchy holds cannot be mounted here.
        match output(Command::new("mount").args(["-t", "cgroup", "-o", controller, "cgroup"]).arg(&path)) {
            Ok(_) => mounted += 1,
            Err(_) => fs::remove_dir(&path).map_err(at(&path))?,
        }
    }
    if mounted == 0 {
        run(Command::new("umount").arg(CGROUPS))?;
        run(Command::new("mount").args(["-t", "cgroup2", "cgroup2", CGROUPS]))?;
    }
    Ok(())
}
