use crate::context::Context;
use crate::finding::{Finding, Level};
use crate::paths::NamedPath;
use crate::rule::{Group, Rule};

pub(super) const RULE: Rule = Rule {
    name: "missing-source-file",
    group: Group::Flow,
    level: Level::Error,
    summary: "A node whose `source.path` leads to no file, after `additional_includes` are merged.",
    cases: &["source-path-case", "source-path-backslash"],
    why: "The engine refuses the flow (`InvalidSource`). A path in another case, or with backslashes, works on Windows and fails in the Linux runtime.",
    bad: "#- flow.dag.yaml\nnodes:\n- name: fetch\n  type: python\n  source: {type: code, path: Fetch.py}\n#- fetch.py\n",
    good: "#- flow.dag.yaml\nnodes:\n- name: fetch\n  type: python\n  source: {type: code, path: fetch.py}\n#- fetch.py\n",
    fix: Some("Writes the path as the file is spelled (safe), or the most similar path (unsafe)."),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag() else { return Vec::new() };
    let mut findings = Vec::new();
    for node in dag.bodies() {
        if dag.flow.language.as_ref().is_some_and(|l| l.value == "csharp")
            || node.r#type.as_ref().is_some_and(|t| t.value == "csharp")
        {
            continue;
        }
        let Some(path) = node.source.as_ref().and_then(|source| source.path.as_ref()) else { continue };
        let Some(fact) = context.project.paths.get(&path.value) else { continue };
        let named = NamedPath {
            noun: "source file",
            written: &path.value,
            at: dag.place(path.span),
            fact,
            otherwise: None,
            help: "create it, or add its folder to `additional_includes`",
        };
        let same_kind = |candidate: &str| extension(candidate) == extension(&path.value);
        findings.extend(named.finding(context, same_kind).map(|finding| finding.engine("InvalidSource")));
    }
    findings
}

fn extension(path: &str) -> Option<&str> {
    path.rsplit_once('.').map(|(_, extension)| extension)
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn includes_are_merged_first() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
additional_includes: [sub/lib, sub/util.py]
nodes:
- {name: a, type: python, source: {type: code, path: lib/x.py}}
- {name: b, type: python, source: {type: code, path: util.py}}
- {name: c, type: python, source: {type: code, path: ./own.py}}
- {name: d, type: python, source: {type: code, path: lib/y.py}}
#                                                    ^^^^^^^^ error[missing-source-file]: source file `lib/y.py` is not there
- {name: e, type: python, source: {type: code, path: sub}}
#                                                    ^^^ error[missing-source-file]: source file `sub` is a folder
- {name: f, type: python, source: {type: code, path: sub\\lib\\x.py}}
#                                                    ^^^^^^^^^^^^ error[missing-source-file]: source file `sub\\lib\\x.py` has backslashes
#- own.py
#- sub/lib/x.py
#- sub/util.py
",
        );
    }

    #[test]
    fn a_folder_in_another_case() {
        let fixed = fixture::fixed(
            "#- flow.dag.yaml\nnodes:\n- {name: a, type: python, source: {path: Src/Deep/a.py}}\n#- src/deep/a.py\n",
        );
        assert!(fixed.contains("path: src/deep/a.py"), "{fixed}");
    }

    #[test]
    fn the_nearest_file_of_the_same_kind() {
        let fixed = fixture::fixed(
            "#- flow.dag.yaml\nnodes:\n- {name: a, type: python, source: {path: 'sumarize.py'}}\n#- summarize.py\n#- summarize.md\n",
        );
        assert!(fixed.contains("path: summarize.py"), "{fixed}");
    }
}
