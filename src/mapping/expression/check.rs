//! The check of a tree: every name is declared, and which columns are used.
//!
//! It rewrites two things: `changed("c")` becomes a field of a row of its own,
//! and what a comprehension iterates over is put in order first.

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators};
use cel::objects::Value;
use cel::{Context, Env, ExecutionError};
use std::sync::Arc;

use super::super::row::Side;
use super::compile::{ConditionError, Places};
use super::environment::IN_ORDER;
use super::names::{self, CHANGED};
use super::tree::{field_of, ided, null};
use super::uses::Uses;

pub(super) struct Checker<'a> {
    places: Places<'a>,
    /// Without variables: what it resolves is declared by the environment.
    declared: Context<'static, 'static>,
    /// Variables of the comprehensions around.
    scope: Vec<String>,
    uses: Uses,
    problems: Vec<String>,
}

impl<'a> Checker<'a> {
    pub fn new(environment: &Arc<Env>, places: Places<'a>) -> Self {
        Checker {
            places,
            declared: Context::with_env(Arc::clone(environment)),
            scope: Vec::new(),
            uses: Uses::default(),
            problems: Vec::new(),
        }
    }

    pub fn finish(self) -> Result<Uses, ConditionError> {
        if self.problems.is_empty() {
            Ok(self.uses)
        } else {
            Err(ConditionError(self.problems.join("; ")))
        }
    }

    pub fn visit(&mut self, node: &mut IdedExpr) {
        if self.takes_column(&node.expr) {
            return;
        }
        let id = node.id;
        match &mut node.expr {
            Expr::Ident(name) => {
                let name = name.clone();
                self.name(id, &name);
            }
            Expr::Call(call) if call.target.is_none() && call.func_name == "changed" => {
                if let Some(column) = self.changed(id, call) {
                    node.expr = Expr::Select(SelectExpr {
                        operand: Box::new(ided(id, Expr::Ident(CHANGED.to_owned()))),
                        field: column,
                        test: false,
                    });
                }
            }
            Expr::Call(call) => self.call(id, call),
            Expr::Select(select) => self.visit(&mut select.operand),
            Expr::List(list) => list.elements.iter_mut().for_each(|e| self.visit(e)),
            Expr::Map(map) => map.entries.iter_mut().for_each(|e| self.entry(&mut e.expr)),
            Expr::Struct(made) => {
                let message = format!(
                    "unknown type {}{}",
                    made.type_name,
                    self.places.of_call(id, &made.type_name)
                );
                self.problems.push(message);
            }
            Expr::Comprehension(loops) => {
                self.visit(&mut loops.iter_range);
                self.visit(&mut loops.accu_init);
                let outside = self.scope.len();
                self.scope.push(loops.iter_var.clone());
                self.scope.extend(loops.iter_var2.clone());
                self.scope.push(loops.accu_var.clone());
                self.visit(&mut loops.loop_cond);
                self.visit(&mut loops.loop_step);
                self.visit(&mut loops.result);
                self.scope.truncate(outside);
                let range = std::mem::take(&mut loops.iter_range);
                loops.iter_range = ided(
                    range.id,
                    Expr::Call(CallExpr {
                        func_name: IN_ORDER.to_owned(),
                        target: None,
                        args: vec![range],
                    }),
                );
            }
            Expr::Literal(_) | Expr::Unspecified => {}
        }
    }

    fn entry(&mut self, entry: &mut EntryExpr) {
        match entry {
            EntryExpr::MapEntry(entry) => {
                self.visit(&mut entry.key);
                self.visit(&mut entry.value);
            }
            EntryExpr::StructField(field) => self.visit(&mut field.value),
        }
    }

    fn call(&mut self, id: u64, call: &mut CallExpr) {
        if let (operators::INDEX | operators::OPT_INDEX, [operand, name]) =
            (call.func_name.as_str(), &mut *call.args)
            && let Expr::Ident(row) = &operand.expr
            && let Some(side) = self.row(row)
        {
            self.uses.add_any(side);
            self.visit(name);
            return;
        }
        let operator = |c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.';
        if call.func_name.contains(operator) {
            call.args
                .iter_mut()
                .for_each(|argument| self.visit(argument));
            return;
        }
        self.function(id, call);
        self.regex(id, call);
        call.args
            .iter_mut()
            .for_each(|argument| self.visit(argument));
    }

    /// The function, and what it is called on.
    fn function(&mut self, id: u64, call: &mut CallExpr) {
        let prefix = call.target.as_ref().and_then(|t| self.prefix(&t.expr));
        // `strings.quote(x)`: the target is no value but a part of the name.
        if prefix.is_some() && self.is_declared(call, call.target.clone()) {
            return;
        }
        let on_value = call.target.as_ref().map(|_| Box::new(null()));
        if self.is_declared(call, on_value) {
            if let Some(target) = &mut call.target {
                self.visit(target);
            }
            return;
        }
        let name = match &prefix {
            Some(prefix) => format!("{prefix}.{}", call.func_name),
            None => call.func_name.clone(),
        };
        let place = self.places.of_call(id, &name);
        self.problems
            .push(format!("unknown function {name}{place}"));
        if let (Some(target), None) = (&mut call.target, prefix) {
            self.visit(target);
        }
    }

    /// Whether the environment has the function; the types of its arguments are
    /// known when it is called.
    fn is_declared(&self, call: &CallExpr, target: Option<Box<IdedExpr>>) -> bool {
        let probe = CallExpr {
            func_name: call.func_name.clone(),
            target,
            args: call.args.iter().map(|_| null()).collect(),
        };
        !matches!(
            Value::resolve(&ided(0, Expr::Call(probe)), &self.declared),
            Err(ExecutionError::UndeclaredReference(_))
        )
    }

    fn regex(&mut self, id: u64, call: &CallExpr) {
        let [
            IdedExpr {
                expr: Expr::Literal(literal @ LiteralValue::String(_)),
                ..
            },
        ] = &*call.args
        else {
            return;
        };
        if call.func_name != "matches" {
            return;
        }
        let empty = Expr::Literal(LiteralValue::String("".into()));
        let probe = CallExpr {
            func_name: call.func_name.clone(),
            target: Some(Box::new(ided(0, empty))),
            args: vec![ided(0, Expr::Literal(literal.clone()))],
        };
        if Value::resolve(&ided(0, Expr::Call(probe)), &self.declared).is_err() {
            let message = format!(
                "invalid regular expression{}",
                self.places.of_call(id, &call.func_name)
            );
            self.problems.push(message);
        }
    }

    /// The column of `changed("column")`.
    fn changed(&mut self, id: u64, call: &CallExpr) -> Option<String> {
        if let [
            IdedExpr {
                expr: Expr::Literal(LiteralValue::String(column)),
                ..
            },
        ] = &*call.args
        {
            self.uses.changed.insert(column.inner().to_owned());
            return Some(column.inner().to_owned());
        }
        let message = format!(
            "changed takes the name of a column in quotes{}",
            self.places.of_call(id, "changed")
        );
        self.problems.push(message);
        None
    }

    fn name(&mut self, id: u64, name: &str) {
        if let Some(side) = self.row(name) {
            self.uses.add_whole(side);
        } else if !self.is_known(name) {
            let message = format!(
                "unknown name {name}{}, expected new, old, operation, schema or table",
                self.places.of(id)
            );
            self.problems.push(message);
        }
    }

    fn is_known(&self, name: &str) -> bool {
        let plain = name.strip_prefix('.').unwrap_or(name);
        self.shadows(name)
            || names::VARIABLES.contains(&plain)
            || Value::resolve(&ided(0, Expr::Ident(name.to_owned())), &self.declared).is_ok()
    }

    /// `a.b.c`, when `a` is no variable.
    fn prefix(&self, expr: &Expr) -> Option<String> {
        match expr {
            Expr::Ident(name) if !names::VARIABLES.contains(&&**name) && !self.shadows(name) => {
                Some(name.clone())
            }
            Expr::Select(select) if !select.test => {
                let prefix = self.prefix(&select.operand.expr)?;
                Some(format!("{prefix}.{}", select.field))
            }
            _ => None,
        }
    }

    /// `new.c`, `old["c"]`, `has(new.c)`, `new.?c` and `new[?"c"]`.
    fn takes_column(&mut self, expr: &Expr) -> bool {
        let Some((operand, column, asks)) = field_of(expr) else {
            return false;
        };
        let Expr::Ident(name) = operand else {
            return false;
        };
        let Some(side) = self.row(name) else {
            return false;
        };
        self.uses.add(side, column);
        if asks {
            self.uses.asked.insert(column.to_owned());
        }
        true
    }

    fn row(&self, name: &str) -> Option<Side> {
        if self.shadows(name) {
            return None;
        }
        names::side(name)
    }

    /// A name with a full stop in front skips the variables of comprehensions.
    fn shadows(&self, name: &str) -> bool {
        self.scope.iter().any(|variable| variable == name)
    }
}
