//! Fixes, applied to the files of many flows until nothing changes.
//!
//! A fix is applied whole or not at all. Of two fixes that overlap the first in the text is taken,
//! and everything is checked again: what then still has a fix is fixed in the next round. A fix after
//! which an error appears that was not there is taken back.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flowgate_flow::load::{FileSystem, Overlay};
use flowgate_flow::project::{FileId, SourceFile};
use flowgate_flow::requirements::Encoding;
use flowgate_flow::{Project, Span};

use crate::finding::{Applicability, Edit, Finding, Level};
use crate::fixes::apply;
use crate::rules::unused_ignore;
use crate::workspace::{Options, Target, check_all};

/// How often the flows that share files are checked. Each time applies every fix that does not
/// overlap another, so that few are needed; fixes that undo each other end here.
const MAX_ROUNDS: usize = 100;

/// Which fixes are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted<'w> {
    /// Those that are a guess, too.
    pub r#unsafe: bool,
    /// Only those that change no other file than this.
    pub only: Option<&'w Path>,
}

/// What fixing changes; nothing is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repair {
    /// The files that change, by their one path.
    pub files: BTreeMap<PathBuf, Change>,
    /// The fixes that are applied, in order of file and line.
    pub applied: Vec<Repaired>,
    /// The fixes that were taken back, because an error appeared that was not there.
    pub undone: Vec<Repaired>,
}

/// A file's text before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The path by which a flow reads it.
    pub path: PathBuf,
    /// As it was read.
    pub before: Arc<str>,
    /// As it should be.
    pub after: String,
}

/// A fix, for people.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repaired {
    /// The file of its finding.
    pub path: PathBuf,
    /// The line of its finding, from 0, when it was found.
    pub line: usize,
    /// The finding's rule.
    pub rule: &'static str,
    /// What the fix does.
    pub title: String,
}

/// Finds out what the fixes of all findings change.
pub fn repair(fs: &(dyn FileSystem + Sync), targets: &[Target], options: &Options, wanted: Wanted<'_>) -> Repair {
    let mut overlay = Overlay::new(fs);
    let mut repair = Repair::default();
    for _ in 0..MAX_ROUNDS {
        let mut groups = Groups::default();
        let snapshot = |index: usize, project, findings: Vec<_>| {
            let mut snapshot = Snapshot::default();
            snapshot.add(&overlay, project, &findings, wanted);
            (index, snapshot)
        };
        check_all(&overlay, targets, options, snapshot, |(index, snapshot)| groups.add(&targets[index], &snapshot));
        let applied = repair.applied.len();
        repair.undone.clear();
        for group in groups.with_fixes() {
            repair_group(&mut overlay, &group, options, wanted, &mut repair);
        }
        // What made a new error may make none now, as fixes of other flows went in since.
        if repair.undone.is_empty() || repair.applied.len() == applied {
            break;
        }
    }
    repair.files.retain(|_, change| *change.before != change.after);
    repair.applied.sort();
    repair.undone.sort();
    repair
}

fn repair_group(
    overlay: &mut Overlay<'_>,
    targets: &[Target],
    options: &Options,
    wanted: Wanted<'_>,
    repair: &mut Repair,
) {
    let mut now = Snapshot::of(overlay, targets, options, wanted);
    let mut refused: HashSet<Candidate> = HashSet::new();
    let mut limit = usize::MAX;
    for _ in 0..MAX_ROUNDS {
        let batch = now.choose(&refused, limit);
        if batch.is_empty() {
            break;
        }
        let texts = now.with(&batch);
        for (path, (_, after)) in &texts {
            overlay.insert(path, after.as_bytes());
        }
        let next = Snapshot::of(overlay, targets, options, wanted);
        if next.has_error_that_is_not_in(&now) {
            for (path, (file, _)) in &texts {
                overlay.insert(path, file.text.as_bytes());
            }
            match batch.as_slice() {
                [guilty] => {
                    repair.undone.push(guilty.shown.clone());
                    refused.insert((*guilty).clone());
                }
                // One of them is guilty: half of them are tried.
                _ => limit = batch.len() / 2,
            }
            continue;
        }
        limit = limit.saturating_mul(2);
        repair.applied.extend(batch.iter().map(|candidate| candidate.shown.clone()));
        for (path, (file, after)) in texts {
            let change = || Change { path: file.path.clone(), before: file.text.clone(), after: String::new() };
            repair.files.entry(path).or_insert_with(change).after = after;
        }
        now = next;
    }
}

/// A fix that may be applied.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Candidate {
    /// File, place and new text, in order.
    edits: Vec<(PathBuf, Span, String)>,
    r#unsafe: bool,
    shown: Repaired,
}

/// What a group of targets has at one time.
#[derive(Default)]
struct Snapshot {
    /// Each with the projects that want it, by their first file.
    candidates: BTreeMap<Candidate, BTreeSet<PathBuf>>,
    /// Files by their one path, each with the projects that read it.
    files: BTreeMap<PathBuf, (SourceFile, BTreeSet<PathBuf>)>,
    /// How often each error is found; its place moves with the text, so it is not part of it.
    errors: HashMap<(PathBuf, &'static str, String), usize>,
    /// What two flows find in a file that they share is found once.
    seen: HashSet<(Span, (PathBuf, &'static str, String))>,
    /// True where a part of a file could not be read: a fix of it may reveal what was there before.
    broken: bool,
}

impl Snapshot {
    fn of(fs: &Overlay<'_>, targets: &[Target], options: &Options, wanted: Wanted<'_>) -> Self {
        let mut snapshot = Self::default();
        let both = |_, project, findings: Vec<_>| (project, findings);
        check_all(fs, targets, options, both, |(project, findings)| snapshot.add(fs, project, &findings, wanted));
        // A comment that one of the flows needs is needed.
        let files = &snapshot.files;
        snapshot.candidates.retain(|candidate, wanting| {
            let by_all = |path: &PathBuf| files.get(path).is_some_and(|(_, reading)| reading == wanting);
            candidate.shown.rule != unused_ignore::RULE.name || candidate.edits.iter().all(|(path, ..)| by_all(path))
        });
        snapshot
    }

    fn add(&mut self, fs: &Overlay<'_>, project: Project, findings: &[Finding], wanted: Wanted<'_>) {
        let only = wanted.only.map(|path| fs.identity(path));
        let paths: Vec<PathBuf> = project.files.iter().map(|file| fs.identity(&file.path)).collect();
        let path = |file: FileId| paths.get(file.0).cloned().unwrap_or_default();
        self.broken |= project.flow.as_ref().is_some_and(|flow| !flow.document.errors.is_empty());
        for finding in findings {
            let key = (path(finding.at.file), finding.rule, finding.message.clone());
            if finding.level == Level::Error && self.seen.insert((finding.at.span, key.clone())) {
                *self.errors.entry(key).or_default() += 1;
            }
            let candidate = candidate(&project, finding, &path).filter(|candidate| {
                (wanted.r#unsafe || !candidate.r#unsafe)
                    && only.as_ref().is_none_or(|only| candidate.edits.iter().all(|(path, ..)| path == only))
            });
            if let Some(candidate) = candidate {
                self.candidates.entry(candidate).or_default().insert(path(FileId(0)));
            }
        }
        let first = path(FileId(0));
        for (path, file) in paths.iter().zip(project.files) {
            self.files.entry(path.clone()).or_insert((file, BTreeSet::new())).1.insert(first.clone());
        }
    }

    /// The fixes that can be applied together, in the order of the text, at most `limit`.
    fn choose(&self, refused: &HashSet<Candidate>, limit: usize) -> Vec<&Candidate> {
        let mut taken: HashMap<&Path, BTreeMap<usize, Span>> = HashMap::new();
        let mut chosen = Vec::new();
        for candidate in self.candidates.keys().filter(|candidate| !refused.contains(*candidate)) {
            if chosen.len() >= limit {
                break;
            }
            let free = |(path, span, _): &(PathBuf, Span, String)| {
                taken.get(path.as_path()).is_none_or(|taken| is_free(taken, *span))
            };
            if candidate.edits.iter().all(free) {
                for (path, span, _) in &candidate.edits {
                    taken.entry(path).or_default().insert(span.start, *span);
                }
                chosen.push(candidate);
            }
        }
        chosen
    }

    /// The files that fixes change, with their new texts.
    fn with(&self, batch: &[&Candidate]) -> BTreeMap<PathBuf, (SourceFile, String)> {
        let mut edits: BTreeMap<&PathBuf, Vec<Edit>> = BTreeMap::new();
        for (path, span, text) in batch.iter().flat_map(|candidate| &candidate.edits) {
            let at = crate::Place { file: FileId(0), span: *span };
            edits.entry(path).or_default().push(Edit { at, text: text.clone() });
        }
        let texts = edits.into_iter().filter_map(|(path, edits)| {
            let (file, _) = self.files.get(path)?;
            Some((path.clone(), (file.clone(), apply(&file.text, &edits))))
        });
        texts.collect()
    }

    fn has_error_that_is_not_in(&self, before: &Self) -> bool {
        let is_new = |(key, count): (_, &usize)| before.errors.get(key).is_none_or(|had| had < count);
        !before.broken && self.errors.iter().any(is_new)
    }
}

/// True where a span meets none of those that are taken, by their start. Insertions at one place
/// have no order, so touching one counts as meeting.
fn is_free(taken: &BTreeMap<usize, Span>, span: Span) -> bool {
    let meets = |other: &Span| span.overlaps(*other) || span.is_empty() || other.is_empty();
    let near = taken.range(..=span.end).rev().map(|(_, other)| other);
    !near.take_while(|other| other.end >= span.start).any(meets)
}

/// A finding's fix, where all its edits can be made: in files that were read, and whose bytes are
/// their text.
fn candidate(project: &Project, finding: &Finding, path: &impl Fn(FileId) -> PathBuf) -> Option<Candidate> {
    let fix = finding.fix.as_ref()?;
    let file = project.file(finding.at.file)?;
    let shown = Repaired {
        path: file.path.clone(),
        line: file.lines.line_of(finding.at.span.start),
        rule: finding.rule,
        title: fix.title.clone(),
    };
    let edit = |edit: &Edit| {
        let (file, span) = (project.file(edit.at.file)?, edit.at.span);
        let is_text = file.unreadable.is_none() && file.encoding == Encoding::Utf8;
        (is_text && file.text.get(span.start..span.end).is_some())
            .then(|| (path(edit.at.file), span, edit.text.clone()))
    };
    let mut edits = fix.edits.iter().map(edit).collect::<Option<Vec<_>>>()?;
    edits.sort();
    let alone = edits.windows(2).all(|pair| pair[0].0 != pair[1].0 || pair[0].1.end <= pair[1].1.start);
    let changes = fix
        .edits
        .iter()
        .any(|edit| project.text(edit.at.file).get(edit.at.span.start..edit.at.span.end) != Some(&edit.text));
    (alone && changes).then_some(Candidate { edits, r#unsafe: fix.applicability == Applicability::Unsafe, shown })
}

/// Targets that share files, put together: a fix that one of them wants changes what the others
/// read.
#[derive(Default)]
struct Groups {
    targets: Vec<(Target, bool)>,
    /// The group of a target: the index of one of them, which may have joined another since.
    parents: Vec<usize>,
    by_file: HashMap<PathBuf, usize>,
}

impl Groups {
    fn add(&mut self, target: &Target, snapshot: &Snapshot) {
        let index = self.targets.len();
        self.targets.push((target.clone(), !snapshot.candidates.is_empty()));
        self.parents.push(index);
        for path in snapshot.files.keys() {
            match self.by_file.get(path) {
                Some(&other) => {
                    let (a, b) = (self.find(other), self.find(index));
                    self.parents[a.max(b)] = a.min(b);
                }
                None => {
                    self.by_file.insert(path.clone(), index);
                }
            }
        }
    }

    fn find(&self, mut index: usize) -> usize {
        while self.parents[index] != index {
            index = self.parents[index];
        }
        index
    }

    /// The groups in which something can be fixed.
    fn with_fixes(self) -> Vec<Vec<Target>> {
        let mut groups: BTreeMap<usize, (Vec<Target>, bool)> = BTreeMap::new();
        let roots: Vec<usize> = (0..self.targets.len()).map(|index| self.find(index)).collect();
        for ((target, fixable), root) in self.targets.into_iter().zip(roots) {
            let group = groups.entry(root).or_default();
            group.0.push(target);
            group.1 |= fixable;
        }
        groups.into_values().filter(|(_, fixable)| *fixable).map(|(targets, _)| targets).collect()
    }
}

#[cfg(test)]
mod tests;
