//! Tables that fit a terminal of 80 columns.

/// What a terminal is wide, in columns.
const WIDTH: usize = 80;

/// Rows of columns as wide as their widest text; the last one has the rest of the line, and of what is longer its end, which
/// tells more than its start. The texts are escaped already.
pub(crate) fn render<const N: usize>(rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut rows: Vec<[String; N]> = rows.into_iter().collect();
    let widths: Vec<usize> = (0..N.saturating_sub(1))
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let rest = WIDTH.saturating_sub(widths.iter().map(|width| width + 2).sum());
    let mut out = String::new();
    for row in &mut rows {
        if let Some(last) = row.last_mut() {
            *last = end_of(last, rest);
        }
        for (text, width) in row.iter().zip(widths.iter().copied().chain([0])) {
            out += &format!("{text:<width$}  ");
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
    }
    out
}

/// The end of a text.
pub(crate) fn end_of(text: &str, width: usize) -> String {
    let count = text.chars().count();
    if count <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().skip(count - width.saturating_sub(1)).collect();
    format!("…{kept}")
}
