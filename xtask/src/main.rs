//! The project's own commands, run as `cargo xtask COMMAND`.

mod bench;
mod command;
mod docs;
mod fuzz;
mod lock;
mod oracle;
mod python;
mod soak;
mod suite;
mod testbed;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test             formatting, lints, generated docs and all tests, on the test bed where one can be had
  testbed          make what the end-to-end tests need: a Docker engine, flowgate's base image, Neovim
  docs [--check]   write the generated documentation; with --check, only say whether it is current
  oracle           compare `flowgate check` with the real engine over the flows below FLOWGATE_ORACLE_TREE
  bench            measure a check of the tree FLOWGATE_BENCH_TREE, and of generated ones: docs/benchmarks.md
  bench runtime      measure lines in runtimes against the engine alone: docs/benchmarks-runtime.md
  bench environment  measure building environments against `docker build`: docs/benchmarks-environment.md
  soak             many starts and lines, as root, and what they leave: docs/soak.md
  lock             resolve the packages of flowgate's base image anew, and prove them
  fuzz [SECONDS]   run every fuzz target in turn, 900 seconds each unless told otherwise";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["test"] => suite::test(),
        ["testbed"] => testbed::make(),
        ["oracle"] => oracle::compare(),
        ["bench"] => bench::all(),
        ["bench", "environment"] => bench::environment(),
        ["bench", "runtime"] => bench::runtime(),
        ["soak"] => soak::soak(),
        ["lock"] => lock::refresh(),
        ["read", list] => bench::read(None, list),
        ["read", tree, list] => bench::read(Some(tree), list),
        ["fuzz"] => fuzz::all(None),
        ["fuzz", seconds] => fuzz::all(Some(seconds)),
        ["docs"] => docs::write(),
        ["docs", "--check"] => docs::check(),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            command::say(&message);
            ExitCode::FAILURE
        }
    }
}
