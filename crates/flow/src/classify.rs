//! What a file is, by its name. Every door asks here.

use std::path::Path;

/// The kinds of files that flowgate reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// `flow.dag.yaml`, `flow.flex.yaml` and their variations (`flow.dag.other.yml`).
    Flow,
    /// A requirements file, by its usual name. A flow may name any file as its own.
    Requirements,
    /// Anything else.
    Other,
}

/// Classifies by file name alone.
pub fn classify(path: &Path) -> FileKind {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return FileKind::Other };
    let lower = name.to_ascii_lowercase();
    let yaml = lower.ends_with(".yaml") || lower.ends_with(".yml");
    if yaml && (name.starts_with("flow.dag.") || name.starts_with("flow.flex.")) {
        FileKind::Flow
    } else if lower.ends_with(".txt") && lower.contains("requirements") {
        FileKind::Requirements
    } else {
        FileKind::Other
    }
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
            ("requirements.txt", FileKind::Requirements),
            ("requirements-dev.txt", FileKind::Requirements),
            ("my_requirements.txt", FileKind::Requirements),
            ("flow.yaml", FileKind::Other),
            ("flow.dag.json", FileKind::Other),
            ("", FileKind::Other),
        ] {
            assert_eq!(classify(Path::new(name)), kind, "{name}");
        }
    }
}
