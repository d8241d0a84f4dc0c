//! Whose a container is, in its labels: what the sweep goes by.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `<boot id>:<process namespace>:<process>:<its start>`, or `unknown`.
pub(super) const OWNER_LABEL: &str = "flowgate.owner";
/// When anybody may remove it, in seconds since 1970.
const DEADLINE_LABEL: &str = "flowgate.deadline";

/// A process, told apart from any other of any machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    /// The machine, since it last started.
    boot: String,
    /// Process numbers mean something within their namespace only: flowgates in several containers
    /// may share one engine.
    namespace: String,
    process: u32,
    /// When it started, in clock ticks since the machine did: numbers are used again.
    started: u64,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}:{}", self.boot, self.namespace, self.process, self.started)
    }
}

impl Owner {
    /// This process; `None` where the system does not tell.
    pub(super) fn this_process() -> Option<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
        let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
        let namespace: String = namespace.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
        let process = std::process::id();
        Some(Self { boot, namespace, process, started: start_of(process)? })
    }

    fn parse(label: &str) -> Option<Self> {
        let [boot, namespace, process, started] = label.split(':').collect::<Vec<_>>()[..] else { return None };
        Some(Self {
            boot: boot.to_owned(),
            namespace: namespace.to_owned(),
            process: process.parse().ok()?,
            started: started.parse().ok()?,
        })
    }

    /// Whether this owner lives; `None` where that cannot be told from `here`.
    fn lives(&self, here: &Self) -> Option<bool> {
        let is_here = (&self.boot, &self.namespace) == (&here.boot, &here.namespace);
        is_here.then(|| start_of(self.process) == Some(self.started))
    }
}

/// When a process started; `None` where there is none of that number.
fn start_of(process: u32) -> Option<u64> {
    let stat = fs::read_to_string(Path::new("/proc").join(process.to_string()).join("stat")).ok()?;
    // The second field is a name that may hold blanks and parentheses; the start is the 22nd.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// What the names of containers that build begin with. Their labels would go into the image, so that whose they are
/// stands in their name.
pub(super) const BUILD_PREFIX: &str = "flowgate-build";

/// The name of a container that builds: `flowgate-build_<owner>_<deadline>_<number>`.
pub(super) fn build_name(owner: Option<&Owner>, lifetime: Duration, number: &str) -> String {
    let owner = owner.map_or_else(|| "unknown".to_owned(), Owner::to_string).replace(':', ".");
    format!("{BUILD_PREFIX}_{owner}_{}_{number}", now().saturating_add(lifetime.as_secs()))
}

/// What a name of [`build_name`] says, in the form of labels; empty for any other name.
pub(super) fn labels_of_name(name: &str) -> HashMap<String, String> {
    let parts: Vec<&str> = name.trim_start_matches('/').split('_').collect();
    let [BUILD_PREFIX, owner, deadline, _] = parts[..] else { return HashMap::new() };
    [(OWNER_LABEL.to_owned(), owner.replace('.', ":")), (DEADLINE_LABEL.to_owned(), deadline.to_owned())].into()
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The labels of a container that this process starts.
pub(super) fn labels(owner: Option<&Owner>, lifetime: Duration) -> HashMap<String, String> {
    let owner = owner.map_or_else(|| "unknown".to_owned(), Owner::to_string);
    let deadline = now().saturating_add(lifetime.as_secs());
    [(OWNER_LABEL.to_owned(), owner), (DEADLINE_LABEL.to_owned(), deadline.to_string())].into()
}

/// Whether a container with those labels may be removed: its owner is a dead process of this same machine, or nothing is
/// known of its owner and its deadline has passed. A run may take longer than its deadline.
pub(super) fn is_left_behind(labels: &HashMap<String, String>, here: Option<&Owner>, now: u64) -> bool {
    let Some(owner) = labels.get(OWNER_LABEL) else { return false };
    let overdue =
        labels.get(DEADLINE_LABEL).and_then(|text| text.parse::<u64>().ok()).is_some_and(|deadline| deadline < now);
    match here.zip(Owner::parse(owner)).and_then(|(here, owner)| owner.lives(here)) {
        Some(lives) => !lives,
        None => overdue,
    }
}

/// The same for an owner and a deadline that are not in the labels of a run.
pub(super) fn is_dead_or_overdue(owner: &str, deadline: u64, here: Option<&Owner>, now: u64) -> bool {
    let labels = [(OWNER_LABEL.to_owned(), owner.to_owned()), (DEADLINE_LABEL.to_owned(), deadline.to_string())].into();
    is_left_behind(&labels, here, now)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn of(owner: &Owner, deadline: u64) -> HashMap<String, String> {
        [(OWNER_LABEL.to_owned(), owner.to_string()), (DEADLINE_LABEL.to_owned(), deadline.to_string())].into()
    }

    #[test]
    fn only_the_dead_of_this_machine_and_the_overdue_are_left_behind() {
        let here = Owner::this_process().unwrap();
        let (now, later) = (now(), now() + 60);
        let left = |owner: &Owner, deadline| is_left_behind(&of(owner, deadline), Some(&here), now);
        let dead = Owner { started: here.started + 1, ..here.clone() };
        let gone = Owner { process: u32::MAX, ..here.clone() };
        assert!(!left(&here, later), "it lives");
        assert!(!left(&here, now - 1), "it lives, and takes its time");
        assert!(left(&dead, later) && left(&gone, later));
        for elsewhere in
            [Owner { boot: "another".into(), ..dead.clone() }, Owner { namespace: "1".into(), ..dead.clone() }]
        {
            assert!(!left(&elsewhere, later), "nothing is known about {elsewhere}");
            assert!(left(&elsewhere, now - 1));
        }
    }

    #[test]
    fn labels_that_say_nothing_are_left_alone() {
        let here = Owner::this_process();
        let labels = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<HashMap<_, _>>()
        };
        for pairs in [
            &[][..],
            &[(DEADLINE_LABEL, "1")],
            &[(OWNER_LABEL, "unknown")],
            &[(OWNER_LABEL, "a:b:c:d"), (DEADLINE_LABEL, "soon")],
        ] {
            assert!(!is_left_behind(&labels(pairs), here.as_ref(), now()), "{pairs:?}");
        }
    }

    #[test]
    fn the_name_of_a_build_says_what_labels_say() {
        let here = Owner::this_process();
        let name = build_name(here.as_ref(), Duration::from_secs(60), "1-2");
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)), "{name}");
        let labels = labels_of_name(&format!("/{name}"));
        assert_eq!(labels, super::labels(here.as_ref(), Duration::from_secs(60)));
        assert!(labels_of_name("flowgate-1-2-3").is_empty() && labels_of_name("/other_a_b_c").is_empty());
    }

    #[test]
    fn what_is_written_is_read_again() {
        let here = Owner::this_process().unwrap();
        assert_eq!(Owner::parse(&here.to_string()), Some(here.clone()));
        assert!(!is_left_behind(&labels(Some(&here), Duration::from_secs(60)), Some(&here), now()));
    }
}
