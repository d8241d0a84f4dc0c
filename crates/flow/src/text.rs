//! Byte offsets to lines and columns, in the unit that a front end counts in.

/// What a column counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnUnit {
    /// Bytes of UTF-8.
    Utf8,
    /// 16-bit code units (the default of the Language Server Protocol).
    Utf16,
    /// Unicode scalar values.
    Scalar,
}

/// A place by line and column, both counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 0.
    pub line: usize,
    /// Column, from 0, in the [`ColumnUnit`] asked for.
    pub column: usize,
}

/// Where each line of a text starts. A line ends at `\n`, `\r\n` or a lone `\r`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LineIndex {
    starts: Vec<usize>,
}

impl LineIndex {
    /// Finds the line starts of `text`.
    pub fn new(text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut starts = vec![0];
        let ends = memchr::memchr2_iter(b'\n', b'\r', bytes)
            .filter(|at| bytes.get(*at) == Some(&b'\n') || bytes.get(*at + 1) != Some(&b'\n'));
        starts.extend(ends.map(|at| at + 1));
        Self { starts }
    }

    /// Number of lines; a text that ends in a line break has an empty last line.
    pub fn lines(&self) -> usize {
        self.starts.len()
    }

    /// The line, from 0, that holds the byte at `offset`.
    pub fn line_of(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset).saturating_sub(1)
    }

    /// The byte at which `line` (from 0) starts; past the end, the end of the last line's start.
    pub fn start_of(&self, line: usize) -> Option<usize> {
        self.starts.get(line).copied()
    }

    /// The bytes of `line` in `text`, without its line break.
    pub fn line<'t>(&self, text: &'t str, line: usize) -> &'t str {
        let Some(start) = self.start_of(line) else { return "" };
        let end = self.start_of(line + 1).unwrap_or(text.len());
        text.get(start..end).unwrap_or("").trim_end_matches(['\n', '\r'])
    }

    /// Line and column of `offset`; an offset past the end or inside a character is moved back to
    /// the nearest place that exists.
    pub fn position(&self, text: &str, offset: usize, unit: ColumnUnit) -> Position {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.line_of(offset);
        let start = self.start_of(line).unwrap_or(0);
        let before = text.get(start..offset).unwrap_or("");
        let column = match unit {
            ColumnUnit::Utf8 => before.len(),
            ColumnUnit::Utf16 => before.encode_utf16().count(),
            ColumnUnit::Scalar => before.chars().count(),
        };
        Position { line, column }
    }

    /// The byte offset of a line and column; a place past a line's end is moved to that end, a
    /// line past the text to the text's end.
    pub fn offset(&self, text: &str, position: Position, unit: ColumnUnit) -> usize {
        let Some(start) = self.start_of(position.line) else { return text.len() };
        let mut left = position.column;
        let mut offset = start;
        for c in self.line(text, position.line).chars() {
            let width = match unit {
                ColumnUnit::Utf8 => c.len_utf8(),
                ColumnUnit::Utf16 => c.len_utf16(),
                ColumnUnit::Scalar => 1,
            };
            if left < width {
                break;
            }
            left -= width;
            offset += c.len_utf8();
        }
        offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_what_the_front_end_counts() {
        let text = "a\r\né😀x\rz\n";
        let index = LineIndex::new(text);
        assert_eq!(index.lines(), 4);
        let x = text.find('x').unwrap();
        for (unit, column) in [(ColumnUnit::Utf8, 6), (ColumnUnit::Utf16, 3), (ColumnUnit::Scalar, 2)] {
            let position = Position { line: 1, column };
            assert_eq!(index.position(text, x, unit), position);
            assert_eq!(index.offset(text, position, unit), x);
        }
        assert_eq!(index.line(text, 1), "é😀x");
        assert_eq!(index.line_of(text.find('z').unwrap()), 2);
    }

    #[test]
    fn places_outside_the_text_are_moved_into_it() {
        let text = "ab\ncd";
        let index = LineIndex::new(text);
        assert_eq!(index.offset(text, Position { line: 0, column: 99 }, ColumnUnit::Utf16), 2);
        assert_eq!(index.offset(text, Position { line: 9, column: 0 }, ColumnUnit::Utf16), 5);
        assert_eq!(index.position(text, 99, ColumnUnit::Scalar), Position { line: 1, column: 2 });
        assert_eq!(index.position("é", 1, ColumnUnit::Utf8), Position { line: 0, column: 0 });
    }
}
