//! Mapping: from a change to the events that the rules make of it.
//!
//! ```text
//! message --as a row--.
//! change --row--> condition --matches--> payload or standard body --id, keys--> events
//! ```
//!
//! Pure: the same change and rules make the same bytes, on any machine, in any
//! build. What it refuses: to keep anything from one change to the next that
//! another event would show, and to put a value into an error.

mod event_type;
mod pattern;
pub mod rule;

pub mod form;

mod failure;
mod findings;
mod plan;
mod row;

pub mod condition;
mod expression;
pub mod payload;
mod template;

mod body;
mod id;
mod keys;
pub mod message;
mod outbox;

mod bound;
mod making;
mod mapper;
mod report;

pub use expression::{Columns, Uses};
pub use failure::FailureKind;
pub use id::{key_columns_hash, keys_hash, message_hash, rules_hash};
pub use mapper::{EndpointMapping, KeyUse, Mapper, SourceIdentity};
pub use report::{BindProblem, Bound, Mapped, Matched, ParkedEvent, RuleFailure, Seen};
pub use row::{RowView, Side};

#[cfg(test)]
mod tests;
