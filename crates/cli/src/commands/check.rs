//! `flowgate check`.

use std::path::PathBuf;

use flowgate_check::Selection;
use flowgate_check::repair::{Repair, Wanted, repair};
use flowgate_check::workspace::{self, Options, Target};
use flowgate_flow::load::{Disk, FileSystem, Overlay};
use flowgate_report::check::fixed::{self, Tense};
use flowgate_report::check::{CheckReport, github, json, junit, sarif, statistics, terminal};

use super::{Failure, print};
use crate::args::{CheckArguments, Format};

mod fix;
mod write;

pub(super) fn run(arguments: &CheckArguments) -> Result<u8, Failure> {
    if arguments.statistics && !matches!(arguments.format, Format::Terminal) {
        return Err(Failure::usage("`--statistics` is for `--format terminal`; the other formats hold every finding"));
    }
    let base = std::env::current_dir()
        .map_err(|error| Failure::usage(format!("cannot read the working directory: {error}")))?;
    Check { arguments, base, fs: Overlay::new(&Disk) }.run()
}

/// One call of the command.
struct Check<'c> {
    arguments: &'c CheckArguments,
    /// The working directory.
    base: PathBuf,
    fs: Overlay<'c>,
}

impl Check<'_> {
    fn run(&self) -> Result<u8, Failure> {
        let targets = self.targets()?;
        if self.arguments.diff {
            return self.diff(&targets);
        }
        let fixed = if self.arguments.fix { Some(self.repair(&targets)?) } else { None };
        let written = fixed.as_ref().map_or(Ok(()), |repair| fix::write_all(repair, &self.base));
        // What is on the disk now, also where not every fix could be written.
        let report = self.report(&self.fs, &targets)?;
        if let (Some(repair), Ok(())) = (&fixed, &written) {
            let lines = fixed::render(repair, &self.base, Tense::Done);
            match self.arguments.format {
                Format::Terminal => print(&lines)?,
                _ => anstream::eprint!("{lines}"),
            }
        }
        self.show(&report)?;
        if targets.is_empty() {
            anstream::eprintln!("note: no flow.dag.yaml or flow.flex.yaml was found");
        }
        written?;
        let failing = self.arguments.fail_on.level();
        Ok(if failing.is_some_and(|level| report.worst() >= Some(level)) { 3 } else { 0 })
    }

    fn targets(&self) -> Result<Vec<Target>, Failure> {
        let mut targets = Vec::new();
        for path in &self.arguments.paths {
            let found = workspace::targets(&self.fs, &self.base.join(path))
                .map_err(|error| Failure::usage(error.with_path(&path.display().to_string())))?;
            targets.extend(found.targets);
        }
        Ok(targets)
    }

    fn options(&self) -> Options {
        let selection = Selection {
            select: self.arguments.select.iter().copied().collect(),
            ignore: self.arguments.ignore.iter().copied().collect(),
        };
        Options { selection, ..Options::default() }
    }

    fn report(&self, fs: &(dyn FileSystem + Sync), targets: &[Target]) -> Result<CheckReport, Failure> {
        let mut report = CheckReport::default();
        let add = |project, findings: Vec<_>| report.add(&project, &findings, &self.base);
        workspace::check_all(fs, targets, &self.options(), add).map_err(|error| Failure::usage(error.to_string()))?;
        Ok(report)
    }

    fn show(&self, report: &CheckReport) -> Result<(), Failure> {
        print(&self.render(report)?)
    }

    fn render(&self, report: &CheckReport) -> Result<String, Failure> {
        let failed =
            |error: &dyn std::fmt::Display| Failure::infrastructure(format!("cannot write the report: {error}"));
        Ok(match self.arguments.format {
            Format::Terminal if self.arguments.statistics => statistics::render(report),
            Format::Terminal => terminal::render(report, true, self.arguments.unsafe_fixes),
            Format::Github => github::render(report),
            Format::Json => json::render(report).map_err(|error| failed(&error))?,
            Format::Sarif => sarif::render(report).map_err(|error| failed(&error))?,
            Format::Junit => junit::render(report, self.arguments.fail_on.level()).map_err(|error| failed(&error))?,
        })
    }

    fn repair(&self, targets: &[Target]) -> Result<Repair, Failure> {
        let wanted = Wanted { r#unsafe: self.arguments.unsafe_fixes, only: None };
        repair(&self.fs, targets, &self.options(), wanted).map_err(|error| Failure::usage(error.to_string()))
    }

    fn diff(&self, targets: &[Target]) -> Result<u8, Failure> {
        let repair = self.repair(targets)?;
        fix::print_exactly(&fix::diff(&repair, &self.base))?;
        anstream::eprint!("{}", fixed::render(&repair, &self.base, Tense::Would));
        anstream::eprintln!("{}", fixed::count(&repair));
        Ok(if repair.files.is_empty() { 0 } else { 3 })
    }
}
