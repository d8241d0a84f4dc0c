//! What a name in a module stands for.

use std::collections::HashMap;

use ruff_python_ast::{Expr, StmtClassDef, StmtImport, StmtImportFrom};

/// Where a name comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin<'a> {
    /// From outside: the first part of the module's name (`""` for a relative import), and the
    /// name there (`""` for the module itself).
    Import {
        /// The first part of the module's name.
        root: &'a str,
        /// The name.
        name: &'a str,
    },
    /// A class of this file.
    Class(ClassKind),
    /// Anything else that this file defines.
    Local,
    /// Nothing that this file shows: a builtin, or what a star import brought.
    Unbound(&'a str),
    /// An expression.
    Unknown,
}

/// What the engine makes of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClassKind {
    /// Derived from `ToolProvider` and nothing else: its methods may be tools.
    Provider,
    /// Derived from `Enum`.
    Enum,
    /// Derived from `CustomStrongTypeConnection`.
    StrongConnection,
    /// Derived from nothing that matters.
    Plain,
    /// Derived from something that this file does not show.
    Other,
}

/// The names of a module.
#[derive(Debug, Default)]
pub(super) struct Bindings<'a> {
    names: HashMap<&'a str, Origin<'a>>,
    /// `from promptflow import *`.
    pub(super) promptflow_star: bool,
    /// `from __future__ import annotations`.
    pub(super) future_annotations: bool,
}

impl<'a> Bindings<'a> {
    /// Binds the names of `import a.b`, `import a.b as c`.
    pub(super) fn import(&mut self, import: &'a StmtImport) {
        for alias in &import.names {
            let root = root(alias.name.as_str());
            let bound = alias.asname.as_ref().map_or(root, |name| name.as_str());
            self.names.insert(bound, Origin::Import { root, name: "" });
        }
    }

    /// Binds the names of `from a.b import c`.
    pub(super) fn import_from(&mut self, import: &'a StmtImportFrom) {
        let module = import.module.as_ref().map_or("", |module| module.as_str());
        let root = if import.level == 0 { root(module) } else { "" };
        for alias in &import.names {
            let name = alias.name.as_str();
            match (root, name) {
                ("__future__", "annotations") => self.future_annotations = true,
                ("promptflow", "*") => self.promptflow_star = true,
                _ => {}
            }
            self.names.insert(alias.asname.as_ref().map_or(name, |name| name.as_str()), Origin::Import { root, name });
        }
    }

    /// Binds a class.
    pub(super) fn class(&mut self, class: &'a StmtClassDef) {
        let kind = self.class_kind(class);
        self.names.insert(class.name.as_str(), Origin::Class(kind));
    }

    /// Binds any other name.
    pub(super) fn local(&mut self, name: &'a str) {
        self.names.insert(name, Origin::Local);
    }

    fn class_kind(&self, class: &'a StmtClassDef) -> ClassKind {
        let mut kind = ClassKind::Plain;
        let Some(arguments) = &class.arguments else { return kind };
        for base in &arguments.args {
            kind = match (self.origin(base), kind) {
                (Origin::Import { root: "enum", .. } | Origin::Class(ClassKind::Enum), _) => return ClassKind::Enum,
                (Origin::Import { root: "promptflow", name: "CustomStrongTypeConnection" }, _)
                | (Origin::Class(ClassKind::StrongConnection), _) => return ClassKind::StrongConnection,
                (Origin::Import { root: "promptflow", name: "ToolProvider" }, ClassKind::Plain) => ClassKind::Provider,
                (Origin::Unbound(_) | Origin::Class(ClassKind::Plain), kind) => kind,
                (Origin::Import { root: "abc" | "typing" | "dataclasses", .. }, kind) => kind,
                _ => ClassKind::Other,
            };
        }
        kind
    }

    /// What a name stands for.
    pub(super) fn get(&self, name: &str) -> Option<Origin<'a>> {
        self.names.get(name).copied()
    }

    /// What `name` or `module.name` stands for.
    pub(super) fn origin(&self, expr: &'a Expr) -> Origin<'a> {
        // Inside out: `a.b.c` is an attribute of an attribute of a name.
        let (mut base, mut last) = (expr, None);
        while let Expr::Attribute(attribute) = base {
            last = last.or(Some(attribute.attr.as_str()));
            base = &attribute.value;
        }
        let Expr::Name(name) = base else { return Origin::Unknown };
        let origin = self.get(name.id.as_str());
        match (origin, last) {
            (Some(Origin::Import { root, .. }), Some(name)) => Origin::Import { root, name },
            (None, None) => Origin::Unbound(name.id.as_str()),
            (Some(origin), None) => origin,
            (_, Some(_)) => Origin::Unknown,
        }
    }
}

fn root(module: &str) -> &str {
    module.split('.').next().unwrap_or(module)
}
