//! The assistant definitions that Python nodes name: YAML files with tools of their own.

use std::collections::BTreeSet;

use super::Loader;
use crate::include::{self, Includes};
use crate::model::Flow;
use crate::project::{AssistantFile, Presence, Project};
use crate::python::Accepts;
use crate::reference;
use crate::value_type::ValueType;
use crate::yaml::{self, Node as Yaml};

/// How many definitions are read; a flow with more is checked in part.
const MAX_FILES: usize = 64;

impl Loader<'_> {
    /// Reads each definition, and looks up the files that it names.
    pub(super) fn assistants(&mut self, flow: &Flow, text: &str) {
        let includes = Includes::new(self.project.included.iter());
        let inputs = assistant_inputs(&self.project, flow, text);
        let named: BTreeSet<String> = inputs.into_iter().take(MAX_FILES).map(|(path, _)| path.to_owned()).collect();
        for written in named {
            self.assistant(&includes, written);
        }
    }

    fn assistant(&mut self, includes: &Includes, written: String) {
        let fact = self.fact(includes, &written);
        let path = (fact.presence == Presence::File).then(|| include::lexical(&fact.path));
        self.project.paths.entry(written.clone()).or_insert(fact);
        let Some(path) = path else { return };
        let file = self.project.find(&path).unwrap_or_else(|| self.read(&path, yaml::MAX_BYTES));
        let document = yaml::read(self.project.text(file));
        let tools = document.root.get("tools").and_then(|tools| tools.value.sequence()).unwrap_or(&[]);
        let sources = tools.iter().filter_map(|tool| tool.get("source")?.value.get("path")?.value.text());
        for source in sources.take(MAX_FILES) {
            if !self.project.paths.contains_key(source) {
                let fact = self.fact(includes, source);
                self.project.paths.insert(source.to_owned(), fact);
            }
        }
        self.project.assistants.insert(written, AssistantFile { file, document });
    }
}

/// The paths of assistant definitions that the flow's Python nodes are given, with their values.
pub fn assistant_inputs<'p>(project: &'p Project, flow: &'p Flow, text: &str) -> Vec<(&'p str, &'p Yaml)> {
    let mut found = Vec::new();
    for node in flow.live_nodes() {
        let Some(python) = node.python_source().and_then(|path| project.python.get(&path.value)) else { continue };
        let [tool] = &python.module.tools[..] else { continue };
        let takes = |name: &str| {
            let parameter = tool.parameters.iter().find(|parameter| parameter.name.value == name);
            parameter.is_some_and(|parameter| parameter.accepts == Accepts::Value(ValueType::AssistantDefinition))
        };
        let given = node.inputs.iter().filter(|(name, _)| takes(&name.value)).map(|(_, value)| value);
        let literal = given.filter(|value| reference::parse(value, text).is_none());
        found.extend(literal.filter_map(|value| Some((value.text()?, value))));
    }
    found
}
