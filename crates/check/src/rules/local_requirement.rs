use crate::context::Context;
use crate::finding::{Finding, Level, Place};
use crate::look_alike;
use crate::rule::{Group, Rule};
use flowgate_flow::Span;
use flowgate_flow::requirements::{Form, OptionKind};

pub(super) const RULE: Rule = Rule {
    name: "local-requirement",
    group: Group::Environment,
    level: Level::Warning,
    summary: "A requirement that is a file or a folder: a wheel, `./package`, `-e .`, a `file:` URL.",
    cases: &["local-wheel", "editable-requirement", "file-url-requirement"],
    why: "A compute session does not install them, and an image build copies the requirements file alone. The packages are missing when the flow runs.",
    bad: "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirements.txt\n#- requirements.txt\n./contoso_tools-1.0-py3-none-any.whl\nrequests\n",
    good: "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirements.txt\n#- requirements.txt\nrequests\n",
    fix: None,
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut local = |at: Place, written: &str, what: &str| {
        let message = format!("`{written}` is {what} of this machine, which a compute session does not install");
        findings.push(
            Finding::new(Level::Warning, at, message)
                .help("publish it to a feed, install it in the base image, or put its code beside the flow"),
        );
    };
    for file in context.requirements() {
        let place = |span: Span| Place { file: file.file, span };
        for line in &file.requirements.lines {
            if line.refusal.is_some() || look_alike::find(&line.text).is_some() {
                continue;
            }
            if let Some(requirement) = &line.requirement {
                let is_file = requirement.url().is_some_and(|url| {
                    url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("file:"))
                        || url.starts_with(['.', '/'])
                });
                // A path with a variable in it, or a template, may be anything.
                if (requirement.form == Form::Path || is_file) && !requirement.text.contains(['$', '{']) {
                    local(place(requirement.span), &requirement.text, "a file or folder");
                }
                continue;
            }
            for option in &line.options {
                let Some(value) = &option.value else { continue };
                let is_remote = value.value.contains("://") && !value.value.to_ascii_lowercase().starts_with("file:");
                if is_remote || value.value.contains(['$', '{']) || value.value.contains('@') {
                    continue;
                }
                match option.kind {
                    OptionKind::Editable => local(place(value.span), &value.value, "a folder"),
                    OptionKind::FindLinks => local(place(value.span), &value.value, "a folder or page"),
                    _ => {}
                }
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn every_form() {
        fixture::raises(
            &super::RULE,
            "#- requirements.txt
./local
#^^^^^^ warning[local-requirement]: `./local` is a file or folder of this machine, which a compute session does not install
../other/pkg[extra]
#^^^^^^^^^^^^^^^^^^ warning[local-requirement]: `../other/pkg[extra]` is a file or folder of this machine, which a compute session does not install
wheels/a-1.0-py3-none-any.whl
#^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning[local-requirement]: `wheels/a-1.0-py3-none-any.whl` is a file or folder of this machine, which a compute session does not install
a-1.0.tar.gz ; python_version > '3'
#^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning[local-requirement]: `a-1.0.tar.gz ; python_version > '3'` is a file or folder of this machine, which a compute session does not install
a @ file:///x/a.whl
#^^^^^^^^^^^^^^^^^^ warning[local-requirement]: `a @ file:///x/a.whl` is a file or folder of this machine, which a compute session does not install
file:///x/a.zip
#^^^^^^^^^^^^^^ warning[local-requirement]: `file:///x/a.zip` is a file or folder of this machine, which a compute session does not install
-e .
#  ^ warning[local-requirement]: `.` is a folder of this machine, which a compute session does not install
-e git+https://example.com/r#egg=a
-e git@example.com:a/b#egg=a
-f wheels
#  ^^^^^^ warning[local-requirement]: `wheels` is a folder or page of this machine, which a compute session does not install
-f https://example.com/links
${WHEELS}/a-1.0-py3-none-any.whl
a @ https://example.com/a.whl
https://example.com/a-1.0-py3-none-any.whl
",
        );
    }
}
