//! Many rows, and a restart or a crash among them. `WALHOOK_TEST_ROWS` says how many.

use std::time::Duration;

use crate::harness::process::Process;
use crate::harness::receiver::Event;
use crate::harness::{Cluster, Daemon, Database, Receiver, SOON, oracle};

const TABLES: [&str; 4] = ["t1", "t2", "t3", "t4"];
const CLIENTS: usize = 4;
/// Of each table in each transaction.
const ROWS: usize = 5;
const LONG: Duration = Duration::from_secs(900);

/// How many rows: a multiple of what one transaction of each client writes.
fn rows() -> usize {
    let wanted: usize = std::env::var("WALHOOK_TEST_ROWS").map_or(200_000, |rows| {
        rows.parse().expect("WALHOOK_TEST_ROWS is a number")
    });
    let step = CLIENTS * ROWS * TABLES.len();
    wanted.div_ceil(step) * step
}

async fn start() -> (Database, [Receiver; 2], Daemon) {
    let db = Cluster::shared().await.database().await;
    let receivers = [
        Receiver::start().await.keep_events_only(),
        Receiver::start().await.keep_events_only(),
    ];
    let batch = "batch: {events: 500, wait: 5ms}";
    let mut daemon = Daemon::of(&db)
        .endpoint_with("a", &receivers[0], batch)
        .endpoint_with("b", &receivers[1], batch);
    for table in TABLES {
        db.sql(&format!(
            "CREATE TABLE {table} (id bigserial PRIMARY KEY, v text)"
        ))
        .await;
        daemon = daemon.table(
            &format!("public.{table}"),
            "to: [a, b]\nevents: {insert: row.made}",
        );
    }
    (db, receivers, daemon.start().await)
}

fn write(db: &Database, rows: usize) -> Process {
    let insert = |table| {
        format!("INSERT INTO {table} (v) SELECT md5(g::text) FROM generate_series(1, {ROWS}) g;\n")
    };
    let script = format!("BEGIN;\n{}COMMIT;\n", TABLES.map(insert).concat());
    db.pgbench(&script, CLIENTS, rows / (CLIENTS * ROWS * TABLES.len()))
}

async fn is_written(pgbench: &Process) {
    let status = pgbench.exited(LONG).await.expect("pgbench to end");
    assert!(status.success(), "{}", pgbench.output().text());
}

async fn assert_complete(db: &Database, events: &[Event]) {
    oracle::assert_in_order_per_table(events);
    for table in TABLES {
        oracle::assert_replay(events, db, &format!("public.{table}")).await;
    }
}

#[tokio::test]
async fn all_rows_arrive_once_and_in_order_over_a_restart() {
    let rows = rows();
    let (db, receivers, mut daemon) = start().await;
    let pgbench = write(&db, rows);
    receivers[0].wait_for(rows / 4, LONG).await;
    daemon.restart().await;
    is_written(&pgbench).await;
    for receiver in &receivers {
        let events = receiver.wait_for(rows, LONG).await;
        oracle::assert_no_repeats(&events);
        assert_complete(&db, &events).await;
    }
    assert_eq!(daemon.stop().await, 0);
    for receiver in &receivers {
        assert_eq!(receiver.count(), rows);
    }
}

#[tokio::test]
async fn all_rows_arrive_over_a_crash() {
    let rows = rows();
    let (db, receivers, mut daemon) = start().await;
    let pgbench = write(&db, rows);
    for part in [4, 2] {
        receivers[0].wait_for(rows / part, LONG).await;
        daemon.kill().await;
        daemon.launch();
    }
    is_written(&pgbench).await;
    for receiver in &receivers {
        // What is confirmed was accepted by both.
        db.confirmed(LONG).await;
        receiver.wait_for(rows, LONG).await;
        let all = |events: &[Event]| oracle::without_repeats(events).len() == rows;
        let events = receiver.wait_until(all, SOON).await;
        assert_complete(&db, &oracle::without_repeats(&events)).await;
    }
}
