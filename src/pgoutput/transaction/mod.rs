//! The order of messages: which transaction a row belongs to, its place in it,
//! and the relation that says what its columns are.
//!
//! ```text
//! BEGIN [ORIGIN] { RELATION | TYPE | INSERT | UPDATE | DELETE | TRUNCATE | MESSAGE } COMMIT
//! ```
//!
//! Relations are announced per connection: a connection gets a new [`Reader`].

mod reader;
mod step;

pub use reader::Reader;
pub use step::{LogicalMessage, MessagePlace, Step, Truncation};
