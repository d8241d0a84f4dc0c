//! `flowgate check`.

use std::path::PathBuf;

use flowgate_check::repair::{Repair, Wanted, repair};
use flowgate_check::workspace::{self, Found, Options, Target};
use flowgate_check::{Finding, Selection};
use flowgate_flow::Project;
use flowgate_flow::load::{FileSystem, Overlay};
use flowgate_report::check::fixed::{self, Tense};
use flowgate_report::check::{CheckReport, Checked, display_path, github, json, junit, sarif, statistics, terminal};

use self::stdin::Stdin;
use super::{Failure, no_flow, say_if_not_text};
use crate::args::{CheckArguments, Format};
use crate::places;
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
    let base = places::working_directory()?;
    let within = match &arguments.stdin_filename {
        Some(path) => super::within(&base, std::slice::from_ref(path)),
        None => super::within(&base, &arguments.paths),
    };
    let mut fs = Overlay::new(&within);
    let stdin = arguments.stdin_filename.as_ref().map(|path| stdin::read(base.join(path))).transpose()?;
    if let Some(Stdin { path, text }) = &stdin {
        fs.insert(path, text.clone());
    }
    Check { arguments, base, fs, stdin }.run()
}

/// What was found at the paths that were named.
#[derive(Default)]
struct Searched {
    /// Those at which there is nothing to check.
    empty: Vec<String>,
    /// Those at which everything is excluded.
    excluded: Vec<String>,
}

impl Searched {
    fn add(&mut self, named: String, found: usize, excluded: usize) {
        match (found, excluded) {
            (0, 0) => self.empty.push(named),
            (0, _) => self.excluded.push(named),
            _ => {}
        }
    }

    /// The exit code, once everything is shown.
    ///
    /// # Errors
    /// A path at which nothing was found.
    fn judge(&self, code: u8) -> Result<u8, Failure> {
        for named in &self.excluded {
            say::note(&format!("{named}: check.exclude of flowgate.yaml leaves everything out"));
        }
        self.empty.first().map_or(Ok(code), |named| Err(no_flow(named)))
    }
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
            say::print(&explain::explain(&self.fs, &self.find()?.0, &named, &self.base)?, Text::People)?;
            return Ok(0);
        }
        if !self.arguments.fix && !self.arguments.diff {
            return self.check();
        }
        let (Found { targets, .. }, searched) = self.find()?;
        if self.arguments.diff {
            let code = self.diff(&targets)?;
            return searched.judge(code);
        }
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
        say::print(&self.render(&report)?, self.kind())?;
        written?;
        searched.judge(self.code(&report))
    }

    /// Without a change: each file is checked when it is found.
    fn check(&self) -> Result<u8, Failure> {
        let mut searched = Searched::default();
        let report = match &self.stdin {
            Some(stdin) => self.report(&self.fs, &[self.target(stdin)?]),
            None => {
                let mut report = CheckReport::default();
                let made = |project, findings: Vec<_>| self.checked(&project, &findings);
                for path in &self.arguments.paths {
                    let (at, named) = (self.base.join(path), path.display().to_string());
                    let (count, excluded) =
                        workspace::check_path(&self.fs, &at, &self.options(), made, |one| report.add(one))
                            .map_err(|error| Failure::usage(error.with_path(&named)))?;
                    searched.add(named, count, excluded.len());
                }
                report
            }
        };
        say::print(&self.render(&report)?, self.kind())?;
        searched.judge(self.code(&report))
    }

    fn code(&self, report: &CheckReport) -> u8 {
        let failing = self.arguments.fail_on.level();
        if failing.is_some_and(|level| report.worst() >= Some(level)) { 3 } else { 0 }
    }

    fn find(&self) -> Result<(Found, Searched), Failure> {
        let (mut all, mut searched) = (Found::default(), Searched::default());
        if let Some(stdin) = &self.stdin {
            return Ok((Found { targets: vec![self.target(stdin)?], ..all }, searched));
        }
        for path in &self.arguments.paths {
            let named = path.display().to_string();
            let found = workspace::targets(&self.fs, &self.base.join(path))
                .map_err(|error| Failure::usage(error.with_path(&named)))?;
            searched.add(named, found.targets.len(), found.excluded.len());
            all.targets.extend(found.targets);
            all.excluded.extend(found.excluded);
        }
        Ok((all, searched))
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
        let made = |_, project, findings: Vec<_>| self.checked(&project, &findings);
        workspace::check_all(fs, targets, &self.options(), made, |one| report.add(one));
        report
    }

    fn checked(&self, project: &Project, findings: &[Finding]) -> Checked {
        if let Some(file) = project.files.first() {
            say_if_not_text(&file.path, &self.base);
        }
        Checked::new(project, findings, &self.base)
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
