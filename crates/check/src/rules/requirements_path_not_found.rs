use crate::context::Context;
use crate::finding::{Finding, Level, Place};
use crate::paths::NamedPath;
use crate::rule::{Group, Rule};
use flowgate_flow::classify::{FileKind, classify};
use flowgate_flow::project::{NestedTarget, RequirementsFile};

pub(super) const RULE: Rule = Rule {
    name: "requirements-path-not-found",
    group: Group::Environment,
    level: Level::Error,
    summary: "`environment.python_requirements_txt`, or a `-r` or `-c` in a requirements file, leads to no file, after `additional_includes` are merged.",
    cases: &[
        "requirements-path-case",
        "requirements-path-is-folder",
        "nested-requirements-not-found",
        "recursive-requirements",
    ],
    why: "Nothing says so: the hosted runtime logs a warning and starts without the packages, `pf flow validate` passes, and the image build fails at `COPY`. A `-r` that leads nowhere makes pip refuse the whole file; one that leads back to itself is a warning, for older versions of pip took it.",
    bad: "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirement.txt\n#- requirements.txt\nrequests\n",
    good: "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirements.txt\n#- requirements.txt\nrequests\n",
    fix: Some("Writes the path as the file is spelled (safe), or the nearest requirements file (unsafe)."),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = context.requirements().iter().flat_map(|file| nested(context, file)).collect();
    findings.extend(named(context));
    findings
}

/// The `-r` and `-c` of a requirements file.
fn nested(context: &Context<'_>, file: &RequirementsFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for nested in &file.nested {
        let at = Place { file: file.file, span: nested.path.span };
        match &nested.target {
            NestedTarget::Missing(fact) => {
                let named = NamedPath {
                    noun: if nested.constraint { "constraints file" } else { "requirements file" },
                    written: &nested.path.value,
                    at,
                    fact,
                    // They are relative to the flow's folder, and the path is not.
                    otherwise: None,
                    help: "create it, or remove the line",
                };
                findings.extend(named.finding(context, |_| false).map(|finding| Finding { fix: None, ..finding }));
            }
            NestedTarget::Recursive(_) => {
                let message =
                    format!("`{}` leads back to this file: newer versions of pip refuse that", nested.path.value);
                findings.push(Finding::new(Level::Warning, at, message).help("remove the line"));
            }
            NestedTarget::File(_) | NestedTarget::NotFollowed => {}
        }
    }
    findings
}

fn named(context: &Context<'_>) -> Vec<Finding> {
    let Some(file) = context.flow_file() else { return Vec::new() };
    let Some(path) = file.flow.environment.as_ref().and_then(|e| e.python_requirements_txt.as_ref()) else {
        return Vec::new();
    };
    let Some(fact) = context.project.paths.get(&path.value) else { return Vec::new() };
    let usual = |candidate: &&str| classify(std::path::Path::new(candidate)) == FileKind::Requirements;
    let named = NamedPath {
        noun: "requirements file",
        written: &path.value,
        at: Place { file: file.file, span: path.span },
        fact,
        otherwise: fact.candidates.iter().map(String::as_str).find(usual),
        help: "create it beside the flow, or remove the key",
    };
    named.finding(context, |candidate| candidate.ends_with(".txt")).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn what_requirements_include() {
        fixture::raises(
            &super::RULE,
            "#- requirements.txt
-r more/all.txt
-c gone.txt
#  ^^^^^^^^ error[requirements-path-not-found]: constraints file `gone.txt` is not there
-r https://example.com/r.txt
-r ${MORE}.txt
#- more/all.txt
-r gone.txt
#  ^^^^^^^^ error[requirements-path-not-found]: requirements file `gone.txt` is not there
-r ../requirements.txt
#  ^^^^^^^^^^^^^^^^^^^ warning[requirements-path-not-found]: `../requirements.txt` leads back to this file: newer versions of pip refuse that
",
        );
    }

    #[test]
    fn missing_in_another_case_and_a_folder() {
        let flow = |path: &str, carets: &str| {
            format!(
                "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: {path}\n#                          {carets}\n"
            )
        };
        fixture::raises(
            &super::RULE,
            &(flow(
                "reqs/all.txt",
                "^^^^^^^^^^^^ error[requirements-path-not-found]: requirements file `reqs/all.txt` is not there",
            ) + "#- a.py\n"),
        );
        fixture::raises(
            &super::RULE,
            &(flow(
                "Requirements.txt",
                "^^^^^^^^^^^^^^^^ error[requirements-path-not-found]: requirements file `Requirements.txt` is spelled in another case",
            ) + "#- requirements.txt\n"),
        );
        fixture::raises(
            &super::RULE,
            &(flow("reqs", "^^^^ error[requirements-path-not-found]: requirements file `reqs` is a folder")
                + "#- reqs/all.txt\n"),
        );
    }

    #[test]
    fn an_include_counts() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml\nadditional_includes: [sub/reqs.txt]\nenvironment:\n  python_requirements_txt: reqs.txt\n#- sub/reqs.txt\nrequests\n",
        );
    }

    #[test]
    fn flex_flows_too() {
        fixture::raises(
            &super::RULE,
            "#- flow.flex.yaml\nentry: a:b\nenvironment:\n  python_requirements_txt: r.txt\n#                          ^^^^^ error[requirements-path-not-found]: requirements file `r.txt` is not there\n",
        );
    }
}
