//! Our nouns to the protocol's and back. Nothing else makes or reads a position of the protocol.

use std::path::{Path, PathBuf};

use flowgate_check::{Finding, Level, Place};
use flowgate_flow::include::lexical;
use flowgate_flow::{ColumnUnit, LineIndex, Position, Project, SourceFile, Span};
use lsp_types::{
    ClientCapabilities, CodeDescription, Diagnostic, DiagnosticRelatedInformation, DiagnosticSeverity,
    InitializeParams, Location, NumberOrString, PositionEncodingKind, Range, TextDocumentContentChangeEvent, TextEdit,
    Url,
};

use crate::documents::{Change, Documents};

/// The name under which editors show where a finding comes from.
const SOURCE: &str = "flowgate";
const RULE_PAGES: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/rules/");

/// What the editor can do, as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client {
    /// What its columns count.
    pub(crate) unit: ColumnUnit,
    /// Takes edits that name the version which they are for.
    pub(crate) versioned_edits: bool,
    /// Shows the places that explain a finding.
    pub(crate) related: bool,
    /// Tells of changes on the disk when it is asked to.
    pub(crate) watches: bool,
}

impl Default for Client {
    fn default() -> Self {
        Self { unit: ColumnUnit::Utf16, versioned_edits: false, related: false, watches: false }
    }
}

/// Reads what the editor can do.
pub(crate) fn client(capabilities: &ClientCapabilities) -> Client {
    let workspace = capabilities.workspace.as_ref();
    let diagnostics = capabilities.text_document.as_ref().and_then(|text| text.publish_diagnostics.as_ref());
    Client {
        unit: column_unit(capabilities),
        versioned_edits: workspace.and_then(|w| w.workspace_edit.as_ref()?.document_changes).unwrap_or(false),
        related: diagnostics.and_then(|d| d.related_information).unwrap_or(false),
        watches: workspace.and_then(|w| w.did_change_watched_files.as_ref()?.dynamic_registration).unwrap_or(false),
    }
}

/// UTF-8 costs nothing here; UTF-16 is what every editor must know; UTF-32 only for one that
/// offers nothing else.
fn column_unit(capabilities: &ClientCapabilities) -> ColumnUnit {
    let offered =
        capabilities.general.as_ref().and_then(|general| general.position_encodings.as_deref()).unwrap_or(&[]);
    if offered.contains(&PositionEncodingKind::UTF8) {
        ColumnUnit::Utf8
    } else if offered.contains(&PositionEncodingKind::UTF32) && !offered.contains(&PositionEncodingKind::UTF16) {
        ColumnUnit::Scalar
    } else {
        ColumnUnit::Utf16
    }
}

/// The protocol's name for what columns count.
pub(crate) fn encoding(unit: ColumnUnit) -> PositionEncodingKind {
    match unit {
        ColumnUnit::Utf8 => PositionEncodingKind::UTF8,
        ColumnUnit::Utf16 => PositionEncodingKind::UTF16,
        ColumnUnit::Scalar => PositionEncodingKind::UTF32,
    }
}

/// The workspace folders, by any of the three ways in which editors have named them.
pub(crate) fn roots(params: &InitializeParams) -> Vec<PathBuf> {
    if let Some(folders) = params.workspace_folders.as_ref().filter(|folders| !folders.is_empty()) {
        return folders.iter().filter_map(|folder| path(&folder.uri)).collect();
    }
    if let Some(root) = params.root_uri.as_ref().and_then(path) {
        return vec![root];
    }
    #[expect(deprecated, reason = "old editors send nothing else")]
    let old = params.root_path.as_ref();
    old.map(PathBuf::from).filter(|root| root.is_absolute()).into_iter().collect()
}

/// Where a document lies; `None` for one that is not a file.
pub(crate) fn path(uri: &Url) -> Option<PathBuf> {
    let path = (uri.scheme() == "file").then(|| uri.to_file_path().ok())??;
    Some(lexical(&path))
}

/// The address of a file: the editor's own where it has the file open.
pub(crate) fn uri(documents: &Documents, path: &Path) -> Option<Url> {
    match documents.get(path) {
        Some(document) => Some(document.uri.clone()),
        None => Url::from_file_path(path).ok(),
    }
}

/// Changes as the editor sent them.
pub(crate) fn changes(events: Vec<TextDocumentContentChangeEvent>) -> Vec<Change> {
    let place =
        |position: lsp_types::Position| Position { line: position.line as usize, column: position.character as usize };
    let change = |event: TextDocumentContentChangeEvent| Change {
        range: event.range.map(|range| (place(range.start), place(range.end))),
        text: event.text,
    };
    events.into_iter().map(change).collect()
}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn position(lines: &LineIndex, text: &str, offset: usize, unit: ColumnUnit) -> lsp_types::Position {
    let place = lines.position(text, offset, unit);
    lsp_types::Position::new(number(place.line), number(place.column))
}

/// A span as lines and columns.
pub(crate) fn range(file: &SourceFile, span: Span, unit: ColumnUnit) -> Range {
    let at = |offset| position(&file.lines, &file.text, offset, unit);
    Range::new(at(span.start), at(span.end))
}

/// True where two ranges share a place; their ends count, as a cursor behind a word is still at it.
pub(crate) fn touch(a: Range, b: Range) -> bool {
    a.start <= b.end && b.start <= a.end
}

/// A change of a file's text.
pub(crate) fn edit(file: &SourceFile, edit: &flowgate_check::Edit, unit: ColumnUnit) -> TextEdit {
    TextEdit::new(range(file, edit.at.span, unit), edit.text.clone())
}

/// A finding as editors show it; `None` where its file is not of the project.
pub(crate) fn diagnostic(
    project: &Project,
    finding: &Finding,
    client: Client,
    documents: &Documents,
) -> Option<Diagnostic> {
    let file = project.file(finding.at.file)?;
    let message = match &finding.help {
        Some(help) => format!("{}\nhelp: {help}", finding.message),
        None => finding.message.clone(),
    };
    let location = |at: Place| {
        let file = project.file(at.file)?;
        Some(Location::new(uri(documents, &file.path)?, range(file, at.span, client.unit)))
    };
    let related = finding.related.iter().filter_map(|related| {
        Some(DiagnosticRelatedInformation { location: location(related.at)?, message: related.message.clone() })
    });
    let related: Vec<_> = if client.related { related.collect() } else { Vec::new() };
    Some(Diagnostic {
        range: range(file, finding.at.span, client.unit),
        severity: Some(match finding.level {
            Level::Error => DiagnosticSeverity::ERROR,
            Level::Warning => DiagnosticSeverity::WARNING,
            Level::Hint => DiagnosticSeverity::HINT,
        }),
        code: Some(NumberOrString::String(finding.rule.to_owned())),
        code_description: Url::parse(&format!("{RULE_PAGES}{}.md", finding.rule))
            .ok()
            .map(|href| CodeDescription { href }),
        source: Some(SOURCE.to_owned()),
        message,
        related_information: (!related.is_empty()).then_some(related),
        tags: None,
        data: None,
    })
}
