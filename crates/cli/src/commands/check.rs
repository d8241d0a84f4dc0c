//! `flowgate check`.

use std::path::PathBuf;

use flowgate_check::Selection;
use flowgate_check::repair::{Repair, Wanted, repair};
use flowgate_check::workspace::{self, Found, Options, Target};
use flowgate_flow::load::{Disk, FileSystem, Overlay};
use flowgate_report::check::fixed::{self, Tense};
use flowgate_report::check::{CheckReport, Checked, display_path, github, json, junit, sarif, statistics, terminal};

use self::stdin::Stdin;
use super::Failure;
use crate::args::{CheckArguments, Format};
use crate::say::{self, Text};

mod explain;
mod fix;
mod stdin;

pub(super) fn run(arguments: &CheckArguments) -> Result<u8, Failure> {
    for (given, option) in [(arguments.statistics, "--statistics"), (arguments.explain_why, "--explain-why")] {
        if given && !matches!(arguments.format, Format::Terminal) {
            return Err(Failure::usage(format!(
                "`{option}` is for `--format terminal`; the other formats hold findings"
            )));
        }
    }
    let base = std::env::current_dir()
        .map_err(|error| Failure::usage(format!("cannot read the working directory: {error}")))?;
    let mut fs = Overlay::new(&Disk);
    let stdin = arguments.stdin_filename.as_ref().map(|path| stdin::read(base.join(path))).transpose()?;
    if let Some(Stdin { path, text }) = &stdin {
        fs.insert(path, text.clone());
    }
    Check { arguments, base, fs, stdin }.run()
}

/// One call of the command.
struct Check<'c> {
    arguments: &'c CheckArguments,
    /// The working directory.
    base: PathBuf,
    fs: Overlay<'c>,
    stdin: Option<Stdin>,
}

impl Check<'_> {
    fn run(&self) -> Result<u8, Failure> {
        if self.arguments.explain_why {
            let named: Vec<PathBuf> = self.arguments.paths.iter().map(|path| self.base.join(path)).collect();
            say::print(&explain::explain(&self.fs, &self.find()?, &named, &self.base)?, Text::People)?;
            return Ok(0);
        }
        if self.arguments.diff {
            return self.diff(&self.find()?.targets);
        }
        if !self.arguments.fix {
            return self.check();
        }
        let targets = self.find()?.targets;
        if let Some(stdin) = &self.stdin {
            return self.fix_stdin(stdin, &targets);
        }
        let repair = self.repair(&targets);
        let written = fix::write_all(&repair, &self.base);
        // What is on the disk now, also where not every fix could be written.
        let report = self.report(&self.fs, &targets);
        if written.is_ok() {
            let lines = fixed::render(&repair, &self.base, Tense::Done);
            match self.arguments.format {
                Format::Terminal => say::print(&lines, Text::People)?,
                _ => say::lines(&lines),
            }
        }
        self.show(&report, targets.len())?;
        written?;
        Ok(self.code(&report))
    }

    /// Without a change: each file is checked when it is found.
    fn check(&self) -> Result<u8, Failure> {
        let (report, count) = match &self.stdin {
            Some(stdin) => (self.report(&self.fs, &[self.target(stdin)?]), 1),
            None => {
                let (mut report, mut count) = (CheckReport::default(), 0);
                let made = |project, findings: Vec<_>| Checked::new(&project, &findings, &self.base);
                for path in &self.arguments.paths {
                    let at = self.base.join(path);
                    count += workspace::check_path(&self.fs, &at, &self.options(), made, |one| report.add(one))
                        .map_err(|error| Failure::usage(error.with_path(&path.display().to_string())))?;
                }
                (report, count)
            }
        };
        self.show(&report, count)?;
        Ok(self.code(&report))
    }

    fn code(&self, report: &CheckReport) -> u8 {
        let failing = self.arguments.fail_on.level();
        if failing.is_some_and(|level| report.worst() >= Some(level)) { 3 } else { 0 }
    }

    fn find(&self) -> Result<Found, Failure> {
        let mut all = Found::default();
        if let Some(stdin) = &self.stdin {
            return Ok(Found { targets: vec![self.target(stdin)?], ..all });
        }
        for path in &self.arguments.paths {
            let found = workspace::targets(&self.fs, &self.base.join(path))
                .map_err(|error| Failure::usage(error.with_path(&path.display().to_string())))?;
            all.targets.extend(found.targets);
            all.excluded.extend(found.excluded);
        }
        Ok(all)
    }

    fn target(&self, stdin: &Stdin) -> Result<Target, Failure> {
        workspace::target_of_file(&self.fs, &stdin.path)
            .map_err(|error| Failure::usage(error.with_path(&display_path(&stdin.path, &self.base))))
    }

    fn options(&self) -> Options {
        let selection = Selection {
            select: self.arguments.select.iter().copied().collect(),
            ignore: self.arguments.ignore.iter().copied().collect(),
        };
        Options { selection, ..Options::default() }
    }

    fn report(&self, fs: &(dyn FileSystem + Sync), targets: &[Target]) -> CheckReport {
        let mut report = CheckReport::default();
        let made = |_, project, findings: Vec<_>| Checked::new(&project, &findings, &self.base);
        workspace::check_all(fs, targets, &self.options(), made, |one| report.add(one));
        report
    }

    fn show(&self, report: &CheckReport, targets: usize) -> Result<(), Failure> {
        say::print(&self.render(report)?, self.kind())?;
        if targets == 0 {
            say::note("no flow.dag.yaml or flow.flex.yaml was found");
        }
        Ok(())
    }

    fn render(&self, report: &CheckReport) -> Result<String, Failure> {
        let failed =
            |error: &dyn std::fmt::Display| Failure::infrastructure(format!("cannot write the report: {error}"));
        Ok(match self.arguments.format {
            Format::Terminal if self.arguments.statistics => statistics::render(report, self.arguments.unsafe_fixes),
            Format::Terminal => terminal::render(report, true, self.arguments.unsafe_fixes),
            Format::Github => github::render(report),
            Format::Json => json::render(report).map_err(|error| failed(&error))?,
            Format::Sarif => sarif::render(report).map_err(|error| failed(&error))?,
            Format::Junit => junit::render(report, self.arguments.fail_on.level()).map_err(|error| failed(&error))?,
        })
    }

    fn kind(&self) -> Text {
        match self.arguments.format {
            Format::Terminal => Text::People,
            Format::Github => Text::Commands,
            Format::Json | Format::Sarif => Text::Json,
            Format::Junit => Text::Xml,
        }
    }

    fn repair(&self, targets: &[Target]) -> Repair {
        let wanted = Wanted {
            r#unsafe: self.arguments.unsafe_fixes,
            only: self.stdin.as_ref().map(|stdin| stdin.path.as_path()),
        };
        repair(&self.fs, targets, &self.options(), wanted)
    }

    /// The fixed text to standard output, for the program that gave it; the rest to standard error.
    fn fix_stdin(&self, stdin: &Stdin, targets: &[Target]) -> Result<u8, Failure> {
        let repair = self.repair(targets);
        let text = repair.files.values().next().map_or(stdin.text.as_slice(), |change| change.after.as_bytes());
        let mut fs = self.fs.clone();
        fs.insert(&stdin.path, text);
        let report = self.report(&fs, targets);
        say::lines(&fixed::render(&repair, &self.base, Tense::Done));
        say::aside(&self.render(&report)?, self.kind());
        say::exactly(text)?;
        Ok(self.code(&report))
    }

    fn diff(&self, targets: &[Target]) -> Result<u8, Failure> {
        let repair = self.repair(targets);
        say::patch(&fix::diff(&repair, &self.base))?;
        say::lines(&format!("{}{}\n", fixed::render(&repair, &self.base, Tense::Would), fixed::count(&repair)));
        Ok(if repair.files.is_empty() { 0 } else { 3 })
    }
}
