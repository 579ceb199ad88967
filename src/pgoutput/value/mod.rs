//! Values: from a type and the text of its output function to JSON, as
//! `to_jsonb` makes it, digit for digit.
//!
//! ```text
//! type OID --Types--> Encoder (once per Relation message) --text--> JSON
//! ```
//!
//! The texts are those that Postgres writes with datestyle ISO, intervalstyle
//! postgres, timezone UTC, extra_float_digits 1, bytea_output hex and
//! lc_monetary C. What it refuses: to understand a value. Numbers, times and
//! json pass through as text; no value becomes a Rust number or a tree.
//!
//! <https://www.postgresql.org/docs/current/functions-json.html#FUNCTIONS-JSON-CREATION-TABLE>

mod builtin;
mod types;

mod encoder;

mod datetime;
mod number;
mod string;

mod array;
mod composite;
mod hstore;
mod quoted;

pub use encoder::{Encoder, Fidelity, LargeNumbers, Misfit};
pub use string::write_string;
pub use types::{Attributes, TypeKind, Types};

#[cfg(test)]
mod tests;
