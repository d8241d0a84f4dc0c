//! What a rule declares. Documentation pages, `flowgate rule`, hover text and schemas are derived
//! from these declarations.

use crate::context::Context;
use crate::finding::{Finding, Level};
use flowgate_flow::config::{CheckConfig, RuleLevel};

/// One rule.
pub struct Rule {
    /// Its name: kebab case, reads as the thing that is found, and is its file's name.
    pub name: &'static str,
    /// Which part of the documentation it belongs to.
    pub group: Group,
    /// The level of its findings unless one says otherwise.
    pub level: Level,
    /// What it finds, in one sentence.
    pub summary: &'static str,
    /// Where it stands for several faults: their names, in kebab case, as one would search for them.
    /// They are no rules: levels and comments name the rule.
    pub cases: &'static [&'static str],
    /// Why that is bad, with what the engine or the hosted product does about it.
    pub why: &'static str,
    /// Files that raise this rule and no other, in the notation of fixtures: each file starts
    /// with a line `#- NAME`.
    pub bad: &'static str,
    /// The same files, mended; they raise nothing.
    pub good: &'static str,
    /// What its fix does and when there is one; `None` where there is none.
    pub fix: Option<&'static str>,
    /// Looks for it.
    pub check: fn(&Context<'_>) -> Vec<Finding>,
}

impl Rule {
    /// True for a rule that looks only where a configuration or a selection turns it on, and of which a report keeps
    /// the first finding.
    pub fn is_notice(&self) -> bool {
        self.group == Group::Notices
    }

    /// Whether a configuration has it look.
    pub(crate) fn is_on(&self, config: &CheckConfig) -> bool {
        config.rules.get(self.name).map_or(!self.is_notice(), |level| *level != RuleLevel::Off)
    }
}

/// The parts of the rule documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Files and their syntax.
    Files,
    /// `environment` and requirements.
    Environment,
    /// Inputs, outputs and nodes.
    Flow,
    /// References and the graph.
    Graph,
    /// Prompt templates, LLM nodes and package tools.
    Prompts,
    /// Run specifications, connections and prompty files.
    Siblings,
    /// What is no fault of the files: off until it is asked for, and said once.
    Notices,
}

impl Group {
    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Files => "Files",
            Self::Environment => "Environment",
            Self::Flow => "Inputs, outputs and nodes",
            Self::Graph => "References and the graph",
            Self::Prompts => "Prompts, LLM nodes and package tools",
            Self::Siblings => "Runs, connections and prompty files",
            Self::Notices => "Notices, off until they are turned on",
        }
    }
}
