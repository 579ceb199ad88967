//! Failures: why a condition or a template has no result for a row. Never a value.

use std::fmt;

use cel::ExecutionError;

/// What kind of thing went wrong. Neither it nor its text carries a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureKind {
    /// The table has no such column.
    NoSuchColumn,
    /// A json object has no such key, or a list no such element.
    NoSuchKey,
    /// `new` of a delete, or a row of a truncate.
    NoRow,
    /// The WAL does not carry the old value: an insert has none, and the replica
    /// identity decides for the rest.
    OldUnknown,
    /// The WAL does not carry the new value: unchanged TOAST.
    Unchanged,
    /// A condition's result is neither true nor false.
    NotBoolean,
    /// An operator or a function does not take values of these types; null is one.
    TypeMismatch,
    /// A number is out of range.
    Overflow,
    DivisionByZero,
    /// The body is larger than the endpoint takes.
    Oversize,
    /// An outbox row's type is null or empty.
    NoType,
    Other,
}

impl FailureKind {
    pub const ALL: [FailureKind; 12] = [
        FailureKind::NoSuchColumn,
        FailureKind::NoSuchKey,
        FailureKind::NoRow,
        FailureKind::OldUnknown,
        FailureKind::Unchanged,
        FailureKind::NotBoolean,
        FailureKind::TypeMismatch,
        FailureKind::Overflow,
        FailureKind::DivisionByZero,
        FailureKind::Oversize,
        FailureKind::NoType,
        FailureKind::Other,
    ];

    /// One word, for a metric's label and a log field.
    pub fn as_str(self) -> &'static str {
        match self {
            FailureKind::NoSuchColumn => "no_such_column",
            FailureKind::NoSuchKey => "no_such_key",
            FailureKind::NoRow => "no_row",
            FailureKind::OldUnknown => "old_unknown",
            FailureKind::Unchanged => "unchanged",
            FailureKind::NotBoolean => "not_boolean",
            FailureKind::TypeMismatch => "type_mismatch",
            FailureKind::Overflow => "overflow",
            FailureKind::DivisionByZero => "division_by_zero",
            FailureKind::Oversize => "oversize",
            FailureKind::NoType => "no_type",
            FailureKind::Other => "other",
        }
    }

    /// As CEL carries it from a column's value to the result.
    pub(super) fn raise(self) -> ExecutionError {
        match self {
            // So that `has(new.c)` is false for it.
            FailureKind::NoSuchColumn => ExecutionError::no_such_key(NO_COLUMN),
            _ => ExecutionError::function_error(CARRIER, self.as_str()),
        }
    }

    /// The kind alone: CEL's errors carry values.
    pub(super) fn of(error: &ExecutionError) -> Self {
        match error {
            ExecutionError::FunctionError { function, message } if function == CARRIER => {
                let same = |kind: &FailureKind| kind.as_str() == message;
                FailureKind::ALL
                    .into_iter()
                    .find(same)
                    .unwrap_or(FailureKind::Other)
            }
            ExecutionError::FunctionError { message, .. } if message == "integer overflow" => {
                FailureKind::Overflow
            }
            ExecutionError::NoSuchKey(key) if **key == NO_COLUMN => FailureKind::NoSuchColumn,
            ExecutionError::NoSuchKey(_) | ExecutionError::IndexOutOfBounds(_) => {
                FailureKind::NoSuchKey
            }
            ExecutionError::NoSuchOverload(_)
            | ExecutionError::UnexpectedType { .. }
            | ExecutionError::ValuesNotComparable(..)
            | ExecutionError::UnsupportedBinaryOperator(..)
            | ExecutionError::UnsupportedTargetType { .. }
            | ExecutionError::NotSupportedAsMethod { .. }
            | ExecutionError::UnsupportedKeyType(_)
            | ExecutionError::UnsupportedIndex(..)
            | ExecutionError::InvalidArgumentCount { .. }
            | ExecutionError::MissingArgumentOrTarget => FailureKind::TypeMismatch,
            ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
                FailureKind::DivisionByZero
            }
            ExecutionError::Overflow(..) => FailureKind::Overflow,
            _ => FailureKind::Other,
        }
    }
}

/// Marks an error of CEL as one of ours; no function can have this name.
const CARRIER: &str = "@walhook";
const NO_COLUMN: &str = "@no such column";

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FailureKind::NoSuchColumn => "the table has no such column",
            FailureKind::NoSuchKey => "a json value has no such key or element",
            FailureKind::NoRow => "the change has no such row",
            FailureKind::OldUnknown => "the WAL does not carry the old value",
            FailureKind::Unchanged => "the WAL does not carry an unchanged TOAST value",
            FailureKind::NotBoolean => "the result is neither true nor false",
            FailureKind::TypeMismatch => {
                "an operator or function does not take a value of this type"
            }
            FailureKind::Overflow => "a number is out of range",
            FailureKind::DivisionByZero => "a division by zero",
            FailureKind::Oversize => "the body is larger than the endpoint takes",
            FailureKind::NoType => "the row gives no event type",
            FailureKind::Other => "the expression cannot be evaluated",
        })
    }
}
