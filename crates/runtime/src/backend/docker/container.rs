//! What a container may do: as little as the worker needs.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

use bollard::models::{ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountType};

use super::super::Limits;
use crate::runtimes::Idle;
use crate::worker;

/// Starts whichever Python the image has; the worker's arguments follow.
const FIND_PYTHON: &str = r#"for name in python python3; do
    if command -v "$name" >/dev/null 2>&1; then exec "$name" "$@"; fi
done
echo "there is no python in $PATH" >&2
exit 127"#;

/// The command that starts it with those arguments.
pub(super) fn python(arguments: &[&str]) -> Vec<String> {
    ["sh", "-c", FIND_PYTHON, "flowgate"].iter().chain(arguments).map(|word| (*word).to_owned()).collect()
}

/// Where the worker keeps archives, and the jobs have their places.
const WORK: &str = "/work";
/// How many jobs a container has places for, each a file system of its own: one that is full is one job's.
const PLACES: usize = 16;
/// The identities that containers take ranges of. A remapped user namespace ends at 65536.
const FIRST_UID: usize = 20_000;
const LAST_UID: usize = 65_000;
/// Files in one place, as folders and links count, too.
const INODES: usize = 100_000;

/// The worker gives every job an identity of its own, and kills by it.
const CAPABILITIES: [&str; 3] = ["SETUID", "SETGID", "KILL"];

/// When a container ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lease {
    /// With its client's stream.
    Stream,
    /// When it was not used for its idle time.
    Stays {
        idle: Idle,
        /// Whether nothing of it is left then.
        ends_for_good: bool,
    },
}

/// The request for a container of that image, which declares those volumes.
pub(super) fn body(
    image: &str,
    volumes: &[String],
    limits: &Limits,
    labels: HashMap<String, String>,
    lease: Lease,
) -> ContainerCreateBody {
    let first_uid = first_uid();
    let entrypoint = ["sh", "-c", FIND_PYTHON, "flowgate"];
    let strings = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    ContainerCreateBody {
        image: Some(image.to_owned()),
        entrypoint: strings(&entrypoint),
        cmd: strings(&worker::arguments()),
        user: Some("0:0".to_owned()),
        working_dir: Some("/".to_owned()),
        // All that the worker reads: a variable of the image must not decide how jobs are kept apart.
        env: Some(environment(lease, first_uid)),
        // The engine would run the image's own as root, beside the worker.
        healthcheck: Some(HealthConfig { test: strings(&["NONE"]), ..HealthConfig::default() }),
        labels: Some(labels),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        open_stdin: Some(true),
        // The engine closes the worker's input when its client goes away.
        stdin_once: Some(true),
        tty: Some(false),
        host_config: Some(host_config(volumes, limits, lease, first_uid)),
        ..ContainerCreateBody::default()
    }
}

/// All that the worker reads: a variable of the image must not decide how jobs are kept apart.
fn environment(lease: Lease, first_uid: usize) -> Vec<String> {
    let lease = match lease {
        Lease::Stream => "stream".to_owned(),
        Lease::Stays { idle: Idle(None), .. } => "none".to_owned(),
        Lease::Stays { idle: Idle(Some(idle)), .. } => idle.as_secs().to_string(),
    };
    [
        "HOME=/tmp".to_owned(),
        format!("FLOWGATE_WORK={WORK}"),
        format!("FLOWGATE_PLACES={PLACES}"),
        "FLOWGATE_ISOLATION=uid".to_owned(),
        format!("FLOWGATE_FIRST_UID={first_uid}"),
        format!("FLOWGATE_LEASE={lease}"),
    ]
    .into()
}

/// What can be written to. Memory that files in them take counts towards the limit of the container.
fn tmpfs(memory: u64, first_uid: usize) -> HashMap<String, String> {
    let mount = |path: String, mode: &str, size: u64| {
        (path, format!("rw,exec,nosuid,nodev,mode={mode},size={size},nr_inodes={INODES}"))
    };
    let shared = [mount("/tmp".to_owned(), "1777", memory / 16), mount(WORK.to_owned(), "0755", memory / 4)];
    // A flow's own files are the job's alone; what it writes to /tmp by name it shares with the others.
    let places = (0..PLACES).map(|place| {
        let (path, options) = mount(format!("{WORK}/{place}"), "0700", memory / 8);
        (path, format!("{options},uid={}", first_uid + 2 * place))
    });
    shared.into_iter().chain(places).collect()
}

/// The first of the identities of a container's jobs. The kernel counts processes by user, not by container: ranges that
/// overlap would share the limit.
fn first_uid() -> usize {
    let ranges = (LAST_UID - FIRST_UID) / (2 * PLACES);
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    FIRST_UID + 2 * PLACES * (random as usize % ranges)
}

fn host_config(volumes: &[String], limits: &Limits, lease: Lease, first_uid: usize) -> HostConfig {
    let memory = i64::try_from(limits.memory).unwrap_or(i64::MAX);
    let tmpfs = tmpfs(limits.memory, first_uid);
    // A volume that an image declares would be a part of the host's disk, without a limit, that jobs can write to. What
    // the image has there stays readable.
    let read_only = |path: &String| Mount {
        target: Some(path.clone()),
        typ: Some(MountType::VOLUME),
        read_only: Some(true),
        ..Mount::default()
    };
    HostConfig {
        mounts: Some(volumes.iter().filter(|path| !tmpfs.contains_key(path.as_str())).map(read_only).collect()),
        network_mode: Some("none".to_owned()),
        readonly_rootfs: Some(true),
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: Some(CAPABILITIES.map(str::to_owned).to_vec()),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        tmpfs: Some(tmpfs),
        memory: Some(memory),
        memory_swap: Some(memory),
        nano_cpus: Some(match lease {
            Lease::Stream => nano_cpus(limits.cpus),
            // The engine was asked what its machine has.
            Lease::Stays { .. } => (limits.cpus * 1e9) as i64,
        }),
        pids_limit: Some(limits.pids),
        auto_remove: Some(matches!(lease, Lease::Stream | Lease::Stays { ends_for_good: true, .. })),
        log_config: Some(log_config(lease)),
        ..HostConfig::default()
    }
}

/// What a client of its stream hears itself is not kept; of one that stays, the end is.
fn log_config(lease: Lease) -> HostConfigLogConfig {
    let (kind, config) = match lease {
        Lease::Stream => ("none", None),
        Lease::Stays { .. } => {
            let options = [("max-size", "1m"), ("max-file", "1")];
            let options = options.map(|(name, value)| (name.to_owned(), value.to_owned()));
            ("json-file", Some(options.into()))
        }
    };
    HostConfigLogConfig { typ: Some(kind.to_owned()), config }
}

/// Processors as the engine counts them. It refuses more than the machine has.
fn nano_cpus(wanted: f64) -> i64 {
    let present = std::thread::available_parallelism().map_or(1.0, |count| count.get() as f64);
    (wanted.clamp(0.01, present) * 1e9) as i64
}

/// Whether a text can be an image's name: it becomes part of a request's path.
pub(super) fn is_image_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    name.len() <= 512
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(allowed)
        && !name.contains("..")
        && !name.contains("//")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_has_no_network_no_writable_mount_and_three_capabilities() {
        let volumes = ["/data".to_owned(), "/tmp".to_owned()];
        let body = body("sha256:1", &volumes, &Limits::default(), HashMap::new(), Lease::Stream);
        assert_eq!(body.healthcheck.unwrap().test, Some(vec!["NONE".to_owned()]));
        assert!(body.env.unwrap().contains(&"FLOWGATE_ISOLATION=uid".to_owned()));
        let host = body.host_config.unwrap();
        let mounts: Vec<_> = host.mounts.into_iter().flatten().map(|mount| (mount.target, mount.read_only)).collect();
        assert_eq!(mounts, [(Some("/data".to_owned()), Some(true))]);
        assert_eq!(host.network_mode.as_deref(), Some("none"));
        assert_eq!((host.readonly_rootfs, host.auto_remove, host.privileged), (Some(true), Some(true), None));
        assert_eq!(host.cap_drop, Some(vec!["ALL".to_owned()]));
        assert_eq!(host.cap_add, Some(vec!["SETUID".to_owned(), "SETGID".to_owned(), "KILL".to_owned()]));
        assert_eq!(host.security_opt, Some(vec!["no-new-privileges".to_owned()]));
        assert_eq!((host.memory, host.memory_swap, host.pids_limit), (Some(4 << 30), Some(4 << 30), Some(1024)));
        assert_eq!((host.binds, host.port_bindings), (None, None));
        assert!(host.tmpfs.unwrap().values().all(|options| options.contains("nosuid") && options.contains("size=")));
    }

    #[test]
    fn only_names_of_images_become_part_of_a_request() {
        for good in ["python", "flowgate-base:1.18.5", "host.example:5000/a/b@sha256:0123"] {
            assert!(is_image_name(good), "{good}");
        }
        for bad in ["", "../containers/x", "a/../../b", "a?b=c", "a b", "a\nb", "-a", "/a", "a//b", "ä"] {
            assert!(!is_image_name(bad), "{bad}");
        }
    }

    #[test]
    fn no_more_processors_are_asked_for_than_there_are() {
        assert!(nano_cpus(1e9) >= 1_000_000_000 && nano_cpus(1e9) < 10_000_000_000_000);
        assert_eq!(nano_cpus(0.5), 500_000_000);
        assert_eq!(nano_cpus(-1.0), 10_000_000);
    }
}
