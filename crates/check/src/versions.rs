//! What a version specifier leaves.

use std::str::FromStr;

use pep508_rs::pep440_rs::{Operator, Version, VersionSpecifiers};

/// The release of promptflow that brought `promptflow.core` and `promptflow.client`, and came in
/// several packages.
pub(crate) const SPLIT: &str = "1.8.0";

/// True where no version goes with both.
pub(crate) fn exclude_each_other(wanted: &VersionSpecifiers, needed: &VersionSpecifiers) -> bool {
    let bound = |operators: &[Operator]| needed.iter().find(|clause| operators.contains(clause.operator()));
    if let Some(exact) = bound(&[Operator::Equal]) {
        return !wanted.contains(exact.version());
    }
    let from = bound(&[Operator::GreaterThanEqual]).map_or("0".to_owned(), |clause| clause.version().to_string());
    let below = bound(&[Operator::LessThan]).map(|clause| clause.version().to_string());
    excludes(wanted, &from, below.as_deref())
}

/// True where no version from `from` to below `below` fulfils `wanted`.
pub(crate) fn excludes(wanted: &VersionSpecifiers, from: &str, below: Option<&str>) -> bool {
    let (Ok(from), Ok(below)) = (Version::from_str(from), below.map(Version::from_str).transpose()) else {
        return false;
    };
    let is_low = |version: &Version| *version < from;
    let is_high = |version: &Version| below.as_ref().is_some_and(|below| version >= below);
    wanted.iter().any(|clause| {
        let version = clause.version();
        match clause.operator() {
            Operator::Equal | Operator::ExactEqual => is_low(version) || is_high(version),
            // From `1.2` to the end of `1`, or from `1.2` to the end of `1.2`.
            Operator::TildeEqual => is_high(version) || end_of(version, 1).is_some_and(|end| end <= from),
            Operator::EqualStar => is_high(version) || end_of(version, 0).is_some_and(|end| end <= from),
            Operator::LessThan => *version <= from,
            Operator::LessThanEqual => is_low(version),
            Operator::GreaterThan | Operator::GreaterThanEqual => is_high(version),
            _ => false,
        }
    })
}

/// The first version behind all that start like this one, without its last `dropped` numbers.
fn end_of(version: &Version, dropped: usize) -> Option<Version> {
    let release = version.release();
    let kept = release.get(..release.len().checked_sub(dropped)?)?;
    let (last, first) = kept.split_last()?;
    Some(Version::new(first.iter().copied().chain([last.checked_add(1)?])))
}
