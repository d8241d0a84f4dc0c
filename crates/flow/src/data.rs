//! Data sets: the rows that a flow runs on.

use std::collections::HashSet;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

mod columns;

pub use columns::{Remark, compare};

/// One row: input names to values. Numbers keep their digits.
pub type Row = Map<String, Value>;

/// Reads the text of a `.jsonl` (one object a line), `.json` (a list of objects) or `.csv` (a header
/// line, then texts) file, by its extension; without one, as of a pipe, by how it begins.
///
/// # Errors
/// A message with place, from 1, and cause.
pub fn parse(text: &str, extension: &str) -> Result<Vec<Row>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let extension = match (extension, text.trim_start().chars().next()) {
        ("", Some('[')) => "json",
        ("", Some('{')) => "jsonl",
        ("", _) => "csv",
        _ => extension,
    };
    match extension.to_ascii_lowercase().as_str() {
        "jsonl" | "ndjson" => json_lines(text),
        "json" => json_list(text),
        "csv" => csv_rows(text),
        _ => Err("unknown data format; use .jsonl, .json or .csv".to_owned()),
    }
}

fn json_list(text: &str) -> Result<Vec<Row>, String> {
    let rows: Vec<Row> = serde_json::from_str(text)
        .map_err(|error| format!("{}: not a list of objects: {}", place(error.line(), &error), cause(&error)))?;
    unique_keys(text).map_err(|error| format!("{}: {}", place(error.line(), &error), cause(&error)))?;
    for (row, values) in rows.iter().enumerate() {
        finite(values).map_err(|cause| format!("row {}: {cause}", row + 1))?;
    }
    Ok(rows)
}

fn json_lines(text: &str) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let number = number + 1;
        let row: Row = serde_json::from_str(line)
            .map_err(|error| format!("{}: not a JSON object: {}", place(number, &error), cause(&error)))?;
        unique_keys(line).map_err(|error| format!("{}: {}", place(number, &error), cause(&error)))?;
        finite(&row).map_err(|cause| format!("line {number}: {cause}"))?;
        rows.push(row);
    }
    Ok(rows)
}

/// Where the reader was, from 1; of what it refused whole it gives the line only.
fn place(line: usize, error: &serde_json::Error) -> String {
    match error.column() {
        0 => format!("line {line}"),
        column => format!("line {line}, column {column}"),
    }
}

/// The message without the place, which counts from the start of what was parsed.
fn cause(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&place).unwrap_or(&text) {
        // The reader's word for `true`, `false` and `null`.
        "expected ident" => "not valid JSON".to_owned(),
        text => text.to_owned(),
    }
}

/// An error where an object has a key twice: of its values the engine would see the last one only.
fn unique_keys(text: &str) -> Result<(), serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(text);
    UniqueKeys.deserialize(&mut reader)
}

struct UniqueKeys;

impl<'de> DeserializeSeed<'de> for UniqueKeys {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for UniqueKeys {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Self)?.is_some() {}
        Ok(())
    }

    /// An object; also a number that fits no type of Rust, which comes as one with a single key.
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            if seen.contains(&key) {
                return Err(de::Error::custom(format_args!("duplicate key {}", columns::quoted(&key))));
            }
            seen.insert(key);
            entries.next_value_seed(Self)?;
        }
        Ok(())
    }
}

/// An error where a number is beyond what Python's float holds: the engine would compute with infinity.
fn finite(row: &Row) -> Result<(), String> {
    let mut left: Vec<&Value> = row.values().collect();
    while let Some(value) = left.pop() {
        match value {
            Value::Number(number) => {
                let text = number.as_str();
                if number.as_f64().is_none() && text.contains(['.', 'e', 'E']) {
                    return Err(format!("{} is more than a float of Python can hold", columns::quoted(text)));
                }
            }
            Value::Array(items) => left.extend(items),
            Value::Object(entries) => left.extend(entries.values()),
            Value::Null | Value::Bool(_) | Value::String(_) => {}
        }
    }
    Ok(())
}

fn csv_rows(text: &str) -> Result<Vec<Row>, String> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let names = reader.headers().map_err(|error| error.to_string())?.clone();
    let mut seen = HashSet::new();
    if let Some(twice) = names.iter().find(|name| !seen.insert(*name)) {
        return Err(format!("line 1: duplicate column {}", columns::quoted(twice)));
    }
    let row = |record: Result<csv::StringRecord, csv::Error>| {
        let record = record.map_err(|error| fault_of_csv(&error, &names))?;
        Ok(names.iter().zip(&record).map(|(name, value)| (name.to_owned(), Value::String(value.to_owned()))).collect())
    };
    reader.records().map(row).collect()
}

fn fault_of_csv(error: &csv::Error, names: &csv::StringRecord) -> String {
    let csv::ErrorKind::UnequalLengths { pos, expected_len, len } = error.kind() else { return error.to_string() };
    let line = pos.as_ref().map_or(0, csv::Position::line);
    let only = names.get(0).filter(|_| names.len() == 1);
    let hint = only.and_then(columns::separator).map_or(String::new(), |separator| format!("; {separator}"));
    format!("line {line}: it has {len} values, and the header has {expected_len}{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_each_format() {
        assert_eq!(json_lines("{\"a\":1}\n\n{\"b\":[2]}\n").unwrap().len(), 2);
        let rows = csv_rows("a,b\n1,\"x, y\"\n").unwrap();
        assert_eq!(Value::Object(rows[0].clone()), serde_json::json!({"a": "1", "b": "x, y"}));
    }

    #[test]
    fn numbers_keep_their_digits() {
        let huge = "9".repeat(5000);
        for number in ["18446744073709551616", "-9223372036854775809", "0.10000000000000000555", "1.50", "1e308", &huge]
        {
            let rows = parse(&format!("[{{\"n\": [{number}]}}]"), "json").unwrap();
            let written = serde_json::to_string(&rows[0]).unwrap();
            assert_eq!(written.replace("e+", "e"), format!("{{\"n\":[{number}]}}"));
        }
    }

    #[test]
    fn faults_have_a_place() {
        for (extension, text, message) in [
            ("jsonl", "{\"a\":1}\n[2]\n", "line 2: not a JSON object: invalid type: sequence, expected a map"),
            ("jsonl", "\n{\"a\":{\"b\":1,\"b\":2}}\n", "line 2, column 15: duplicate key `b`"),
            ("jsonl", "{\"a\":1e999}\n", "line 1: `1e+999` is more than a float of Python can hold"),
            ("json", "[{\"a\":1},\n {\"a\":1, \"a\": 1.5}]", "line 2, column 12: duplicate key `a`"),
            ("json", "{}", "line 1: not a list of objects: invalid type: map, expected a sequence"),
            ("csv", "a,b,a\n1,2,3\n", "line 1: duplicate column `a`"),
            ("csv", "a,b\n1,2\n3\n", "line 3: it has 1 values, and the header has 2"),
            (
                "csv",
                "a;b\n1;2\n3;4,5\n",
                "line 3: it has 2 values, and the header has 1; `;` separates the columns here: save the file with `,`",
            ),
        ] {
            assert_eq!(parse(text, extension).unwrap_err(), message, "{text}");
        }
    }
}
