//! `flowgate action`.

use super::{Failure, block_on};
use crate::places::Places;

pub(super) fn run() -> Result<u8, Failure> {
    let places = Places::of_this_process()?;
    let host = flowgate_action::Host {
        variables: Places::variables(),
        working_directory: places.working_directory,
        engines: places.engines,
        parallelism: std::thread::available_parallelism().map_or(1, usize::from),
        print: Box::new(|text| {
            // Nobody reads a log that cannot be written to; the exit code still counts.
            let _ = super::print(text);
        }),
    };
    block_on(flowgate_action::main(&host))
}
