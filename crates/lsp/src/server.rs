//! The protocol's methods. Each notification changes the state before anything else.

use std::path::PathBuf;
use std::sync::Arc;

use lsp_types::notification::{DidChangeWatchedFiles, Notification};
use lsp_types::{
    CodeActionKind, CodeActionOptions, CodeActionParams, CodeActionProviderCapability, CodeActionResponse,
    DidChangeTextDocumentParams, DidChangeWatchedFilesParams, DidChangeWatchedFilesRegistrationOptions,
    DidChangeWorkspaceFoldersParams, DidCloseTextDocumentParams, DidOpenTextDocumentParams, DidSaveTextDocumentParams,
    FileChangeType, FileSystemWatcher, GlobPattern, InitializeParams, InitializeResult, InitializedParams, MessageType,
    OneOf, Registration, SaveOptions, ServerCapabilities, ServerInfo, TextDocumentSyncCapability, TextDocumentSyncKind,
    TextDocumentSyncOptions, TextDocumentSyncSaveOptions, WatchKind, WorkspaceFoldersServerCapabilities,
    WorkspaceServerCapabilities,
};
use tokio::task::JoinHandle;
use tower_lsp::jsonrpc::{Error, Result};
use tower_lsp::{Client, LanguageServer};

use crate::actions::{Basis, FIX_ALL};
use crate::convert;
use crate::documents::Document;
use crate::lifecycle::Lifecycle;
use crate::ownership::sight_below;
use crate::publish::{Shared, keep_publishing};

/// What is read of these files, or only whether they are there.
const READ: [&str; 4] =
    ["**/flow.{dag,flex}*.{yaml,yml}", "**/*.txt", "**/flowgate.yaml", "**/*.{jinja2,jinja,j2,md,py,prompty}"];
const NAMED: &str = "**/*.{json,jsonl,csv,tsv}";

/// One editor's server.
pub(crate) struct FlowgateServer {
    client: Client,
    shared: Arc<Shared>,
    lifecycle: Lifecycle,
    publisher: JoinHandle<()>,
}

impl FlowgateServer {
    pub(crate) fn new(client: Client, lifecycle: Lifecycle) -> Self {
        let shared = Shared::new();
        let publisher = tokio::spawn(keep_publishing(shared.clone(), client.clone()));
        Self { client, shared, lifecycle, publisher }
    }

    /// Finds the flows of workspace folders in the background: they may own open files.
    fn explore(&self, roots: Vec<PathBuf>) {
        for root in roots {
            let shared = self.shared.clone();
            tokio::task::spawn_blocking(move || {
                let documents = shared.lock().documents().clone();
                let sightings = sight_below(&documents, &root);
                shared.update(|state| state.found(sightings));
            });
        }
    }

    /// Asks to be told of changes on the disk. Not awaited by a handler: the answer could not come
    /// in while the handlers' slots are taken by those who wait for answers.
    fn watch(&self) {
        let watcher =
            |pattern: &str, kind| FileSystemWatcher { glob_pattern: GlobPattern::String(pattern.to_owned()), kind };
        let mut watchers: Vec<_> = READ.iter().map(|pattern| watcher(pattern, None)).collect();
        watchers.push(watcher(NAMED, Some(WatchKind::Create | WatchKind::Delete)));
        let options = serde_json::to_value(DidChangeWatchedFilesRegistrationOptions { watchers }).ok();
        let registration = Registration {
            id: "flowgate-files".to_owned(),
            method: DidChangeWatchedFiles::METHOD.to_owned(),
            register_options: options,
        };
        let client = self.client.clone();
        tokio::spawn(async move {
            if let Err(error) = client.register_capability(vec![registration]).await {
                client.log_message(MessageType::INFO, format!("the editor does not report changes on the disk ({error}); they are seen when a file is opened or saved")).await;
            }
        });
    }
}

impl Drop for FlowgateServer {
    fn drop(&mut self) {
        self.publisher.abort();
    }
}

#[tower_lsp::async_trait]
impl LanguageServer for FlowgateServer {
    async fn initialize(&self, params: InitializeParams) -> Result<InitializeResult> {
        let client = convert::client(&params.capabilities);
        self.shared.lock().begin(client, convert::roots(&params));
        if let Some(process) = params.process_id {
            self.lifecycle.watch_parent(process);
        }
        let sync = TextDocumentSyncOptions {
            open_close: Some(true),
            change: Some(TextDocumentSyncKind::INCREMENTAL),
            save: Some(TextDocumentSyncSaveOptions::SaveOptions(SaveOptions { include_text: Some(false) })),
            ..TextDocumentSyncOptions::default()
        };
        let actions = CodeActionOptions {
            code_action_kinds: Some(vec![CodeActionKind::QUICKFIX, FIX_ALL]),
            ..CodeActionOptions::default()
        };
        let folders =
            WorkspaceFoldersServerCapabilities { supported: Some(true), change_notifications: Some(OneOf::Left(true)) };
        Ok(InitializeResult {
            capabilities: ServerCapabilities {
                position_encoding: Some(convert::encoding(client.unit)),
                text_document_sync: Some(TextDocumentSyncCapability::Options(sync)),
                code_action_provider: Some(CodeActionProviderCapability::Options(actions)),
                workspace: Some(WorkspaceServerCapabilities {
                    workspace_folders: Some(folders),
                    file_operations: None,
                }),
                ..ServerCapabilities::default()
            },
            server_info: Some(ServerInfo {
                name: "flowgate".to_owned(),
                version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            }),
        })
    }

    async fn initialized(&self, _: InitializedParams) {
        let (watches, roots) = {
            let state = self.shared.lock();
            (state.client.watches, state.roots().to_vec())
        };
        self.explore(roots);
        if watches {
            self.watch();
        }
    }

    async fn shutdown(&self) -> Result<()> {
        Ok(())
    }

    async fn did_open(&self, params: DidOpenTextDocumentParams) {
        let opened = params.text_document;
        let Some(path) = convert::path(&opened.uri) else { return };
        let document =
            Document { uri: opened.uri, version: opened.version, text: opened.text.into(), saved: path.is_file() };
        self.shared.update(|state| state.open(path, document));
    }

    async fn did_change(&self, params: DidChangeTextDocumentParams) {
        let Some(path) = convert::path(&params.text_document.uri) else { return };
        let changes = convert::changes(params.content_changes);
        self.shared.update(|state| state.change(&path, params.text_document.version, changes));
    }

    async fn did_save(&self, params: DidSaveTextDocumentParams) {
        let Some(path) = convert::path(&params.text_document.uri) else { return };
        self.shared.update(|state| state.save(&path));
    }

    async fn did_close(&self, params: DidCloseTextDocumentParams) {
        let Some(path) = convert::path(&params.text_document.uri) else { return };
        self.shared.update(|state| state.close(&path));
    }

    async fn did_change_watched_files(&self, params: DidChangeWatchedFilesParams) {
        let changes: Vec<_> = params
            .changes
            .iter()
            .filter_map(|event| Some((convert::path(&event.uri)?, event.typ != FileChangeType::DELETED)))
            .collect();
        self.shared.update(|state| {
            for (path, exists) in &changes {
                state.disk_changed(path, *exists);
            }
        });
    }

    async fn did_change_workspace_folders(&self, params: DidChangeWorkspaceFoldersParams) {
        let paths = |folders: &[lsp_types::WorkspaceFolder]| {
            folders.iter().filter_map(|folder| convert::path(&folder.uri)).collect::<Vec<_>>()
        };
        let (added, removed) = (paths(&params.event.added), paths(&params.event.removed));
        self.shared.update(|state| state.change_roots(&added, &removed));
        self.explore(added);
    }

    async fn code_action(&self, params: CodeActionParams) -> Result<Option<CodeActionResponse>> {
        let Some(path) = convert::path(&params.text_document.uri) else { return Ok(None) };
        let mut settled = self.shared.settled();
        let mut asked_for = None;
        loop {
            {
                let state = self.shared.lock();
                let Some(document) = state.documents().get(&path) else { return Ok(None) };
                // The range is one of the text that the editor had when it asked.
                if *asked_for.get_or_insert(document.version) != document.version {
                    return Err(Error::content_modified());
                }
                if let Some(analyses) = state.analyses_of(&path) {
                    let basis = Basis { analyses: &analyses, documents: state.documents(), client: state.client };
                    return Ok(Some(basis.actions(&path, params.range, &params.context)));
                }
            }
            if settled.changed().await.is_err() {
                return Ok(None);
            }
        }
    }
}
