//! The only place that talks to Postgres.
//!
//! ```text
//! conninfo     where the database is (keywords, passfile)
//! connect      the two connections, their pinned settings (socket, tls, messages)
//! replication  commands until the stream starts
//! stream       frames in, status updates out (status)
//! probe        reads the slot without confirming, to see where the server fails
//! failure      what an error means
//! catalog      what there is: server, tables, keys, what types are made of
//! wanted       what the config wants of it
//! identity     which old values the WAL carries of a table
//! publication  which tables the slot sends
//! slot         where we are, and whether the slot is still ours
//! preflight    all that is wrong, at once, with the SQL that mends it
//! watch        what is looked at every minute
//! ```

/// Plain queries on the control connection.
pub use tokio_postgres::Client;

pub mod connect;
pub mod conninfo;
pub mod failure;
mod keywords;
mod login_guard;
mod messages;
mod passfile;
pub mod probe;
pub mod replication;
mod socket;
pub mod status;
pub mod stream;
mod tls;

pub mod catalog;
pub mod identity;
pub mod preflight;
pub mod publication;
pub mod slot;
pub mod wanted;
pub mod watch;
