//! Text from files and runtimes, made harmless for the place where it is shown.

/// For a terminal: control characters, and the marks that reverse the direction of text, become
/// visible. Line breaks and tabs stay.
pub fn terminal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => out.push(c),
            _ if is_invisible(c) => out.extend(c.escape_unicode()),
            _ => out.push(c),
        }
    }
    out
}

/// For one line of a terminal: as [`terminal`], and line breaks become blanks.
pub fn line(text: &str) -> String {
    terminal(&text.replace(['\n', '\r'], " "))
}

fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The message of a GitHub workflow command.
pub fn workflow_message(text: &str) -> String {
    let visible: String = text
        .chars()
        .map(|c| if is_invisible(c) && !matches!(c, '\n' | '\r' | '\t') { '\u{fffd}' } else { c })
        .collect();
    visible.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A").replace(LEGACY, LEGACY_SHOWN)
}

/// A property (`file`, `title`, ...) of a GitHub workflow command.
pub fn workflow_property(text: &str) -> String {
    workflow_message(text).replace(':', "%3A").replace(',', "%2C")
}

/// What begins a command of the old form, anywhere in a line, and how it is shown.
const LEGACY: &str = "##[";
const LEGACY_SHOWN: &str = "\\u{23}#[";

/// The lines of a workflow's log, escaped for a terminal already: what the runner takes for a command becomes visible.
///
/// Its rules: a line ends at CR, LF or CRLF; `::` begins a command where only blanks (Unicode's, too) stand before it;
/// `##[` does anywhere in a line. `[command]` only paints a line, and would make text look like the runner's own. More is
/// passed over than blanks, because the runner compares by culture, which ignores some characters altogether.
pub fn workflow_log(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive(['\n', '\r']) {
        let mut rest = line.trim_start_matches(|c: char| !c.is_ascii_graphic() && !c.is_alphanumeric());
        out += &line[..line.len() - rest.len()];
        if let Some(first) = rest.chars().next().filter(|_| rest.starts_with("::") || rest.starts_with("[command]")) {
            out.extend(first.escape_unicode());
            rest = &rest[first.len_utf8()..];
        }
        out += &rest.replace(LEGACY, LEGACY_SHOWN);
    }
    out
}

/// JSON in a workflow's log: the same data, and no command. Only texts can hold `##[`, and no line begins with `::`.
pub fn workflow_json(json: &str) -> String {
    json.replace(LEGACY, "\\u0023#[")
}

/// XML without comments and CDATA in a workflow's log: the same data, and no command.
pub fn workflow_xml(xml: &str) -> String {
    let mut out = String::with_capacity(xml.len());
    for line in xml.split_inclusive(['\n', '\r']) {
        let rest = line.trim_start_matches(|c: char| !c.is_ascii_graphic() && !c.is_alphanumeric());
        out += &line[..line.len() - rest.len()];
        match rest.strip_prefix("::") {
            Some(rest) => out += &format!("&#58;:{rest}"),
            None => out += rest,
        }
    }
    out.replace(LEGACY, "&#35;#[")
}

/// A plain text of SARIF: what it reads as a link, `[text](target)`, loses its meaning.
pub fn sarif(text: &str) -> String {
    let visible = text.chars().map(|c| if is_invisible(c) && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c });
    visible.collect::<String>().replace("](", "\\](")
}

/// Text in XML, which has no way to say control characters and two more; quoting is its writer's.
pub fn xml(text: &str) -> String {
    terminal(text).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}

/// Inline Markdown: every character that Markdown or HTML reads is quoted, mentions and issue
/// numbers are broken, and the text stays on one line.
pub fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => out.push(' '),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '@' => out.push_str("@\u{200b}"),
            '#' => out.push_str("&#35;"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '!' | '|' | '~' | ':' => {
                out.push('\\');
                out.push(c);
            }
            _ if is_invisible(c) => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
    out
}

/// A Markdown code block that its text cannot close.
pub fn markdown_block(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{}\n{fence}\n", terminal(text).trim_end_matches('\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_a_terminal_that_moves_its_cursor() {
        assert_eq!(terminal("a\u{1b}[31mb\rc\nd\u{202e}"), "a\\u{1b}[31mb\\u{d}c\nd\\u{202e}");
    }

    #[test]
    fn nothing_becomes_a_workflow_command() {
        assert_eq!(workflow_message("50%\n::error::x\r"), "50%25%0A::error::x%0D");
        assert_eq!(workflow_property("a:b,c%"), "a%3Ab%2Cc%25");
        assert_eq!(workflow_message("x ##[error]y"), "x \\u{23}#[error]y");
    }

    /// What the runner does with a line of a log, by its own rules.
    fn is_command(line: &str) -> bool {
        // Rust's blanks are .NET's.
        let new = line.trim_start().strip_prefix("::").is_some_and(|rest| rest.contains("::"));
        new || line.find("##[").is_some_and(|at| line[at..].contains(']'))
    }

    #[test]
    fn no_line_of_a_log_becomes_a_workflow_command() {
        for (text, shown) in [
            ("::error::x", "\\u{3a}:error::x"),
            ("  \t::set-output name=a::b", "  \t\\u{3a}:set-output name=a::b"),
            (
                "\u{a0}\u{2003}\u{3000}\u{feff}\u{200b}::error::x",
                "\u{a0}\u{2003}\u{3000}\u{feff}\u{200b}\\u{3a}:error::x",
            ),
            ("##[error]x", "\\u{23}#[error]x"),
            ("x ##[add-matcher]/tmp/x", "x \\u{23}#[add-matcher]/tmp/x"),
            ("###[error]x##[a]", "#\\u{23}#[error]x\\u{23}#[a]"),
            ("a\r::error::x", "a\r\\u{3a}:error::x"),
            ("a\n::error::x\n", "a\n\\u{3a}:error::x\n"),
            ("a\r\n ::error::x\r\n##[b]", "a\r\n \\u{3a}:error::x\r\n\\u{23}#[b]"),
            ("::##[error]x", "\\u{3a}:\\u{23}#[error]x"),
            ("[command]rm -rf", "\\u{5b}command]rm -rf"),
            ("a::b ## [x] std::fs", "a::b ## [x] std::fs"),
        ] {
            assert_eq!(workflow_log(text), shown);
            let json = serde_json::to_string_pretty(&[text]).unwrap();
            let xml = format!("<a>\n{}\n</a>", text.replace('<', "&lt;"));
            for safe in [workflow_log(text), workflow_log(&terminal(text)), workflow_json(&json), workflow_xml(&xml)] {
                let command = safe.split(['\n', '\r']).find(|line| is_command(line));
                assert_eq!(command, None, "{text:?}");
            }
            assert_eq!(serde_json::from_str::<Vec<String>>(&workflow_json(&json)).unwrap(), [text]);
            let read = workflow_xml(&xml).replace("&#58;", ":").replace("&#35;", "#");
            assert_eq!(read, xml);
        }
        assert!(is_command("\u{3000}::error::x") && is_command("x ##[error]y"));
    }

    #[test]
    fn nothing_becomes_a_link_of_sarif_or_is_forbidden_in_xml() {
        assert_eq!(sarif("[a](https://x)\n${b[0]}\u{1b}"), "[a\\](https://x)\n${b[0]}\u{fffd}");
        assert_eq!(xml("a\0\u{1b}[1m\u{fffe}\u{ffff}\n<"), "a\\u{0}\\u{1b}[1m\u{fffd}\u{fffd}\n<");
    }

    #[test]
    fn nothing_becomes_markup() {
        assert_eq!(
            markdown("<img src=x> @org/team #1 [a](b)\n|"),
            "&lt;img src=x&gt; @\u{200b}org/team &#35;1 \\[a\\]\\(b\\) \\|"
        );
        assert_eq!(markdown_block("a\n````\nb"), "`````text\na\n````\nb\n`````\n");
    }
}
