use crate::context::Context;
use crate::finding::{Applicability, Finding, Level, Place};
use crate::look_alike;
use crate::rule::{Group, Rule};
use flowgate_flow::Span;
use flowgate_flow::feed::{Parts, is_feed, is_index};
use flowgate_flow::requirements::OptionKind;

pub(super) const RULE: Rule = Rule {
    name: "untrusted-index",
    group: Group::Environment,
    level: Level::Warning,
    summary: "An index over `http`, or one whose certificate is not to be looked at.",
    cases: &["trusted-host", "insecure-index"],
    why: "Who sits between pip and the index can put in any code, and it runs with the flow's connections. pip ignores an index over `http`, with a line in a log, unless `--trusted-host` names its host.",
    bad: "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirements.txt\n#- requirements.txt\n-i http://pypi.example.com/simple/\nrequests\n",
    good: "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirements.txt\n#- requirements.txt\n-i https://pypi.example.com/simple/\nrequests\n",
    fix: Some("Writes `https`. Unsafe: the host may not speak it."),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in context.requirements() {
        for (line, option) in file.requirements.options() {
            let Some(value) = &option.value else { continue };
            if line.refusal.is_some() || look_alike::find(&value.value).is_some() {
                continue;
            }
            let place = |span: Span| Place { file: file.file, span };
            if option.kind == OptionKind::TrustedHost && !is_local(&value.value) {
                let message = format!("pip does not look at the certificate of `{}`", value.value);
                findings.push(
                    Finding::new(Level::Warning, place(value.span), message)
                        .help("remove the option; add the host's own authority to the image where it needs one"),
                );
            }
            let scheme = value.value.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://"));
            // A feed over http is said elsewhere.
            if is_index(option)
                && scheme.is_some()
                && !is_feed(&value.value)
                && !is_local(&Parts::of(&value.value).host)
            {
                let at = place(value.part(0..4));
                let message = "pip ignores an index over `http` unless its host is trusted";
                let finding = Finding::new(Level::Warning, at, message).help("use `https`");
                findings.push(match value.is_verbatim() {
                    true => finding.fix(Applicability::Unsafe, "use `https`", at, "https"),
                    false => finding,
                });
            }
        }
    }
    findings
}

/// True for a host of this machine or of a network that is not the internet.
fn is_local(host: &str) -> bool {
    let host = host.split(':').next().unwrap_or("");
    let private = host.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback() || ip.is_private());
    private || host == "localhost" || host.ends_with(".local") || host.ends_with(".internal")
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn http_and_trusted_hosts() {
        fixture::raises(
            &super::RULE,
            "#- requirements.txt
-i http://pypi.example.com/simple
#  ^^^^ warning[untrusted-index]: pip ignores an index over `http` unless its host is trusted
--extra-index-url http://localhost:3141/root
--extra-index-url http://10.0.0.1/simple
--trusted-host pypi.example.com
#              ^^^^^^^^^^^^^^^^ warning[untrusted-index]: pip does not look at the certificate of `pypi.example.com`
--trusted-host localhost:3141
-f http://example.com/links
",
        );
    }
}
