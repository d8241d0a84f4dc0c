//! Open texts, as the editor has them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use flowgate_flow::{ColumnUnit, LineIndex, Position};
use lsp_types::Url;

/// Every open text by its path; a snapshot is a clone of the `Arc`.
pub(crate) type Documents = BTreeMap<PathBuf, Document>;

/// One open text.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    /// The editor's own spelling of where it is: answers must repeat it.
    pub(crate) uri: Url,
    /// Counted by the editor.
    pub(crate) version: i32,
    pub(crate) text: Arc<str>,
    /// True where the disk has, or has had, such a file. What was never saved is there only here;
    /// what was saved and is gone from the disk is gone.
    pub(crate) saved: bool,
}

/// One change, in the order in which the editor made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// From where to where; the whole text where absent.
    pub(crate) range: Option<(Position, Position)>,
    /// What stands there now.
    pub(crate) text: String,
}

impl Document {
    /// Applies changes; each one's places are places in the text that the one before it left.
    pub(crate) fn apply(&mut self, changes: Vec<Change>, unit: ColumnUnit) {
        let mut text = self.text.to_string();
        for change in changes {
            let Some((from, to)) = change.range else {
                text = change.text;
                continue;
            };
            let lines = LineIndex::new(&text);
            let start = lines.offset(&text, from, unit);
            let end = lines.offset(&text, to, unit).max(start);
            text.replace_range(start..end, &change.text);
        }
        self.text = text.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Place = (usize, usize);

    fn applied(text: &str, unit: ColumnUnit, changes: &[(Place, Place, &str)]) -> String {
        let uri = Url::parse("file:///f/flow.dag.yaml").unwrap();
        let mut document = Document { uri, version: 1, text: text.into(), saved: true };
        let place = |(line, column): Place| Position { line, column };
        let changes = changes
            .iter()
            .map(|(from, to, text)| Change { range: Some((place(*from), place(*to))), text: (*text).to_owned() });
        document.apply(changes.collect(), unit);
        document.text.to_string()
    }

    #[test]
    fn each_change_sees_the_text_that_the_one_before_it_left() {
        assert_eq!(
            applied(
                "a\nb\n",
                ColumnUnit::Utf16,
                &[((0, 0), (0, 0), "x\n"), ((1, 0), (1, 1), "y"), ((3, 0), (3, 0), "end")]
            ),
            "x\ny\nb\nend"
        );
    }

    #[test]
    fn columns_are_the_editors() {
        for (unit, column) in [(ColumnUnit::Utf8, 6), (ColumnUnit::Utf16, 3), (ColumnUnit::Scalar, 2)] {
            assert_eq!(applied("é😀z", unit, &[((0, column), (0, column + 1), "!")]), "é😀!");
        }
    }

    #[test]
    fn places_outside_the_text_or_in_the_wrong_order_do_no_harm() {
        assert_eq!(applied("ab", ColumnUnit::Utf16, &[((7, 7), (9, 9), "c")]), "abc");
        assert_eq!(applied("ab", ColumnUnit::Utf16, &[((0, 2), (0, 0), "c")]), "abc");
        assert_eq!(applied("😀", ColumnUnit::Utf16, &[((0, 1), (0, 1), "c")]), "c😀");
    }
}
