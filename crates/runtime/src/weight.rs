//! What JSON takes in memory once it is read, told from its text: `[0,0,0]` of a hostile flow is text of two bytes a number, and
//! values of nearly a hundred times as much.

use serde_json::Value;

/// A value in a list: a list's room may be twice what it holds, and numbers are kept as texts of their own.
const VALUE: usize = 2 * size_of::<Value>() + 32;
/// What an entry of an object takes beside its value: a key, its hash and its place in the table.
const ENTRY: usize = 2 * (size_of::<String>() + 2 * size_of::<usize>()) + 32;

/// At most so many bytes are in use for a text once it is read as [`Value`]s. A text that is no JSON has some weight, too.
pub(crate) fn of(json: &[u8]) -> usize {
    let (mut values, mut entries) = (1, 0);
    let (mut inside, mut escaped) = (false, false);
    for byte in json {
        match (inside, *byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => inside = !inside,
            (true, _) => {}
            (false, b',' | b'[' | b'{') => values += 1,
            (false, b':') => entries += 1,
            (false, _) => {}
        }
    }
    json.len() + values * VALUE + entries * ENTRY
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a value takes at least.
    fn least(value: &Value) -> usize {
        size_of::<Value>()
            + match value {
                Value::Null | Value::Bool(_) => 0,
                Value::Number(number) => number.to_string().len(),
                Value::String(text) => text.len(),
                Value::Array(items) => {
                    (items.capacity() - items.len()) * size_of::<Value>() + items.iter().map(least).sum::<usize>()
                }
                Value::Object(entries) => {
                    entries.iter().map(|(key, value)| size_of::<String>() + key.len() + 8 + least(value)).sum()
                }
            }
    }

    #[test]
    fn strings_weigh_what_they_are() {
        assert_eq!(of(br#""a,b:[\",{\\""#), 13 + VALUE);
        assert_eq!(of(br#"{"a":[1,2]}"#), 11 + 4 * VALUE + ENTRY);
    }

    proptest! {
        #[test]
        fn nothing_weighs_less_than_it_takes(numbers in proptest::collection::vec(any::<i64>(), 0..200), text: String) {
            let value = serde_json::json!({ "numbers": numbers, text.as_str(): [{ "a": text }], "": [[], {}, null] });
            let json = serde_json::to_vec(&value).unwrap();
            let read: Value = serde_json::from_slice(&json).unwrap();
            prop_assert!(of(&json) >= least(&read), "{} < {}", of(&json), least(&read));
        }

        #[test]
        fn any_bytes_are_weighed(bytes: Vec<u8>) {
            prop_assert!(of(&bytes) >= bytes.len());
        }
    }
}
