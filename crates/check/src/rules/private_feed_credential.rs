//! No message holds the secret: [`crate::finding`] masks it, and so does every excerpt.

use crate::context::Context;
use crate::finding::{Applicability, Finding, Place};
use crate::rule::{Group, Rule};
use flowgate_flow::Span;
use flowgate_flow::credential::{Credential, Secret};
use flowgate_flow::feed::{Parts, is_index};
use flowgate_flow::requirements::PRIVATE_PLACEHOLDER;

pub(super) const RULE: Rule = Rule {
    name: "private-feed-credential",
    group: Group::Environment,
    level: crate::finding::Level::Error,
    summary: "A password or token written into a URL; or `{private}`, where no identity stands behind it.",
    cases: &["token-in-url", "password-in-url", "placeholder-without-identity"],
    why: "Who can read the repository, the image or a log has it, and it stays in the history after it is removed. The hosted runtime replaces `{private}` by a token of the session's identity; flowgate looks for one only where it was told which.",
    bad: "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirements.txt\n#- requirements.txt\n-i https://build:hunter2-hunter2@pkgs.dev.azure.com/contoso/_packaging/tools/pypi/simple/\ncontoso-tools\n",
    good: "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirements.txt\n#- requirements.txt\n-i https://{private}@pkgs.dev.azure.com/contoso/_packaging/tools/pypi/simple/\ncontoso-tools\n",
    fix: Some(
        "Writes `{private}` in its place, for a feed of Azure DevOps. Unsafe: the runtime's identity then needs access to the feed.",
    ),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in context.requirements() {
        let text = context.project.text(file.file);
        let place = |span: Span| Place { file: file.file, span };
        findings.extend(file.requirements.credentials.iter().map(|credential| {
            let url = text.get(credential.span.end..).unwrap_or("");
            clear_text(place(credential.secret), place(credential.span), credential, url)
        }));
        if context.facts.has_identity != Some(false) {
            continue;
        }
        for (_, option) in file.requirements.options().filter(|(_, option)| is_index(option)) {
            let Some(url) = &option.value else { continue };
            if let Some(at) = url.value.find(PRIVATE_PLACEHOLDER) {
                let at = place(url.part(at..at + PRIVATE_PLACEHOLDER.len()));
                findings.push(
                    Finding::error(at, "no identity is configured, so nothing replaces `{private}`")
                        .help("give the session a user-assigned identity that may read the feed"),
                );
            }
        }
    }
    findings
}

fn clear_text(secret: Place, whole: Place, credential: &Credential, after: &str) -> Finding {
    let what = match credential.kind {
        Secret::AzureDevOpsToken => "an access token of Azure DevOps",
        Secret::WebToken => "a signed token",
        Secret::HostToken => "an access token",
        Secret::Password => "a password",
    };
    let finding = Finding::error(secret, format!("{what} in plain text"));
    let host_and_path = after.trim_start_matches('@').split_whitespace().next().unwrap_or("");
    if Parts::of(&format!("https://{host_and_path}")).is_azure() {
        finding.help("revoke it, and write `{private}`").fix(
            Applicability::Unsafe,
            "write `{private}`",
            whole,
            PRIVATE_PLACEHOLDER,
        )
    } else {
        finding.help("revoke it, and keep the new one out of the repository")
    }
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn in_every_place_and_never_shown() {
        let pat = "abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrst";
        let files = fixture::files(&format!(
            "#- requirements.txt\npkg -i https://{pat}@h/simple x\n# -i https://u:hunter2@pkgs.dev.azure.com/o/_packaging/f/pypi/simple/\na @ git+https://u:hunter2@github.com/a/b\n"
        ));
        let (_, findings) = fixture::findings(&files);
        let ours: Vec<_> = findings.iter().filter(|f| f.rule == super::RULE.name).collect();
        assert_eq!(ours.len(), 3);
        for finding in &findings {
            let shown = format!("{finding:?}");
            assert!(!shown.contains("hunter2") && !shown.contains(pat), "{shown}");
        }
    }

    #[test]
    fn without_an_identity() {
        let text = "#- requirements.txt\n-i https://{private}@pkgs.dev.azure.com/o/_packaging/f/pypi/simple/\n";
        let project = fixture::project(&fixture::files(text));
        let find = |has_identity| {
            let facts = crate::Facts { has_identity, ..Default::default() };
            crate::check(&project, &Default::default(), &facts)
        };
        assert!(find(None).is_empty() && find(Some(true)).is_empty());
        assert_eq!(find(Some(false))[0].message, "no identity is configured, so nothing replaces `{private}`");
    }
}
