//! What pip 23.2, 24.0 and 25.3 do was asked of them.

use std::collections::BTreeSet;

use flowgate_flow::project::{FileId, RequirementsFile};
use flowgate_flow::requirements::{HashFault, Line, LineOption, OptionKind, Requirement, digits_of, is_hash};
use flowgate_flow::{Span, lock};
use pep508_rs::VersionOrUrl;

use crate::context::Context;
use crate::finding::{Applicability, Finding, Level, Place};
use crate::look_alike;
use crate::packages;
use crate::rule::{Group, Rule};

pub(super) const RULE: Rule = Rule {
    name: "incomplete-hashes",
    group: Group::Environment,
    level: Level::Error,
    summary: "A requirements file with a `--hash`, in which another line is not pinned or has no hash, or a hash that no file can have.",
    cases: &["hash-without-pin", "missing-hash", "malformed-hash", "unhashable-requirement"],
    why: "One `--hash` in any of the files, or `--require-hashes`, and pip wants every package that is not installed yet pinned with `==` and hashed, dependencies included; otherwise it installs nothing. A constraints file turns this on too, but its hashes do not count for requirements. flowgate's builds refuse the same with every installer. Packages that the base image already holds need no hash; one that is given must be theirs where the base is flowgate's own.",
    bad: "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirements.txt\n#- requirements.txt\nhumanize==4.9.0 --hash=sha256:CE284A76D5B1377FD8836733B983BFB0B76F1AA1C090DE2566FCF008D7F6AB16\n",
    good: "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirements.txt\n#- requirements.txt\nhumanize==4.9.0 --hash=sha256:ce284a76d5b1377fd8836733b983bfb0b76f1aa1c090de2566fcf008d7f6ab16\n",
    fix: Some(
        "Writes a hash in lower case, because older releases of pip compare it letter by letter. Safe. Missing hashes are not added.",
    ),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let files = context.requirements();
    let lines = |file: &RequirementsFile| file.requirements.lines.iter().filter(|line| line.asks_for_hashes()).count();
    let Some(first) = files.iter().find(|file| lines(file) > 0) else { return Vec::new() };
    let Some(switch) = first.requirements.lines.iter().find(|line| line.asks_for_hashes()) else { return Vec::new() };
    let switch =
        Place { file: first.file, span: switch.options.first().map_or(switch.span, |option| option.name.span) };
    let mut findings = Vec::new();
    let required = || files.iter().filter(|file| !file.constraint);
    let all = || required().flat_map(|file| file.requirements.lines.iter().map(move |line| (file.file, line)));
    let name = |line: &Line| line.requirement.as_ref().and_then(Requirement::normalized_name);
    // Of several lines about a package, one with a hash is enough.
    let hashed: BTreeSet<String> =
        all().filter(|(_, line)| line.hash_fault().is_none()).filter_map(|(_, line)| name(line)).collect();
    for (file, line) in all() {
        // Characters that only look right are another rule's.
        if look_alike::find(&line.text).is_some() {
            continue;
        }
        let at = Place { file, span: line.requirement.as_ref().map_or(line.span, |requirement| requirement.span) };
        let may_be_there = name(line).is_some_and(|name| hashed.contains(&name) || is_there(line, &name));
        // Whether a marker holds, and what a template becomes, is not known here.
        let is_open = line.requirement.as_ref().is_some_and(|requirement| {
            requirement.text.contains(['$', '{'])
                || requirement.parsed.as_ref().is_ok_and(|parsed| !parsed.marker.is_true())
        });
        let fault = line.hash_fault().filter(|_| !is_open);
        let of_base = name(line).filter(|name| context.is_on_own_base() && is_there(line, name));
        let of_base = of_base.and_then(|name| lock::package(&name));
        let told = match fault {
            _ if !is_open && of_base.is_some_and(|locked| !locked.may_have_hashes_of(line)) => {
                let message = "flowgate's base image holds this package, and no file of it has this hash";
                let help = "name the version that you mean with its hash, or remove the hash";
                Some(vec![Finding::error(at, message).help(help)])
            }
            Some(HashFault::Malformed) => Some(malformed(file, line)),
            Some(fault) if !may_be_there => {
                Some(vec![unfit(fault, at, line).related(switch, "this makes pip want it")])
            }
            _ => None,
        };
        match told {
            Some(told) => findings.extend(told),
            None => findings.extend(line.hashes().filter_map(|option| in_upper_case(file, option))),
        }
    }
    findings
}

/// True where the base image may hold the package in a version that the line takes: then pip leaves it.
fn is_there(line: &Line, name: &str) -> bool {
    let parsed = line.requirement.as_ref().and_then(|requirement| requirement.parsed.as_ref().ok());
    packages::is_there(name)
        && match (parsed.and_then(|parsed| parsed.version_or_url.as_ref()), lock::package(name)) {
            (None, _) | (_, None) => true,
            (Some(VersionOrUrl::VersionSpecifier(wanted)), Some(locked)) => {
                locked.versions.iter().any(|version| wanted.contains(version))
            }
            (Some(VersionOrUrl::Url(_)), _) => false,
        }
}

fn unfit(fault: HashFault, at: Place, line: &Line) -> Finding {
    let name = line.requirement.as_ref().and_then(|requirement| requirement.name.as_ref());
    let shown = name.map_or(line.text.as_str(), |name| name.value.as_str());
    let shown: String = shown.chars().take(60).collect();
    match fault {
        HashFault::NotPinned => Finding::error(
            at,
            format!("`{shown}` is not pinned with `==`, and with one hash pip wants that of each requirement"),
        )
        .help("pin it, and add its hash; or remove all hashes"),
        HashFault::Missing | HashFault::Malformed => Finding::error(
            at,
            format!("`{shown}` has no `--hash`, and with one hash pip wants one for each requirement"),
        )
        .help("add its hash, or remove all of them"),
        HashFault::Unhashable(what) => Finding::error(
            at,
            format!("pip cannot check a hash of {what}, and with one hash it wants one for each requirement"),
        )
        .help("name an archive of it, or remove all hashes"),
    }
}

/// The hashes of a line of which none can be met.
fn malformed(file: FileId, line: &Line) -> Vec<Finding> {
    let values = line.hashes().filter_map(|option| option.value.as_ref()).filter(|value| !is_hash(&value.value));
    values
        .map(|value| {
            let algorithm = value.value.split(':').next().unwrap_or_default();
            let digits = digits_of(algorithm).unwrap_or_default();
            let message = format!("no file has this hash: a {algorithm} has {digits} hexadecimal digits");
            Finding::error(Place { file, span: value.span }, message)
                .help("copy the whole hash from the index, or have `pip-compile --generate-hashes` write it")
        })
        .collect()
}

fn in_upper_case(file: FileId, option: &LineOption) -> Option<Finding> {
    let value = option.value.as_ref().filter(|value| option.kind == OptionKind::Hash && is_hash(&value.value))?;
    let (algorithm, digits) = value.value.split_once(':')?;
    if !value.is_verbatim() || !digits.contains(|c: char| c.is_ascii_uppercase()) {
        return None;
    }
    let at = Place { file, span: Span::new(value.span.start + algorithm.len() + 1, value.span.end) };
    let finding = Finding::error(at, "pip 24.0 and older match no file with a hash in upper case");
    let lower = digits.to_ascii_lowercase();
    Some(finding.help("write it in lower case").fix(Applicability::Safe, "write it in lower case", at, lower))
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    const HASH: &str = "--hash=sha256:ce284a76d5b1377fd8836733b983bfb0b76f1aa1c090de2566fcf008d7f6ab16";

    fn raises(fixture: &str) {
        fixture::raises(&super::RULE, &format!("#- requirements.txt\n{}", fixture.replace("HASH", HASH)));
    }

    #[test]
    fn one_hash_asks_for_all() {
        raises(
            "foo==1 HASH
bar==1
#^^^^^ error[incomplete-hashes]: `bar` has no `--hash`, and with one hash pip wants one for each requirement
baz HASH
#^^ error[incomplete-hashes]: `baz` is not pinned with `==`, and with one hash pip wants that of each requirement
git+https://example.com/r
#^^^^^^^^^^^^^^^^^^^^^^^^ error[incomplete-hashes]: pip cannot check a hash of a version control repository, and with one hash it wants one for each requirement
-e .
#^^^ error[incomplete-hashes]: pip cannot check a hash of an editable install, and with one hash it wants one for each requirement
short==1 --hash=sha256:ab --hash=sha512:ab
#               ^^^^^^^^^ error[incomplete-hashes]: no file has this hash: a sha256 has 64 hexadecimal digits
#                                ^^^^^^^^^ error[incomplete-hashes]: no file has this hash: a sha512 has 128 hexadecimal digits
foo
promptflow
tabulate==0.8.10
#^^^^^^^^^^^^^^^ error[incomplete-hashes]: `tabulate` has no `--hash`, and with one hash pip wants one for each requirement
pywin32==306 ; sys_platform == 'win32'
url @ https://example.com/url.whl#sha256=00
${NAME}==1
half==1 --hash=sha256:ab HASH
broken[ HASH
",
        );
        raises("foo\n--pre HASH\n");
    }

    #[test]
    fn a_hash_of_what_the_base_holds() {
        let said =
            "error[incomplete-hashes]: flowgate's base image holds this package, and no file of it has this hash";
        let good = flowgate_flow::lock::package("tabulate").expect("a package").hashes[0];
        let flow = "#- flow.dag.yaml\nnodes:\n- {name: a, type: python, source: {path: a.py}}\n#- a.py\n";
        fixture::raises(
            &super::RULE,
            &format!("{flow}#- requirements.txt\ntabulate>=0.9 {HASH}\n#^^^^^^^^^^^^ {said}\ntabulate --hash={good}\n"),
        );
    }

    #[test]
    fn what_turns_it_on() {
        raises(
            "--require-hashes
foo==1
#^^^^^ error[incomplete-hashes]: `foo` has no `--hash`, and with one hash pip wants one for each requirement
",
        );
        raises(
            "-c limits.txt
foo==1
#^^^^^ error[incomplete-hashes]: `foo` has no `--hash`, and with one hash pip wants one for each requirement
#- limits.txt
foo==1 HASH
",
        );
    }
}
