//! The daemon's behaviour, watched from outside: a real Postgres, real receivers, the real binary.
//!
//! A file is a behaviour, a test is a sentence. `harness` says how to write one.

#![expect(
    clippy::print_stderr,
    reason = "the output of a test that failed is where its causes are looked for"
)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod harness;

// On every major: what depends on what the server does. tests/run.sh reads this list.
mod bad_database;
mod encodings;
mod harmless;
mod lineage;
mod messages;
mod mirror;
mod origins;
mod outbox;
mod pipeline;
mod poison;
mod restarts;
mod schema;
mod settings;
mod slot_lost;
mod types;
mod values;
mod watch;

// What it does.
mod batch;
mod order;
mod package;
mod recorded;
mod shutdown;
mod size;

// What it does when others fail.
mod answers;
mod connect;
mod dead;
mod failpoints;
mod faults;
mod kill;
mod network;
mod retry;
mod spool;
mod state;
mod tls;

// How it is run and watched.
mod admin;
mod alerts;
mod commands;
mod config_errors;
mod config_layers;
mod demo;
mod discreet;
mod examples;
mod init;
mod listen;
mod official;
mod readme;
mod systemd;

mod load;

mod architecture;
mod harness_itself;
