//! pgoutput: from the bytes of the replication stream to changes and JSON.
//!
//! ```text
//! CopyData -> frame -> decode -> Message -> transaction::Reader -> Change
//!                                                                    | text of a value
//!                                                                    v
//!                                                             value::Encoder -> JSON
//! ```
//!
//! Everything is read in place; nothing here waits, reads a clock or asks the
//! catalog. What it refuses: streamed and prepared transactions (protocol
//! versions 2 to 4) and binary values, which walhook does not ask for.
//!
//! <https://www.postgresql.org/docs/current/protocol-logical-replication.html>

pub mod error;
pub mod frame;
mod wire;

pub mod message;

mod decode;

pub mod transaction;

pub mod value;

pub use decode::decode;
pub use error::{DecodeError, Malformed};
pub use frame::{Frame, Reply, status_update};
pub use message::{Message, RelationHeader};
pub use transaction::{LogicalMessage, MessagePlace, Reader, Step};

#[cfg(test)]
pub(crate) mod tests;
