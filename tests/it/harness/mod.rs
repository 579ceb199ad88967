//! What the tests stand on.
//!
//! ```text
//! Cluster -> Database   a real Postgres of our own; one database (and slot name) a test
//! Receiver              a real HTTP receiver that verifies, records, and misbehaves on demand
//! Daemon                the binary, its config, its output, its admin port, its commands
//! Traffic               writers of all kinds, and a record of what they committed
//! Oracle                what must hold of all that arrived: order, no repeats, nothing lost
//! ```
//!
//! A shutdown test is eight lines:
//!
//! ```ignore
//! #[tokio::test]
//! async fn a_graceful_stop_loses_nothing() {
//!     let db = Cluster::shared().await.database().await;
//!     db.sql(ORDERS).await;
//!     let receiver = Receiver::start().await;
//!     let mut daemon = Daemon::of(&db).endpoint("r", &receiver).table("public.orders", ALL_EVENTS).start().await;
//!     db.sql("INSERT INTO orders VALUES (1)").await;
//!     receiver.wait_for(1, SOON).await;
//!     assert_eq!(daemon.stop().await, 0);
//! }
//! ```
//!
//! Postgres, daemon and receiver are dropped in the reverse order of their making: make the
//! database first. Rules: nothing sleeps where an event can be awaited. The receiver keeps all that it
//! got, so a waiter is never too late. Every request is verified as it arrives; a receiver
//! that saw a wrong one fails its test when it is dropped. Processes end with the test,
//! also when it panics or is killed.

pub mod answer;
pub mod cluster;
pub mod daemon;
pub mod database;
pub mod frames;
pub mod http;
pub mod installation;
pub mod machine;
pub mod metrics;
pub mod oracle;
pub mod process;
pub mod proxy;
pub mod receiver;
pub mod tls;
pub mod traffic;
pub mod verify;

use std::future::Future;
use std::panic::Location;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

pub use answer::Answer;
pub use cluster::Cluster;
pub use daemon::Daemon;
pub use database::Database;
pub use machine::Machine;
pub use receiver::Receiver;
pub use tls::fixture;
pub use traffic::Traffic;

/// Long enough for anything that is not a matter of load; a failing test waits as long.
pub const SOON: Duration = Duration::from_secs(20);

/// The table that most tests watch.
pub const ORDERS: &str =
    "CREATE TABLE orders (id int PRIMARY KEY, status text, total numeric(10,2), note text)";

/// A number that makes a test longer than CI has the time for.
pub fn longer(variable: &str, short: u64) -> u64 {
    std::env::var(variable).map_or(short, |text| {
        let number = text.parse();
        number.unwrap_or_else(|_| panic!("{variable} is a number"))
    })
}

/// Of what a test does at random: `WALHOOK_TEST_SEED`, else another one each time. It is
/// printed, and shown when the test fails.
pub fn seed() -> u64 {
    let seed = longer("WALHOOK_TEST_SEED", fastrand::u64(..1 << 32));
    eprintln!("WALHOOK_TEST_SEED={seed}");
    seed
}

/// An entry of `tables` that sends every change of it to the endpoint `r`.
pub const ALL_EVENTS: &str = "\
to: r
events:
  insert: order.created
  update: order.updated
  delete: order.deleted
  truncate: orders.truncated
";

/// Runs receivers and database connections, so that a test that blocks starves nobody.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a tokio runtime")
    })
}

/// Runs jobs side by side, each on a thread of its own; what they come to, in their order.
///
/// Never two databases in one task: the end of one waits for `DROP DATABASE`, and that for
/// every session of the server, also for one whose answer nobody reads because the task waits.
pub fn side_by_side<J, F, T>(
    jobs: impl IntoIterator<Item = J>,
    run: impl Fn(J) -> F + Sync,
) -> Vec<T>
where
    J: Send,
    F: Future<Output = T>,
    T: Send,
{
    let run = &run;
    std::thread::scope(|scope| {
        let threads: Vec<_> = jobs
            .into_iter()
            .map(|job| {
                scope.spawn(move || {
                    let runtime = Builder::new_current_thread().enable_all().build();
                    runtime.expect("a tokio runtime").block_on(run(job))
                })
            })
            .collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, T>| {
            let ended = thread.join();
            ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(join).collect()
    })
}

/// Runs a future to its end from a place that is not async, such as a `drop`.
pub fn block_on<F>(future: F) -> F::Output
where
    F: Future + Send,
    F::Output: Send,
{
    std::thread::scope(|scope| {
        scope
            .spawn(|| runtime().block_on(future))
            .join()
            .expect("a future that does not panic")
    })
}

/// Asks again and again, for what has no event to await: another process' state.
#[track_caller]
pub fn eventually<'a, F, Fut>(what: &'a str, mut ask: F) -> impl Future<Output = ()> + 'a
where
    F: FnMut() -> Fut + 'a,
    Fut: Future<Output = bool> + 'a,
{
    let caller = Location::caller();
    async move {
        let deadline = Instant::now() + SOON;
        while !ask().await {
            assert!(Instant::now() < deadline, "{caller}: never {what}");
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }
}
