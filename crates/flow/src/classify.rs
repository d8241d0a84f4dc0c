//! What a file is, by its name, and where that does not tell, by its text. Every door asks here.

use std::path::Path;

use crate::connection;

/// The kinds of files that flowgate reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// `flow.dag.yaml`, `flow.flex.yaml` and their variations (`flow.dag.other.yml`).
    Flow,
    /// A prompt with its model: `x.prompty`.
    Prompty,
    /// What `pf run create` takes: a flow, its data and how they fit.
    RunSpecification,
    /// What `pf connection create` takes.
    Connection,
    /// A requirements file, by its usual name. A flow may name any file as its own.
    Requirements,
    /// Anything else.
    Other,
}

/// How much of a YAML file is looked at to tell its kind, in bytes. Longer files are of none.
pub const MAX_TOLD: usize = 64 * 1024;
/// How many keys are looked at.
const MAX_KEYS: usize = 100;

/// The keys of a run specification.
pub const RUN_KEYS: [&str; 20] = [
    "$schema",
    "flow",
    "data",
    "run",
    "column_mapping",
    "variant",
    "connections",
    "environment_variables",
    "init",
    "resources",
    "identity",
    "runtime",
    "name",
    "display_name",
    "description",
    "tags",
    "properties",
    "status",
    "command",
    "outputs",
];

/// Classifies by file name alone.
pub fn classify(path: &Path) -> FileKind {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return FileKind::Other };
    if is_yaml(name) && (name.starts_with("flow.dag.") || name.starts_with("flow.flex.")) {
        FileKind::Flow
    } else if ends_with(name, ".prompty") {
        FileKind::Prompty
    } else if ends_with(name, ".txt") && name.to_ascii_lowercase().contains("requirements") {
        FileKind::Requirements
    } else {
        FileKind::Other
    }
}

/// True for a file whose kind its text may tell.
pub fn is_told_by_text(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    is_yaml(name) && classify(path) == FileKind::Other && name != crate::config::FILE_NAME
}

fn is_yaml(name: &str) -> bool {
    ends_with(name, ".yaml") || ends_with(name, ".yml")
}

/// In whatever case.
fn ends_with(name: &str, ending: &str) -> bool {
    let start = name.len().checked_sub(ending.len());
    start.and_then(|start| name.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case(ending))
}

/// Classifies by file name, and a YAML file of another name by its text: by its `$schema`, else by
/// the keys that it has at the start of a line.
pub fn classify_text(path: &Path, text: &str) -> FileKind {
    if !is_told_by_text(path) || text.len() > MAX_TOLD {
        return classify(path);
    }
    let keys: Vec<(&str, &str)> = text.lines().filter_map(top_level_key).take(MAX_KEYS).collect();
    let value = |key: &str| keys.iter().find(|(k, _)| *k == key).map(|(_, value)| *value);
    if let Some(schema) = value("$schema") {
        return by_schema(schema, &value);
    }
    let is_run = value("flow").is_some_and(|flow| !flow.is_empty())
        && (value("column_mapping").is_some()
            || (value("data").is_some() || value("run").is_some())
                && keys.iter().all(|(key, _)| RUN_KEYS.contains(key)));
    if is_run {
        FileKind::RunSpecification
    } else if connection::looks_like_one(&value) {
        FileKind::Connection
    } else {
        FileKind::Other
    }
}

/// By the schemas that prompt flow publishes; Azure Machine Learning has others of similar names.
fn by_schema<'t>(schema: &str, value: &dyn Fn(&str) -> Option<&'t str>) -> FileKind {
    let lower = schema.to_ascii_lowercase();
    let Some((_, name)) = lower.rsplit_once('/').filter(|_| lower.contains("/promptflow/")) else {
        return FileKind::Other;
    };
    match name {
        "run.schema.json" => FileKind::RunSpecification,
        "flow.schema.json" if value("nodes").is_some() || value("entry").is_some() => FileKind::Flow,
        _ if name.ends_with("connection.schema.json") => FileKind::Connection,
        _ => FileKind::Other,
    }
}

/// The key and the value of a line that starts with a key.
fn top_level_key(line: &str) -> Option<(&str, &str)> {
    if line.starts_with([' ', '\t', '#', '-', '[', '{', ']', '}']) {
        return None;
    }
    let (key, value) = line.split_once(':')?;
    if !(value.is_empty() || value.starts_with([' ', '\t', '\r'])) {
        return None;
    }
    let value = value.split(" #").next().unwrap_or("");
    Some((unquoted(key), unquoted(value)))
}

fn unquoted(text: &str) -> &str {
    text.trim().trim_matches(['"', '\''])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_name() {
        for (name, kind) in [
            ("a/flow.dag.yaml", FileKind::Flow),
            ("flow.dag.yml", FileKind::Flow),
            ("flow.flex.yaml", FileKind::Flow),
            ("flow.dag.with_variants.yaml", FileKind::Flow),
            ("chat.prompty", FileKind::Prompty),
            ("requirements.txt", FileKind::Requirements),
            ("requirements-dev.txt", FileKind::Requirements),
            ("my_requirements.txt", FileKind::Requirements),
            ("flow.yaml", FileKind::Other),
            ("run.yml", FileKind::Other),
            ("flow.dag.json", FileKind::Other),
            ("", FileKind::Other),
        ] {
            assert_eq!(classify(Path::new(name)), kind, "{name}");
        }
    }

    #[test]
    fn by_text() {
        let promptflow = "$schema: https://azuremlschemas.azureedge.net/promptflow/latest";
        let azure = "$schema: https://azuremlschemas.azureedge.net/latest";
        for (text, kind) in [
            (format!("{promptflow}/Run.schema.json\nflow: .\n"), FileKind::RunSpecification),
            (format!("# c\n\"$schema\": '{}/Run.schema.json' # c\r\n", &promptflow[9..]), FileKind::RunSpecification),
            (format!("{promptflow}/OpenAIConnection.schema.json\n"), FileKind::Connection),
            (format!("{promptflow}/Flow.schema.json\nnodes: []\n"), FileKind::Flow),
            (format!("{promptflow}/Experiment.schema.json\ninputs: []\nnodes: []\n"), FileKind::Other),
            (format!("{azure}/workspaceConnection.schema.json\ntype: azure_open_ai\n"), FileKind::Other),
            (format!("{azure}/flow.schema.json\npath: ./flow.dag.yaml\n"), FileKind::Other),
            ("flow: .\ndata: d.jsonl\n".to_owned(), FileKind::RunSpecification),
            ("flow: .\ncolumn_mapping:\n  a: ${data.a}\nextra: 1\n".to_owned(), FileKind::RunSpecification),
            ("flow: .\ndata: d.jsonl\nextra: 1\n".to_owned(), FileKind::Other),
            ("flow:\n  - a\ndata: 1\n".to_owned(), FileKind::Other),
            ("on: push\njobs: {}\n".to_owned(), FileKind::Other),
            ("name: a\ntype: azure_open_ai\napi_key: x\napi_base: y\n".to_owned(), FileKind::Connection),
            ("name: a\ntype: azure_open_ai\napi_key: x\nazure_endpoint: y\n".to_owned(), FileKind::Other),
            ("name: a\ntype: custom\nsecrets:\n  k: v\n".to_owned(), FileKind::Connection),
            ("name: a\ntype: custom\nspec: {}\n".to_owned(), FileKind::Other),
            ("name: a\ntype: string\napi_key: x\n".to_owned(), FileKind::Other),
        ] {
            assert_eq!(classify_text(Path::new("any.yml"), &text), kind, "{text}");
        }
        assert_eq!(classify_text(Path::new("flow.dag.yaml"), "flow: .\ndata: x\n"), FileKind::Flow);
        assert_eq!(classify_text(Path::new("a.json"), "flow: .\ndata: x\n"), FileKind::Other);
    }
}
