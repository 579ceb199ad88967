//! What there is in the database, as the catalog says it now.
//!
//! The catalog is the present; a change in the stream is of the past. So a row's
//! columns come from its Relation message, and only what that leaves out is
//! asked for here: the real key, the inside of user types, and which tables
//! there are. All queries take a client whose `search_path` is `pg_catalog`.

mod choice;
mod composition;
mod key;
mod moment;
mod query;
pub mod quote;
mod server;
mod tables;

pub use choice::{Kind, NotATable, Unfit};
pub use composition::type_kinds;
pub use key::{RelationFacts, relation_facts};
pub use moment::{Moment, moment};
pub use query::QueryError;
pub(super) use query::{Name, lsn, name, read};
pub use server::{Server, server, wal_sender_timeout_ms};
pub use tables::{Leaf, TableFacts, Tables, tables};
