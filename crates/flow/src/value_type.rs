//! The engine's names of types.

/// `ValueType` of promptflow 1.18: what a flow's inputs and outputs, and a tool's parameters, are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// `string`.
    String,
    /// `int`.
    Int,
    /// `double`.
    Double,
    /// `bool`.
    Bool,
    /// `list`.
    List,
    /// `object`: anything.
    Object,
    /// `image`.
    Image,
    /// `file_path`.
    FilePath,
    /// `secret`.
    Secret,
    /// `prompt_template`.
    PromptTemplate,
    /// `assistant_definition`.
    AssistantDefinition,
}

impl ValueType {
    /// Every type.
    pub const ALL: [Self; 11] = [
        Self::String,
        Self::Int,
        Self::Double,
        Self::Bool,
        Self::List,
        Self::Object,
        Self::Image,
        Self::FilePath,
        Self::Secret,
        Self::PromptTemplate,
        Self::AssistantDefinition,
    ];

    /// The name in a flow; case-sensitive.
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Int => "int",
            Self::Double => "double",
            Self::Bool => "bool",
            Self::List => "list",
            Self::Object => "object",
            Self::Image => "image",
            Self::FilePath => "file_path",
            Self::Secret => "secret",
            Self::PromptTemplate => "prompt_template",
            Self::AssistantDefinition => "assistant_definition",
        }
    }

    /// The type of that name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.name() == name)
    }
}
