//! What the engine takes a parameter for, from its annotation or, where it has none, its default.

use ruff_python_ast::{Expr, Operator, UnaryOp};

use super::bindings::{Bindings, ClassKind, Origin};
use super::{Accepts, Hidden, Literal};
use crate::value_type::ValueType;

/// The connection classes that promptflow 1.18 registers.
const CONNECTIONS: [&str; 10] = [
    "AzureAIServicesConnection",
    "AzureContentSafetyConnection",
    "AzureOpenAIConnection",
    "BingConnection",
    "CognitiveSearchConnection",
    "CustomConnection",
    "FormRecognizerConnection",
    "OpenAIConnection",
    "SerpConnection",
    "ServerlessConnection",
];

/// What an annotation says, and the connection in it that the engine does not see.
pub(super) fn annotated(annotation: &Expr, bindings: &Bindings<'_>) -> (Accepts, Option<(String, Hidden)>) {
    let object = Accepts::Value(ValueType::Object);
    let accepts = accepts(annotation, bindings);
    if bindings.future_annotations {
        let hidden = match accepts {
            Accepts::Connections(classes) => classes.into_iter().next().map(|class| (class, Hidden::FutureAnnotations)),
            _ => None,
        };
        return (object, hidden);
    }
    match annotation {
        Expr::StringLiteral(text) => {
            let name = text.value.to_str().trim();
            let hidden = CONNECTIONS.contains(&name).then(|| (name.to_owned(), Hidden::Quotes));
            (object, hidden)
        }
        Expr::BinOp(union) if union.op == Operator::BitOr => {
            let side = match (&*union.left, &*union.right) {
                (side, Expr::NoneLiteral(_)) | (Expr::NoneLiteral(_), side) => side,
                _ => return (object, None),
            };
            match self::accepts(side, bindings) {
                Accepts::Connections(classes) => (object, classes.into_iter().next().map(|class| (class, Hidden::Bar))),
                _ => (object, None),
            }
        }
        _ => (accepts, None),
    }
}

fn accepts(annotation: &Expr, bindings: &Bindings<'_>) -> Accepts {
    let value = Accepts::Value;
    match annotation {
        Expr::Name(_) | Expr::Attribute(_) => match bindings.origin(annotation) {
            Origin::Unbound(name) => builtin(name),
            Origin::Class(ClassKind::Enum) => value(ValueType::String),
            Origin::Class(ClassKind::StrongConnection) => Accepts::Connections(vec!["CustomConnection".to_owned()]),
            Origin::Import { root: "promptflow", name } => of_promptflow(name),
            Origin::Import { root: "typing", .. } => value(ValueType::Object),
            _ => Accepts::Unknown,
        },
        Expr::Subscript(subscript) => match bindings.origin(&subscript.value) {
            Origin::Import { root: "typing" | "typing_extensions", name: "Optional" } => {
                accepts(&subscript.slice, bindings)
            }
            Origin::Import { root: "typing" | "typing_extensions", name: "Union" } => match &*subscript.slice {
                Expr::Tuple(members) => union(&members.elts, bindings),
                one => accepts(one, bindings),
            },
            Origin::Import { root: "typing", .. } | Origin::Unbound("list" | "dict" | "tuple" | "set" | "type") => {
                value(ValueType::Object)
            }
            _ => Accepts::Unknown,
        },
        Expr::NoneLiteral(_) => value(ValueType::Object),
        _ => Accepts::Unknown,
    }
}

/// A union is a list of connections, or anything at all.
fn union(members: &[Expr], bindings: &Bindings<'_>) -> Accepts {
    let mut members = members.iter().filter(|member| !member.is_none_literal_expr()).peekable();
    let Some(first) = members.next() else { return Accepts::Value(ValueType::Object) };
    if members.peek().is_none() {
        return accepts(first, bindings);
    }
    let mut classes: Vec<String> = Vec::new();
    let mut other = None;
    for member in std::iter::once(first).chain(members) {
        match accepts(member, bindings) {
            Accepts::Connections(more) => classes.extend(more),
            Accepts::Unknown => return Accepts::Unknown,
            Accepts::Value(_) => other = Some(ValueType::Object),
        }
    }
    match other {
        Some(other) => Accepts::Value(other),
        None => {
            classes.sort();
            classes.dedup();
            Accepts::Connections(classes)
        }
    }
}

fn builtin(name: &str) -> Accepts {
    Accepts::Value(match name {
        "int" => ValueType::Int,
        "float" => ValueType::Double,
        "bool" => ValueType::Bool,
        "str" => ValueType::String,
        "list" => ValueType::List,
        "dict" | "tuple" | "set" | "bytes" | "object" => ValueType::Object,
        _ => return Accepts::Unknown,
    })
}

fn of_promptflow(name: &str) -> Accepts {
    Accepts::Value(match name {
        "Secret" => ValueType::Secret,
        "PromptTemplate" => ValueType::PromptTemplate,
        "FilePath" => ValueType::FilePath,
        "Image" => ValueType::Image,
        "AssistantDefinition" => ValueType::AssistantDefinition,
        "CustomStrongTypeConnection" => return Accepts::Connections(vec!["CustomConnection".to_owned()]),
        name if CONNECTIONS.contains(&name) => return Accepts::Connections(vec![name.to_owned()]),
        _ => return Accepts::Unknown,
    })
}

/// The kind of a default.
pub(super) fn literal(default: &Expr) -> Literal {
    match default {
        Expr::NoneLiteral(_) => Literal::None,
        Expr::BooleanLiteral(_) => Literal::Bool,
        Expr::NumberLiteral(number) => match number.value {
            ruff_python_ast::Number::Int(_) => Literal::Int,
            ruff_python_ast::Number::Float(_) => Literal::Float,
            ruff_python_ast::Number::Complex { .. } => Literal::Object,
        },
        Expr::UnaryOp(unary) if matches!(unary.op, UnaryOp::USub | UnaryOp::UAdd) => match &*unary.operand {
            operand @ Expr::NumberLiteral(_) => literal(operand),
            _ => Literal::Other,
        },
        Expr::StringLiteral(_) | Expr::FString(_) => Literal::Str,
        Expr::List(_) => Literal::List,
        Expr::Dict(_) | Expr::Set(_) | Expr::Tuple(_) | Expr::BytesLiteral(_) => Literal::Object,
        _ => Literal::Other,
    }
}

/// What a parameter without an annotation is taken for.
pub(super) fn inferred(default: Option<Literal>) -> Accepts {
    Accepts::Value(match default {
        Some(Literal::Int) => ValueType::Int,
        Some(Literal::Float) => ValueType::Double,
        Some(Literal::Bool) => ValueType::Bool,
        Some(Literal::Str) => ValueType::String,
        Some(Literal::List) => ValueType::List,
        None | Some(Literal::None | Literal::Object) => ValueType::Object,
        Some(Literal::Other) => return Accepts::Unknown,
    })
}
