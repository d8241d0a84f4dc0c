use crate::context::Context;
use crate::finding::{Finding, Level, Place};
use crate::rule::{Group, Rule};
use crate::rules::dropped_by_pip::in_order;
use flowgate_flow::feed::{Parts, is_feed};
use flowgate_flow::requirements::OptionKind;

pub(super) const RULE: Rule = Rule {
    name: "dependency-confusion",
    group: Group::Environment,
    level: Level::Warning,
    summary: "A private feed beside a public index.",
    cases: &[],
    why: "pip asks all its indexes and takes the highest version that any of them has, whichever that is. Who publishes a package of the same name on the public index, with a higher version, has it installed.",
    bad: "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirements.txt\n#- requirements.txt\n--extra-index-url https://{private}@pkgs.dev.azure.com/contoso/_packaging/tools/pypi/simple/\ncontoso-tools\n",
    good: "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirements.txt\n#- requirements.txt\n-i https://{private}@pkgs.dev.azure.com/contoso/_packaging/tools/pypi/simple/\ncontoso-tools\n",
    fix: Some(
        "Makes the feed the only index. Unsafe: the feed must pass public packages on (an upstream source). None where another index is named, too.",
    ),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    // The indexes that are asked in the end.
    let mut asked: Vec<(Place, Place, OptionKind, &str)> = Vec::new();
    for (file, option) in in_order(context) {
        match option.kind {
            OptionKind::NoIndex => return Vec::new(),
            OptionKind::IndexUrl => asked.clear(),
            _ => {}
        }
        if let Some(url) = &option.value {
            let place = |span| Place { file, span };
            asked.push((place(option.name.span), place(url.span), option.kind, &url.value));
        }
    }
    let is_default = asked.first().is_none_or(|(_, _, kind, _)| *kind != OptionKind::IndexUrl);
    let (private, public): (Vec<_>, Vec<_>) = asked.iter().partition(|(_, _, _, url)| is_private(url));
    let other = match public.first() {
        Some((_, _, _, url)) => format!("`{}`", Parts::of(url).host),
        None if is_default => "PyPI".to_owned(),
        None => return Vec::new(),
    };
    let one = asked.len() == 1;
    private
        .into_iter()
        .map(|(name, url_at, kind, url)| {
            let host = Parts::of(url).host;
            let message = format!("pip asks `{host}` and {other}, and takes the higher version of either");
            let finding = Finding::new(Level::Warning, url_at, message)
                .help("name the feed alone, with `-i`, and let it pass public packages on (an upstream source)");
            match (one, kind) {
                (true, OptionKind::ExtraIndexUrl) => {
                    finding.fix(crate::finding::Applicability::Unsafe, "make it the only index", name, "-i")
                }
                _ => finding,
            }
        })
        .collect()
}

/// True for an index that only some may read.
fn is_private(url: &str) -> bool {
    let has_user = url
        .split_once("://")
        .is_some_and(|(_, rest)| rest.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@')));
    is_feed(url) || has_user
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn a_feed_beside_others() {
        fixture::raises(
            &super::RULE,
            "#- requirements.txt
-i https://{private}@pkgs.dev.azure.com/o/_packaging/f/pypi/simple/
#  ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning[dependency-confusion]: pip asks `pkgs.dev.azure.com` and `pypi.org`, and takes the higher version of either
--extra-index-url https://pypi.org/simple
--extra-index-url https://user@pypi.example.com/simple
#                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning[dependency-confusion]: pip asks `pypi.example.com` and `pypi.org`, and takes the higher version of either
",
        );
    }
}
