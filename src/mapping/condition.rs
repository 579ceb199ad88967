//! Conditions: CEL over `new`, `old`, `operation`, `schema`, `table` and `changed("column")`.

use cel::objects::Value;

use super::expression::{Expression, Uses};
use super::failure::FailureKind;
use super::row::RowView;

pub use super::expression::ConditionError;

/// A compiled condition.
#[derive(Clone, Debug)]
pub struct Condition {
    expression: Expression,
    columns: Vec<String>,
}

impl Condition {
    /// Checks the syntax and that every name and function is declared; the types
    /// of columns are known when it is evaluated.
    pub fn compile(source: &str) -> Result<Self, ConditionError> {
        let expression = Expression::compile(source)?;
        Ok(Condition {
            columns: expression.uses().columns(),
            expression,
        })
    }

    pub fn source(&self) -> &str {
        self.expression.source()
    }

    /// The expression reads `old`, or calls `changed`.
    pub fn needs_old(&self) -> bool {
        self.expression.uses().needs_old()
    }

    /// Columns that the expression names on `new`, on `old` or in `changed("...")`,
    /// as far as they can be read from it, and that must exist: not those that it
    /// asks for with `has(...)`.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Which columns of which row.
    pub fn uses(&self) -> &Uses {
        self.expression.uses()
    }

    pub fn evaluate(&self, row: &RowView<'_>) -> Result<bool, FailureKind> {
        match self.expression.evaluate(row)? {
            Value::Bool(matches) => Ok(matches),
            _ => Err(FailureKind::NotBoolean),
        }
    }
}
