//! Bytes to text, as pip decodes a requirements file.

/// How a file's bytes were read: who writes it back must write the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8; a byte order mark is part of the text.
    #[default]
    Utf8,
    /// Any other, by its usual name.
    Other(&'static str),
}

/// Decodes a requirements file: by its byte order mark, else by a coding comment in one of its
/// first two lines (PEP 263), else as UTF-8, which is what pip takes on Linux.
///
/// # Errors
/// Why it is no text, as a lower-case fragment.
pub fn decode(bytes: Vec<u8>) -> Result<(String, Encoding), String> {
    // The longer marks first: UTF-16's is the beginning of UTF-32's.
    match bytes.as_slice() {
        [0xff, 0xfe, 0, 0, rest @ ..] => return utf32(rest, u32::from_le_bytes, "UTF-32LE"),
        [0, 0, 0xfe, 0xff, rest @ ..] => return utf32(rest, u32::from_be_bytes, "UTF-32BE"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            let encoding = if bytes.starts_with(&[0xff]) { encoding_rs::UTF_16LE } else { encoding_rs::UTF_16BE };
            return decode_with(encoding, bytes.get(2..).unwrap_or(&[]));
        }
        _ => {}
    }
    let has_mark = bytes.starts_with(&[0xef, 0xbb, 0xbf]);
    if let Some(name) = coding_comment(&bytes).filter(|_| !has_mark) {
        match by_name(&name) {
            Some(encoding) if encoding == encoding_rs::UTF_8 => {}
            // What the web calls Latin-1 is another encoding.
            Some(_) if is_latin1(&name) => {
                return Ok((encoding_rs::mem::decode_latin1(&bytes).into_owned(), Encoding::Other("ISO-8859-1")));
            }
            Some(encoding) => return decode_with(encoding, &bytes),
            // Python knows more names; a file of plain ASCII is the same in nearly all of them.
            None if bytes.is_ascii() => {}
            None => return Err(format!("the file says that it is `{name}`, which flowgate cannot read")),
        }
    }
    String::from_utf8(bytes).map(|text| (text, Encoding::Utf8)).map_err(|error| {
        let at = error.utf8_error().valid_up_to() + 1;
        format!("the file is not UTF-8 text: byte {at} does not belong to any character")
    })
}

/// Python writes some names with other dashes than the web.
fn by_name(name: &str) -> Option<&'static encoding_rs::Encoding> {
    let name = name.to_ascii_lowercase().replace('_', "-");
    let spellings = [name.replace('-', ""), name.trim_end_matches("-sig").to_owned()];
    spellings.iter().find_map(|name| encoding_rs::Encoding::for_label(name.as_bytes()))
}

fn is_latin1(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace(['_', '-'], "");
    matches!(name.as_str(), "latin1" | "iso88591" | "l1" | "latin")
}

fn decode_with(encoding: &'static encoding_rs::Encoding, bytes: &[u8]) -> Result<(String, Encoding), String> {
    encoding
        .decode_without_bom_handling_and_without_replacement(bytes)
        .map(|text| (text.into_owned(), Encoding::Other(encoding.name())))
        .ok_or_else(|| format!("the file is not {} text", encoding.name()))
}

fn utf32(bytes: &[u8], number: fn([u8; 4]) -> u32, name: &'static str) -> Result<(String, Encoding), String> {
    let chunks = bytes.chunks(4).map(|chunk| char::from_u32(number(chunk.try_into().ok()?)));
    let text: Option<String> = chunks.collect();
    text.map(|text| (text, Encoding::Other(name))).ok_or_else(|| format!("the file is not {name} text"))
}

/// The name in `# -*- coding: NAME -*-`.
fn coding_comment(bytes: &[u8]) -> Option<String> {
    bytes.split(|byte| *byte == b'\n').take(2).filter(|line| line.starts_with(b"#")).find_map(|line| {
        let line = String::from_utf8_lossy(line.get(..line.len().min(MAX_COMMENT))?);
        line.match_indices("coding").find_map(|(at, word)| {
            let rest = line.get(at + word.len()..)?.strip_prefix([':', '='])?.trim_start();
            let end = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))).unwrap_or(rest.len());
            rest.get(..end).filter(|name| !name.is_empty()).map(str::to_owned)
        })
    })
}

/// A coding comment stands within so many bytes.
const MAX_COMMENT: usize = 4096;
