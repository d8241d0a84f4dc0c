//! Which indexes the options of a requirements file name, in pip's order.

use flowgate_flow::requirements::{self, Indexes, OptionKind};

use super::policy::{GatePolicy, Index};
use super::trouble::Trouble;

/// What an installer is to be asked with.
#[derive(Debug)]
pub(crate) struct Sources {
    /// The indexes in order; none where `--no-index` is said.
    pub(super) indexes: Vec<Index>,
    /// The other options, with their values.
    pub(crate) options: Vec<(String, Option<String>)>,
}

impl Sources {
    /// Reads option lines, and refuses what the gate cannot mean.
    pub(crate) fn read(policy: &GatePolicy, lines: &[String]) -> Result<Self, Trouble> {
        let mut options = Vec::new();
        let file = requirements::read(&lines.join("\n"));
        for line in &file.lines {
            if line.refusal.is_some() {
                return Err(refused(
                    &format!("`{}`", quoted(&line.text)),
                    "pip takes no such option: `flowgate check` says why",
                ));
            }
            for option in &line.options {
                let value = option.value.as_ref().map(|value| value.value.clone());
                match option.kind {
                    OptionKind::Other => options.push((option.name.value.clone(), value)),
                    OptionKind::FindLinks => {
                        let why = "archives come from an index: a page of links is none, and a folder is not there";
                        return Err(refused("`--find-links`", why));
                    }
                    OptionKind::Editable => {
                        return Err(refused("`--editable`", "only archives of an index can be installed"));
                    }
                    // An index is reached over TLS or, where the policy says http, without: no middle way.
                    OptionKind::TrustedHost => {
                        return Err(refused("`--trusted-host`", "certificates are looked at for every host"));
                    }
                    _ => {}
                }
            }
        }
        let indexes = Indexes::of(&file).urls.iter().map(|url| policy.index(url)).collect::<Result<_, _>>()?;
        Ok(Self { indexes, options })
    }
}

fn refused(place: &str, why: &str) -> Trouble {
    Trouble::refused(place, why)
}

fn quoted(text: &str) -> String {
    crate::wire::clip(flowgate_flow::credential::mask(text).into_owned(), 200)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Feed;
    use flowgate_flow::requirements::PUBLIC_INDEX;

    fn read(lines: &[&str]) -> Result<Vec<String>, String> {
        let policy = GatePolicy::public()
            .with(Feed::new("https://one.example/simple/").unwrap())
            .with(Feed::new("https://two.example/simple/").unwrap());
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        Sources::read(&policy, &lines)
            .map(|sources| sources.indexes.iter().map(|index| index.url.to_string()).collect())
            .map_err(|trouble| trouble.to_string())
    }

    #[test]
    fn indexes_are_counted_as_pip_counts_them() {
        let (one, two) = ("https://one.example/simple/", "https://two.example/simple/");
        assert_eq!(read(&[]).unwrap(), [PUBLIC_INDEX]);
        assert_eq!(read(&["--pre", "--extra-index-url https://one.example/simple"]).unwrap(), [PUBLIC_INDEX, one]);
        assert_eq!(
            read(&["--extra-index-url https://one.example/simple", "-i https://two.example/simple"]).unwrap(),
            [two]
        );
        assert_eq!(
            read(&["-i https://two.example/simple/ --extra-index-url=https://one.example/simple"]).unwrap(),
            [two, one]
        );
        assert_eq!(read(&["--no-index", "-i https://one.example/simple"]).unwrap(), [""; 0]);
    }

    #[test]
    fn what_the_gate_cannot_mean_is_refused() {
        for line in [
            "-f https://one.example/x",
            "-e git+https://h/x",
            "--trusted-host one.example",
            "-i https://three.example/simple/",
        ] {
            assert!(read(&[line]).unwrap_err().contains("was refused: "), "{line}");
        }
    }
}
