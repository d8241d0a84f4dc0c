//! The command line: arguments in, exit code out. It wires the crates together and decides
//! nothing that they should decide.

use std::process::ExitCode;

mod args;
mod commands;
mod places;
mod status;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = args::Arguments::parse();
    match commands::dispatch(arguments.command) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            let shown = flowgate_report::escape::terminal(&failure.message);
            anstream::eprintln!("\u{1b}[1;31merror\u{1b}[0m: {shown}");
            if let Some(hint) = &failure.hint {
                anstream::eprintln!("  \u{1b}[1mhelp\u{1b}[0m: {}", flowgate_report::escape::terminal(hint));
            }
            ExitCode::from(failure.code)
        }
    }
}
