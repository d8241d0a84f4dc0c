//! Questions before something is lost.

use std::io::{BufRead, IsTerminal};

use flowgate_runtime::runtimes::WarmRuntime;

use super::super::Failure;
use crate::say;

/// Asks before something that runs is lost.
pub(super) async fn confirm(runtimes: &[WarmRuntime], what: &str, yes: bool) -> Result<(), Failure> {
    let busy: Vec<String> = runtimes.iter().filter_map(lost).collect();
    if busy.is_empty() || yes {
        return Ok(());
    }
    for line in &busy {
        say::line(line);
    }
    ask(&format!("Really {what}?"), "flows are running, and nothing was changed").await
}

/// What would be lost with a runtime.
fn lost(runtime: &WarmRuntime) -> Option<String> {
    if runtime.is_over() {
        return None;
    }
    let Some(usage) = runtime.usage else {
        return Some(format!("{}: it does not answer, so that flows may be running in it", runtime.name));
    };
    if usage.jobs == 0 {
        return None;
    }
    let processes = if usage.jobs == 1 {
        "1 process of a flow is".to_owned()
    } else {
        format!("{} processes of flows are", usage.jobs)
    };
    let clients = if usage.clients == 1 { "1 client".to_owned() } else { format!("{} clients", usage.clients) };
    Some(format!("{}: {processes} running for {clients}", runtime.name))
}

/// A question that is answered on a terminal. Without one, `why` is the reason to end with 2.
pub(in super::super) async fn ask(question: &str, why: &str) -> Result<(), Failure> {
    let refused = |message: String, hint: &str| Failure { hint: Some(hint.to_owned()), ..Failure::usage(message) };
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(refused(
            format!("cannot ask for confirmation without a terminal: {why}"),
            "use `--yes` to confirm",
        ));
    }
    say::line(&format!("{question} [y/N]"));
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    match answer.await {
        Ok(Ok(line)) if matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes") => Ok(()),
        _ => Err(refused("not confirmed".to_owned(), "nothing was changed")),
    }
}
