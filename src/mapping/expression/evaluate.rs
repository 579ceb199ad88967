//! An expression's value for a row.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cel::Context;
use cel::objects::Value;

use super::super::failure::FailureKind;
use super::super::row::RowView;
use super::compile::Expression;
use super::names::Names;

impl Expression {
    pub fn evaluate(&self, row: &RowView<'_>) -> Result<Value, FailureKind> {
        // No panic of the interpreter is known; one would be that of a rule, not
        // of the daemon.
        catch_unwind(AssertUnwindSafe(|| {
            let names = Names::new(row, self.uses())?;
            let mut context = Context::with_env(Arc::clone(&self.environment));
            context.set_variable_resolver(&names);
            // Not `resolve_val`: it would be compiled into this crate, where without
            // optimization a level of nesting takes 30 kB of stack.
            Value::resolve(&self.tree, &context).map_err(|error| FailureKind::of(&error))
        }))
        .unwrap_or(Err(FailureKind::Other))
    }
}
