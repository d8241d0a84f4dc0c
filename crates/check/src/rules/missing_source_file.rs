use crate::context::Context;
use crate::finding::{Applicability, Finding, Level};
use crate::rule::{Group, Rule};
use crate::suggest;
use flowgate_flow::project::Presence;

pub(super) const RULE: Rule = Rule {
    name: "missing-source-file",
    group: Group::Flow,
    level: Level::Error,
    summary: "A node whose `source.path` leads to no file, after `additional_includes` are merged.",
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
        let at = dag.place(path.span);
        let finding =
            |what: &str| Finding::error(at, format!("source file `{}` {what}", path.value)).engine("InvalidSource");
        findings.push(match &fact.presence {
            Presence::File => continue,
            Presence::Directory => finding("is a folder").help("name the file in it"),
            Presence::OtherCase(right) => finding("is spelled in another case")
                .help(format!("the file is `{right}`"))
                .fix(Applicability::Safe, format!("write `{right}`"), at, right.clone()),
            Presence::Missing => {
                let forward = path.value.replace('\\', "/");
                let slashes = fact.candidates.iter().find(|candidate| **candidate == forward);
                let same_kind =
                    fact.candidates.iter().map(String::as_str).filter(|c| extension(c) == extension(&forward));
                match (slashes, context.nearest(&forward, same_kind)) {
                    (Some(right), _) => finding("has backslashes").help("use `/`: the runtime is Linux").fix(
                        Applicability::Safe,
                        format!("write `{right}`"),
                        at,
                        right.clone(),
                    ),
                    (None, Some(near)) => finding("is not there").help(suggest::did_you_mean(near)).fix(
                        Applicability::Unsafe,
                        format!("write `{near}`"),
                        at,
                        near,
                    ),
                    (None, None) => {
                        finding("is not there").help("create it, or add its folder to `additional_includes`")
                    }
                }
            }
        });
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
    fn the_nearest_file_of_the_same_kind() {
        let fixed = fixture::fixed(
            "#- flow.dag.yaml\nnodes:\n- {name: a, type: python, source: {path: 'sumarize.py'}}\n#- summarize.py\n#- summarize.md\n",
        );
        assert!(fixed.contains("path: summarize.py"), "{fixed}");
    }
}
