//! The daemon's behaviour, watched from outside: a real Postgres, real receivers, the real binary.
//!
//! A file is a behaviour, a test is a sentence. `harness` says how to write one.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod harness;

mod batch;
mod faults;
mod harness_itself;
mod order;
mod pipeline;
mod retry;
