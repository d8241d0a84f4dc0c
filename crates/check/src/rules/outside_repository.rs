use crate::context::Context;
use crate::finding::{Finding, Level, Place};
use crate::rule::{Group, Rule};
use flowgate_flow::Span;
use flowgate_flow::project::{Bar, FileId};

pub(super) const RULE: Rule = Rule {
    name: "outside-repository",
    group: Group::Files,
    level: Level::Error,
    summary: "A path or a link that leads out of the repository, or into `.git`.",
    cases: &["include-outside-repository", "link-outside-repository"],
    why: "A flow is text that anybody may have written. Nothing outside its repository is read or sent into a runtime, and `flowgate run` refuses the flow. Outside any repository the boundary is the flow's folder, or the folder that is named on the command line: to include `../shared`, name the folder that holds both. A path that is named there is read, wherever it is.",
    bad: "#- flow.dag.yaml\nadditional_includes:\n- /etc/hosts\n",
    good: "#- flow.dag.yaml\nadditional_includes:\n- shared/hosts\n#- shared/hosts\n127.0.0.1 localhost\n",
    fix: None,
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let barred = context.project.barred.iter().filter(|barred| matches!(barred.bar, Bar::Outside(_)));
    barred
        .map(|barred| {
            let (file, span) = barred.at.unwrap_or((FileId(0), Span::empty(0)));
            Finding::error(Place { file, span }, barred.message()).help(barred.help())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn every_place_that_names_a_path() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
additional_includes:
- ../shared
# ^^^^^^^^^ error[outside-repository]: `../shared` is outside the repository
- ..
# ^^ error[outside-repository]: `..` is outside the repository
- own
nodes:
- {name: a, type: python, source: {type: code, path: ../a.py}}
#                                                    ^^^^^^^ error[outside-repository]: `../a.py` is outside the repository
- {name: b, type: prompt, source: {type: code, path: own/../../etc/b.jinja2}}
#                                                    ^^^^^^^^^^^^^^^^^^^^^^ error[outside-repository]: `own/../../etc/b.jinja2` is outside the repository
environment:
  python_requirements_txt: requirements.txt
#- own/x
#- requirements.txt
-r /etc/passwd
#  ^^^^^^^^^^^ error[outside-repository]: `/etc/passwd` is outside the repository
",
        );
        fixture::raises(
            &super::RULE,
            "#- run.yml
flow: ../other
#     ^^^^^^^^ error[outside-repository]: `../other` is outside the repository
data: /etc/passwd
#     ^^^^^^^^^^^ error[outside-repository]: `/etc/passwd` is outside the repository
",
        );
        fixture::raises(
            &super::RULE,
            "#- a.prompty
---
sample: ${file:../s.json}
#       ^^^^^^^^^^^^^^^^^ error[outside-repository]: `../s.json` is outside the repository
---
",
        );
    }
}
