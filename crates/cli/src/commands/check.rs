//! `flowgate check`.

use flowgate_check::workspace::{self, Options};
use flowgate_check::{Level, Selection};
use flowgate_flow::load::Disk;
use flowgate_report::check::{CheckReport, github, json, statistics, terminal};

use super::{Failure, print};
use crate::args::{CheckArguments, FailOn, Format};

pub(super) fn run(arguments: &CheckArguments) -> Result<u8, Failure> {
    if arguments.statistics && !matches!(arguments.format, Format::Terminal) {
        return Err(Failure::usage("`--statistics` is for `--format terminal`; the other formats hold every finding"));
    }
    let base = std::env::current_dir()
        .map_err(|error| Failure::usage(format!("cannot read the working directory: {error}")))?;
    let mut targets = Vec::new();
    for path in &arguments.paths {
        let found = workspace::targets(&Disk, &base.join(path))
            .map_err(|error| Failure::usage(error.with_path(&path.display().to_string())))?;
        targets.extend(found.targets);
    }
    let selection = Selection {
        select: arguments.select.iter().copied().collect(),
        ignore: arguments.ignore.iter().copied().collect(),
    };
    let options = Options { selection, ..Options::default() };
    let mut report = CheckReport::default();
    workspace::check_all(&Disk, &targets, &options, |project, findings| report.add(&project, &findings, &base))
        .map_err(|error| Failure::usage(error.to_string()))?;
    let text = match arguments.format {
        Format::Terminal if arguments.statistics => statistics::render(&report),
        Format::Terminal => terminal::render(&report, true),
        Format::Github => github::render(&report),
        Format::Json => json::render(&report).map_err(|error| Failure::infrastructure(error.to_string()))?,
    };
    print(&text)?;
    if targets.is_empty() {
        anstream::eprintln!("note: no flow.dag.yaml or flow.flex.yaml was found");
    }
    let failing = match arguments.fail_on {
        FailOn::Error => Some(Level::Error),
        FailOn::Warning => Some(Level::Warning),
        FailOn::Hint => Some(Level::Hint),
        FailOn::Never => None,
    };
    Ok(if failing.is_some_and(|level| report.worst() >= Some(level)) { 3 } else { 0 })
}
