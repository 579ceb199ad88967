//! The only place that talks to Postgres.
//!
//! ```text
//! catalog      what there is: server, tables, keys, what types are made of
//! wanted       what the config wants of it
//! identity     which old values the WAL carries of a table
//! publication  which tables the slot sends
//! slot         where we are, and whether the slot is still ours
//! preflight    all that is wrong, at once, with the SQL that mends it
//! watch        what is looked at every minute
//! ```

pub mod conninfo;

pub mod catalog;
pub mod identity;
pub mod preflight;
pub mod publication;
pub mod slot;
pub mod wanted;
pub mod watch;
