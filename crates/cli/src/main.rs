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
            failure.print();
            ExitCode::from(failure.code)
        }
    }
}
