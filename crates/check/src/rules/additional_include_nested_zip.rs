use crate::context::Context;
use crate::finding::{Finding, Level, Place};
use crate::rule::{Group, Rule};

pub(super) const RULE: Rule = Rule {
    name: "additional-include-nested-zip",
    group: Group::Files,
    level: Level::Warning,
    summary: "An additional include `x.zip`, made of a folder `x` that has folders with files in it.",
    cases: &[],
    why: "Where there is no file `x.zip`, `pf` packs the folder `x` under that name. It looks for the files of inner folders in the outer one, and stops with a bare `FileNotFoundError`.",
    bad: "#- flow.dag.yaml\nadditional_includes:\n- shared.zip\n#- shared/a.py\n#- shared/inner/b.py\n",
    good: "#- flow.dag.yaml\nadditional_includes:\n- shared.zip\n#- shared/a.py\n#- shared/b.py\n",
    fix: None,
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(file) = context.flow_file() else { return Vec::new() };
    let includes = file.flow.additional_includes.iter().zip(&context.project.included);
    let nested = includes.filter_map(|(written, include)| Some((written, include.nested.as_deref()?)));
    nested
        .map(|(written, nested)| {
            let at = Place { file: file.file, span: written.span };
            let message = format!("`{}` cannot be packed: `{nested}` lies in a folder of that folder", written.value);
            Finding::new(Level::Warning, at, message)
                .engine("FileNotFoundError")
                .help("include the folder itself, or pack it beforehand")
        })
        .collect()
}
