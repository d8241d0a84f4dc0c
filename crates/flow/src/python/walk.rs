//! The statements that run when a module is loaded.
//!
//! Bodies of functions are not looked into: what they do happens later, if at all.

use std::collections::HashMap;

use ruff_python_ast::{
    Decorator, Expr, Parameters, Stmt, StmtClassDef, StmtFunctionDef, StmtIf, StmtImport, StmtImportFrom, StmtTry,
};
use ruff_text_size::Ranged;

use super::bindings::{Bindings, ClassKind, Origin};
use super::{Definition, DefinitionKind, Import, Module, Parameter, Tool, annotation, span};
use crate::span::Spanned;

/// Under what circumstances a statement runs.
#[derive(Clone, Copy)]
struct Circumstances {
    /// It may not run.
    conditional: bool,
    /// Where it fails, something else is done.
    guarded: bool,
}

/// Reads the statements of a module.
pub(super) fn walk(body: &[Stmt]) -> Module {
    let mut walk = Walk { module: Module::default(), bindings: Bindings::default(), defined: Vec::new() };
    walk.statements(body, Circumstances { conditional: false, guarded: false });
    walk.tools();
    walk.module
}

/// A function or a class, kept until every name of the module is known.
enum Defined<'a> {
    Function(&'a StmtFunctionDef, Circumstances),
    Class(&'a StmtClassDef, Circumstances),
}

struct Walk<'a> {
    module: Module,
    bindings: Bindings<'a>,
    defined: Vec<Defined<'a>>,
}

/// Whether a decorator makes a function a tool.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MakesTool {
    Yes,
    /// It is called `tool`, or comes from a file that is not read.
    Perhaps,
    /// It keeps what it decorates: `trace`.
    No,
    /// It does something else, which is known.
    Other,
    /// It may do anything.
    Unknown,
}

impl<'a> Walk<'a> {
    fn statements(&mut self, body: &'a [Stmt], at: Circumstances) {
        let conditional = Circumstances { conditional: true, guarded: true };
        for statement in body {
            match statement {
                Stmt::FunctionDef(function) => {
                    self.define(function.name.as_str(), function.name.range(), DefinitionKind::Function, at);
                    self.bindings.local(function.name.as_str());
                    self.defined.push(Defined::Function(function, at));
                }
                Stmt::ClassDef(class) => {
                    self.define(class.name.as_str(), class.name.range(), DefinitionKind::Class, at);
                    self.bindings.class(class);
                    self.defined.push(Defined::Class(class, at));
                }
                Stmt::Import(import) => self.import(import, at),
                Stmt::ImportFrom(import) => self.import_from(import, at),
                Stmt::Assign(assign) => assign.targets.iter().for_each(|target| self.target(target, at)),
                Stmt::AnnAssign(assign) if assign.value.is_some() => self.target(&assign.target, at),
                Stmt::TypeAlias(alias) => self.target(&alias.name, at),
                // Whether the name is gone for good is not followed.
                Stmt::Delete(delete) => delete.targets.iter().for_each(|target| self.target(target, conditional)),
                Stmt::If(branch) => self.branch(branch, at),
                Stmt::Try(attempt) => self.attempt(attempt, at),
                Stmt::With(with) => {
                    with.items.iter().filter_map(|item| item.optional_vars.as_deref()).for_each(|v| self.target(v, at));
                    self.statements(&with.body, Circumstances { guarded: true, ..at });
                }
                Stmt::For(repeat) => {
                    self.target(&repeat.target, conditional);
                    self.statements(&repeat.body, conditional);
                    self.statements(&repeat.orelse, conditional);
                }
                Stmt::While(repeat) => {
                    self.statements(&repeat.body, conditional);
                    self.statements(&repeat.orelse, conditional);
                }
                Stmt::Match(choice) => choice.cases.iter().for_each(|case| self.statements(&case.body, conditional)),
                _ => {}
            }
        }
    }

    fn branch(&mut self, branch: &'a StmtIf, at: Circumstances) {
        let conditional = Circumstances { conditional: true, guarded: true };
        match static_test(&branch.test) {
            Some(StaticTest::Main) => {}
            Some(StaticTest::TypeChecking) => self.bind_only(&branch.body),
            None => self.statements(&branch.body, conditional),
        }
        for clause in &branch.elif_else_clauses {
            let certain =
                clause.test.is_none() && branch.elif_else_clauses.len() == 1 && static_test(&branch.test).is_some();
            self.statements(&clause.body, if certain { at } else { conditional });
        }
    }

    /// Imports for type checkers: they name types and load nothing.
    fn bind_only(&mut self, body: &'a [Stmt]) {
        for statement in body {
            match statement {
                Stmt::Import(import) => self.bindings.import(import),
                Stmt::ImportFrom(import) => self.bindings.import_from(import),
                _ => {}
            }
        }
    }

    fn attempt(&mut self, attempt: &'a StmtTry, at: Circumstances) {
        let body = Circumstances { guarded: at.guarded || !attempt.handlers.is_empty(), ..at };
        self.statements(&attempt.body, body);
        self.statements(&attempt.orelse, body);
        for handler in &attempt.handlers {
            if let Some(handler) = handler.as_except_handler() {
                self.statements(&handler.body, Circumstances { conditional: true, guarded: true });
            }
        }
        self.statements(&attempt.finalbody, at);
    }

    fn import(&mut self, import: &'a StmtImport, at: Circumstances) {
        self.bindings.import(import);
        for alias in &import.names {
            let bound = alias.asname.as_ref().unwrap_or(&alias.name);
            let name = bound.as_str().split('.').next().unwrap_or("");
            self.define(name, bound.range(), DefinitionKind::Import, at);
            let module = Spanned::new(alias.name.to_string(), span(alias.name.range()));
            self.module.imports.push(Import { module, level: 0, names: Vec::new(), required: !at.guarded });
        }
    }

    fn import_from(&mut self, import: &'a StmtImportFrom, at: Circumstances) {
        self.bindings.import_from(import);
        let mut names = Vec::with_capacity(import.names.len());
        for alias in &import.names {
            let name = alias.name.as_str();
            names.push(Spanned::new(name.to_owned(), span(alias.name.range())));
            if name == "*" {
                self.module.dynamic = true;
                continue;
            }
            let bound = alias.asname.as_ref().unwrap_or(&alias.name);
            self.define(bound.as_str(), bound.range(), DefinitionKind::Import, at);
        }
        let module = match &import.module {
            Some(module) => Spanned::new(module.to_string(), span(module.range())),
            None => Spanned::new(String::new(), span(import.range())),
        };
        self.module.imports.push(Import { module, level: import.level, names, required: !at.guarded });
    }

    fn target(&mut self, target: &'a Expr, at: Circumstances) {
        match target {
            Expr::Name(name) => {
                self.define(name.id.as_str(), name.range(), DefinitionKind::Variable, at);
                self.bindings.local(name.id.as_str());
            }
            Expr::Tuple(tuple) => tuple.elts.iter().for_each(|target| self.target(target, at)),
            Expr::List(list) => list.elts.iter().for_each(|target| self.target(target, at)),
            Expr::Starred(starred) => self.target(&starred.value, at),
            _ => {}
        }
    }

    fn define(&mut self, name: &str, range: ruff_text_size::TextRange, kind: DefinitionKind, at: Circumstances) {
        let name = Spanned::new(name.to_owned(), span(range));
        self.module.definitions.push(Definition { name, kind, conditional: at.conditional });
    }

    fn tools(&mut self) {
        for defined in std::mem::take(&mut self.defined) {
            match defined {
                Defined::Function(function, at) => {
                    if let Some(tool) = self.tool(function, at, None) {
                        self.module.tools.push(tool);
                    }
                }
                Defined::Class(class, at) => self.class(class, at),
            }
        }
        self.drop_redefined();
    }

    /// Of several definitions of one name the module keeps the last.
    fn drop_redefined(&mut self) {
        let definitions = &self.module.definitions;
        let last: HashMap<&str, &Definition> = definitions.iter().map(|d| (d.name.value.as_str(), d)).collect();
        self.module.tools.retain_mut(|tool| {
            let name = tool.class.as_ref().unwrap_or(&tool.name);
            let redefined = last.get(name.value.as_str()).filter(|last| last.name.span != name.span);
            tool.certain &= redefined.is_none();
            redefined.is_none_or(|last| last.conditional)
        });
    }

    /// A function of the module or, with its class, a method.
    fn tool(
        &mut self,
        function: &'a StmtFunctionDef,
        at: Circumstances,
        class: Option<&'a StmtClassDef>,
    ) -> Option<Tool> {
        let makes: Vec<MakesTool> = function.decorator_list.iter().map(|d| self.makes_tool(d)).collect();
        if !makes.iter().any(|makes| matches!(makes, MakesTool::Yes | MakesTool::Perhaps)) {
            self.module.hidden_tools |= makes.contains(&MakesTool::Unknown);
            return None;
        }
        let alone = makes.iter().all(|makes| matches!(makes, MakesTool::Yes | MakesTool::No));
        let skip = usize::from(class.is_some());
        let parameters = &function.parameters;
        Some(Tool {
            name: Spanned::new(function.name.to_string(), span(function.name.range())),
            class: class.map(|class| Spanned::new(class.name.to_string(), span(class.name.range()))),
            init: Vec::new(),
            parameters: self.parameters(parameters, skip),
            has_kwargs: parameters.kwarg.is_some(),
            known_signature: alone,
            certain: alone && !at.conditional,
        })
    }

    fn class(&mut self, class: &'a StmtClassDef, at: Circumstances) {
        let kind = match self.bindings.get(class.name.as_str()) {
            Some(Origin::Class(kind)) => kind,
            _ => ClassKind::Other,
        };
        if !matches!(kind, ClassKind::Provider | ClassKind::Other) {
            return;
        }
        // What it inherits may hold tools.
        self.module.hidden_tools |= kind == ClassKind::Other;
        let functions = || class.body.iter().filter_map(Stmt::as_function_def_stmt);
        let init = functions().rfind(|function| function.name.as_str() == "__init__");
        let sure = kind == ClassKind::Provider && class.decorator_list.is_empty();
        for function in functions() {
            let Some(mut tool) = self.tool(function, at, Some(class)) else { continue };
            tool.certain &= sure;
            tool.known_signature &= sure;
            if let Some(init) = init {
                let plain = init.decorator_list.is_empty()
                    && init.parameters.vararg.is_none()
                    && init.parameters.kwarg.is_none();
                tool.known_signature &= plain;
                tool.init = self.parameters(&init.parameters, 1);
            }
            self.module.tools.push(tool);
        }
    }

    fn parameters(&self, parameters: &'a Parameters, skip: usize) -> Vec<Parameter> {
        let all = parameters.iter_non_variadic_params().skip(skip);
        all.map(|parameter| {
            let kind = parameter.default().map(annotation::literal);
            let (accepts, hidden_connection) = match parameter.parameter.annotation() {
                Some(annotation) => annotation::annotated(annotation, &self.bindings),
                None => (annotation::inferred(kind), None),
            };
            let default = parameter.default().zip(kind);
            Parameter {
                name: Spanned::new(parameter.name().to_string(), span(parameter.name().range())),
                accepts,
                default: default.map(|(at, kind)| super::Default { span: span(at.range()), kind }),
                hidden_connection,
                span: span(parameter.range()),
            }
        })
        .collect()
    }

    fn makes_tool(&self, decorator: &'a Decorator) -> MakesTool {
        let expr = match &decorator.expression {
            Expr::Call(call) => &*call.func,
            expr => expr,
        };
        match self.bindings.origin(expr) {
            Origin::Import { root: "promptflow", name: "tool" } => MakesTool::Yes,
            Origin::Unbound("tool") if self.bindings.promptflow_star => MakesTool::Yes,
            Origin::Import { root: "promptflow", name: "trace" } => MakesTool::No,
            Origin::Unbound("staticmethod" | "classmethod" | "property") => MakesTool::Other,
            Origin::Import { name: "tool", .. } => MakesTool::Perhaps,
            Origin::Import {
                root: "functools" | "dataclasses" | "contextlib" | "abc" | "typing" | "atexit", ..
            } => MakesTool::Other,
            Origin::Unbound("tool") => MakesTool::Perhaps,
            _ => MakesTool::Unknown,
        }
    }
}

fn last_name(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Name(name) => Some(name.id.as_str()),
        Expr::Attribute(attribute) => Some(attribute.attr.as_str()),
        _ => None,
    }
}

enum StaticTest {
    /// `__name__ == "__main__"`: the engine loads the file under another name.
    Main,
    /// `TYPE_CHECKING`: never at run time.
    TypeChecking,
}

fn static_test(test: &Expr) -> Option<StaticTest> {
    match test {
        Expr::Compare(compare) => {
            let left = compare.left.as_name_expr()?;
            (left.id.as_str() == "__name__").then_some(StaticTest::Main)
        }
        _ => (last_name(test)? == "TYPE_CHECKING").then_some(StaticTest::TypeChecking),
    }
}
