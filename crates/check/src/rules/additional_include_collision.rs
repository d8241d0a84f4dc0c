use crate::context::Context;
use crate::finding::{Finding, Level, Place};
use crate::rule::{Group, Rule};
use flowgate_flow::project::Presence;
use std::collections::HashMap;

pub(super) const RULE: Rule = Rule {
    name: "additional-include-collision",
    group: Group::Files,
    level: Level::Warning,
    summary: "An entry of `additional_includes` whose base name is taken, by a file of the flow or by another entry.",
    cases: &["include-over-own-file"],
    why: "Every include stands in the flow's folder under its base name. `pf` writes it over what stands there, the last include last, with a line in the log; a folder it merges file by file; a folder over a file it cannot write. A pipeline component that is made of the flow refuses all of these.",
    bad: "#- flow.dag.yaml\nadditional_includes:\n- shared/util.py\n#- util.py\n#- shared/util.py\n",
    good: "#- flow.dag.yaml\nadditional_includes:\n- shared/shared_util.py\n#- util.py\n#- shared/shared_util.py\n",
    fix: None,
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(file) = context.flow_file() else { return Vec::new() };
    let place = |span| Place { file: file.file, span };
    let mut findings = Vec::new();
    let mut first: HashMap<&str, usize> = HashMap::new();
    for (index, include) in context.project.included.iter().enumerate() {
        let (Some(name), Some(written)) = (include.name.as_deref(), file.flow.additional_includes.get(index)) else {
            continue;
        };
        let there = matches!(include.fact.presence, Presence::File | Presence::Directory);
        if !there {
            continue;
        }
        let found = |what: String| {
            let message = format!("additional include `{}` {what}", written.value);
            Finding::new(Level::Warning, place(written.span), message).help("rename one of them, or leave one out")
        };
        if let Some(earlier) = first.insert(name, index).and_then(|index| file.flow.additional_includes.get(index)) {
            let finding = if earlier.value == written.value {
                found("is listed twice".to_owned()).help("leave one out")
            } else {
                found(format!("takes the place of `{}`: both are copied to `{name}`", earlier.value))
            };
            findings.push(finding.related(place(earlier.span), "the other one"));
            continue;
        }
        match (&include.own, &include.fact.presence) {
            (Presence::File | Presence::Directory, _) if include.fact.path == context.project.folder.join(name) => {
                findings.push(found("is in the flow's folder already".to_owned()).help("leave it out"));
            }
            (Presence::File, Presence::File) => {
                findings.push(found(format!("takes the place of the flow's own `{name}`")));
            }
            (Presence::File, _) => {
                findings.push(found(format!("cannot be written: the flow's own `{name}` is a file")));
            }
            (Presence::Directory, Presence::File) => {
                findings.push(found(format!("is written into the flow's own folder `{name}`, not beside it")));
            }
            (Presence::Directory, _) => {
                findings.push(found(format!("is merged into the flow's own folder `{name}`")));
            }
            _ => {}
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn own_files_and_other_includes() {
        fixture::raises(&super::RULE,
            "#- flow.dag.yaml
additional_includes:
- sub/a.py
- other/a.py
# ^^^^^^^^^^ warning[additional-include-collision]: additional include `other/a.py` takes the place of `sub/a.py`: both are copied to `a.py`
- own.py
# ^^^^^^ warning[additional-include-collision]: additional include `own.py` is in the flow's folder already
- other/sub
# ^^^^^^^^^ warning[additional-include-collision]: additional include `other/sub` is merged into the flow's own folder `sub`
- other/own.py
# ^^^^^^^^^^^^ warning[additional-include-collision]: additional include `other/own.py` takes the place of `own.py`: both are copied to `own.py`
- other/file
# ^^^^^^^^^^ warning[additional-include-collision]: additional include `other/file` cannot be written: the flow's own `file` is a file
- other/missing.py
#- own.py
#- file
#- missing.py
#- sub/a.py
#- other/a.py
#- other/own.py
#- other/sub/b.py
#- other/file/c.py
",
        );
    }
}
