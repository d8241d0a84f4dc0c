//! `flowgate action`.

use super::{Failure, block_on, listen};
use crate::places::Places;
use crate::say::{self, Text};

pub(super) fn run() -> Result<u8, Failure> {
    let cancel = listen()?;
    let places = Places::of_this_process()?;
    let host = flowgate_action::Host {
        variables: Places::variables(),
        working_directory: places.working_directory,
        engines: places.engines,
        cancel,
        parallelism: std::thread::available_parallelism().map_or(1, usize::from),
        print: Box::new(|text| {
            // Nobody reads a log that cannot be written to; the exit code still counts.
            let _ = say::print(text, Text::Commands);
        }),
    };
    block_on(flowgate_action::main(&host))
}
