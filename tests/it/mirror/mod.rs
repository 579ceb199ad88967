//! Mirrors: tables that are made of received webhooks alone are the source's tables.
//!
//! ```text
//! pgbench            TPC-B, whose sums are equal at every commit     -> Copy == source
//! workload, changes  everything that a transaction may have in it, at random
//! scripts            *.sql, compared after every statement
//! ```
//!
//! `WALHOOK_TEST_MIRROR` says how many rounds a workload has, and how many transactions pgbench
//! has a client for each of them.

mod changes;
mod copy;
mod literals;
mod pgbench;
mod scripts;
mod source;
mod subscriber;
mod workload;
mod writer;

use std::time::Duration;

use crate::harness::longer;

const LONG: Duration = Duration::from_secs(900);

fn rounds() -> u64 {
    longer("WALHOOK_TEST_MIRROR", 12)
}
