//! The only place that talks to Postgres.
//!
//! ```text
//! conninfo     where the database is (keywords, passfile)
//! connect      the two connections, their pinned settings (socket, tls, messages)
//! replication  commands until the stream starts
//! stream       frames in, status updates out (status)
//! failure      what an error means
//! catalog      what there is: server, tables, keys, what types are made of
//! wanted       what the config wants of it
//! identity     which old values the WAL carries of a table
//! publication  which tables the slot sends
//! slot         where we are, and whether the slot is still ours
//! preflight    all that is wrong, at once, with the SQL that mends it
//! watch        what is looked at every minute
//! ```

pub mod conninfo;
mod keywords;
mod passfile;
mod socket;
mod tls;
mod messages;
pub mod connect;
pub mod replication;
pub mod stream;
pub mod status;
pub mod failure;

pub mod catalog;
pub mod identity;
pub mod preflight;
pub mod publication;
pub mod slot;
pub mod wanted;
pub mod watch;
