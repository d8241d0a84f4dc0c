use crate::context::Context;
use crate::finding::{Finding, Level, Place};
use crate::paths::NamedPath;
use crate::rule::{Group, Rule};
use flowgate_flow::project::Presence;

pub(super) const RULE: Rule = Rule {
    name: "additional-include-not-found",
    group: Group::Files,
    level: Level::Error,
    summary: "An entry of `additional_includes` that leads to nothing.",
    cases: &[],
    why: "`pf` refuses the flow (`UserErrorException`: Unable to find additional include). Patterns, variables and `~` are not expanded, and `x.zip` stands for the folder `x` only where that is one.",
    bad: "#- flow.dag.yaml\nadditional_includes:\n- shared/Util.py\n#- shared/util.py\n",
    good: "#- flow.dag.yaml\nadditional_includes:\n- shared/util.py\n#- shared/util.py\n",
    fix: Some("Writes the path as the file is spelled (safe), or the most similar path (unsafe)."),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(file) = context.flow_file() else { return Vec::new() };
    let includes = file.flow.additional_includes.iter().zip(&context.project.included);
    let missing = includes.filter(|(_, include)| {
        matches!(include.fact.presence, Presence::Missing | Presence::OtherCase(_)) && include.archive.is_none()
    });
    missing
        .filter_map(|(written, include)| {
            let named = NamedPath {
                noun: "additional include",
                written: &written.value,
                at: Place { file: file.file, span: written.span },
                fact: &include.fact,
                otherwise: None,
                help: "name a file or a folder, relative to the flow's folder",
            };
            named.finding(context, |_| true).map(|finding| finding.engine("UserErrorException"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn files_folders_and_archives() {
        fixture::raises(
            &super::RULE,
            "#- flow.flex.yaml
entry: own:run
additional_includes:
- shared/util.py
- shared
- shared/
- shared.zip
- ..
- sharde
# ^^^^^^ error[additional-include-not-found]: additional include `sharde` is not there
- 'shared\\util.py'
# ^^^^^^^^^^^^^^^^ error[additional-include-not-found]: additional include `shared\\util.py` has backslashes
- shared/*.py
# ^^^^^^^^^^^ error[additional-include-not-found]: additional include `shared/*.py` is not there
- other.zip
# ^^^^^^^^^ error[additional-include-not-found]: additional include `other.zip` is not there
#- own.py
def run(): pass
#- shared/util.py
",
        );
    }
}
