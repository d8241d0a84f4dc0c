use std::path::{Component, Path};

use flowgate_flow::project::{NestedTarget, Presence};
use flowgate_flow::{Span, include};

use crate::context::Context;
use crate::finding::{Applicability, Edit, Finding, Fix, Level, Place};
use crate::rule::{Group, Rule};

pub(super) const RULE: Rule = Rule {
    name: "requirements-outside-flow",
    group: Group::Environment,
    level: Level::Warning,
    summary: "A requirements file outside the flow's folder.",
    cases: &["nested-requirements-outside-flow"],
    why: "A flow is uploaded, and copied into an image, as its folder. What lies outside stays behind: the hosted runtime starts without the packages, and the image build stops at `COPY`. A file that `additional_includes` names comes along, under its base name.",
    bad: "#- flow/flow.dag.yaml\nenvironment:\n  python_requirements_txt: ../requirements.txt\n#- requirements.txt\nrequests\n",
    good: "#- flow/flow.dag.yaml\nadditional_includes:\n- ../requirements.txt\nenvironment:\n  python_requirements_txt: requirements.txt\n#- requirements.txt\nrequests\n",
    fix: Some(
        "Includes the file and names it by its base name. Safe: the file stays the same. None where the flow has includes already.",
    ),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(flow) = context.flow_file() else { return findings };
    let named = flow.flow.environment.as_ref().and_then(|e| e.python_requirements_txt.as_ref());
    if let Some(named) = named
        && leaves(&named.value)
        && context.project.paths.get(&named.value).is_some_and(|fact| fact.presence == Presence::File)
    {
        let at = Place { file: flow.file, span: named.span };
        let message = format!("`{}` is outside the flow's folder, and only that folder is uploaded", named.value);
        let finding = Finding::new(Level::Warning, at, message);
        findings.push(include(context, finding, &named.value));
    }
    for file in context.requirements() {
        for nested in &file.nested {
            if matches!(nested.target, NestedTarget::File(_))
                && leaves(&nested.path.value)
                && named.is_none_or(|n| !leaves(&n.value))
            {
                let message =
                    format!("`{}` is outside the flow's folder, and only that folder is uploaded", nested.path.value);
                findings.push(
                    Finding::new(Level::Warning, Place { file: file.file, span: nested.path.span }, message)
                        .help("name it under `additional_includes`, and here by its base name"),
                );
            }
        }
    }
    findings
}

/// True for a path that leads out of the folder it starts from.
fn leaves(path: &str) -> bool {
    let path = include::lexical(Path::new(path));
    path.is_absolute() || matches!(path.components().next(), Some(Component::ParentDir))
}

fn include(context: &Context<'_>, finding: Finding, path: &str) -> Finding {
    let finding = finding.help("name it under `additional_includes`, and here by its base name");
    let name = Path::new(path).file_name().and_then(|name| name.to_str());
    let (Some(flow), Some(name)) = (context.flow_file(), name) else { return finding };
    let root = &flow.document.root;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '-' | '_');
    let (None, Some(environment)) = (root.get("additional_includes"), root.get("environment")) else { return finding };
    let start = environment.key.span.start;
    let line_start = start == 0 || context.project.text(flow.file).get(..start).is_some_and(|t| t.ends_with('\n'));
    if !line_start || Path::new(path).is_absolute() || !path.chars().all(plain) || !flow.flow.complete {
        return finding;
    }
    let edits = vec![
        Edit {
            at: Place { file: flow.file, span: Span::empty(start) },
            text: format!("additional_includes:\n- {path}\n"),
        },
        Edit { at: finding.at, text: name.to_owned() },
    ];
    Finding { fix: Some(Fix { title: "include it".to_owned(), applicability: Applicability::Safe, edits }), ..finding }
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn above_and_nested() {
        fixture::raises(
            &super::RULE,
            "#- a/flow.dag.yaml
environment:
  python_requirements_txt: reqs/requirements.txt
#- a/reqs/requirements.txt
-r ../more.txt
#  ^^^^^^^^^^^ warning[requirements-outside-flow]: `../more.txt` is outside the flow's folder, and only that folder is uploaded
-r ../../above.txt
#  ^^^^^^^^^^^^^^^ warning[requirements-outside-flow]: `../../above.txt` is outside the flow's folder, and only that folder is uploaded
-c ../../missing.txt
#- a/more.txt
#- above.txt
",
        );
        fixture::raises(
            &super::RULE,
            "#- a/flow.dag.yaml
additional_includes: [../b/requirements.txt]
environment:
  python_requirements_txt: ../requirements.txt
#                          ^^^^^^^^^^^^^^^^^^^ warning[requirements-outside-flow]: `../requirements.txt` is outside the flow's folder, and only that folder is uploaded
#- requirements.txt
",
        );
    }
}
