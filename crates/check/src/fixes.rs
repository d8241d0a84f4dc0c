//! Applying edits to a text.

use crate::finding::Edit;

/// Applies the edits of one file to its text. Of two edits that overlap, the earlier one in the
/// text wins; edits that do not fit the text are left out.
pub fn apply<'e>(text: &str, edits: impl IntoIterator<Item = &'e Edit>) -> String {
    let mut edits: Vec<&Edit> = edits.into_iter().collect();
    edits.sort_by_key(|edit| (edit.at.span.start, edit.at.span.end));
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for edit in edits {
        let span = edit.at.span;
        if span.start < at {
            continue;
        }
        let (Some(kept), true) = (text.get(at..span.start), text.get(span.start..span.end).is_some()) else { continue };
        out.push_str(kept);
        out.push_str(&edit.text);
        at = span.end;
    }
    out.push_str(text.get(at..).unwrap_or(""));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Place;
    use flowgate_flow::Span;
    use flowgate_flow::project::FileId;

    #[test]
    fn edits_keep_the_rest_of_the_text() {
        let edit = |start, end, text: &str| Edit {
            at: Place { file: FileId(0), span: Span::new(start, end) },
            text: text.into(),
        };
        assert_eq!(apply("abcdef", &[edit(4, 5, "X"), edit(1, 3, ""), edit(2, 4, "lost"), edit(0, 0, ">")]), ">adXf");
        assert_eq!(apply("é", &[edit(1, 1, "x"), edit(5, 9, "y")]), "é");
    }
}
