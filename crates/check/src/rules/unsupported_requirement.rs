use flowgate_flow::Span;
use flowgate_flow::config::RuntimeTarget;
use flowgate_flow::feed::is_about_feed;
use flowgate_flow::requirements::{Line, OptionKind};

use crate::context::Context;
use crate::finding::{Finding, Level, Place};
use crate::look_alike;
use crate::rule::{Group, Rule};

pub(super) const RULE: Rule = Rule {
    name: "unsupported-requirement",
    group: Group::Environment,
    level: Level::Error,
    summary: "A requirement or an option that flowgate's image build refuses: a version control repository, `--find-links`, `--trusted-host`.",
    cases: &["version-control-requirement", "find-links", "trusted-host-refused"],
    why: "flowgate installs packages in a container without a network: they come through a gate, from package indexes over TLS. Neither a repository nor a page of links is one. The image for `flowgate run --backend docker` cannot be built. A warning where `check.target` says that the flow is meant to run elsewhere.",
    bad: "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirements.txt\n#- requirements.txt\ngit+https://github.com/contoso/tools\n",
    good: "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirements.txt\n#- requirements.txt\ncontoso-tools\n",
    fix: None,
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    // A requirements file alone belongs to no run.
    if context.flow_file().is_none() {
        return Vec::new();
    }
    let level = match context.target {
        RuntimeTarget::HostedRuntime => Level::Error,
        RuntimeTarget::OwnBaseImage | RuntimeTarget::FlowBuild => Level::Warning,
    };
    let mut findings = Vec::new();
    for file in context.requirements() {
        for line in &file.requirements.lines {
            let is_open = line.text.contains(['$', '{']) || look_alike::find(&line.text).is_some();
            if line.refusal.is_some() || is_open || is_about_feed(line) {
                continue;
            }
            findings.extend(refused(line).map(|(span, what, help)| {
                let message = format!("flowgate's image build refuses {what}");
                Finding::new(level, Place { file: file.file, span }, message).help(help)
            }));
        }
    }
    findings
}

/// Where the line is refused, what it is, and what would help.
fn refused(line: &Line) -> Option<(Span, &'static str, &'static str)> {
    const ARCHIVE: &str =
        "publish it to a feed, or put its code beside the flow; `--backend process` installs it, without a sandbox";
    let is_repository = |url: &str| url.split_once("://").is_some_and(|(scheme, _)| scheme.contains('+'));
    if let Some(requirement) = &line.requirement {
        let is_repository = requirement.url().is_some_and(is_repository);
        return is_repository.then_some((requirement.span, "a version control repository", ARCHIVE));
    }
    line.options.iter().find_map(|option| {
        let value = option.value.as_ref()?;
        match option.kind {
            OptionKind::Editable if is_repository(&value.value) => {
                Some((value.span, "a version control repository", ARCHIVE))
            }
            OptionKind::FindLinks if !line.requires() => {
                Some((option.name.span, "`--find-links`", "name a package index with `--extra-index-url`"))
            }
            OptionKind::TrustedHost if !line.requires() => Some((
                option.name.span,
                "`--trusted-host`",
                "remove it; where the host's authority is not the system's, name that with SSL_CERT_FILE",
            )),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use flowgate_flow::config::{CheckConfig, RuntimeTarget};

    use crate::{Facts, Level, fixture};

    const FLOW: &str = "#- flow.dag.yaml\ninputs: {}\n#- requirements.txt\n";

    #[test]
    fn every_form() {
        fixture::raises(
            &super::RULE,
            &format!(
                "{FLOW}git+https://example.com/r@main
#^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ error[unsupported-requirement]: flowgate's image build refuses a version control repository
a @ hg+ssh://example.com/r
#^^^^^^^^^^^^^^^^^^^^^^^^^ error[unsupported-requirement]: flowgate's image build refuses a version control repository
-e git+https://example.com/r#egg=a
#  ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ error[unsupported-requirement]: flowgate's image build refuses a version control repository
-f https://example.com/links
#^ error[unsupported-requirement]: flowgate's image build refuses `--find-links`
--trusted-host example.com
#^^^^^^^^^^^^^ error[unsupported-requirement]: flowgate's image build refuses `--trusted-host`
git+${{REPOSITORY}}
a @ https://example.com/a.whl
a -f https://example.com/links
-e .
"
            ),
        );
    }

    #[test]
    fn where_the_flow_runs_elsewhere() {
        let project = fixture::project(&fixture::files(&format!("{FLOW}git+https://example.com/r\n")));
        let config = CheckConfig { target: RuntimeTarget::FlowBuild, ..CheckConfig::default() };
        let findings = crate::check(&project, &config, &Facts::default());
        let level = findings.iter().find(|finding| finding.rule == super::RULE.name).map(|finding| finding.level);
        assert_eq!(level, Some(Level::Warning));
        fixture::raises(&super::RULE, "#- requirements.txt\ngit+https://example.com/r\n");
    }
}
