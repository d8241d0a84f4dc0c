//! Data sets: the rows that a flow runs on.

use serde_json::{Map, Value};

/// One row: input names to values.
pub type Row = Map<String, Value>;

/// Reads the text of a `.jsonl` (one object a line), `.json` (a list of objects) or `.csv` (a header
/// line, then texts) file, by its extension.
///
/// # Errors
/// A message with row and cause.
pub fn parse(text: &str, extension: &str) -> Result<Vec<Row>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match extension.to_ascii_lowercase().as_str() {
        "jsonl" | "ndjson" => json_lines(text),
        "json" => serde_json::from_str(text).map_err(|e| format!("not a list of objects: {e}")),
        "csv" => csv_rows(text),
        _ => Err("unknown data format; use .jsonl, .json or .csv".to_owned()),
    }
}

fn json_lines(text: &str) -> Result<Vec<Row>, String> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| {
            serde_json::from_str(line).map_err(|e| format!("line {}: not a JSON object: {e}", number + 1))
        })
        .collect()
}

fn csv_rows(text: &str) -> Result<Vec<Row>, String> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let names = reader.headers().map_err(|e| e.to_string())?.clone();
    reader
        .records()
        .map(|record| {
            let record = record.map_err(|e| e.to_string())?;
            Ok(names
                .iter()
                .zip(&record)
                .map(|(name, value)| (name.to_owned(), Value::String(value.to_owned())))
                .collect())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_each_format() {
        assert_eq!(json_lines("{\"a\":1}\n\n{\"b\":[2]}\n").unwrap().len(), 2);
        assert_eq!(json_lines("{\"a\":1}\n[2]\n").unwrap_err().split(':').next(), Some("line 2"));
        let rows = csv_rows("a,b\n1,\"x, y\"\n").unwrap();
        assert_eq!(Value::Object(rows[0].clone()), serde_json::json!({"a": "1", "b": "x, y"}));
        assert!(csv_rows("a,b\n1\n").unwrap_err().contains("line: 2"));
    }
}
