//! The columns of a data set against the inputs of a flow.

use std::collections::HashSet;

use super::Row;
use crate::model::{Flow, Input};
use crate::suggest::nearest;

/// How many columns or inputs a text names.
const NAMED: usize = 8;
/// How many characters of a name are shown.
const NAME: usize = 60;

/// What a person should know about a data set; a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remark {
    /// Worth knowing.
    Note(String),
    /// Most likely a mistake.
    Warning(String),
}

/// Holds the columns of the data set `file` against the inputs of a DAG flow. `given` are inputs whose values come
/// from elsewhere.
///
/// # Errors
/// A lower-case fragment, where no column is an input or an input without a default has no column: the flow would not
/// run on what the data set says.
pub fn compare(file: &str, rows: &[Row], flow: &Flow, given: &[&str]) -> Result<Vec<Remark>, String> {
    let mut seen = HashSet::new();
    let columns: Vec<&str> =
        rows.iter().flat_map(Row::keys).map(String::as_str).filter(|name| seen.insert(*name)).collect();
    let inputs: Vec<&str> = flow.inputs.iter().map(|input| input.name.value.as_str()).collect();
    let unknown: Vec<&str> = columns.iter().filter(|name| !inputs.contains(name)).copied().collect();
    let described = || list(unknown.iter().map(|column| described(column, &inputs, columns.len() == 1)));
    if inputs.is_empty() && !columns.is_empty() {
        return Err("the flow has no inputs, so it cannot run on data".to_owned());
    }
    if !columns.is_empty() && unknown.len() == columns.len() {
        let inputs = list(inputs.iter().map(|input| quoted(input)));
        return Err(format!(
            "no column is an input of the flow: {}; name the columns after the inputs: {inputs}",
            described()
        ));
    }
    // A row of defaults alone is not what the data says.
    let strays = |row: &Row| !row.is_empty() && !row.keys().any(|name| inputs.contains(&name.as_str()));
    if let Some(at) = rows.iter().position(strays) {
        let columns: Vec<String> = rows[at].keys().map(|column| self::described(column, &inputs, false)).collect();
        let columns = list(columns.into_iter());
        return Err(format!("row {}: no column is an input of the flow: {columns}", at + 1));
    }
    let lacks = |input: &&Input| !seen.contains(input.name.value.as_str()) && !given.contains(&&*input.name.value);
    let (defaults, missing): (Vec<&Input>, Vec<&Input>) =
        flow.inputs.iter().filter(lacks).partition(|i| i.has_default());
    let names = |inputs: &[&Input]| list(inputs.iter().map(|input| quoted(&input.name.value)));
    if !missing.is_empty() {
        let unknown = if unknown.is_empty() { String::new() } else { format!("; not an input: {}", described()) };
        return Err(format!(
            "there is no column for {}, and the flow has no default for {}{unknown}",
            names(&missing),
            if missing.len() == 1 { "it" } else { "them" }
        ));
    }
    let mut remarks = Vec::new();
    if !unknown.is_empty() {
        remarks.push(Remark::Warning(format!(
            "Columns of {file} that are not inputs of the flow are ignored: {}.",
            described()
        )));
    }
    if !defaults.is_empty() {
        remarks.push(Remark::Note(format!("{file} has no column for {}, so the default is used.", names(&defaults))));
    }
    Ok(remarks)
}

/// A column that is not an input, with what was most likely meant.
fn described(column: &str, inputs: &[&str], only: bool) -> String {
    let name = quoted(column);
    if let Some(separator) = separator(column).filter(|_| only) {
        return format!("{name} ({separator})");
    }
    if let Some(input) = inputs.iter().find(|input| **input == column.trim()) {
        return format!("{name} (a space too many; did you mean {}?)", quoted(input));
    }
    match nearest(column.trim(), inputs.iter().copied()) {
        Some(input) => format!("{name} (did you mean {}?)", quoted(input)),
        None => name,
    }
}

/// What is wrong with a header of one column that another separator would make several.
pub(super) fn separator(header: &str) -> Option<String> {
    let (name, _) = [("`;`", ';'), ("a tab", '\t'), ("`|`", '|')].into_iter().find(|(_, c)| header.contains(*c))?;
    Some(format!("{name} separates the columns here: save the file with `,`"))
}

/// A name from a data set, bounded.
pub(super) fn quoted(name: &str) -> String {
    match name.char_indices().nth(NAME) {
        Some((end, _)) => format!("`{}...`", &name[..end]),
        None => format!("`{name}`"),
    }
}

fn list(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let shown = names.take(NAMED).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}
