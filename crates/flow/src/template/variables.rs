//! Which names a template takes from outside, as Jinja2's compiler resolves them.
//!
//! A scope is analysed whole before the scopes inside it: what it sets anywhere is visible in them.
//! `if` has no scope: what only a branch sets is looked for outside where the branch is not taken.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use minijinja::machinery::ast::{self, CallArg, Expr, Stmt};

use super::names::GLOBALS;
use super::{Lookup, LookupKind, MAX_USES, Variable};
use crate::span::{Span, Spanned};

/// What was found.
#[derive(Default)]
pub(super) struct Found {
    pub(super) variables: Vec<Variable>,
    pub(super) lookups: Vec<Lookup>,
}

/// Finds the names, filters and tests of a template.
pub(super) fn find(statements: &[Stmt<'_>]) -> Found {
    let mut finder =
        Finder { scopes: vec![Scope::default()], variables: HashMap::new(), lookups: Vec::new(), stored: Vec::new() };
    finder.declare(0, "self");
    finder.frame(0, statements, At::default());
    let mut variables: Vec<Variable> = finder.variables.into_values().collect();
    for variable in &mut variables {
        variable.uses.sort();
        variable.uses.dedup();
        variable.uses.truncate(MAX_USES);
    }
    variables.sort_by_key(Variable::span);
    Found { variables, lookups: finder.lookups }
}

#[derive(Default)]
struct Scope<'a> {
    /// True for a name that is looked for outside, false for one that is set here.
    names: HashMap<&'a str, bool>,
    parent: Option<usize>,
    /// True for `{% block %}`, from which the names around it are seen only when it runs.
    block: bool,
}

/// Under what an expression stands.
#[derive(Debug, Clone, Copy, Default)]
struct At {
    /// A condition: it may not be evaluated.
    conditional: bool,
    /// Something that takes an undefined value as it is.
    guarded: bool,
}

/// A scope that is entered after the one around it.
struct Inner<'s, 'a> {
    scope: usize,
    at: At,
    /// What is evaluated in it first.
    expressions: Vec<&'s Expr<'a>>,
    body: &'s [Stmt<'a>],
}

struct Finder<'a> {
    scopes: Vec<Scope<'a>>,
    variables: HashMap<&'a str, Variable>,
    lookups: Vec<Lookup>,
    /// What the branches that are being read have set so far.
    stored: Vec<(usize, &'a str, Span)>,
}

impl<'a> Finder<'a> {
    fn frame<'s>(&mut self, scope: usize, statements: &'s [Stmt<'a>], at: At) {
        let mut inner = Vec::new();
        self.statements(scope, statements, at, &mut inner);
        for Inner { scope, at, expressions, body } in inner {
            for expression in expressions {
                self.expression(scope, expression, at);
            }
            self.frame(scope, body, at);
        }
    }

    fn enter(&mut self, parent: usize, block: bool) -> usize {
        self.scopes.push(Scope { names: HashMap::new(), parent: Some(parent), block });
        self.scopes.len() - 1
    }

    fn statements<'s>(&mut self, scope: usize, all: &'s [Stmt<'a>], at: At, inner: &mut Vec<Inner<'s, 'a>>) {
        for statement in all {
            self.statement(scope, statement, at, inner);
        }
    }

    fn statement<'s>(&mut self, scope: usize, statement: &'s Stmt<'a>, at: At, inner: &mut Vec<Inner<'s, 'a>>) {
        let later = |scope, expressions, body: &'s Vec<Stmt<'a>>| Inner { scope, at, expressions, body };
        match statement {
            Stmt::Template(s) => self.statements(scope, &s.children, at, inner),
            Stmt::EmitRaw(_) => {}
            Stmt::EmitExpr(s) => self.expression(scope, &s.expr, at),
            Stmt::ForLoop(s) => {
                self.expression(scope, &s.iter, at);
                // `loop` is not there yet when items are left out.
                if let Some(test) = &s.filter_expr {
                    let filter = self.enter(scope, false);
                    self.store(filter, &s.target, at);
                    inner.push(Inner { scope: filter, at, expressions: vec![test], body: &[] });
                }
                let body = self.enter(scope, false);
                self.store(body, &s.target, at);
                self.declare(body, "loop");
                inner.push(later(body, Vec::new(), &s.body));
                inner.push(later(self.enter(scope, false), Vec::new(), &s.else_body));
            }
            Stmt::IfCond(s) => {
                self.expression(scope, &s.expr, At { guarded: true, ..at });
                let under = At { conditional: true, ..at };
                let mut stored = self.branch(scope, &s.true_body, under, inner);
                stored.extend(self.branch(scope, &s.false_body, under, inner));
                for (_, name, span) in stored {
                    if self.resolve(scope, name).is_none_or(|(outside, _)| outside) {
                        let variable = self.outside(scope, name, span);
                        variable.assigned = true;
                    }
                }
            }
            Stmt::WithBlock(s) => {
                let body = self.enter(scope, false);
                for (target, value) in &s.assignments {
                    self.expression(scope, value, at);
                    self.store(body, target, at);
                }
                inner.push(later(body, Vec::new(), &s.body));
            }
            Stmt::Set(s) => {
                self.expression(scope, &s.expr, at);
                self.store(scope, &s.target, at);
            }
            Stmt::SetBlock(s) => {
                self.store(scope, &s.target, at);
                inner.push(later(self.enter(scope, false), s.filter.iter().collect(), &s.body));
            }
            Stmt::AutoEscape(s) => {
                let body = self.enter(scope, false);
                inner.push(later(body, vec![&s.enabled], &s.body));
            }
            Stmt::FilterBlock(s) => {
                self.expression(scope, &s.filter, at);
                inner.push(later(self.enter(scope, false), Vec::new(), &s.body));
            }
            Stmt::Block(s) => {
                let body = self.enter(scope, true);
                self.declare(body, "self");
                self.declare(body, "super");
                inner.push(later(body, Vec::new(), &s.body));
            }
            Stmt::Import(s) => {
                self.look_up("import", super::span(s.span()), LookupKind::Template, at);
                self.expression(scope, &s.expr, at);
                self.store(scope, &s.name, at);
            }
            Stmt::FromImport(s) => {
                self.look_up("from", super::span(s.span()), LookupKind::Template, at);
                self.expression(scope, &s.expr, at);
                for (name, alias) in &s.names {
                    self.store(scope, alias.as_ref().unwrap_or(name), at);
                }
            }
            Stmt::Extends(s) => {
                self.look_up("extends", super::span(s.span()), LookupKind::Template, at);
                self.expression(scope, &s.name, at);
            }
            Stmt::Include(s) => {
                self.look_up("include", super::span(s.span()), LookupKind::Template, at);
                self.expression(scope, &s.name, at);
            }
            Stmt::Macro(s) => {
                self.set(scope, s.name, super::span(s.span()));
                inner.push(self.function(scope, s, at));
            }
            Stmt::CallBlock(s) => {
                self.call(scope, &s.call, at);
                inner.push(self.function(scope, &s.macro_decl, at));
            }
            Stmt::Do(s) => self.call(scope, &s.call, at),
        }
    }

    fn function<'s>(&mut self, scope: usize, function: &'s ast::Macro<'a>, at: At) -> Inner<'s, 'a> {
        let body = self.enter(scope, false);
        for name in ["caller", "varargs", "kwargs"] {
            self.declare(body, name);
        }
        for argument in &function.args {
            self.store(body, argument, at);
        }
        Inner { scope: body, at, expressions: function.defaults.iter().collect(), body: &function.body }
    }

    /// Reads a branch of an `if` and forgets what it sets, which is returned.
    fn branch<'s>(
        &mut self,
        scope: usize,
        body: &'s [Stmt<'a>],
        at: At,
        inner: &mut Vec<Inner<'s, 'a>>,
    ) -> Vec<(usize, &'a str, Span)> {
        let before = self.stored.len();
        self.statements(scope, body, at, inner);
        let mut stored = self.stored.split_off(before);
        // Scopes inside the branch keep what they set.
        stored.retain(|(of, ..)| *of == scope);
        if let Some(scope) = self.scopes.get_mut(scope) {
            for (_, name, _) in &stored {
                scope.names.remove(name);
            }
        }
        stored
    }

    /// Notes that the scope sets a name by itself.
    fn declare(&mut self, scope: usize, name: &'a str) {
        if let Some(scope) = self.scopes.get_mut(scope) {
            scope.names.entry(name).or_insert(false);
        }
    }

    /// Like [`Self::declare`], for what a branch may set.
    fn set(&mut self, scope: usize, name: &'a str, at: Span) {
        let Some(names) = self.scopes.get_mut(scope).map(|scope| &mut scope.names) else { return };
        // What was looked for outside before it is set stays so.
        if let Entry::Vacant(entry) = names.entry(name) {
            entry.insert(false);
            self.stored.push((scope, name, at));
        }
    }

    fn store(&mut self, scope: usize, target: &Expr<'a>, at: At) {
        match target {
            Expr::Var(var) => {
                self.set(scope, var.id, super::span(var.span()));
            }
            Expr::List(list) => list.items.iter().for_each(|item| self.store(scope, item, at)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.store(scope, item, at)),
            other => self.expression(scope, other, at),
        }
    }

    /// The nearest scope's word on a name, and whether it is behind a `{% block %}`.
    fn resolve(&self, scope: usize, name: &str) -> Option<(bool, bool)> {
        let mut next = self.scopes.get(scope);
        let mut behind = false;
        while let Some(scope) = next {
            if let Some(outside) = scope.names.get(name) {
                return Some((*outside, behind));
            }
            behind |= scope.block;
            next = scope.parent.and_then(|parent| self.scopes.get(parent));
        }
        None
    }

    /// The variable of a name that this scope looks for outside.
    fn outside(&mut self, scope: usize, name: &'a str, at: Span) -> &mut Variable {
        if let Some(scope) = self.scopes.get_mut(scope) {
            scope.names.insert(name, true);
        }
        let variable = self.variables.entry(name).or_insert_with(|| Variable {
            name: name.to_owned(),
            uses: Vec::new(),
            guarded: true,
            assigned: false,
        });
        variable.uses.push(at);
        variable
    }

    fn load(&mut self, scope: usize, name: &'a str, span: Span, at: At) {
        let assigned = match self.resolve(scope, name) {
            Some((false, false)) => return,
            Some((false, true)) => true,
            Some((true, _)) => false,
            None if GLOBALS.contains(&name) => return,
            None => false,
        };
        let variable = self.outside(scope, name, span);
        variable.assigned |= assigned;
        variable.guarded &= at.guarded || at.conditional;
    }

    fn expression(&mut self, scope: usize, expression: &Expr<'a>, at: At) {
        let plain = At { guarded: false, ..at };
        let guarded = At { guarded: true, ..at };
        match expression {
            Expr::Const(_) => {}
            Expr::Var(var) => self.load(scope, var.id, super::span(var.span()), at),
            Expr::UnaryOp(e) => {
                self.expression(scope, &e.expr, if matches!(e.op, ast::UnaryOpKind::Not) { guarded } else { plain })
            }
            Expr::BinOp(e) => {
                let (left, right) = match e.op {
                    ast::BinOpKind::ScOr | ast::BinOpKind::ScAnd => (guarded, At { conditional: true, ..at }),
                    // Comparing an undefined value is no error.
                    ast::BinOpKind::Eq | ast::BinOpKind::Ne | ast::BinOpKind::In => (at, at),
                    _ => (plain, plain),
                };
                self.expression(scope, &e.left, left);
                self.expression(scope, &e.right, right);
            }
            Expr::Compare(e) => {
                self.expression(scope, &e.expr, plain);
                e.ops.iter().for_each(|op| self.expression(scope, &op.expr, plain));
            }
            Expr::IfExpr(e) => {
                let branch = At { conditional: true, ..at };
                self.expression(scope, &e.test_expr, At { guarded: true, ..branch });
                self.expression(scope, &e.true_expr, branch);
                e.false_expr.iter().for_each(|e| self.expression(scope, e, branch));
            }
            Expr::Filter(e) => {
                self.look_up(e.name, super::span(expression.span()), LookupKind::Filter, at);
                let operand = match e.name {
                    "default" | "d" => guarded,
                    // The length of an undefined value is 0.
                    "length" | "count" => at,
                    _ => plain,
                };
                e.expr.iter().for_each(|e| self.expression(scope, e, operand));
                self.arguments(scope, &e.args, plain);
            }
            Expr::Test(e) => {
                self.look_up(e.name, super::span(expression.span()), LookupKind::Test, at);
                self.expression(scope, &e.expr, guarded);
                self.arguments(scope, &e.args, plain);
            }
            Expr::GetAttr(e) => self.expression(scope, &e.expr, plain),
            Expr::GetItem(e) => {
                self.expression(scope, &e.expr, plain);
                self.expression(scope, &e.subscript_expr, plain);
            }
            Expr::Slice(e) => {
                self.expression(scope, &e.expr, plain);
                for part in [&e.start, &e.stop, &e.step].into_iter().flatten() {
                    self.expression(scope, part, plain);
                }
            }
            Expr::Call(e) => self.call(scope, e, plain),
            Expr::List(e) => e.items.iter().for_each(|item| self.expression(scope, item, plain)),
            Expr::Tuple(e) => e.items.iter().for_each(|item| self.expression(scope, item, plain)),
            Expr::Map(e) => {
                e.keys.iter().chain(&e.values).for_each(|item| self.expression(scope, item, plain));
            }
        }
    }

    fn call(&mut self, scope: usize, call: &ast::Call<'a>, at: At) {
        self.expression(scope, &call.expr, at);
        self.arguments(scope, &call.args, at);
    }

    fn arguments(&mut self, scope: usize, arguments: &[CallArg<'a>], at: At) {
        for argument in arguments {
            match argument {
                CallArg::Pos(e) | CallArg::Kwarg(_, e) | CallArg::PosSplat(e) | CallArg::KwargSplat(e) => {
                    self.expression(scope, e, at);
                }
            }
        }
    }

    fn look_up(&mut self, name: &str, at: Span, kind: LookupKind, under: At) {
        let span = Span::new(at.start, at.start + name.len());
        let name = Spanned::new(name.to_owned(), span);
        self.lookups.push(Lookup { name, kind, conditional: under.conditional });
    }
}
