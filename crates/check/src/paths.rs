//! What is said of a path that leads to no file; the rules about paths share it.

use flowgate_flow::project::{PathFact, Presence};

use crate::context::Context;
use crate::finding::{Applicability, Finding, Place};
use crate::suggest;

/// A path that a flow names, and what is to be said of it.
pub(crate) struct NamedPath<'a> {
    /// What it should lead to: "source file".
    pub(crate) noun: &'static str,
    /// As written.
    pub(crate) written: &'a str,
    /// Where.
    pub(crate) at: Place,
    /// What is there.
    pub(crate) fact: &'a PathFact,
    /// The file to offer where none has a similar name.
    pub(crate) otherwise: Option<&'a str>,
    /// The next step where none can be offered.
    pub(crate) help: &'static str,
}

impl NamedPath<'_> {
    /// The finding, unless the path leads to a file. Of the candidates, those that `fits` takes are
    /// offered.
    pub(crate) fn finding(&self, context: &Context<'_>, fits: impl Fn(&str) -> bool) -> Option<Finding> {
        let finding = |what: &str| Finding::error(self.at, format!("{} `{}` {what}", self.noun, self.written));
        let write = |finding: Finding, applicability, path: &str| {
            finding.fix(applicability, format!("write `{path}`"), self.at, as_yaml(path))
        };
        Some(match &self.fact.presence {
            // Of what is never opened another rule tells.
            Presence::File | Presence::Special(_) | Presence::Outside => return None,
            Presence::Directory => finding("is a folder").help("name the file in it"),
            Presence::OtherCase(right) => {
                let finding = finding("is spelled in another case").help(format!("the file is `{right}`"));
                write(finding, Applicability::Safe, right)
            }
            Presence::Missing => {
                let forward = self.written.replace('\\', "/");
                let candidates = || self.fact.candidates.iter().map(String::as_str);
                if let Some(right) = candidates().find(|candidate| *candidate == forward) {
                    let finding = finding("has backslashes").help("use `/`: the runtime is Linux");
                    return Some(write(finding, Applicability::Safe, right));
                }
                let near = context.nearest(&forward, candidates().filter(|candidate| fits(candidate)));
                match near.or(self.otherwise) {
                    Some(near) => {
                        let finding = finding("is not there").help(suggest::did_you_mean(near));
                        write(finding, Applicability::Unsafe, near)
                    }
                    None => finding("is not there").help(self.help),
                }
            }
        })
    }
}

/// A path as a YAML scalar: in quotes where YAML would read something else.
fn as_yaml(path: &str) -> String {
    let plain = path.chars().all(|c| c.is_alphanumeric() || "._-/+ ".contains(c))
        && path.starts_with(|c: char| c.is_alphanumeric() || c == '.')
        && !path.ends_with(' ');
    if plain { path.to_owned() } else { format!("'{}'", path.replace('\'', "''")) }
}

#[cfg(test)]
mod tests {
    use super::as_yaml;

    #[test]
    fn what_yaml_would_misread_is_quoted() {
        assert_eq!(as_yaml("./a b/c-1.py"), "./a b/c-1.py");
        assert_eq!(as_yaml("a: b.py"), "'a: b.py'");
        assert_eq!(as_yaml("it's #1.py"), "'it''s #1.py'");
    }
}
