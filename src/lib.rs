//! walhook turns committed changes of a PostgreSQL database into signed webhooks.
//!
//! The modules, in reading order; the tree is the data flow:
//!
//! ```text
//! WAL -> postgres::replication -> pgoutput -> mapping -> lane -> delivery -> HTTP
//!               ^                                         |         |
//!               |                                         v         v
//!         status update  <-  progress::ledger  <-  store (checkpoint, positions, spool, dead letters)
//! ```
//!
//! Imports run downwards: the words, which all others use; the pure rooms (no
//! tokio, no clock, no environment: time and chance are arguments); the edges,
//! which do not know one another; then `config`, `daemon` and `cli`, which no
//! room imports. `tests/` holds a test that reads the imports.

// Words.
pub mod change;
pub mod event;
pub mod lsn;
pub mod secret;

// For tests: empty in a release.
pub mod failpoint;

// Pure rooms.
pub mod mapping;
pub mod pgoutput;
pub mod progress;

// Edges.
pub mod delivery;
pub mod postgres;
pub mod store;

// What joins them.
pub mod lane;
pub mod telemetry;
pub mod receiver;

pub mod config;
pub mod daemon;

pub mod cli;
