//! The command line: arguments in, exit code out. It wires the crates together and decides
//! nothing that they should decide.

use std::process::ExitCode;

mod args;
mod commands;
mod failure;
mod places;
mod say;
mod status;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = match args::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return commands::not_parsed(&error),
    };
    match commands::dispatch(arguments.command) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            say::failure(&failure);
            ExitCode::from(failure.code)
        }
    }
}
