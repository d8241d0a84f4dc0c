//! Data sets: the rows that a flow runs on.

use std::path::Path;

use serde_json::{Map, Value};

use crate::project::Project;

/// Longer data sets are refused before they are read whole.
pub const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// One row: input names to values.
pub type Row = Map<String, Value>;

/// Reads `.jsonl` (one object a line), `.json` (a list of objects) or `.csv` (a header line, then
/// texts).
///
/// # Errors
/// A message with file, row and cause.
pub fn read(path: &Path) -> Result<Vec<Row>, String> {
    let fail = |cause: String| format!("{}: {cause}", path.display());
    let length = std::fs::metadata(path).map_err(|e| fail(e.to_string()))?.len();
    if length > MAX_BYTES {
        return Err(fail(format!("the file is longer than {} MiB; split it", MAX_BYTES >> 20)));
    }
    let text = std::fs::read_to_string(path).map_err(|e| fail(e.to_string()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
    let rows = match extension.as_str() {
        "jsonl" | "ndjson" => json_lines(text),
        "json" => serde_json::from_str(text).map_err(|e| format!("not a list of objects: {e}")),
        "csv" => csv_rows(text),
        _ => Err("unknown data format; use .jsonl, .json or .csv".to_owned()),
    };
    rows.map_err(fail)
}

/// The rows of a flow that was given none: one row of its defaults where every input has one, else
/// `data.jsonl` beside it, as promptflow's own examples have it, else one empty row, about which
/// the engine will complain by name. Says which, where it is not the defaults.
///
/// # Errors
/// A `data.jsonl` that cannot be read.
pub fn sample(project: &Project) -> Result<(Vec<Row>, Option<String>), String> {
    let inputs = project.flow.iter().flat_map(|flow| flow.flow.inputs.iter());
    let without: Vec<&str> =
        inputs.filter(|input| input.default.is_none()).map(|input| input.name.value.as_str()).collect();
    let Some(first) = without.first() else { return Ok((vec![Row::new()], None)) };
    let beside = project.folder.join("data.jsonl");
    if beside.is_file() {
        let rows = read(&beside)?;
        return Ok((
            rows,
            Some(format!("Input `{first}` has no default, so the rows of {} are used.", beside.display())),
        ));
    }
    Ok((
        vec![Row::new()],
        Some(format!(
            "Input `{first}` has no default, and there is no data.jsonl beside the flow; give rows with `--data`, or a value with `--inputs {first}=...`."
        )),
    ))
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
