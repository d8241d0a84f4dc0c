use crate::context::Context;
use crate::finding::{Applicability, Finding, Level, Place};
use crate::rule::{Group, Rule};
use crate::suggest::{self, did_you_mean};
use flowgate_flow::feed::{FEED_HOST, OLD_FEED_HOST, Parts, is_feed};
use flowgate_flow::project::FileId;
use flowgate_flow::requirements::{self, Line, LineOption, OptionKind, PRIVATE_PLACEHOLDER};
use flowgate_flow::{Span, Spanned, credential};

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
        let is_index = |option: &&LineOption| matches!(option.kind, OptionKind::IndexUrl | OptionKind::ExtraIndexUrl);
        let is_links = |option: &&LineOption| option.kind == OptionKind::FindLinks;
        for url in line.options.iter().filter(is_links).filter_map(|option| option.value.as_ref()) {
            if let Some(at) = url.value.find(PRIVATE_PLACEHOLDER) {
                let at = self.place(url.part(at..at + PRIVATE_PLACEHOLDER.len()));
                let message = "`{private}` is replaced only in the URL of an index, not of `--find-links`";
                self.findings.push(Finding::error(at, message).help("name the feed with `-i`"));
            }
        }
        let mut any_feed = false;
        for option in line.options.iter().filter(is_index) {
            let Some(url) = &option.value else { continue };
            if !is_feed(&url.value) {
                continue;
            }
            any_feed = true;
            self.url(url);
        }
        if any_feed {
            self.neighbours(is_index);
        } else if is_feed(line.requirement.as_ref().map_or("", |r| r.text.as_str()))
            || line.stray.iter().any(|word| is_feed(&word.value))
        {
            self.no_index_option();
        }
    }

    /// What else stands on an index line.
    fn neighbours(&mut self, is_index: impl Fn(&&LineOption) -> bool) {
        let line = self.line;
        if let Some(requirement) = &line.requirement {
            let options = line
                .options
                .iter()
                .find(is_index)
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
        let parts = Parts::of(&url.value);
        let at = |range: std::ops::Range<usize>| self.place(url.part(range));
        let mut found = Vec::new();
        let safe = |finding: Finding, title: &str, range: std::ops::Range<usize>, text: &str| {
            finding.fix(Applicability::Safe, title, at(range), text)
        };

        match parts.scheme.as_deref() {
            None => {
                let finding =
                    Finding::error(at(0..url.value.len()), "the URL has no scheme: pip takes it for a folder");
                found.push(safe(finding.help("start it with `https://`"), "add `https://`", 0..0, "https://"));
            }
            Some("https") => {}
            Some("http") => {
                let finding = Finding::error(at(0..4), "`http` sends the token in the clear");
                found.push(safe(finding.help("use `https`"), "use `https`", 0..4, "https"));
            }
            Some(other) => found.push(
                Finding::error(at(0..other.len()), format!("`{other}` is not the scheme of a feed"))
                    .help("use `https`"),
            ),
        }
        if let Some((range, written)) = &parts.placeholder {
            if written == "${PRIVATE}" {
                let message = "pip replaces `${PRIVATE}` by an environment variable, which the runtime does not set";
                found.push(Finding::new(Level::Warning, at(range.clone()), message).help("write `{private}`"));
            } else if written != PRIVATE_PLACEHOLDER {
                let finding = Finding::error(at(range.clone()), format!("`{written}` is not the placeholder"));
                found.push(safe(
                    finding.help("write `{private}`"),
                    "write `{private}`",
                    range.clone(),
                    PRIVATE_PLACEHOLDER,
                ));
            }
            let rest = url.value.get(range.end..).unwrap_or("");
            if !rest.is_empty() && !rest.starts_with('@') && !rest.starts_with(':') && range.end <= parts.authority.end
            {
                let finding = Finding::error(
                    at(range.end..range.end),
                    "there is no `@` between `{private}` and the host: pip takes both for the host's name",
                );
                found.push(safe(finding.help("write `{private}@`"), "add `@`", range.end..range.end, "@"));
            }
            if range.start >= parts.authority.end {
                found.push(
                    Finding::error(at(range.clone()), "`{private}` is replaced only before the host")
                        .help("write `https://{private}@<feed>`"),
                );
            }
        }
        found.extend(user(url, &parts, &at));
        if let Some(range) = &parts.inner_scheme {
            let finding = Finding::error(at(range.clone()), "a second scheme stands before the host");
            found.push(safe(finding.help("remove it"), "remove it", range.clone(), ""));
        }
        let azure = parts.host.ends_with(FEED_HOST) || parts.host.ends_with(OLD_FEED_HOST);
        if azure {
            found.extend(feed_path(url, &parts, &at));
            found.extend(names(url, &parts, &at));
            if parts.host.ends_with(OLD_FEED_HOST) {
                let message = "this is the older address of the feed, which still works";
                let organisation = parts.host.strip_suffix(OLD_FEED_HOST).unwrap_or("<organisation>");
                found.push(
                    Finding::new(Level::Hint, at(parts.host_range.clone()), message)
                        .help(format!("the newer one is `{FEED_HOST}/{organisation}/...`")),
                );
            }
        } else if MISSPELT_HOSTS.contains(&parts.host.as_str()) {
            let message = format!("`{}` is not a host of feeds", parts.host);
            found.push(safe(
                Finding::error(at(parts.host_range.clone()), message).help(did_you_mean(FEED_HOST)),
                "write the host",
                parts.host_range.clone(),
                FEED_HOST,
            ));
        } else if parts.host == "dev.azure.com" || parts.host.ends_with(".visualstudio.com") {
            let message = format!("`{}` is the web page, not the feed", parts.host);
            found.push(
                Finding::error(at(parts.host_range.clone()), message)
                    .help("use `https://{private}@pkgs.dev.azure.com/<organisation>/_packaging/<feed>/pypi/simple/`"),
            );
        } else if parts.placeholder.is_some() && !parts.host.is_empty() {
            let message = if is_template(&parts.host) {
                format!("`{}` stands for the address of the feed, and is not filled in", parts.host)
            } else {
                format!("`{}` is not an Azure DevOps feed: it would be sent a token that is not its own", parts.host)
            };
            found.push(
                Finding::new(Level::Warning, at(parts.host_range.clone()), message)
                    .help("`{private}` is for feeds at `pkgs.dev.azure.com`"),
            );
        }
        if !url.is_verbatim() {
            // What is between the characters of the value is not known here.
            found.iter_mut().for_each(|finding| finding.fix = None);
        }
        self.findings.extend(found);
    }
}

/// What people write for the host of feeds.
const MISSPELT_HOSTS: [&str; 6] = [
    "pkgs.azure.com",
    "pkg.dev.azure.com",
    "packages.dev.azure.com",
    "pkgs.azure.dev.com",
    "pkgs.devazure.com",
    "pkgs.dev.azure.net",
];

/// True for a name of an example that was not filled in: `<org>`, `{feed}`, `FEED_NAME`.
fn is_template(name: &str) -> bool {
    let (open, close) = (name.starts_with(['<', '{', '[']), name.ends_with(['>', '}', ']']));
    let loud = ["ORGANIZATION", "ORGANISATION", "ORG_", "PROJECT_", "FEED_", "YOUR"];
    let upper = !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || matches!(c, '_' | '-'));
    open && close || upper && loud.iter().any(|word| name.starts_with(word))
}

/// What stands before the host, other than the placeholder alone.
fn user(url: &Spanned<String>, parts: &Parts, at: &dyn Fn(std::ops::Range<usize>) -> Place) -> Option<Finding> {
    let end = parts.host_range.start.checked_sub(1).filter(|end| *end > parts.authority.start)?;
    let range = parts.authority.start..end;
    let user = url.value.get(range.clone())?;
    if parts.inner_scheme.is_some() || url.value.get(end..parts.host_range.start) != Some("@") {
        return None;
    }
    let place = at(range.clone());
    if let Some((placeholder, written)) = &parts.placeholder {
        let is_alone = *placeholder == range;
        let message = format!("`{user}` is not the documented form, which is `{{private}}` alone");
        let is_other = !is_alone && written == PRIVATE_PLACEHOLDER && placeholder.end <= range.end;
        return is_other.then(|| {
            let finding = Finding::new(Level::Warning, place, message).help("write `https://{private}@`");
            finding.fix(Applicability::Safe, "write `{private}` alone", place, PRIVATE_PLACEHOLDER)
        });
    }
    if !parts.is_azure() {
        return None;
    }
    if user.starts_with('{')
        && user.ends_with('}')
        && suggest::nearest(user, [PRIVATE_PLACEHOLDER].into_iter()).is_some()
    {
        let finding = Finding::error(place, format!("`{user}` is not the placeholder")).help("write `{private}`");
        return Some(finding.fix(Applicability::Safe, "write `{private}`", place, PRIVATE_PLACEHOLDER));
    }
    if let Some(variable) = requirements::variables(user).next() {
        let written = user.get(variable)?;
        let message = format!("pip replaces `{written}` by an environment variable, which the runtime does not set");
        return Some(Finding::new(Level::Warning, place, message).help("write `{private}`"));
    }
    // Whether the feed is public, or an image brings a keyring, is not in the file.
    let is_name = !user.contains([':', '$']) && credential::find(&url.value).is_empty();
    is_name.then(|| {
        let message = format!("`{user}` is a user without a password: for a feed that is not public, pip asks for one");
        let finding =
            Finding::new(Level::Warning, place, message).help("write `{private}`, or nothing before the host");
        finding.fix(Applicability::Unsafe, "write `{private}`", place, PRIVATE_PLACEHOLDER)
    })
}

/// The names of organisation, project and feed.
fn names(url: &Spanned<String>, parts: &Parts, at: &dyn Fn(std::ops::Range<usize>) -> Place) -> Vec<Finding> {
    let path = url.value.get(parts.path.clone()).unwrap_or("");
    let mut findings = Vec::new();
    let mut warn = |range: std::ops::Range<usize>, message: String, help: &str| {
        findings.push(Finding::new(Level::Warning, at(range), message).help(help));
    };
    if let Some(double) = path.find("//") {
        let start = parts.path.start + double;
        warn(start..start + 2, "two slashes stand here: the server may not know the path".to_owned(), "write one");
    }
    let mut start = parts.path.start;
    let mut names = Vec::new();
    for name in path.split('/') {
        let range = start..start + name.len();
        start = range.end + 1;
        // Of that, an error says more.
        if name == PRIVATE_PLACEHOLDER {
            continue;
        }
        if is_template(name) {
            warn(range, format!("`{name}` stands for a name, and is not filled in"), "write the name");
        } else if let Some(c) = name.chars().find(|c| !c.is_ascii()) {
            warn(range, format!("`{c}` cannot stand in a URL as it is"), "write it in percent encoding");
        } else if !name.is_empty() {
            names.push((name, range));
        }
    }
    if let [(organisation, _), ("_packaging", _), (feed, range), ..] = names.as_slice()
        && organisation == feed
        && parts.host == FEED_HOST
    {
        let message = "the feed has the name of the organisation: is it one of the organisation itself?";
        let help = "behind `_packaging/` stands the name of the feed";
        findings.push(Finding::new(Level::Hint, at(range.clone()), message).help(help));
    }
    findings
}

fn feed_path(url: &Spanned<String>, parts: &Parts, at: &dyn Fn(std::ops::Range<usize>) -> Place) -> Option<Finding> {
    let path = url.value.get(parts.path.clone()).unwrap_or("");
    let Some(packaging) = path.find("_packaging/") else {
        let message = "the path does not name a feed";
        return Some(
            Finding::error(at(parts.path.clone()), message)
                .help("it reads `/<organisation>/_packaging/<feed>/pypi/simple/`"),
        );
    };
    let feed = packaging + "_packaging/".len();
    let feed_end = path.get(feed..).and_then(|rest| rest.find('/')).map_or(path.len(), |n| feed + n);
    if feed_end == feed {
        return Some(
            Finding::error(at(parts.path.clone()), "the name of the feed is missing")
                .help("it reads `/_packaging/<feed>/pypi/simple/`"),
        );
    }
    let tail = path.get(feed_end..).unwrap_or("");
    if tail.trim_end_matches('/') == "/pypi/simple" {
        return None;
    }
    let range = parts.path.start + feed_end..parts.path.end;
    let message = match tail.trim_matches('/') {
        "pypi/upload" => "this is the address for uploads, not the index".to_owned(),
        other if ["nuget", "npm", "maven"].iter().any(|kind| other.starts_with(kind)) => {
            format!("`{other}` is not a Python index")
        }
        _ => "the URL of an index ends in `/pypi/simple/`".to_owned(),
    };
    let shown = if range.is_empty() { parts.path.clone() } else { range.clone() };
    Some(Finding::error(at(shown), message).help("write `/pypi/simple/` after the feed's name").fix(
        Applicability::Safe,
        "write `/pypi/simple/`",
        at(range),
        "/pypi/simple/",
    ))
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
#                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning[malformed-private-feed]: `{test_feed_url_in_azure_devops}` stands for the address of the feed, and is not filled in
-i https://{private}@pkgs.dev.azure.com/<org>/_packaging/FEED_NAME/pypi/simple/
#                                       ^^^^^ warning[malformed-private-feed]: `<org>` stands for a name, and is not filled in
#                                                        ^^^^^^^^^ warning[malformed-private-feed]: `FEED_NAME` stands for a name, and is not filled in
-i https://pkgs.dev.azure.com/o/_packaging/{private}/pypi/simple/
#                                          ^^^^^^^^^ error[malformed-private-feed]: `{private}` is replaced only before the host
-i https://{private}@pkgs.dev.azure.com/o//_packaging/f/pypi/simple/
#                                        ^^ warning[malformed-private-feed]: two slashes stand here: the server may not know the path
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
