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
    visible.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property (`file`, `title`, ...) of a GitHub workflow command.
pub fn workflow_property(text: &str) -> String {
    workflow_message(text).replace(':', "%3A").replace(',', "%2C")
}

/// One line of a log that GitHub reads: a line that looks like a workflow command loses its
/// meaning.
pub fn workflow_log(text: &str) -> String {
    let lines = terminal(text);
    let lines = lines.split('\n').map(|line| {
        let start = line.trim_start();
        let command = start.starts_with("::") || start.starts_with("##[") || start.starts_with("[command]");
        if command { format!("\u{200b}{line}") } else { line.to_owned() }
    });
    lines.collect::<Vec<_>>().join("\n")
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
        assert_eq!(
            workflow_log("x\n  ::set-output name=a::b\n##[error]y"),
            "x\n\u{200b}  ::set-output name=a::b\n\u{200b}##[error]y"
        );
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
