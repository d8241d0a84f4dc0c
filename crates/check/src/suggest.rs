//! "Did you mean".

use crate::finding::{Applicability, Finding};
pub(crate) use flowgate_flow::suggest::nearest;

/// "did you mean `x`?"
pub(crate) fn did_you_mean(name: &str) -> String {
    format!("did you mean `{name}`?")
}

/// Adds the name that was most likely meant to the finding of a wrong one.
pub(crate) fn meant(finding: Finding, near: &str) -> Finding {
    let at = finding.at;
    finding.help(did_you_mean(near)).fix(Applicability::Unsafe, format!("write `{near}`"), at, near)
}

/// Adds what a wrong name should be to its finding: the name that means the same (safe), the most
/// similar one (unsafe), or the list.
pub(crate) fn name(finding: Finding, typed: &str, same: Option<&'static str>, names: &[&'static str]) -> Finding {
    let at = finding.at;
    match (same, nearest(typed, names.iter().copied())) {
        (Some(same), _) => {
            let write = format!("write `{same}`");
            finding.help(write.clone()).fix(Applicability::Safe, write, at, same)
        }
        (None, Some(near)) => meant(finding, near),
        (None, None) => finding.help(format!("use one of {}", names.join(", "))),
    }
}
