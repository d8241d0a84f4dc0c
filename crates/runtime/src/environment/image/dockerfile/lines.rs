//! A Dockerfile as builders read it: lines joined, comments dropped, heredocs stepped over.
//!
//! Only what decides where a build gets its files from is read. The rest is the builder's to judge.

use super::Refused;

const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// One instruction. Lines count from zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Instruction {
    /// Its first line.
    pub(super) line: usize,
    /// The line behind its last one, heredocs included.
    pub(super) end: usize,
    /// In upper case.
    pub(super) keyword: String,
    /// `--name=value`, as written.
    pub(super) flags: Vec<Flag>,
    /// What follows the flags.
    pub(super) rest: String,
}

/// An option of an instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flag {
    /// Without the dashes.
    pub(super) name: String,
    /// Empty where there is none.
    pub(super) value: String,
}

impl Instruction {
    /// Reads a joined line.
    pub(super) fn new(line: usize, end: usize, text: &str) -> Self {
        let text = text.trim();
        let (keyword, mut rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let mut flags = Vec::new();
        loop {
            rest = rest.trim_start();
            let word = rest.split(char::is_whitespace).next().unwrap_or_default();
            let Some(flag) = word.strip_prefix("--").filter(|flag| !flag.is_empty()) else { break };
            let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
            flags.push(Flag { name: name.to_owned(), value: value.to_owned() });
            rest = &rest[word.len()..];
        }
        Self { line, end, keyword: keyword.to_uppercase(), flags, rest: rest.to_owned() }
    }

    /// The values of an option, in order.
    pub(super) fn values<'i>(&'i self, name: &'i str) -> impl Iterator<Item = &'i str> {
        self.flags.iter().filter(move |flag| flag.name == name).map(|flag| flag.value.as_str())
    }

    /// The image and the stage's name of a `FROM`; `None` where it is none that a builder takes.
    pub(super) fn from(&self) -> Option<(&str, Option<&str>)> {
        match self.rest.split_whitespace().collect::<Vec<_>>()[..] {
            [image] => Some((image, None)),
            [image, word, name] if word.eq_ignore_ascii_case("as") => Some((image, Some(name))),
            _ => None,
        }
    }
}

/// The instructions of a Dockerfile, in order.
pub(super) fn read(text: &str) -> Result<Vec<Instruction>, Refused> {
    let lines: Vec<&str> = text.lines().collect();
    let escape = escape(&lines);
    let mut instructions: Vec<Instruction> = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let start = lines[at].trim_start();
        if start.is_empty() || start.starts_with('#') {
            at += 1;
            continue;
        }
        let (joined, mut end) = join(&lines, at, escape);
        let instruction = Instruction::new(at, end, &joined);
        let keyword = instruction.keyword.as_str();
        if !KEYWORDS.contains(&keyword) {
            return Err(Refused::at(at, &format!("unknown instruction `{}`", clip(&joined))));
        }
        if instruction.rest.is_empty() && instruction.flags.is_empty() {
            return Err(Refused::at(at, &format!("`{keyword}` says nothing")));
        }
        if keyword == "FROM" && instruction.from().is_none() {
            return Err(Refused::at(at, "`FROM` takes an image, and `AS` with a name"));
        }
        if instructions.iter().all(|before| before.keyword != "FROM") && !["FROM", "ARG"].contains(&keyword) {
            return Err(Refused::at(at, &format!("`{keyword}` stands before the first `FROM`")));
        }
        if ["RUN", "COPY", "ADD"].contains(&keyword) {
            for (name, tabs) in heredocs(&instruction.rest) {
                let is_end = |line: &&str| (if tabs { line.trim_start_matches('\t') } else { line }) == name.as_str();
                let Some(length) = lines[end..].iter().position(is_end) else {
                    return Err(Refused::at(at, &format!("the heredoc `{}` does not end", clip(&name))));
                };
                end += length + 1;
            }
        }
        at = end;
        instructions.push(Instruction { end, ..instruction });
    }
    match instructions.iter().any(|instruction| instruction.keyword == "FROM") {
        true => Ok(instructions),
        false => Err(Refused("it has no `FROM`".to_owned())),
    }
}

/// The line at `at` with those that continue it, and the line behind them.
pub(super) fn join(lines: &[&str], at: usize, escape: char) -> (String, usize) {
    let mut joined = String::new();
    let mut end = at;
    let mut more = true;
    while more && end < lines.len() {
        let line = lines[end];
        end += 1;
        let start = line.trim_start();
        if !joined.is_empty() && (start.is_empty() || start.starts_with('#')) {
            continue;
        }
        let line = if joined.is_empty() { start } else { line };
        let kept = line.trim_end_matches([' ', '\t']).strip_suffix(escape);
        more = kept.is_some();
        joined.push_str(kept.unwrap_or(line));
    }
    (joined, end)
}

/// The character that continues a line.
fn escape(lines: &[&str]) -> char {
    let directives = lines.iter().map_while(|line| directive(line));
    let escape = directives.filter(|(name, _)| name == "escape").map(|(_, value)| value).next();
    if escape.as_deref() == Some("`") { '`' } else { '\\' }
}

/// `# name=value` at the top of a Dockerfile.
pub(super) fn directive(line: &str) -> Option<(String, String)> {
    let (name, value) = line.strip_prefix('#')?.split_once('=')?;
    let name = name.trim();
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric());
    (is_name && !value.trim().is_empty()).then(|| (name.to_ascii_lowercase(), value.trim().to_owned()))
}

/// The names of the heredocs that a line opens, and whether their ends may be indented with tabs.
fn heredocs(line: &str) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    for word in words(line) {
        let Some(name) = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<") else { continue };
        let (name, tabs) = name.strip_prefix('-').map_or((name, false), |name| (name, true));
        let name: String = name.chars().filter(|c| !matches!(c, '"' | '\'' | '\\')).collect();
        if !name.is_empty() && !name.contains('<') {
            found.push((name, tabs));
        }
    }
    found
}

/// The words of a shell's line; quotes stay, and hold words together.
pub(super) fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in line.chars() {
        if quote.is_none() && c.is_whitespace() {
            words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
            continue;
        }
        if matches!(c, '"' | '\'') {
            quote = match quote {
                None => Some(c),
                Some(open) if open == c => None,
                open => open,
            };
        }
        word.push(c);
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

/// The beginning of a text that a message quotes.
pub(super) fn clip(text: &str) -> String {
    let shown: String = text.chars().take(60).collect();
    let more = if shown.len() < text.len() { "..." } else { "" };
    shown + more
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let flags =
            |one: &Instruction| one.flags.iter().map(|f| format!("<{}={}>", f.name, f.value)).collect::<String>();
        let instructions = read(text).unwrap();
        instructions
            .iter()
            .map(|one| format!("{}-{} {}{} {}", one.line, one.end, one.keyword, flags(one), one.rest))
            .collect()
    }

    #[test]
    fn as_builders_read_it() {
        let text = "# syntax=x\nARG A=1\nfrom a \\\n # why\n\n  as b\nRUN --mount=type=bind,from=c --network=none ls \\\n\n -l\nCOPY --from=b x y\n";
        assert_eq!(
            shown(text),
            [
                "1-2 ARG A=1",
                "2-6 FROM a   as b",
                "6-9 RUN<mount=type=bind,from=c><network=none> ls  -l",
                "9-10 COPY<from=b> x y"
            ]
        );
        assert_eq!(shown("# escape=`\nFROM a `\n AS b\nRUN dir c:\\\n"), ["1-3 FROM a  AS b", "3-4 RUN dir c:\\"]);
        assert_eq!(shown("FROM a\r\nRUN x \\\r\n y\r\n"), ["0-1 FROM a", "1-3 RUN x  y"]);
    }

    #[test]
    fn heredocs_are_stepped_over() {
        let text = "FROM a\nRUN cat <<EOF >/x && cat <<-'END' >/y\nFROM b\nEOF\nCOPY c d\n\tEND\nCOPY <<\"X\" /x\nX\nRUN echo \"a <<EOF\" $((1<<2))\n";
        let keywords: Vec<_> = shown(text).iter().map(|line| line[..8].to_owned()).collect();
        assert_eq!(keywords, ["0-1 FROM", "1-6 RUN ", "6-8 COPY", "8-9 RUN "]);
    }

    #[test]
    fn what_is_none_says_where() {
        for (text, why) in [
            ("FROM a\n\nFRMO b\n", "line 3: unknown instruction `FRMO b`"),
            ("FROM a\nRUN\n", "line 2: `RUN` says nothing"),
            ("FROM a b\n", "line 1: `FROM` takes an image"),
            ("RUN x\nFROM a\n", "line 1: `RUN` stands before the first `FROM`"),
            ("FROM a\nRUN <<EOF\nx\n", "line 2: the heredoc `EOF` does not end"),
            ("# nothing\n", "it has no `FROM`"),
        ] {
            let refused = read(text).unwrap_err();
            assert!(refused.0.starts_with(why), "{text}: {}", refused.0);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "[A-Za-z0-9 \\\\`#=<\"'$-]{0,20}(\n[A-Za-z0-9 \\\\`#=<\"'$-]{0,20}){0,6}") {
            if let Ok(instructions) = read(&text) {
                assert!(instructions.windows(2).all(|pair| pair[0].end <= pair[1].line));
            }
        }
    }
}
