//! `flowgate environment`.

use crate::args::EnvironmentCommand;

use super::Failure;

mod check_version;

pub(super) fn run(command: &EnvironmentCommand) -> Result<u8, Failure> {
    match command {
        EnvironmentCommand::CheckVersion(arguments) => check_version::run(arguments),
    }
}
