//! An expression's value for a row.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cel::Context;
use cel::common::value::Val;
use cel::objects::Value;

use super::super::failure::FailureKind;
use super::super::row::RowView;
use super::compile::Expression;
use super::names::Names;

impl Expression {
    /// Gives the value to `take`, which may borrow from the row.
    pub fn evaluate<T>(
        &self,
        row: &RowView<'_>,
        take: impl FnOnce(&(dyn Val + '_)) -> Result<T, FailureKind>,
    ) -> Result<T, FailureKind> {
        // No panic of the interpreter is known; one would be that of a rule, not
        // of the daemon.
        catch_unwind(AssertUnwindSafe(|| {
            let names = Names::new(row, self.uses())?;
            let mut context = Context::with_env(Arc::clone(&self.environment));
            context.set_variable_resolver(&names);
            let value = Value::resolve_val(&self.tree, &context)
                .map_err(|error| FailureKind::of(&error))?;
            take(value.as_ref())
        }))
        .unwrap_or(Err(FailureKind::Other))
    }
}
