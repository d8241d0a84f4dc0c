//! What pip was seen to lose, for any index. Lines about a private feed are `malformed-private-feed`'s.

use flowgate_flow::project::{FileId, RequirementsFile};
use flowgate_flow::requirements::{Line, LineOption, OptionKind, Requirement, normalize};
use flowgate_flow::{Span, Spanned};

use crate::context::Context;
use crate::finding::{Applicability, Finding, Level, Place};
use crate::look_alike;
use crate::rule::{Group, Rule};
use flowgate_flow::feed::{is_about_feed, is_index};

pub(super) const RULE: Rule = Rule {
    name: "dropped-by-pip",
    group: Group::Environment,
    level: Level::Error,
    summary: "A part of a requirements file that pip reads and then ignores without a word.",
    cases: &[
        "replaced-index",
        "index-on-package-line",
        "several-options-on-a-line",
        "lower-case-variable",
        "unknown-extra",
    ],
    why: "pip reports success: the package is not installed, or it comes from another index than the file names. It is an error where a package or an index is lost, a warning where another option is. An extra that a package of promptflow does not have is an error where the flow runs on flowgate's own base image: its build fails.",
    bad: "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirements.txt\n#- requirements.txt\n--pre requests\n",
    good: "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirements.txt\n#- requirements.txt\n--pre\nrequests\n",
    fix: Some(
        "Puts what is lost on a line of its own, or removes an unknown extra. Unsafe: pip then installs more than before, or from elsewhere.",
    ),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in context.requirements() {
        for line in &file.requirements.lines {
            if line.refusal.is_none() && look_alike::find(&line.text).is_none() && !is_about_feed(line) {
                on_one_line(file.file, line, &mut findings);
            }
            if !file.constraint && line.refusal.is_none() {
                findings.extend(line.requirement.as_ref().and_then(|r| lost_extra(context, file.file, r)));
            }
        }
        findings.extend(swallowed(context, file));
        findings.extend(small_variables(file));
    }
    findings.extend(replaced(context));
    findings
}

/// `${name}` in the URL of an index: pip replaces variables in upper case only.
fn small_variables(file: &RequirementsFile) -> Vec<Finding> {
    let urls = file.requirements.options().filter(|(line, option)| is_index(option) && !is_about_feed(line));
    let mut findings = Vec::new();
    for url in urls.filter_map(|(_, option)| option.value.as_ref()) {
        let Some(start) = url.value.find("${") else { continue };
        let Some(name) = url.value.get(start + 2..).and_then(|rest| rest.split_once('}')).map(|(name, _)| name) else {
            continue;
        };
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if is_name && name.contains(|c: char| c.is_ascii_lowercase()) {
            let at = Place { file: file.file, span: url.part(start..start + name.len() + 3) };
            let message = format!("pip leaves `${{{name}}}` as it is: it replaces names in upper case only");
            let help = format!("write `${{{}}}`", name.to_ascii_uppercase());
            findings.push(Finding::new(Level::Warning, at, message).help(help));
        }
    }
    findings
}

/// What pip ignores on a line because of what else stands there.
fn on_one_line(file: FileId, line: &Line, findings: &mut Vec<Finding>) {
    let at = |span: Span| Place { file, span };
    let split = |finding: Finding, before: usize, start: usize| {
        let gap = at(Span::new(before, start));
        finding.fix(Applicability::Unsafe, "split the line", gap, "\n")
    };
    // What pip makes of a line with several: the first of these.
    let first = |kind| line.options.iter().find(|option| option.kind == kind);
    let keeper = [OptionKind::Editable, OptionKind::Requirement, OptionKind::Constraint].into_iter().find_map(first);
    let mut before = line.requirement.as_ref().map_or(line.span.start, |requirement| requirement.span.end);
    for option in &line.options {
        let end = option.value.as_ref().map_or(option.name.span.end, |value| value.span.end);
        let whole = at(Span::new(option.name.span.start, end));
        let shown = shown(option);
        let level = level(option.kind);
        let finding = if let Some(requirement) = &line.requirement {
            (!option.kind.is_per_requirement()).then(|| {
                let name = requirement.name.as_ref().map_or(requirement.text.as_str(), |name| &name.value);
                Finding::new(level, whole, format!("pip ignores `{shown}` on the line of `{name}`"))
            })
        } else if option.kind.is_per_requirement() {
            let message = format!("pip ignores `{shown}`: there is no requirement on the line");
            findings.push(Finding::new(level, whole, message).help("write it behind its requirement"));
            None
        } else {
            keeper.filter(|keeper| !std::ptr::eq(*keeper, option)).map(|keeper| {
                let message = format!("pip ignores `{shown}` on the line of `{}`", keeper.name.value);
                Finding::new(level, whole, message)
            })
        };
        findings.extend(
            finding.map(|finding| split(finding.help("put it on a line of its own"), before, option.name.span.start)),
        );
        before = end;
    }
    lost_words(file, line, findings);
}

/// The extras of promptflow's packages, as 1.18.5 and promptflow-tools 1.6.1 have them. `promptflow-sdk` is their
/// old name: an empty package today.
const EXTRAS: [(&str, &[&str]); 6] = [
    ("promptflow", &["all", "azure", "azureml-serving", "executable", "executor-service"]),
    ("promptflow-core", &["azureml-serving", "executor-service"]),
    ("promptflow-devkit", &["all", "executable", "pyarrow"]),
    ("promptflow-sdk", &[]),
    ("promptflow-tools", &["azure"]),
    ("promptflow-tracing", &[]),
];

/// An extra that a package of promptflow's does not have.
fn lost_extra(context: &Context<'_>, file: FileId, requirement: &Requirement) -> Option<Finding> {
    let normal = requirement.normalized_name()?;
    let (_, known) = EXTRAS.iter().find(|(name, _)| *name == normal)?;
    let parsed = requirement.parsed.as_ref().ok()?;
    let extras = parsed.extras.iter().map(|extra| normalize(extra.as_ref()));
    let lost = extras.into_iter().find(|extra| !known.contains(&extra.as_str()))?;
    let (name, extras) = (requirement.name.as_ref()?, requirement.extras?);
    // An older promptflow of another image may have had it.
    let level = if context.is_on_own_base() { Level::Error } else { Level::Warning };
    let at = Place { file, span: Span::new(name.span.start, extras.end) };
    let finding = Finding::new(level, at, format!("pip drops the extra `{lost}`: `{normal}` has none of that name"));
    let is_alone = requirement.text.len() == extras.end - name.span.start;
    Some(match normal.as_str() {
        "promptflow-sdk" if is_alone => finding
            .help("its new name is `promptflow`, and its built-in tools are in `promptflow-tools`")
            .fix(Applicability::Unsafe, "write the new names", at, "promptflow\npromptflow-tools"),
        "promptflow-sdk" => finding.help("write `promptflow` and `promptflow-tools` instead"),
        _ if parsed.extras.len() == 1 => {
            finding.fix(Applicability::Unsafe, "remove the extra", Place { file, span: extras }, "")
        }
        _ => finding.help("remove it"),
    })
}

fn level(kind: OptionKind) -> Level {
    match kind {
        OptionKind::IndexUrl | OptionKind::ExtraIndexUrl | OptionKind::Requirement | OptionKind::Editable => {
            Level::Error
        }
        _ => Level::Warning,
    }
}

fn shown(option: &LineOption) -> String {
    match &option.value {
        Some(value) => format!("{} {}", option.name.value, value.value),
        None => option.name.value.clone(),
    }
}

/// Words behind the options that belong to none of them.
fn lost_words(file: FileId, line: &Line, findings: &mut Vec<Finding>) {
    let words: Vec<&Spanned<String>> = line.stray.iter().filter(|word| !word.value.is_empty()).collect();
    let (Some(first), Some(last)) = (words.first(), words.last()) else { return };
    let place = |span: Span| Place { file, span };
    let at = place(Span::new(first.span.start, last.span.end));
    let message = format!("pip drops `{}`: nothing may follow the options of a line", first.value);
    let finding = Finding::error(at, message).help("put it on a line of its own");
    let ends = line.options.iter().map(|option| option.value.as_ref().map_or(option.name.span.end, |v| v.span.end));
    let gap = ends.filter(|end| *end < first.span.start).max();
    findings.push(match gap {
        Some(gap) if words.len() == 1 => {
            let gap = place(Span::new(gap, first.span.start));
            finding.fix(Applicability::Unsafe, "split the line", gap, "\n")
        }
        _ => finding,
    });
}

/// Lines that a backslash at the end of a comment makes a part of the comment.
fn swallowed(context: &Context<'_>, file: &RequirementsFile) -> Vec<Finding> {
    let text = context.project.text(file.file);
    let mut findings = Vec::new();
    for comment in &file.requirements.comments {
        let Some((first, rest)) = comment.slice(text).split_once('\n') else { continue };
        let mut start = comment.start + first.len() + 1;
        let backslash = comment.start + first.trim_end_matches('\r').len() - 1;
        let lost = rest.lines().find(|line| {
            let found = !line.trim().is_empty() && !line.trim_start().starts_with('#');
            start += if found { 0 } else { line.len() + 1 };
            found
        });
        let Some(lost) = lost else { continue };
        let start = start + (lost.len() - lost.trim_start().len());
        let at = Place { file: file.file, span: Span::new(start, start + lost.trim().len()) };
        let mark = Place { file: file.file, span: Span::new(backslash, backslash + 1) };
        let finding = Finding::error(at, "pip drops this line: the backslash above makes it a part of the comment");
        findings.push(finding.related(mark, "the backslash").help("remove the backslash").fix(
            Applicability::Unsafe,
            "remove the backslash",
            mark,
            "",
        ));
    }
    findings
}

/// An index that a later line replaces, or that `--no-index` switches off.
fn replaced(context: &Context<'_>) -> Vec<Finding> {
    let mut named: Vec<(Place, &LineOption)> = Vec::new();
    let mut without: Option<Place> = None;
    let mut findings = Vec::new();
    for (file, option) in in_order(context) {
        let place = Place { file, span: option.name.span };
        match option.kind {
            OptionKind::NoIndex => {
                for (at, lost) in named.drain(..) {
                    let message = format!("`--no-index` switches `{}` off", lost.name.value);
                    findings.push(Finding::new(Level::Warning, at, message).related(place, "here"));
                }
                without = Some(place);
            }
            OptionKind::IndexUrl | OptionKind::ExtraIndexUrl => {
                if let Some(off) = without {
                    let message = format!("`--no-index` switches `{}` off", option.name.value);
                    findings.push(Finding::new(Level::Warning, place, message).related(off, "here"));
                    continue;
                }
                if option.kind == OptionKind::IndexUrl {
                    for (at, lost) in named.drain(..) {
                        let message = format!("a later `{}` replaces this index", option.name.value);
                        let help = if lost.kind == OptionKind::IndexUrl {
                            "remove it: pip asks the last one only"
                        } else {
                            "put the `-i` first"
                        };
                        findings.push(Finding::new(Level::Warning, at, message).related(place, "here").help(help));
                    }
                }
                named.push((place, option));
            }
            _ => {}
        }
    }
    findings
}

/// The options about indexes, in the order in which pip comes to them: an included file's stand
/// where it is included.
pub(super) fn in_order<'p>(context: &Context<'p>) -> Vec<(FileId, &'p LineOption)> {
    let files = context.requirements();
    let mut options = Vec::new();
    let mut stack: Vec<(&RequirementsFile, usize)> = files.first().map(|file| (file, 0)).into_iter().collect();
    let mut left = MAX_STEPS;
    while let Some((file, next)) = stack.pop() {
        left -= 1;
        let Some(line) = file.requirements.lines.get(next).filter(|_| left > 0) else { continue };
        stack.push((file, next + 1));
        if let Some((path, _)) = line.nested() {
            let nested = file.nested.iter().find(|nested| nested.path.span == path.span);
            if let Some(flowgate_flow::project::NestedTarget::File(id)) = nested.map(|nested| &nested.target)
                && let Some(inner) = files.iter().find(|inner| inner.file == *id)
                && stack.len() < MAX_DEPTH
            {
                stack.push((inner, 0));
            }
        } else if line.refusal.is_none() && !line.requires() {
            let about = |option: &&LineOption| is_index(option) || option.kind == OptionKind::NoIndex;
            options.extend(line.options.iter().filter(about).map(|option| (file.file, option)));
        }
    }
    options
}

/// No more lines are walked, however often files include each other.
const MAX_STEPS: usize = 100_000;
/// Nor deeper.
const MAX_DEPTH: usize = 64;

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn what_is_lost_on_one_line() {
        fixture::raises(
            &super::RULE,
            "#- requirements.txt
foo==1 -i https://pypi.example.com/simple
#      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ error[dropped-by-pip]: pip ignores `-i https://pypi.example.com/simple` on the line of `foo`
foo --pre --hash=sha256:ab
#   ^^^^^ warning[dropped-by-pip]: pip ignores `--pre` on the line of `foo`
foo -r more.txt
#   ^^^^^^^^^^^ error[dropped-by-pip]: pip ignores `-r more.txt` on the line of `foo`
-i https://pypi.example.com/simple foo
#^ warning[dropped-by-pip]: a later `-i` replaces this index
#                                  ^^^ error[dropped-by-pip]: pip drops `foo`: nothing may follow the options of a line
--pre foo bar
#     ^^^^^^^ error[dropped-by-pip]: pip drops `foo`: nothing may follow the options of a line
-r more.txt -r other.txt
#           ^^^^^^^^^^^^ error[dropped-by-pip]: pip ignores `-r other.txt` on the line of `-r`
-r more.txt --pre
#           ^^^^^ warning[dropped-by-pip]: pip ignores `--pre` on the line of `-r`
-c limits.txt -r more.txt
#^^^^^^^^^^^^ warning[dropped-by-pip]: pip ignores `-c limits.txt` on the line of `-r`
-e git+https://example.com/r#egg=a -e git+https://example.com/r#egg=b
#                                  ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ error[dropped-by-pip]: pip ignores `-e git+https://example.com/r#egg=b` on the line of `-e`
--hash=sha256:ab
#^^^^^^^^^^^^^^^ warning[dropped-by-pip]: pip ignores `--hash sha256:ab`: there is no requirement on the line
foo # why \\
bar
#^^ error[dropped-by-pip]: pip drops this line: the backslash above makes it a part of the comment
# what \\
-i https://pypi.example.com/simple --pre
foo # last \\

foo # last \\
# more
#- more.txt
#- limits.txt
",
        );
    }

    #[test]
    fn indexes_that_are_replaced_or_switched_off() {
        fixture::raises(
            &super::RULE,
            "#- requirements.txt
--extra-index-url https://pypi.example.com/a
#^^^^^^^^^^^^^^^^ warning[dropped-by-pip]: a later `-i` replaces this index
-r more.txt
-i https://pypi.example.com/c
--extra-index-url https://pypi.example.com/d
#- more.txt
-i https://pypi.example.com/b
#^ warning[dropped-by-pip]: a later `-i` replaces this index
",
        );
        fixture::raises(
            &super::RULE,
            "#- requirements.txt
-i https://pypi.example.com/a
#^ warning[dropped-by-pip]: `--no-index` switches `-i` off
--no-index
--extra-index-url https://pypi.example.com/b
#^^^^^^^^^^^^^^^^ warning[dropped-by-pip]: `--no-index` switches `--extra-index-url` off
",
        );
    }

    #[test]
    fn extras_that_there_are_not() {
        let flow = |environment: &str, level: &str| {
            format!(
                "#- flow.dag.yaml\nenvironment: {{{environment}}}\n#- requirements.txt\npromptflow-sdk[builtins]\n#^^^^^^^^^^^^^^^^^^^^^^^ {level}[dropped-by-pip]: pip drops the extra `builtins`: `promptflow-sdk` has none of that name\npromptflow[azure, all]\npromptflow-tools[x]>=1\n#^^^^^^^^^^^^^^^^^^ {level}[dropped-by-pip]: pip drops the extra `x`: `promptflow-tools` has none of that name\nother[x]\n"
            )
        };
        fixture::raises(&super::RULE, &flow("", "error"));
        fixture::raises(&super::RULE, &flow("image: contoso.azurecr.io/flows:1", "warning"));
        let fixed = fixture::fixed("#- requirements.txt\npromptflow-sdk[builtins]\npromptflow[x] # why\n");
        assert_eq!(fixed, "#- requirements.txt\npromptflow\npromptflow-tools\npromptflow # why\n");
    }

    #[test]
    fn variables_in_lower_case() {
        fixture::raises(
            &super::RULE,
            "#- requirements.txt
-i https://${FEED}/simple
--extra-index-url https://${feed_host}/simple
#                         ^^^^^^^^^^^^ warning[dropped-by-pip]: pip leaves `${feed_host}` as it is: it replaces names in upper case only
",
        );
    }

    #[test]
    fn lines_are_split() {
        let fixed = fixture::fixed(
            "#- requirements.txt\nfoo -r more.txt --pre # why\n--pre bar\nfoo # why \\\nbar\n#- more.txt\n",
        );
        assert_eq!(
            fixed,
            "#- requirements.txt\nfoo\n-r more.txt\n--pre # why\n--pre\nbar\nfoo # why \nbar\n#- more.txt\n"
        );
    }
}
