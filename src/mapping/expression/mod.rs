//! Expressions: CEL over `new`, `old`, `operation`, `schema`, `table` and
//! `changed("column")`.
//!
//! ```text
//! text --parse--> tree --check--> names are declared, which columns are used
//!                                   `--evaluate(row)--> a value, or the kind of failure
//! ```
//!
//! Columns are decoded where an expression touches them, and only then. What it
//! refuses: to read a clock, to keep anything from row to row, and to iterate
//! over a map in an order that differs from run to run.
//!
//! <https://github.com/google/cel-spec/blob/master/doc/langdef.md>

mod environment;

mod check;
mod compile;
mod tree;
mod uses;

mod decode;
mod evaluate;
mod names;

mod path;
mod write;

pub use compile::{ConditionError, Expression};
pub use path::{Path, Step, descend};
pub use uses::{Columns, Uses};
pub use write::write_json;
