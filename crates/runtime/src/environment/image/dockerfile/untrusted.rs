//! What a Dockerfile of a pull request may not ask for.
//!
//! Builders differ in what they take for an instruction: whether heredocs are known, which character continues a line,
//! whether a comment ends one. So every line of the text is judged as if an instruction began there, in each of those
//! readings, and what no reading needs is refused.

use std::collections::{BTreeMap, BTreeSet};

use super::lines::{self, Instruction, clip};
use super::{Refused, Rules, options};

/// A longer one is not read line by line.
const MAX_BYTES: usize = 64 << 10;
/// The options that are known to be harmless, or are judged here.
const FLAGS: [(&str, &[&str]); 4] = [
    ("FROM", &["platform"]),
    ("COPY", &["from", "chown", "chmod", "link", "parents", "exclude"]),
    ("ADD", &["chown", "chmod", "link", "checksum", "keep-git-dir", "exclude", "unpack"]),
    ("RUN", &["mount", "network", "security"]),
];
/// Those whose value is a matter of taste.
const FREE: [&str; 5] = ["chown", "chmod", "exclude", "checksum", "link"];

/// Judges a text whose instructions begin at `starts`.
pub(super) fn check(
    text: &str,
    arguments: &BTreeMap<String, String>,
    starts: &BTreeSet<usize>,
    rules: Rules<'_>,
) -> Result<(), Refused> {
    if text.len() > MAX_BYTES {
        return Err(Refused(format!("it is longer than {} KiB", MAX_BYTES >> 10)));
    }
    if let Some(name) = arguments.keys().find(|name| name.starts_with("BUILDKIT_")) {
        return Err(Refused(format!("the build argument `{name}` would change how the builder itself works")));
    }
    let lines: Vec<&str> = text.lines().collect();
    let first = starts.first().copied().unwrap_or(lines.len());
    for (number, line) in lines.iter().enumerate() {
        if let Some(front_end) = syntax(line).filter(|name| number < first && !is_official(name)) {
            return Err(Refused::at(
                number,
                &format!("`syntax={}` names a program that would read it", clip(front_end)),
            ));
        }
        // Some builders end lines at more places than others.
        if line.contains(['\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}']) {
            return Err(Refused::at(number, "a control character ends a line for some builders, and not for others"));
        }
        for escape in ['\\', '`'] {
            let (joined, end) = lines::join(&lines, number, escape);
            let instruction = Instruction::new(number, end, &joined);
            judge(&instruction, starts.contains(&number), rules).map_err(|why| Refused::at(number, &why))?;
        }
    }
    Ok(())
}

/// Why an instruction is refused. One that is `known` is also read by [`super::read`]; another is an instruction in some
/// builder's reading only.
fn judge(instruction: &Instruction, known: bool, rules: Rules<'_>) -> Result<(), String> {
    let keyword = instruction.keyword.as_str();
    let hidden = || {
        format!(
            "some builders would take `{}` for an instruction; write it in another way",
            clip(&format!("{keyword} {}", instruction.rest))
        )
    };
    if keyword == "ONBUILD" {
        return Err("`ONBUILD` hides what a later build would do".to_owned());
    }
    let Some((_, allowed)) = FLAGS.iter().find(|(name, _)| *name == keyword) else { return Ok(()) };
    if keyword == "FROM" {
        match instruction.from() {
            None => return Ok(()),
            Some(_) if !known => return Err(hidden()),
            Some((image, _)) => check_name(image)?,
        }
    }
    for flag in &instruction.flags {
        let shown = clip(&format!("--{}={}", flag.name, flag.value));
        if !allowed.contains(&flag.name.as_str()) {
            return Err(format!("`{shown}` is not known to be harmless"));
        }
        if flag.value.contains(['"', '\'', '\\', '`']) {
            return Err(format!("`{shown}` has quotes or escapes, which builders read differently"));
        }
        if flag.value.contains('$') && !FREE.contains(&flag.name.as_str()) && keyword != "FROM" {
            return Err(format!("`{shown}` holds a variable"));
        }
        match (flag.name.as_str(), flag.value.as_str()) {
            ("from", image) if known => check_name(image)?,
            ("from", _) => return Err(hidden()),
            ("mount", mount) => check_mount(mount, known).map_err(|()| match known {
                true => format!("`{shown}` shares files with builds of others, or is not known to be harmless"),
                false => hidden(),
            })?,
            ("network", "none" | "default") | ("security", "sandbox") => {}
            ("network", _) => return Err(format!("`{shown}` reaches this machine's own network")),
            ("security", _) => return Err(format!("`{shown}` leaves the sandbox")),
            _ => {}
        }
    }
    if keyword != "FROM" && instruction.rest.starts_with("--") && instruction.rest != "--" {
        return Err(hidden());
    }
    match keyword {
        "ADD" if !rules.network => local_only(&instruction.rest),
        _ => Ok(()),
    }
}

/// What an image may be called: by its name, for an id is one of this machine, whoever made it.
pub(super) fn check_name(image: &str) -> Result<(), String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_/:@${}+#".contains(c);
    if !image.chars().all(is_plain) {
        return Err(format!("`{}` has blanks, quotes or escapes, which builders read differently", clip(image)));
    }
    let id = image.strip_prefix("sha256:").unwrap_or(image);
    let is_id = id.len() >= 4 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_id || image.starts_with("sha256:") {
        return Err(format!("`{}` is the id of an image of this machine; name it by its name", clip(image)));
    }
    Ok(())
}

/// Files of the context, of a stage, of an image that is looked at, or of memory.
fn check_mount(mount: &str, known: bool) -> Result<(), ()> {
    let options = options(mount);
    let kinds = options.iter().filter(|(name, _)| name == "type").map(|(_, value)| value.as_str());
    let harmless = kinds.into_iter().all(|kind| matches!(kind, "bind" | "tmpfs"));
    let mut froms = options.iter().filter(|(name, _)| name == "from");
    let named = froms.clone().all(|(_, image)| check_name(image).is_ok());
    match harmless && named && (known || froms.next().is_none()) {
        true => Ok(()),
        false => Err(()),
    }
}

/// Why an `ADD` is refused where a build has no network: the builder itself fetches its sources, whatever network its
/// steps have.
pub(super) fn local_only(rest: &str) -> Result<(), String> {
    let mut words: Vec<&str> = rest.split_whitespace().collect();
    if !rest.starts_with('[') {
        words.pop();
    }
    match words.into_iter().find(|word| word.contains([':', '$', '\\', '`'])) {
        None => Ok(()),
        Some(word) => Err(format!(
            "`ADD {}` may fetch from the network, which this build does not have; `COPY` takes files of the folder",
            clip(word)
        )),
    }
}

/// The front end that a comment names, in any of the forms that builders know.
fn syntax(line: &str) -> Option<&str> {
    let comment = line.trim_start().strip_prefix('#').or_else(|| line.trim_start().strip_prefix("//"))?;
    let (name, value) = comment.split_once('=')?;
    name.trim().eq_ignore_ascii_case("syntax").then(|| value.trim())
}

/// Docker's own reader of Dockerfiles.
fn is_official(front_end: &str) -> bool {
    let name = front_end.strip_prefix("docker.io/").unwrap_or(front_end);
    let (repository, tag) = name.split_once(':').unwrap_or((name, "1"));
    let plain = tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    repository == "docker/dockerfile" && tag.starts_with('1') && plain
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{Rules, read};
    use crate::environment::TrustScope;

    fn as_untrusted(text: &str, network: bool) -> Result<(), String> {
        let scope = TrustScope::PullRequest { repository: "a/b".to_owned(), number: 7 };
        let rules = Rules { scope: &scope, network, platform: "linux/amd64" };
        read(text, &BTreeMap::new(), rules).map(drop).map_err(|refused| refused.0)
    }

    #[test]
    fn what_untrusted_code_may_not_ask_for() {
        for (text, why) in [
            // Programs that would read it.
            ("# syntax=evil.example/front:1\nFROM a\n", "line 1: `syntax=evil.example/front:1`"),
            ("#syntax=evil\nFROM a\n", "line 1: `syntax=evil`"),
            ("# SynTax = docker/dockerfile:1@sha256:00\nFROM a\n", "line 1: `syntax="),
            ("\u{feff}# syntax=docker/dockerfile-x:1\nFROM a\n", "line 1: `syntax="),
            ("#!/bin/sh\n# syntax=evil\nFROM a\n", "line 2: `syntax=evil`"),
            ("# escape=`\n# check=skip=all\n# syntax=evil\nFROM a\n", "line 3: `syntax=evil`"),
            ("// syntax=evil\nFROM a\n", "line 1: unknown instruction `// syntax=evil`"),
            ("{\"syntax\": \"evil\"}\nFROM a\n", "line 1: unknown instruction `{"),
            // Images of this machine that another made.
            ("FROM sha256:0123\n", "line 1: `sha256:0123` is the id of an image"),
            ("FROM a\nCOPY --from=0123456789ab /x /y\n", "line 2: `0123456789ab` is the id of an image"),
            ("ARG A=cafe\nFROM $A\n", "line 2: `cafe` is the id of an image"),
            ("FROM 1234\n", "line 1: `1234` is the id of an image"),
            ("FROM se\\cret\n", "line 1: `se\\cret` has blanks, quotes or escapes"),
            ("ARG A=\"b AS c\"\nFROM $A\n", "line 2: `b AS c` has blanks"),
            ("FROM a\nCOPY --from=\"b\" /x /y\n", "line 2: `--from=\"b\"` has quotes"),
            ("FROM a\nCOPY --from=$B /x /y\n", "line 2: `--from=$B` holds a variable"),
            (
                "FROM a\nRUN --mount=type=bind,from=$B,target=/b x\n",
                "line 2: `--mount=type=bind,from=$B,target=/b` holds",
            ),
            ("FROM --platform=linux/s390x a\n", "line 1: `--platform=linux/s390x` is not linux/amd64"),
            ("FROM a\nONBUILD COPY --from=b /x /y\n", "line 2: `ONBUILD`"),
            // What is shared with other builds, or leaves the sandbox.
            ("FROM a\nRUN --mount=type=cache,target=/c x\n", "line 2: `--mount=type=cache,target=/c` shares"),
            ("FROM a\nRUN --mount=TYPE=cache,target=/c x\n", "line 2: `--mount=TYPE=cache"),
            ("FROM a\nRUN --mount=type=bind,type=cache,target=/c x\n", "line 2: `--mount=type=bind,type=cache"),
            ("FROM a\nRUN --mount=\"type=cache\",target=/c x\n", "line 2: `--mount="),
            ("FROM a\nRUN --mount=type=$T,target=/c x\n", "line 2: `--mount=type=$T,target=/c` holds a variable"),
            ("FROM a\nRUN --network=host x\n", "line 2: `--network=host`"),
            ("FROM a\nRUN --security=insecure x\n", "line 2: `--security=insecure`"),
            ("FROM a\nRUN --device=gpu x\n", "line 2: `--device=gpu` is not known"),
            ("FROM a\nCOPY --FROM=b /x /y\n", "line 2: `--FROM=b` is not known"),
            // The network, past `network: false`: the builder itself fetches.
            ("FROM a\nADD http://169.254.169.254/x /x\n", "line 2: `ADD http://169.254.169.254/x`"),
            ("FROM a\nADD git@host:a/b.git /x\n", "line 2: `ADD git@host:a/b.git`"),
            ("FROM a\nARG U\nADD $U /x\n", "line 3: `ADD $U`"),
            ("FROM a\nADD [\"http\\u003a//host/x\", \"/x\"]\n", "line 2: `ADD [\"http"),
            // What only some builders take for an instruction.
            ("FROM a\nRUN <<EOF\nFROM b\nEOF\n", "line 3: some builders would take `FROM b`"),
            ("FROM a\nRUN <<EOF\nCO\\\nPY --from=b / /\nEOF\n", "line 3: some builders would take `COPY / /`"),
            ("FROM a\nRUN x <<'EOF\\'\nEOF\\\nCOPY --from=b / /\n", "line 2: the heredoc `EOF` does not end"),
            ("# escape=`\nFROM a\nRUN dir c:\\\nADD http://host/x /x\n", "line 4: `ADD http"),
            ("FROM a\nRUN x \\\n  ADD http://host/x /x\n", "line 3: `ADD http://host/x` may fetch"),
            ("FROM a\n# x\rCOPY --from=b / /\n", "line 2: a control character"),
            ("FROM a\nCOPY \\\n# why\n --from=$B / /\n", "line 2: `--from=$B` holds a variable"),
        ] {
            let refused = as_untrusted(text, false).expect_err(text);
            assert!(refused.starts_with(why), "{text}: {refused}");
        }
        let arguments = [("BUILDKIT_SYNTAX".to_owned(), "evil".to_owned())].into();
        let scope = TrustScope::PullRequest { repository: "a/b".to_owned(), number: 7 };
        let rules = Rules { scope: &scope, network: true, platform: "linux/amd64" };
        assert!(read("FROM a\n", &arguments, rules).unwrap_err().0.contains("`BUILDKIT_SYNTAX`"));
    }

    #[test]
    fn what_untrusted_code_may_ask_for() {
        for text in [
            "# syntax=docker/dockerfile:1\nFROM a\n",
            "# syntax=docker.io/docker/dockerfile:1.7-labs\nFROM a\n",
            "# A comment = with a sign\nFROM --platform=$BUILDPLATFORM a:1 AS b\nCOPY --from=b --chown=$USER:x /x /y\n",
            "ARG A=--from=secret\nFROM a\nCOPY $A /x\n",
            "FROM a\nRUN --mount=type=bind,source=x,target=/x --network=none pip install /x\nRUN --mount=type=tmpfs,target=/t x\n",
            "FROM a\nCOPY <<EOF /x.py\nfrom promptflow import tool\nimport os\nEOF\n",
            "FROM a\nRUN apt-get install -y \\\n    # the compiler\n    gcc \\\n    make\nADD wheels.tar.gz /wheels\n",
        ] {
            assert_eq!(as_untrusted(text, false), Ok(()), "{text}");
        }
        assert_eq!(as_untrusted("FROM a\nADD https://host/x /x\n", true), Ok(()));
    }
}
