//! What the pipeline costs, and what bad endpoints cost the good ones, measured on a
//! Postgres, receivers and a daemon of its own.
//!
//!     cargo bench --bench pipeline                    all, about ten minutes
//!     cargo bench --bench pipeline -- --quick         the same, smaller, one pair each
//!     cargo bench --bench pipeline -- isolation       by name: backlog, latency, isolation, drain
//!
//! Ours and the baseline alternate; the medians, their spread and the ratio are printed as
//! a table and as a line of JSON. The machine is noisy: only ratios of one run count.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on says so by panicking, and prints what it found"
)]

#[path = "../../tests/it/harness/mod.rs"]
#[expect(
    dead_code,
    unused_imports,
    clippy::print_stderr,
    reason = "tests use all of it"
)]
mod harness;

mod backlog;
mod isolation;
mod latency;
mod receiver;
mod report;
mod setting;

use report::Report;

/// How large a run is.
#[derive(Clone, Copy)]
pub struct Size {
    pub pairs: usize,
    /// Of a backlog.
    pub rows: u64,
    pub seconds: u64,
}

const WHOLE: Size = Size {
    pairs: 5,
    rows: 1_000_000,
    seconds: 20,
};
const QUICK: Size = Size {
    pairs: 1,
    rows: 200_000,
    seconds: 10,
};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let size = if quick { QUICK } else { WHOLE };
    let names: Vec<&String> = arguments.iter().filter(|a| !a.starts_with("--")).collect();
    let wanted = |name: &str| names.is_empty() || names.iter().any(|n| *n == name);
    let mut report = Report::default();
    if wanted("backlog") {
        backlog::backlog(size, &mut report).await;
    }
    if wanted("latency") {
        latency::latency(size, &mut report).await;
    }
    if wanted("isolation") {
        isolation::isolation(size, &mut report).await;
    }
    if wanted("drain") {
        isolation::drain(size, &mut report).await;
    }
    report.print();
}
