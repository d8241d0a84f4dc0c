//! Warm runtimes, which stay between runs: what people start, look at, change and stop.
//!
//! Nothing is remembered on this machine: the engine's containers and their labels are the truth, a container's name is
//! the lock of its runtime, and what changes is asked of the broker inside. So a flowgate that is killed leaves nothing that
//! the next one does not find, and two of them, on two machines with one engine, agree.
//!
//! The state machine, in the hosted product's public names:
//!
//! | from | when | to |
//! |---|---|---|
//! | (none) | `start` creates the container | Not available |
//! | Not available | the broker answers | Running |
//! | Not available | the image gives no runtime | (none): what did not start is removed |
//! | Running | its idle time has passed | (none); Not available where it is named |
//! | Running | `stop` | Stopping, and then (none) |
//! | Running | the broker fails | Failed where it is named, else (none) |
//! | Running | the engine ends | Not available where it is named, else (none) |
//! | Not available or Failed, its container having ended | the next use | a new container, as the old one was |

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

pub mod convert;
pub mod size;
pub mod update;

pub use size::Size;

/// How long a runtime that a person started stays without being used. The hosted product documents one hour, too.
pub const DEFAULT_IDLE: Duration = Duration::from_secs(3600);
/// The longest that can be asked for; `never` is longer.
const MAX_IDLE: Duration = Duration::from_secs(366 * 86_400);

/// Who ends a runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It ends by itself after its idle time, and it is gone after a restart of the engine.
    Automatic,
    /// It has a name that a person gave it, and stays until a person stops it.
    Named,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Automatic => "automatic",
            Self::Named => "named",
        })
    }
}

/// What a runtime is doing, in the hosted product's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It does not answer yet, or not any more.
    NotAvailable,
    /// It takes lines.
    Running,
    /// It ended with an error.
    Failed,
    /// It is being removed.
    Stopping,
}

impl State {
    /// The public name.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotAvailable => "Not available",
            Self::Running => "Running",
            Self::Failed => "Failed",
            Self::Stopping => "Stopping",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How far a runtime is that does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It has a container, and does not answer yet.
    Starting,
    /// Its container is paused.
    Paused,
    /// It does not answer any more.
    Silent,
    /// Its container has ended.
    Ended,
}

impl Phase {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Paused => "paused",
            Self::Silent => "silent",
            Self::Ended => "ended",
        }
    }
}

/// How long a runtime may be unused; `None` is for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idle(pub Option<Duration>);

impl FromStr for Idle {
    type Err = String;

    /// `90s`, `10m`, `1h`, `2d` or `never`.
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self(None));
        }
        let fault = || "write it as `90s`, `10m`, `1h`, `2d` or `never`".to_owned();
        let unit = text.chars().last().ok_or_else(fault)?;
        let seconds: u64 = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return Err(fault()),
        };
        let count = text.strip_suffix(unit).unwrap_or_default();
        if !count.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(fault());
        }
        let count: u64 = count.parse().map_err(|_| fault())?;
        let idle = Duration::from_secs(count.saturating_mul(seconds));
        match (Duration::from_secs(1)..=MAX_IDLE).contains(&idle) {
            true => Ok(Self(Some(idle))),
            false => Err("from one second to 366 days; `never` is longer".to_owned()),
        }
    }
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(idle) = self.0 else { return f.write_str("never") };
        let seconds = idle.as_secs();
        match seconds {
            _ if seconds > 0 && seconds.is_multiple_of(86_400) => write!(f, "{}d", seconds / 86_400),
            _ if seconds > 0 && seconds.is_multiple_of(3600) => write!(f, "{}h", seconds / 3600),
            _ if seconds > 0 && seconds.is_multiple_of(60) => write!(f, "{}m", seconds / 60),
            _ => write!(f, "{seconds}s"),
        }
    }
}

/// A name that a person may give a runtime.
///
/// # Errors
/// What a name looks like; a sentence without its end.
pub fn check_name(name: &str) -> Result<(), String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.len() > 63 || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err("a runtime's name begins with a letter or a digit, and has at most 63 characters".to_owned());
    }
    if !name.chars().all(is_word) {
        return Err("a runtime's name has letters, digits, `.`, `_` and `-` only".to_owned());
    }
    if is_automatic_name(name) {
        return Err("a name of 16 hexadecimal digits is that of an automatic runtime".to_owned());
    }
    Ok(())
}

/// The name of the automatic runtime of an environment: the start of its key.
pub fn automatic_name(key: &str) -> &str {
    key.get(..16).unwrap_or(key)
}

fn is_automatic_name(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A runtime as the engine and the broker have it.
#[derive(Debug, Clone, PartialEq)]
pub struct WarmRuntime {
    /// Its name: what commands take.
    pub name: String,
    /// Who ends it.
    pub kind: Kind,
    /// What it is doing.
    pub state: State,
    /// How far it is, where it is not running.
    pub stage: Option<Phase>,
    /// Why, where it is not running: a lower-case fragment.
    pub reason: Option<String>,
    /// The content address of its environment.
    pub key: String,
    /// The folder of the flow that it was started for.
    pub flow: PathBuf,
    /// The name of its image.
    pub image: String,
    /// The engine's id of its container.
    pub container: String,
    /// What it may use.
    pub size: Size,
    /// The idle time that it was started with; the broker knows a later one.
    pub started_with: Idle,
    /// As which identity packages were installed, where one was used.
    pub identity: Option<String>,
    /// When it was created, in seconds since 1970.
    pub created: u64,
    /// The digest of the worker that it was started with.
    pub worker: String,
    /// What the broker says; `None` where it does not run.
    pub usage: Option<Usage>,
}

impl WarmRuntime {
    /// Whether its container has ended, so that its next use starts it again.
    pub fn is_over(&self) -> bool {
        self.stage == Some(Phase::Ended)
    }

    /// How long it may be unused, as far as is known.
    pub fn idle(&self) -> Idle {
        self.usage.map_or(self.started_with, |usage| usage.idle)
    }
}

/// A change of a runtime's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// When it was seen, in seconds since 1970.
    pub time: u64,
    /// The runtime's name.
    pub runtime: String,
    /// What it was; `None` where it was not there, or was not known.
    pub from: Option<State>,
    /// What it is; `None` where it is gone.
    pub to: Option<State>,
    /// How far it is, where it is not running.
    pub stage: Option<Phase>,
    /// Why, where it is not running: a lower-case fragment.
    pub reason: Option<String>,
}

/// How much a running runtime has to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// Flowgates that are attached, the asking one not counted.
    pub clients: u64,
    /// Processes of flows.
    pub jobs: u64,
    /// Lines, aggregations and nodes since the start.
    pub lines: u64,
    /// How long there has been no job.
    pub unused: Duration,
    /// The idle time in force.
    pub idle: Idle,
    /// How long it has been running.
    pub up: Duration,
}

/// Which warm runtimes a run may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WarmUse {
    /// None: the run starts its own, as untrusted code must.
    #[default]
    Never,
    /// The one of its environment, where that runs; a named one that has ended is started again.
    IfRunning,
    /// The same; where there is none, an automatic one is started, and stays.
    Start,
}

/// What a person wants to start.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The name; without one, the runtime is automatic.
    pub name: Option<String>,
    /// How long it may be unused. Default: an hour for an automatic one, for ever for a named one.
    pub idle: Option<Idle>,
    /// What it may use.
    pub size: Option<Size>,
    /// The flow's folder.
    pub flow: PathBuf,
    /// As which identity packages were installed.
    pub identity: Option<String>,
}

/// What came of a start.
#[derive(Debug, Clone, PartialEq)]
pub struct Started {
    /// The runtime.
    pub runtime: WarmRuntime,
    /// Whether it was there before.
    pub was_running: bool,
    /// Full sentences about what else was done.
    pub notes: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_times_are_read_and_written() {
        for (text, seconds) in [("90s", 90), ("10m", 600), ("1h", 3600), ("2d", 172_800), ("1s", 1)] {
            let idle: Idle = text.parse().unwrap();
            assert_eq!((idle.0, idle.to_string().as_str()), (Some(Duration::from_secs(seconds)), text));
        }
        assert_eq!("never".parse(), Ok(Idle(None)));
        assert_eq!("7200s".parse::<Idle>().unwrap().to_string(), "2h");
        for bad in
            ["", "h", "0s", "5", "1.5h", "-1h", "+1h", "1 h", "1w", "400d", "99999999999999999999h", "Never", "é"]
        {
            assert!(bad.parse::<Idle>().is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_those_of_containers() {
        for good in ["a", "team-1", "A.b_c", "0123456789abcdeg", "0123456789abcde"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", "-a", "a b", "a/b", "ä", "0123456789abcdef", &"a".repeat(64)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
