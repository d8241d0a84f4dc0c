//! What pip 23.2 and 25.3 do was asked of them.

use std::collections::HashMap;

use flowgate_flow::project::{FileId, RequirementsFile};
use flowgate_flow::requirements::{Form, Line, LineOption, OptionKind, Refusal, Requirement, long_names, variables};
use flowgate_flow::{Span, Spanned};
use pep508_rs::VersionOrUrl;
use pep508_rs::pep440_rs::{Operator, VersionSpecifiers};

use crate::context::Context;
use crate::finding::{Applicability, Finding, Level, Place};
use crate::look_alike;
use crate::rule::{Group, Rule};
use crate::suggest;
use flowgate_flow::feed::is_about_feed;

pub(super) const RULE: Rule = Rule {
    name: "requirements-syntax",
    group: Group::Environment,
    level: Level::Error,
    summary: "A requirements file that pip refuses: a line that is no requirement, an option that it does not take, or versions that exclude each other.",
    cases: &["unknown-pip-option", "pip-configuration-syntax", "contradicting-versions"],
    why: "One such line and pip installs nothing of the whole file. The hosted runtime starts without the packages and says so only in a log; the flow then fails with `No module named ...`. An image build stops.",
    bad: "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirements.txt\n#- requirements.txt\nrequests=2.31\n--index_url https://pypi.org/simple\n",
    good: "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirements.txt\n#- requirements.txt\nrequests==2.31\n--index-url https://pypi.org/simple\n",
    fix: Some(
        "Writes `==` for `=`, the option as pip spells it, and a URL on the line of its option. Safe where one repair is possible; the most similar option is a guess, and unsafe.",
    ),
    check,
};

/// Options of pip's command line that people put into a file.
const COMMAND_LINE: [&str; 12] = [
    "-U",
    "--upgrade",
    "--no-deps",
    "--user",
    "--no-cache-dir",
    "-t",
    "--target",
    "-q",
    "--quiet",
    "--break-system-packages",
    "--ignore-installed",
    "--force-reinstall",
];

fn check(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in context.requirements() {
        let lines = &file.requirements.lines;
        for (index, line) in lines.iter().enumerate() {
            // Characters that only look right are another rule's, and so is what is no text.
            if look_alike::find(&line.text).is_some() || line.text.contains('\0') {
                continue;
            }
            match &line.refusal {
                Some(refusal) => findings.push(refused(file.file, refusal, lines.get(index + 1))),
                None => findings.extend(line.requirement.as_ref().and_then(|r| requirement(file, line, r))),
            }
            findings.extend(line.options.iter().filter_map(|option| joined_by_equals(file.file, option)));
            findings.extend(line.options.iter().filter_map(|option| newly_refused(file.file, option)));
        }
    }
    findings.extend(conflicts(context));
    findings
}

fn refused(file: FileId, refusal: &Refusal, next: Option<&Line>) -> Finding {
    let at = |span: Span| Place { file, span };
    match refusal {
        Refusal::Unknown(name) => {
            let finding =
                Finding::error(at(name.span), format!("pip takes no option `{}` in a requirements file", name.value));
            let dashes = name.value.replace('_', "-");
            if let Some(same) = long_names().find(|long| *long == dashes) {
                return finding.help(format!("write `{same}`")).fix(
                    Applicability::Safe,
                    format!("write `{same}`"),
                    at(name.span),
                    same,
                );
            }
            if COMMAND_LINE.contains(&name.value.as_str()) {
                return finding.help("it is an option of the command line only: remove it");
            }
            match suggest::nearest(&name.value, long_names()).filter(|_| name.value.starts_with("--")) {
                Some(near) => suggest::meant(finding, near),
                None => finding.help("remove it, or put what it belongs to on one line"),
            }
        }
        Refusal::Ambiguous(name, candidates) => {
            let names = candidates.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ");
            Finding::error(at(name.span), format!("`{}` may stand for several options", name.value))
                .help(format!("write {names}"))
        }
        Refusal::NoValue(name) => {
            let finding = Finding::error(at(name.span), format!("`{}` has no value", name.value));
            let value = next.filter(|next| next.requirement.as_ref().is_some_and(|r| r.form != Form::Name));
            match value {
                Some(next) => {
                    let gap = at(Span::new(name.span.end, next.span.start));
                    finding.help("its value is on the next line: pip reads each line alone").fix(
                        Applicability::Safe,
                        "join the lines",
                        gap,
                        " ",
                    )
                }
                None => finding.help("write it on the same line"),
            }
        }
        Refusal::Value(value) => Finding::error(at(value.span), "this option takes no value").help("remove it"),
        Refusal::BadValue(value, wanted) => {
            Finding::error(at(value.span), format!("this is not what the option takes: {wanted}"))
        }
        Refusal::Quotes(span) => {
            Finding::error(at(*span), "the quote is not closed, or the backslash escapes nothing").help("close it")
        }
    }
}

/// `-i=URL`: pip takes the `=` for the first character of the URL.
fn joined_by_equals(file: FileId, option: &LineOption) -> Option<Finding> {
    let value = option.value.as_ref()?;
    if option.name.value.starts_with("--")
        || !value.is_verbatim()
        || !value.value.starts_with('=')
        || value.span.start != option.name.span.end
    {
        return None;
    }
    let equals = Place { file, span: Span::new(value.span.start, value.span.start + 1) };
    let message = format!("`{}` takes no `=`: pip reads it as the first character of the value", option.name.value);
    Some(Finding::error(equals, message).help("write a blank").fix(Applicability::Safe, "write a blank", equals, " "))
}

fn newly_refused(file: FileId, option: &LineOption) -> Option<Finding> {
    (option.kind == OptionKind::GlobalOption).then(|| {
        let message = "pip 25.3 and newer refuse `--global-option`, and the newest base image holds 25.3";
        Finding::new(Level::Warning, Place { file, span: option.name.span }, message)
            .help("use `--config-settings`, if the package takes any")
    })
}

fn requirement(file: &RequirementsFile, line: &Line, requirement: &Requirement) -> Option<Finding> {
    let at = |span: Span| Place { file: file.file, span };
    let text = &requirement.text;
    if file.constraint {
        if requirement.form != Form::Name {
            return Some(
                Finding::error(at(requirement.span), "pip refuses a constraint without a name")
                    .help("write `name @ URL`, or move the line to the requirements"),
            );
        }
        if let Some(extras) = requirement.extras {
            return Some(Finding::error(at(extras), "pip refuses extras in a constraints file").help("remove them"));
        }
    }
    let Err(cause) = requirement.parsed.as_ref() else { return None };
    let specifier = requirement.specifier.as_ref();
    let is = |start: &str| specifier.is_some_and(|s| s.value.starts_with(start));
    // What pip reads in another way than the standard, what another rule says, and templates.
    let elsewhere = requirement.form != Form::Name
        || is_about_feed(line)
        || variables(text).next().is_some()
        || is("@")
        || text.contains("===")
        || text.contains("{{")
        || text.contains("{%");
    if elsewhere {
        return None;
    }
    if let Some(specifier) = specifier.filter(|s| s.value.starts_with('=') && !s.value.starts_with("==")) {
        let equals = Span::new(specifier.span.start, specifier.span.start + 1);
        if let Some(finding) = configuration(file.file, requirement) {
            return Some(finding);
        }
        let finding = Finding::error(at(equals), "`=` is not a version operator").help("write `==`");
        return Some(finding.fix(Applicability::Safe, "write `==`", at(equals), "=="));
    }
    if matches!(text.split_once(char::is_whitespace), Some(("i" | "index-url" | "extra-index-url", _)))
        && let Some(name) = &requirement.name
    {
        let option = if name.value == "i" { "-i".to_owned() } else { format!("--{}", name.value) };
        let finding = Finding::error(at(name.span), format!("`{}` is no option without its dashes", name.value));
        let write = format!("write `{option}`");
        return Some(finding.help(write.clone()).fix(Applicability::Safe, write, at(name.span), option));
    }
    let shown: String = text.chars().take(60).collect();
    let cause = cause.lines().next().unwrap_or("").trim_end_matches('.');
    if specifier.is_some_and(is_old_specifier) {
        let message = format!("pip 24.1 and newer refuse `{shown}`: {}", lower_first(cause));
        return Some(Finding::new(Level::Warning, at(requirement.span), message).help("write a version of PEP 440"));
    }
    let finding = Finding::error(at(requirement.span), format!("pip refuses `{shown}`: {}", lower_first(cause)));
    let words = text.split_whitespace().count();
    Some(match text.split_whitespace().next() {
        Some("pip" | "pip3" | "conda") => finding.help("write the names of packages, one on a line"),
        _ if words > 1 && text.split_whitespace().all(is_name) => finding.help("write one package on a line"),
        _ => finding.help("write `name`, `name==1.0` or `name>=1.0,<2`"),
    })
}

/// `index-url = URL`, as in pip's own configuration.
fn configuration(file: FileId, requirement: &Requirement) -> Option<Finding> {
    let (name, specifier) = (requirement.name.as_ref()?, requirement.specifier.as_ref()?);
    let option = format!("--{}", name.value);
    long_names().find(|long| *long == option)?;
    let value = specifier.value.strip_prefix('=')?.trim_start();
    let at = Place { file, span: Span::new(name.span.start, specifier.span.end - value.len()) };
    let write = format!("write `{option}`");
    Some(
        Finding::error(at, format!("`{} =` is how pip's configuration reads, not a requirements file", name.value))
            .help(write.clone())
            .fix(Applicability::Safe, write, at, format!("{option} ")),
    )
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphanumeric())
        && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// True for versions that older releases of pip took for ones of the time before PEP 440.
fn is_old_specifier(specifier: &Spanned<String>) -> bool {
    let clause = |clause: &str| {
        let clause = clause.trim();
        let operator = ["==", "!=", "<=", ">=", "<", ">"].into_iter().find(|operator| clause.starts_with(operator));
        operator.and_then(|operator| clause.strip_prefix(operator)).is_some_and(|version| {
            let version = version.trim();
            !version.is_empty() && !version.contains([' ', ';', ')', '\'', '"', '=', '<', '>'])
        })
    };
    specifier.value.trim_start_matches('(').trim_end_matches(')').split(',').all(clause)
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) if chars.clone().next().is_none_or(|c| !c.is_uppercase()) => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}

/// Where a version is fixed: the place, what is written, and what it means.
struct Wanted<'p> {
    at: Place,
    written: &'p str,
    specifiers: &'p VersionSpecifiers,
    constraint: bool,
}

/// More lines about one package are not compared with each other.
const MAX_COMPARED: usize = 8;

/// Lines about one package of which no version fulfils both.
fn conflicts(context: &Context<'_>) -> Vec<Finding> {
    let mut wanted: HashMap<String, Vec<Wanted<'_>>> = HashMap::new();
    let mut findings = Vec::new();
    for file in context.requirements() {
        for requirement in file.requirements.requirements() {
            let Ok(parsed) = &requirement.parsed else { continue };
            let (Some(VersionOrUrl::VersionSpecifier(specifiers)), true) =
                (&parsed.version_or_url, parsed.marker.is_true())
            else {
                continue;
            };
            let at = Place { file: file.file, span: requirement.span };
            let this = Wanted { at, written: &requirement.text, specifiers, constraint: file.constraint };
            let others = wanted.entry(requirement.normalized_name().unwrap_or_default()).or_default();
            if let Some(other) = others.iter().find(|other| exclude_each_other(other, &this)) {
                let message = format!("no version fulfils both `{}` and `{}`", this.written, other.written);
                findings.push(Finding::error(at, message).related(other.at, "the other").help("remove one of them"));
            }
            if others.len() < MAX_COMPARED {
                others.push(this);
            }
        }
    }
    findings
}

fn exclude_each_other(one: &Wanted<'_>, other: &Wanted<'_>) -> bool {
    let fixed = |wanted: &Wanted<'_>| {
        wanted.specifiers.iter().find(|s| *s.operator() == Operator::Equal).map(|s| s.version().clone())
    };
    // Two constraints exclude each other only where the package is installed at all.
    !(one.constraint && other.constraint)
        && (fixed(one).is_some_and(|version| !other.specifiers.contains(&version))
            || fixed(other).is_some_and(|version| !one.specifiers.contains(&version)))
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn what_pip_refuses() {
        fixture::raises(
            &super::RULE,
            "#- requirements.txt
foo = 1.0
#   ^ error[requirements-syntax]: `=` is not a version operator
foo>=1 bar
#^^^^^^^^^ error[requirements-syntax]: pip refuses `foo>=1 bar`: trailing `bar` is not allowed
two words
#^^^^^^^^ error[requirements-syntax]: pip refuses `two words`: expected one of `@`, `(`, `<`, `=`, `>`, `~`, `!`, `;`, found `w`
pip install requests
#^^^^^^^^^^^^^^^^^^^ error[requirements-syntax]: pip refuses `pip install requests`: expected one of `@`, `(`, `<`, `=`, `>`, `~`, `!`, `;`, found `i`
foo==1.0.x
#^^^^^^^^^ warning[requirements-syntax]: pip 24.1 and newer refuse `foo==1.0.x`: after parsing `1.0`, found `.x`, which is not part of a valid version
foo>=1.0.*
#^^^^^^^^^ warning[requirements-syntax]: pip 24.1 and newer refuse `foo>=1.0.*`: operator >= cannot be used with a wildcard version specifier
foo[a
#^^^^ error[requirements-syntax]: pip refuses `foo[a`: missing closing bracket (expected ']', found end of dependency specification)
=1
#^ error[requirements-syntax]: pip refuses `=1`: expected package name starting with an alphanumeric character, found `=`
foo ; python_version
#^^^^^^^^^^^^^^^^^^^ error[requirements-syntax]: pip refuses `foo ; python_version`: expected a valid marker operator (such as `>=` or `not in`), found ``
index-url = https://pypi.example.com/simple
#^^^^^^^^^^^ error[requirements-syntax]: `index-url =` is how pip's configuration reads, not a requirements file
i https://pypi.example.com/simple
#^ error[requirements-syntax]: `i` is no option without its dashes
extra-index-url https://pypi.example.com/simple
#^^^^^^^^^^^^^^ error[requirements-syntax]: `extra-index-url` is no option without its dashes
--index_url https://pypi.example.com/simple
#^^^^^^^^^^ error[requirements-syntax]: pip takes no option `--index_url` in a requirements file
--no-deps
#^^^^^^^^ error[requirements-syntax]: pip takes no option `--no-deps` in a requirements file
--constrain limits.txt
--requires more.txt
#^^^^^^^^^ error[requirements-syntax]: pip takes no option `--requires` in a requirements file
-z
#^ error[requirements-syntax]: pip takes no option `-z` in a requirements file
--require more.txt
#^^^^^^^^ error[requirements-syntax]: `--require` may stand for several options
--pre=1
#     ^ error[requirements-syntax]: this option takes no value
-i
#^ error[requirements-syntax]: `-i` has no value
--extra-index-url
#^^^^^^^^^^^^^^^^ error[requirements-syntax]: `--extra-index-url` has no value
https://pypi.example.com/simple
-f 'links
#  ^ error[requirements-syntax]: the quote is not closed, or the backslash escapes nothing
-i=https://pypi.example.com/simple
# ^ error[requirements-syntax]: `-i` takes no `=`: pip reads it as the first character of the value
foo --config-settings x
#                     ^ error[requirements-syntax]: this is not what the option takes: `KEY=VALUE`
foo --global-option=--x
#   ^^^^^^^^^^^^^^^ warning[requirements-syntax]: pip 25.3 and newer refuse `--global-option`, and the newest base image holds 25.3
ok==${VERSION}
ok @ https://example.com/ok.zip
ok===2004a
ok;
ok >= 1 , < 2,
{{cookiecutter.name}}
git+https://example.com/r
-c limits.txt
-r hashes.txt
#- limits.txt
foo[a]<2
#  ^^^ error[requirements-syntax]: pip refuses extras in a constraints file
https://example.com/foo.zip
#^^^^^^^^^^^^^^^^^^^^^^^^^^ error[requirements-syntax]: pip refuses a constraint without a name
#- hashes.txt
",
        );
    }

    #[test]
    fn versions_that_exclude_each_other() {
        fixture::raises(
            &super::RULE,
            "#- requirements.txt
Foo_a==1
foo-a>=2
#^^^^^^^ error[requirements-syntax]: no version fulfils both `foo-a>=2` and `Foo_a==1`
bar==1.0
bar==1
baz==1 ; python_version < '3.10'
baz==2 ; python_version >= '3.10'
qux>=1,<2
qux<3
-c limits.txt
#- limits.txt
bar!=1.0
#^^^^^^^ error[requirements-syntax]: no version fulfils both `bar!=1.0` and `bar==1.0`
only==1
only==2
",
        );
    }

    #[test]
    fn repairs() {
        let fixed = fixture::fixed(
            "#- requirements.txt\nfoo= 1\nindex-url = https://pypi.example.com/a # why\n--extra-index-url\nhttps://pypi.example.com/simple\n",
        );
        assert_eq!(
            fixed,
            "#- requirements.txt\nfoo== 1\n--index-url https://pypi.example.com/a # why\n--extra-index-url https://pypi.example.com/simple\n"
        );
    }
}
