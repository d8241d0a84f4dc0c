//! Characters that look like the ones of a file's syntax and are not.

use std::ops::Range;

/// A character that looks like another.
pub(crate) struct LookAlike {
    /// Where it is, in bytes.
    pub(crate) range: Range<usize>,
    /// What it is called.
    pub(crate) name: &'static str,
    /// What it looks like.
    pub(crate) like: &'static str,
}

/// The look-alikes, with their names and with what they are taken for.
const LOOK_ALIKES: &[(char, &str, &str)] = &[
    ('\u{a0}', "a no-break space", " "),
    ('\u{202f}', "a narrow no-break space", " "),
    ('\u{3000}', "a full-width space", " "),
    ('\u{200b}', "a zero-width space", ""),
    ('\u{2060}', "a word joiner", ""),
    ('\u{feff}', "a byte order mark", ""),
    ('\u{ff1a}', "a full-width colon", ":"),
    ('\u{ff1d}', "a full-width equals sign", "="),
    ('\u{ff0c}', "a full-width comma", ","),
    ('\u{ff1b}', "a full-width semicolon", ";"),
    ('\u{ff20}', "a full-width at sign", "@"),
    ('\u{ff0f}', "a full-width slash", "/"),
    ('\u{ff5b}', "a full-width brace", "{"),
    ('\u{ff5d}', "a full-width brace", "}"),
    ('\u{ff0d}', "a full-width hyphen", "-"),
    ('\u{2010}', "a typographic hyphen", "-"),
    ('\u{2011}', "a no-break hyphen", "-"),
    ('\u{2013}', "an en dash", "-"),
    ('\u{2014}', "an em dash", "--"),
    ('\u{2212}', "a minus sign", "-"),
    ('\u{2018}', "a typographic quote", "'"),
    ('\u{2019}', "a typographic quote", "'"),
    ('\u{201c}', "a typographic quote", "\""),
    ('\u{201d}', "a typographic quote", "\""),
];

/// The first look-alike of a text.
pub(crate) fn find(text: &str) -> Option<LookAlike> {
    if text.is_ascii() {
        return None;
    }
    text.char_indices().find_map(|(at, c)| {
        let (_, name, like) = LOOK_ALIKES.iter().find(|(look_alike, ..)| *look_alike == c)?;
        Some(LookAlike { range: at..at + c.len_utf8(), name, like })
    })
}
