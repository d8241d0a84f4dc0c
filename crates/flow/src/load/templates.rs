//! The prompt templates of a flow.

use std::path::PathBuf;

use super::Loader;
use crate::model::{Flow, Node};
use crate::project::{FileId, Presence, TemplateFile};
use crate::template;

/// How many templates of one flow are read.
const MAX_TEMPLATES: usize = 500;

impl Loader<'_> {
    /// Reads the template of every node that may run; the paths must have been looked for.
    pub(super) fn templates(&mut self, flow: &Flow) {
        let named: Vec<&str> = flow.live_nodes().filter(|node| is_prompt(node)).filter_map(path).collect();
        for written in named {
            if self.project.templates.len() >= MAX_TEMPLATES {
                return;
            }
            let fact = self.project.paths.get(written).filter(|fact| fact.presence == Presence::File);
            let Some(at) = fact.map(|fact| fact.path.clone()) else { continue };
            if !self.project.templates.contains_key(written) {
                let read = self.template(at);
                self.project.templates.insert(written.to_owned(), read);
            }
        }
    }

    fn template(&mut self, at: PathBuf) -> TemplateFile {
        // Two paths may lead to one file.
        let same = |file: &FileId| self.project.templates.values().find(|known| known.file == *file).cloned();
        if let Some(known) = self.project.find(&at).as_ref().and_then(same) {
            return known;
        }
        let file = self.read(&at, template::MAX_BYTES);
        TemplateFile { file, template: template::read(self.project.text(file)).into() }
    }
}

fn is_prompt(node: &Node) -> bool {
    node.r#type.as_ref().is_some_and(|r#type| matches!(r#type.value.as_str(), "llm" | "prompt" | "custom_llm"))
}

fn path(node: &Node) -> Option<&str> {
    node.source.as_ref()?.path.as_ref().map(|path| path.value.as_str())
}
