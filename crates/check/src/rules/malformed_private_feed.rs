use crate::context::Context;
use crate::finding::{Applicability, Finding, Level, Place};
use crate::rule::{Group, Rule};
use flowgate_flow::feed::{Certainty, faults, is_feed, is_index};
use flowgate_flow::project::FileId;
use flowgate_flow::requirements::{Line, OptionKind, PRIVATE_PLACEHOLDER};
use flowgate_flow::{Span, Spanned};

pub(super) const RULE: Rule = Rule {
    name: "malformed-private-feed",
    group: Group::Environment,
    level: Level::Error,
    summary: "A line for a private feed that is not `-i https://{private}@<feed>/pypi/simple/` on a line of its own.",
    cases: &[
        "missing-at-sign",
        "missing-scheme",
        "doubled-scheme",
        "wrong-placeholder",
        "insecure-feed",
        "missing-simple-path",
        "feed-of-another-protocol",
        "feed-web-page",
        "misspelt-feed-host",
        "unfilled-feed-template",
        "feed-user-without-password",
        "placeholder-with-user",
        "package-on-index-line",
        "placeholder-outside-url",
        "older-feed-address",
        "placeholder-to-another-host",
        "double-slash-in-feed",
        "organisation-as-feed",
    ],
    why: "The runtime replaces `{private}` by a token only in that form. pip takes most other forms without a word: the index is not asked, the package is not installed, or the server answers 401, which pip reports as `No matching distribution found`.",
    bad: "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirements.txt\n#- requirements.txt\n-i http://${private}pkgs.dev.azure.com/contoso/_packaging/tools/\ncontoso-tools\n",
    good: "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirements.txt\n#- requirements.txt\n-i https://{private}@pkgs.dev.azure.com/contoso/_packaging/tools/pypi/simple/\ncontoso-tools\n",
    fix: Some(
        "Repairs the scheme, the placeholder, the `@` and the path. Safe where one repair is possible; splitting a line is unsafe.",
    ),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in context.requirements() {
        for line in &file.requirements.lines {
            LineCheck { file: file.file, line, findings: &mut findings }.run();
        }
    }
    findings
}

struct LineCheck<'a> {
    file: FileId,
    line: &'a Line,
    findings: &'a mut Vec<Finding>,
}

impl LineCheck<'_> {
    fn place(&self, span: Span) -> Place {
        Place { file: self.file, span }
    }

    fn run(&mut self) {
        let line = self.line;
        let links = line.options.iter().filter(|option| option.kind == OptionKind::FindLinks);
        for url in links.filter_map(|option| option.value.as_ref()) {
            if let Some(at) = url.value.find(PRIVATE_PLACEHOLDER) {
                let at = self.place(url.part(at..at + PRIVATE_PLACEHOLDER.len()));
                let message = "`{private}` is replaced only in the URL of an index, not of `--find-links`";
                self.findings.push(Finding::error(at, message).help("name the feed with `-i`"));
            }
        }
        let mut any_feed = false;
        for option in line.options.iter().filter(|option| is_index(option)) {
            let Some(url) = &option.value else { continue };
            if !is_feed(&url.value) {
                continue;
            }
            any_feed = true;
            self.url(url);
        }
        if any_feed {
            self.neighbours();
        } else if is_feed(line.requirement.as_ref().map_or("", |r| r.text.as_str()))
            || line.stray.iter().any(|word| is_feed(&word.value))
        {
            self.no_index_option();
        }
    }

    /// What else stands on an index line.
    fn neighbours(&mut self) {
        let line = self.line;
        if let Some(requirement) = &line.requirement {
            let options = line
                .options
                .iter()
                .find(|option| is_index(option))
                .map_or(line.span, |option| Span::new(option.name.span.start, line.span.end));
            let message = format!(
                "pip ignores an index on the line of a package: `{}` comes from the public index",
                requirement.text
            );
            let finding = Finding::error(self.place(options), message).help("put the index on a line of its own");
            let gap = self.place(Span::new(requirement.span.end, options.start));
            self.findings.push(finding.fix(Applicability::Unsafe, "split the line", gap, "\n"));
        }
        let mut words = line.stray.iter().peekable();
        let values = line.options.iter().filter_map(|option| option.value.as_ref());
        let mut url_end = values
            .map(|value| value.span.end)
            .filter(|end| words.peek().is_some_and(|word| *end <= word.span.start))
            .max();
        // `https://{private} @host`: the rest of the URL, not a package.
        if let Some(word) = words.next_if(|word| word.value.starts_with('@')) {
            let gap = self.place(Span::new(url_end.unwrap_or(word.span.start), word.span.start));
            let finding = Finding::error(gap, "a blank splits the URL: pip reads only what stands before it");
            self.findings.push(finding.help("remove the blank").fix(Applicability::Safe, "remove the blank", gap, ""));
            url_end = Some(word.span.end);
        }
        if let Some(first) = words.next() {
            let end = line.stray.last().map_or(first.span.end, |last| last.span.end);
            let at = Span::new(first.span.start, end);
            let finding = Finding::error(
                self.place(at),
                format!("pip drops `{}`: nothing may follow the URL of an index", first.value),
            );
            let gap = self.place(Span::new(url_end.unwrap_or(first.span.start), first.span.start));
            self.findings.push(finding.help("put the package on a line of its own").fix(
                Applicability::Unsafe,
                "split the line",
                gap,
                "\n",
            ));
        }
    }

    /// A feed's URL where pip looks for a package.
    fn no_index_option(&mut self) {
        let line = self.line;
        let at = self.place(line.span);
        let text = line.requirement.as_ref().map_or("", |r| r.text.as_str());
        let finding = if text.contains(" @ ") || text.contains("git+") {
            Finding::error(at, "`{private}` is replaced only in the URL of an index, never in a package's own URL")
                .help("name the package alone, and the feed with `-i`")
        } else {
            let finding = Finding::error(at, "a feed's URL without `-i` is not an index").help("write `-i URL`");
            let word = text.split_whitespace().last().filter(|word| is_feed(word));
            match word {
                Some(url) => finding.fix(Applicability::Unsafe, "write `-i URL`", at, format!("-i {url}")),
                None => finding,
            }
        };
        self.findings.push(finding);
    }

    /// The URL itself: every fault has its own span and its own edit, and none overlap.
    fn url(&mut self, url: &Spanned<String>) {
        for fault in faults(&url.value) {
            let level = match fault.certainty {
                Certainty::Certain => Level::Error,
                Certainty::Doubtful => Level::Warning,
                Certainty::Works => Level::Hint,
            };
            let at = |range| self.place(url.part(range));
            let mut finding = Finding::new(level, at(fault.range), fault.message).help(fault.help);
            // Elsewhere it is not known what stands between the characters of the value.
            if let Some(edit) = fault.edit.filter(|_| url.is_verbatim()) {
                let applicability = if edit.safe { Applicability::Safe } else { Applicability::Unsafe };
                finding = finding.fix(applicability, edit.title, at(edit.range), edit.text);
            }
            self.findings.push(finding);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn each_fault_on_its_own_span() {
        fixture::raises(
            &super::RULE,
            "#- requirements.txt
-i https://{private}@pkgs.dev.azure.com/o/p/_packaging/f@Release/pypi/simple/
--extra-index-url=https://{private}@o.pkgs.visualstudio.com/_packaging/f/pypi/simple
#                                   ^^^^^^^^^^^^^^^^^^^^^^^ hint[malformed-private-feed]: this is the older address of the feed, which still works
-i https://pypi.example.com/simple pkg
-i https://{private}pkgs.dev.azure.com/o/_packaging/f/pypi/simple/
#                   ^ error[malformed-private-feed]: there is no `@` between `{private}` and the host: pip takes both for the host's name
-i https://${private}@pkgs.dev.azure.com/o/_packaging/f/pypi/simple/
#          ^^^^^^^^^^ error[malformed-private-feed]: `${private}` is not the placeholder
-i https://{PRIVATE}@pkgs.dev.azure.com/o/_packaging/f/pypi/simple/
#          ^^^^^^^^^ error[malformed-private-feed]: `{PRIVATE}` is not the placeholder
-i https://<private>@pkgs.dev.azure.com/o/_packaging/f/pypi/simple/
#          ^^^^^^^^^ error[malformed-private-feed]: `<private>` is not the placeholder
-i https://$private@pkgs.dev.azure.com/o/_packaging/f/pypi/simple/
#          ^^^^^^^^ error[malformed-private-feed]: `$private` is not the placeholder
-i {private}@pkgs.dev.azure.com/o/_packaging/f/pypi/simple/
#  ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ error[malformed-private-feed]: the URL has no scheme: pip takes it for a folder
-i http://{private}@pkgs.dev.azure.com/o/_packaging/f/pypi/simple/
#  ^^^^ error[malformed-private-feed]: `http` sends the token in the clear
-i https://{private}@https://pkgs.dev.azure.com/o/_packaging/f/pypi/simple/
#                    ^^^^^^^^ error[malformed-private-feed]: a second scheme stands before the host
-i https://{private}@pkgs.dev.azure.com/o/_packaging/f
#                                      ^^^^^^^^^^^^^^^ error[malformed-private-feed]: the URL of an index ends in `/pypi/simple/`
-i https://{private}@pkgs.dev.azure.com/o/_packaging/f/pypi/upload/
#                                                     ^^^^^^^^^^^^^ error[malformed-private-feed]: this is the address for uploads, not the index
-i https://{private}@dev.azure.com/o/p/_artifacts/feed/f
#                    ^^^^^^^^^^^^^ error[malformed-private-feed]: `dev.azure.com` is the web page, not the feed
-i https://{private}@pkgs.dev.azure.com/o/_packaging/f/pypi/simple/ pkg
#                                                                   ^^^ error[malformed-private-feed]: pip drops `pkg`: nothing may follow the URL of an index
pkg -i https://{private}@pkgs.dev.azure.com/o/_packaging/f/pypi/simple/
#   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ error[malformed-private-feed]: pip ignores an index on the line of a package: `pkg` comes from the public index
-i https://{private} @pkgs.dev.azure.com/o/_packaging/f/pypi/simple/
#                   ^ error[malformed-private-feed]: a blank splits the URL: pip reads only what stands before it
pkg @ https://{private}@pkgs.dev.azure.com/o/x.whl
#^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ error[malformed-private-feed]: `{private}` is replaced only in the URL of an index, never in a package's own URL
index-url = https://{private}@pkgs.dev.azure.com/o/_packaging/f/pypi/simple/
#^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ error[malformed-private-feed]: a feed's URL without `-i` is not an index
-i https://{private}@example.com/simple/
#                    ^^^^^^^^^^^ warning[malformed-private-feed]: `example.com` is not an Azure DevOps feed: it would be sent a token that is not its own
-i https://${PRIVATE}@pkgs.dev.azure.com/o/_packaging/f/pypi/simple/
#          ^^^^^^^^^^ warning[malformed-private-feed]: pip replaces `${PRIVATE}` by an environment variable, which the runtime does not set
",
        );
    }

    #[test]
    fn names_and_users() {
        fixture::raises(
            &super::RULE,
            "#- requirements.txt
-i https://{privat}@pkgs.dev.azure.com/o/_packaging/f/pypi/simple/
#          ^^^^^^^^ error[malformed-private-feed]: `{privat}` is not the placeholder
-i https://x:${PAT}@pkgs.dev.azure.com/o/_packaging/f/pypi/simple/
#          ^^^^^^^^ warning[malformed-private-feed]: pip replaces `${PAT}` by an environment variable, which the runtime does not set
-i https://feed@pkgs.dev.azure.com/o/_packaging/f/pypi/simple/
#          ^^^^ warning[malformed-private-feed]: `feed` is a user without a password: for a feed that is not public, pip asks for one
-i https://x:{private}@pkgs.dev.azure.com/o/_packaging/f/pypi/simple/
#          ^^^^^^^^^^^ warning[malformed-private-feed]: `x:{private}` is not the documented form, which is `{private}` alone
-i https://{private}:@pkgs.dev.azure.com/o/_packaging/f/pypi/simple/
#          ^^^^^^^^^^ warning[malformed-private-feed]: `{private}:` is not the documented form, which is `{private}` alone
-i https://{private}@pkg.dev.azure.com/o/_packaging/f/pypi/simple/
#                    ^^^^^^^^^^^^^^^^^ error[malformed-private-feed]: `pkg.dev.azure.com` is not a host of feeds
-i https://{private}@{test_feed_url_in_azure_devops}
#                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning[malformed-private-feed]: `{test_feed_url_in_azure_devops}` is a placeholder for the feed's address
-i https://{private}@pkgs.dev.azure.com/<org>/_packaging/FEED_NAME/pypi/simple/
#                                       ^^^^^ warning[malformed-private-feed]: `<org>` is a placeholder for a name
#                                                        ^^^^^^^^^ warning[malformed-private-feed]: `FEED_NAME` is a placeholder for a name
-i https://pkgs.dev.azure.com/o/_packaging/{private}/pypi/simple/
#                                          ^^^^^^^^^ error[malformed-private-feed]: `{private}` is replaced only before the host
-i https://{private}@pkgs.dev.azure.com/o//_packaging/f/pypi/simple/
#                                        ^^ warning[malformed-private-feed]: two slashes: the server may not know the path
-i https://{private}@pkgs.dev.azure.com/o/prö/_packaging/f/pypi/simple/
#                                         ^^^ warning[malformed-private-feed]: `ö` cannot stand in a URL as it is
-i https://{private}@pkgs.dev.azure.com/o/_packaging/o/pypi/simple/
#                                                    ^ hint[malformed-private-feed]: the feed has the name of the organisation: is it one of the organisation itself?
-f https://{private}@example.com/links
#          ^^^^^^^^^ error[malformed-private-feed]: `{private}` is replaced only in the URL of an index, not of `--find-links`
",
        );
    }

    #[test]
    fn a_public_feed_is_no_fault() {
        fixture::raises(
            &super::RULE,
            "#- requirements.txt\n-i https://pkgs.dev.azure.com/o/public/_packaging/f/pypi/simple/\n# {private} in a comment\nprivate-package\n",
        );
    }

    #[test]
    fn lines_are_split_and_joined() {
        let fixed = fixture::fixed(
            "#- requirements.txt\npkg -i https://{private} @pkgs.dev.azure.com/o/_packaging/f/pypi/simple/ other\n",
        );
        assert_eq!(
            fixed,
            "#- requirements.txt\npkg\n-i https://{private}@pkgs.dev.azure.com/o/_packaging/f/pypi/simple/\nother\n"
        );
    }
}
