//! Computes on a terminal.

use std::fmt::Write;

use flowgate_runtime::computes::Origin;

use super::Shown;
use crate::escape;
use crate::table;

/// A table of computes that fits 80 columns; `*` is the one in use.
pub fn list(computes: &[Shown]) -> String {
    let head = ["NAME", "ENGINE", "SIZE", "RUNTIMES", "HOST"].map(str::to_owned);
    let rows = computes.iter().map(|shown| {
        let name = escape::line(&shown.compute.name);
        let [engine, size, runtimes] = match &shown.answer {
            Ok(about) => [escape::line(&about.engine), about.size.to_string(), about.runtimes.to_string()],
            Err(_) => ["no answer", "-", "-"].map(str::to_owned),
        };
        let host = escape::line(&shown.host().unwrap_or_else(|| "unknown".to_owned()));
        [format!("{name}{}", if shown.is_current { "*" } else { "" }), engine, size, runtimes, host]
    });
    table::render(std::iter::once(head).chain(rows))
}

/// One compute, with all that is known of it.
pub fn show(shown: &Shown) -> String {
    let mut out = format!("{}\n", shown.compute.name);
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(out, "  {name:<10}{value}");
    };
    if let Some(host) = shown.host() {
        row("host", &host);
    }
    row(
        "from",
        match shown.compute.origin {
            Origin::Default => &shown.compute.endpoint.source,
            Origin::Context => "a Docker context",
            Origin::File => "`flowgate compute add`",
        },
    );
    if shown.is_current {
        row("", "used without `--compute`");
    }
    match &shown.answer {
        Err(why) => row("engine", &format!("no answer: {why}")),
        Ok(about) => {
            row("engine", &format!("{}, API {}", about.engine, about.api));
            row("machine", &format!("{}, {}, {}", about.size, about.platform, about.system));
            row("runtimes", &about.runtimes.to_string());
            for lack in &about.lacks {
                row("", &format!("warning: {lack}"));
            }
        }
    }
    escape::terminal(&out)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use flowgate_runtime::computes::{About, Compute};
    use flowgate_runtime::endpoint::{Address, Endpoint};
    use flowgate_runtime::runtimes::Size;

    use super::*;

    fn shown(name: &str, origin: Origin, host: &str) -> Shown {
        let endpoint = Endpoint { source: "the usual socket".to_owned(), address: Address::parse(host, None) };
        let about = About {
            engine: "Docker 28.5.2".to_owned(),
            api: "1.51".to_owned(),
            platform: "linux/amd64".to_owned(),
            system: "Debian GNU/Linux 12 (bookworm)".to_owned(),
            size: Size { cpus: 2.0, memory: 16 << 30 },
            lacks: vec!["it does not limit memory, so that runtimes have no bounds there".to_owned()],
            runtimes: 3,
        };
        Shown { compute: Compute { name: name.to_owned(), origin, endpoint }, is_current: false, answer: Ok(about) }
    }

    #[test]
    fn a_table_of_eighty_columns() {
        let mut default = shown("default", Origin::Default, "unix:///var/run/docker.sock");
        default.is_current = true;
        let mut away = shown("lab", Origin::File, "ssh://me@a-long-name-of-a-machine.of-a-department.example.com");
        away.answer = Err("ssh: connect to host lab port 22: Connection refused".to_owned());
        let broken = Shown { answer: away.answer.clone(), ..shown("bad", Origin::Context, "nothing") };
        let table = list(&[default, away, broken]);
        assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
        expect![[r#"
            NAME      ENGINE         SIZE            RUNTIMES  HOST
            default*  Docker 28.5.2  2 cpus, 16 GiB  3         unix:///var/run/docker.sock
            lab       no answer      -               -         ….of-a-department.example.com
            bad       no answer      -               -         unknown
        "#]]
        .assert_eq(&table);
    }

    #[test]
    fn one_compute_with_all_that_is_known() {
        let mut one = shown("default", Origin::Default, "unix:///var/run/docker.sock");
        one.is_current = true;
        expect![[r#"
            default
              host      unix:///var/run/docker.sock
              from      the usual socket
                        used without `--compute`
              engine    Docker 28.5.2, API 1.51
              machine   2 cpus, 16 GiB, linux/amd64, Debian GNU/Linux 12 (bookworm)
              runtimes  3
                        warning: it does not limit memory, so that runtimes have no bounds there
        "#]]
        .assert_eq(&show(&one));
    }
}
