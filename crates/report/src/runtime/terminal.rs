//! Runtimes on a terminal.

use std::fmt::Write;
use std::time::Duration;

use flowgate_runtime::runtimes::{State, Transition};

use super::{Shown, short};
use crate::check::plural;
use crate::escape;
use crate::table::{self, end_of};

/// What is shown of a name that a person gave.
const NAME: usize = 20;

/// A table of runtimes that fits 80 columns.
pub fn list(runtimes: &[Shown]) -> String {
    if runtimes.is_empty() {
        return "No runtime. Start one with `flowgate runtime start FLOW`.\n".to_owned();
    }
    let head = ["NAME", "STATE", "UNUSED", "SIZE", "FLOW"].map(str::to_owned);
    let rows = runtimes.iter().map(|shown| {
        let behind = if shown.is_behind == Some(true) { " (behind)" } else { "" };
        [
            escape::line(&end_of(&shown.runtime.name, NAME)),
            shown.runtime.state.to_string(),
            unused(shown),
            shown.runtime.size.to_string(),
            format!("{}{behind}", escape::line(&shown.flow)),
        ]
    });
    table::render(std::iter::once(head).chain(rows))
}

/// One runtime, with all that is known of it. `now` is in seconds since 1970.
pub fn show(shown: &Shown, now: u64) -> String {
    let runtime = &shown.runtime;
    let mut out = format!("{}\n", runtime.name);
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(out, "  {name:<10}{value}");
    };
    match &runtime.reason {
        Some(reason) => row("state", &format!("{}: {reason}", runtime.state)),
        None => row("state", runtime.state.name()),
    }
    row("type", &runtime.kind.to_string());
    row("flow", &shown.flow);
    if shown.is_behind == Some(true) {
        row("", "out of date: `flowgate runtime install` replaces it");
    }
    row("image", &runtime.image);
    row("key", &runtime.key);
    row("size", &runtime.size.to_string());
    match runtime.idle().0 {
        Some(_) => row("idle", &format!("ends after {} without a run", runtime.idle())),
        None => row("idle", "never ends by itself"),
    }
    if let Some(usage) = &runtime.usage {
        let busy = match usage.jobs {
            0 => format!("unused for {}", short(usage.unused)),
            1 => "1 process of a flow".to_owned(),
            jobs => format!("{jobs} processes of flows"),
        };
        let lines = plural(usize::try_from(usage.lines).unwrap_or(usize::MAX), "line");
        row("use", &format!("{busy}, {lines} since the start, {}", clients(usage.clients)));
    }
    if let Some(identity) = &runtime.identity {
        row("identity", identity);
    }
    row("created", &format!("{} ago", short(Duration::from_secs(now.saturating_sub(runtime.created)))));
    escape::terminal(&out)
}

fn clients(count: u64) -> String {
    match count {
        0 => "no other clients".to_owned(),
        1 => "1 other client".to_owned(),
        _ => format!("{count} other clients"),
    }
}

/// How long it was unused, and how long it may be.
fn unused(shown: &Shown) -> String {
    let runtime = &shown.runtime;
    if runtime.state != State::Running {
        return "-".to_owned();
    }
    let unused = match &runtime.usage {
        Some(usage) if usage.jobs > 0 => return "in use".to_owned(),
        Some(usage) => short(usage.unused),
        None => "?".to_owned(),
    };
    match runtime.idle().0 {
        Some(_) => format!("{unused} of {}", runtime.idle()),
        None => unused,
    }
}

/// A change of a state, as a line: after how long it was seen, whose it is, and what is so now.
pub fn transition(transition: &Transition, after: Duration) -> String {
    let state = transition.to.map_or("gone", State::name);
    let reason = transition.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let name = end_of(&transition.runtime, NAME);
    escape::terminal(&format!("{:>4}  {name}  {state}{reason}\n", short(after)))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use flowgate_runtime::runtimes::{Idle, Kind, Size, Usage, WarmRuntime};

    use super::*;

    fn shown() -> Shown {
        let idle = Idle(Some(Duration::from_secs(3600)));
        Shown {
            runtime: WarmRuntime {
                name: "0123456789abcdef".to_owned(),
                kind: Kind::Automatic,
                state: State::Running,
                stage: None,
                reason: None,
                key: "0123456789abcdef".repeat(4),
                flow: "/r/flows/chat".into(),
                image: "flowgate-env:trusted-0123456789abcdef".to_owned(),
                container: "c".to_owned(),
                size: Size { cpus: 2.0, memory: 4 << 30 },
                started_with: idle,
                identity: None,
                created: 1000,
                worker: "w".to_owned(),
                usage: Some(Usage {
                    clients: 1,
                    jobs: 0,
                    lines: 12,
                    unused: Duration::from_secs(130),
                    idle,
                    up: Duration::from_secs(4000),
                }),
            },
            flow: "flows/chat".to_owned(),
            is_behind: Some(true),
        }
    }

    #[test]
    fn a_table_of_eighty_columns() {
        let mut long = shown();
        long.flow = "a/very/long/way/to/a/folder/that/holds/a/flow/and/its/requirements".to_owned();
        (long.runtime.name, long.runtime.kind) = ("the-runtime-of-the-whole-team".to_owned(), Kind::Named);
        (long.runtime.state, long.runtime.usage) = (State::NotAvailable, None);
        let table = list(&[shown(), long]);
        assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
        expect![[r#"
            NAME                  STATE          UNUSED    SIZE           FLOW
            0123456789abcdef      Running        2m of 1h  2 cpus, 4 GiB  …ows/chat (behind)
            …e-of-the-whole-team  Not available  -         2 cpus, 4 GiB  …irements (behind)
        "#]]
        .assert_eq(&table);
        assert!(list(&[]).contains("flowgate runtime start"));
    }

    #[test]
    fn one_runtime_with_all_that_is_known() {
        expect![[r#"
            0123456789abcdef
              state     Running
              type      automatic
              flow      flows/chat
                        out of date: `flowgate runtime install` replaces it
              image     flowgate-env:trusted-0123456789abcdef
              key       0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
              size      2 cpus, 4 GiB
              idle      ends after 1h without a run
              use       unused for 2m, 12 lines since the start, 1 other client
              created   1h ago
        "#]]
        .assert_eq(&show(&shown(), 5000));
    }
}
