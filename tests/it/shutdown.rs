//! How it ends.

use std::time::Duration;

use tokio::time::Instant;

use crate::harness::{
    ALL_EVENTS, Answer, Cluster, Daemon, Database, ORDERS, Receiver, SOON, oracle,
};

async fn start(options: &str) -> (Database, Receiver, Daemon) {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db).endpoint_with("r", &receiver, options);
    let daemon = daemon.table("public.orders", ALL_EVENTS).start().await;
    (db, receiver, daemon)
}

#[tokio::test]
async fn sigterm_and_sigint_end_it_with_0() {
    let (db, receiver, mut daemon) = start("").await;
    for (row, signal) in ["TERM", "INT"].iter().enumerate() {
        db.sql(&format!("INSERT INTO orders (id) VALUES ({row})"))
            .await;
        receiver.wait_for(row + 1, SOON).await;
        daemon.signal(signal);
        assert_eq!(daemon.exit_code().await, 0, "{signal}: {}", daemon.output());
        daemon.launch();
        daemon.ready().await;
    }
    assert_eq!(receiver.count(), 2);
}

#[tokio::test]
async fn a_request_in_flight_is_waited_for() {
    let (db, receiver, mut daemon) = start("timeout: 10s").await;
    receiver.next(Answer::After(
        Duration::from_secs(1),
        Box::new(Answer::Accept),
    ));
    db.sql("INSERT INTO orders (id) VALUES (1)").await;
    receiver.wait_for_attempts(1, SOON).await;
    assert_eq!(daemon.stop().await, 0);
    daemon.launch();
    db.sql("INSERT INTO orders (id) VALUES (2)").await;
    let events = receiver.wait_for(2, SOON).await;
    oracle::assert_no_repeats(&events);
}

#[tokio::test]
async fn a_second_signal_ends_it_now() {
    let (db, receiver, mut daemon) = start("timeout: 60s").await;
    receiver.always(Answer::Hang);
    db.sql("INSERT INTO orders (id) VALUES (1)").await;
    receiver.wait_for_attempts(1, SOON).await;
    daemon.signal("TERM");
    daemon.lines().line_with("stopping", SOON).await;
    daemon.signal("TERM");
    let asked = Instant::now();
    assert_eq!(daemon.exit_code().await, 1, "it did not end as it should");
    assert!(
        asked.elapsed() < Duration::from_secs(3),
        "{:?}",
        asked.elapsed()
    );
    receiver.always(Answer::Accept);
    daemon.launch();
    receiver.wait_for(1, SOON).await;
}

#[tokio::test]
async fn it_streams_again_within_a_moment_of_a_restart() {
    let (db, receiver, mut daemon) = start("").await;
    assert_eq!(daemon.stop().await, 0);
    db.sql("INSERT INTO orders (id) VALUES (1)").await;
    let started = Instant::now();
    daemon.launch();
    receiver.wait_for(1, SOON).await;
    // A second on a machine of its own; tests share theirs.
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}
