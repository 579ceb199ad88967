//! Conditions: CEL over `new`, `old`, `operation`, `schema`, `table` and `changed("column")`.

/// A compiled condition.
#[derive(Clone, Debug)]
pub struct Condition;

/// Why a text is no condition: a lowercase fragment, with the place in the text when it is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConditionError(pub String);

impl Condition {
    pub fn compile(_source: &str) -> Result<Self, ConditionError> {
        todo!()
    }

    /// The expression reads `old`, or calls `changed`.
    pub fn needs_old(&self) -> bool {
        todo!()
    }

    /// Columns that the expression names on `new`, on `old` or in `changed("...")`,
    /// as far as they can be read from it.
    pub fn columns(&self) -> &[String] {
        todo!()
    }
}
