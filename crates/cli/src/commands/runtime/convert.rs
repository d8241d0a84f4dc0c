//! `flowgate runtime convert`.

use std::io::ErrorKind;

use flowgate_flow::credential::mask;
use flowgate_report::check::display_path;
use flowgate_report::file;
use flowgate_runtime::runtimes::convert;
use similar::TextDiff;

use super::super::{Failure, one_flow};
use super::confirm::ask;
use crate::args::ConvertArguments;
use crate::places::Places;
use crate::say;

/// Shows what changes, and writes it once that is confirmed.
pub(super) async fn run(places: &Places, arguments: &ConvertArguments) -> Result<u8, Failure> {
    let base = &places.working_directory;
    let flow = one_flow(&base.join(&arguments.flow), &arguments.flow.display().to_string())?;
    let requirements = flow.with_file_name("requirements.txt");
    let shown = |path| display_path(path, base);
    let conversion = convert::read(&base.join(&arguments.from)).map_err(Failure::of)?;
    let before = convert::text_of(&flow).map_err(Failure::of)?;
    let lines = match requirements.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        _ => convert::text_of(&requirements).map_err(Failure::of)?,
    };
    let after = convert::with_environment(&before, &conversion)
        .map_err(|why| Failure::usage(format!("{} is not changed: {why}", shown(&flow))))?;
    let (new_lines, notes) = convert::with_requirements(&lines, &conversion);
    for note in conversion.notes.iter().chain(&notes) {
        say::note(&mask(note));
    }
    let mut patch = String::new();
    for (path, before, after) in [(&flow, &before, &after), (&requirements, &lines, &new_lines)] {
        let (before, after) = (mask(before), mask(after));
        let diff = TextDiff::from_lines(before.as_ref(), after.as_ref());
        patch += &diff.unified_diff().header(&shown(path), &shown(path)).to_string();
    }
    say::patch(&patch)?;
    if !arguments.yes {
        ask("Write this?", "nothing was written").await?;
    }
    let failed =
        |path, error| Failure::infrastructure(format!("cannot write {}: {}", shown(path), file::reason(&error)));
    // First what the flow is to name: a flow must not name what is not there.
    file::write(&requirements, new_lines.as_bytes()).map_err(|error| failed(&requirements, error))?;
    file::replace(&flow, before.as_bytes(), after.as_bytes()).map_err(|error| failed(&flow, error))?;
    say::note(&format!("Written. `flowgate runtime start {}` starts its runtime.", arguments.flow.display()));
    Ok(0)
}
