//! Fixes as code actions.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use flowgate_check::{Applicability, Finding, Fix};
use flowgate_flow::Project;
use lsp_types::{
    CodeAction, CodeActionContext, CodeActionKind, CodeActionOrCommand, Diagnostic, DocumentChanges, OneOf,
    OptionalVersionedTextDocumentIdentifier, Range, TextDocumentEdit, TextEdit, Url, WorkspaceEdit,
};

use crate::analysis::Analysis;
use crate::convert::{self, Client};
use crate::documents::Documents;

/// Applies every safe fix of a file.
pub(crate) const FIX_ALL: CodeActionKind = CodeActionKind::new("source.fixAll.flowgate");

/// What the actions are made from: the analyses of a file's units, of its current text.
pub(crate) struct Basis<'b> {
    pub(crate) analyses: &'b [Arc<Analysis>],
    pub(crate) documents: &'b Documents,
    pub(crate) client: Client,
}

impl Basis<'_> {
    /// The actions at a range of a file.
    pub(crate) fn actions(&self, path: &Path, range: Range, context: &CodeActionContext) -> Vec<CodeActionOrCommand> {
        let wanted = |kind: &CodeActionKind| match &context.only {
            None => *kind == CodeActionKind::QUICKFIX,
            Some(only) => only.iter().any(|only| includes(only, kind)),
        };
        let mut actions = Vec::new();
        let findings = self.findings(path);
        if wanted(&CodeActionKind::QUICKFIX) {
            let at_range = findings.iter().filter(|(_, _, diagnostic)| {
                convert::touch(diagnostic.range, range)
                    || context.diagnostics.iter().any(|shown| same(shown, diagnostic))
            });
            actions.extend(
                at_range.filter_map(|(project, finding, diagnostic)| self.quick_fix(project, finding, diagnostic)),
            );
        }
        if wanted(&FIX_ALL) {
            actions.extend(self.fix_all(&findings));
        }
        actions.into_iter().map(CodeActionOrCommand::CodeAction).collect()
    }

    /// The findings of a file, those that two flows share once.
    fn findings(&self, path: &Path) -> Vec<(&Project, &Finding, Diagnostic)> {
        let mut findings: Vec<(&Project, &Finding, Diagnostic)> = Vec::new();
        for analysis in self.analyses {
            let project = &analysis.project;
            let Some(file) = project.find(path) else { continue };
            for finding in analysis.findings.iter().filter(|finding| finding.at.file == file) {
                let Some(diagnostic) = convert::diagnostic(project, finding, self.client, self.documents) else {
                    continue;
                };
                if !findings.iter().any(|(_, _, other)| *other == diagnostic) {
                    findings.push((project, finding, diagnostic));
                }
            }
        }
        findings
    }

    fn quick_fix(&self, project: &Project, finding: &Finding, diagnostic: &Diagnostic) -> Option<CodeAction> {
        let fix = finding.fix.as_ref()?;
        Some(CodeAction {
            title: capitalised(&fix.title),
            kind: Some(CodeActionKind::QUICKFIX),
            diagnostics: Some(vec![diagnostic.clone()]),
            edit: Some(self.workspace_edit(self.edits(project, fix)?)),
            is_preferred: Some(fix.applicability == Applicability::Safe),
            ..CodeAction::default()
        })
    }

    /// Every safe fix that does not get in the way of one before it.
    fn fix_all(&self, findings: &[(&Project, &Finding, Diagnostic)]) -> Option<CodeAction> {
        let mut all: BTreeMap<Url, Vec<TextEdit>> = BTreeMap::new();
        let mut fixed = Vec::new();
        for (project, finding, diagnostic) in findings {
            let Some(fix) = finding.fix.as_ref().filter(|fix| fix.applicability == Applicability::Safe) else {
                continue;
            };
            let Some(edits) = self.edits(project, fix) else { continue };
            let taken = |uri: &Url, edit: &TextEdit| {
                all.get(uri).is_some_and(|edits| edits.iter().any(|other| convert::touch(other.range, edit.range)))
            };
            if edits.iter().any(|(uri, edits)| edits.iter().any(|edit| taken(uri, edit))) {
                continue;
            }
            for (uri, edits) in edits {
                all.entry(uri).or_default().extend(edits);
            }
            fixed.push(diagnostic.clone());
        }
        if fixed.is_empty() {
            return None;
        }
        Some(CodeAction {
            title: "Fix all that is safe to fix".to_owned(),
            kind: Some(FIX_ALL),
            diagnostics: Some(fixed),
            edit: Some(self.workspace_edit(all)),
            ..CodeAction::default()
        })
    }

    /// A fix's edits by file; `None` where one cannot be said to the editor, as half a fix is none.
    fn edits(&self, project: &Project, fix: &Fix) -> Option<BTreeMap<Url, Vec<TextEdit>>> {
        let mut edits: BTreeMap<Url, Vec<TextEdit>> = BTreeMap::new();
        for edit in &fix.edits {
            let file = project.file(edit.at.file)?;
            let uri = convert::uri(self.documents, &file.path)?;
            edits.entry(uri).or_default().push(convert::edit(file, edit, self.client.unit));
        }
        Some(edits)
    }

    fn workspace_edit(&self, edits: BTreeMap<Url, Vec<TextEdit>>) -> WorkspaceEdit {
        if !self.client.versioned_edits {
            return WorkspaceEdit::new(edits.into_iter().collect::<HashMap<_, _>>());
        }
        let version = |uri: &Url| convert::path(uri).and_then(|path| Some(self.documents.get(&path)?.version));
        let changes = edits.into_iter().map(|(uri, edits)| TextDocumentEdit {
            text_document: OptionalVersionedTextDocumentIdentifier { version: version(&uri), uri },
            edits: edits.into_iter().map(OneOf::Left).collect(),
        });
        WorkspaceEdit { document_changes: Some(DocumentChanges::Edits(changes.collect())), ..WorkspaceEdit::default() }
    }
}

/// True where a request for one kind asks for the other, too: `source` asks for `source.fixAll`.
fn includes(only: &CodeActionKind, kind: &CodeActionKind) -> bool {
    let (only, kind) = (only.as_str(), kind.as_str());
    only.is_empty() || kind.strip_prefix(only).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn same(shown: &Diagnostic, diagnostic: &Diagnostic) -> bool {
    shown.range == diagnostic.range && shown.code == diagnostic.code
}

fn capitalised(title: &str) -> String {
    let mut chars = title.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}
