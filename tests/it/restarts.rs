//! Postgres that stops and starts in the middle of traffic, and a second daemon that waits
//! for the first to go. `WALHOOK_TEST_STOPS` says how often Postgres stops.

use std::time::Duration;

use crate::harness::{
    ALL_EVENTS, Cluster, Daemon, ORDERS, Receiver, SOON, Traffic, longer, oracle, seed, traffic,
};

const STOPS: u64 = 6;

#[tokio::test]
async fn a_postgres_that_crashes_and_stops_under_traffic_loses_and_repeats_nothing() {
    let cluster = Cluster::own().start().await;
    let db = cluster.database().await;
    traffic::prepare(&db).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db).endpoint("r", &receiver);
    let daemon = traffic::to(daemon, "r").start().await;
    let mut chance = fastrand::Rng::with_seed(seed());
    let traffic = Traffic::start(&db, chance.u64(..), 2, Duration::from_millis(20));
    for stop in 0..longer("WALHOOK_TEST_STOPS", STOPS) {
        let before = receiver.count();
        receiver.wait_for(before + 20, SOON).await;
        match stop % 3 {
            0 => cluster.stop_immediate().await,
            1 => assert!(cluster.stop_fast(Duration::from_secs(5)).await),
            _ => cluster.kill_9().await,
        }
        cluster.start().await;
    }
    traffic.end().await;
    daemon.ready().await;
    db.confirmed(2 * SOON).await;
    let changes = traffic::changes(&db).await;
    let events = receiver.wait_for(changes, SOON).await;
    oracle::assert_no_repeats(&events);
    oracle::assert_in_order_per_table(&events);
    traffic::assert_complete(&db, &events).await;
}

/// It stands by with a copy of the state file, as after a machine was cloned.
#[tokio::test]
async fn a_second_daemon_waits_for_the_first_and_skips_nothing_that_only_that_one_knows() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    let mut first = Daemon::of(&db)
        .endpoint("r", &receiver)
        .table("public.orders", ALL_EVENTS)
        .start()
        .await;
    assert_eq!(first.stop().await, 0);
    let mut second = Daemon::of(&db)
        .endpoint("r", &receiver)
        .table("public.orders", ALL_EVENTS)
        .prepare();
    std::fs::copy(first.state_path(), second.state_path()).unwrap();
    first.launch();
    first.ready().await;
    let user = format!(
        "SELECT active_pid FROM pg_replication_slots WHERE slot_name = '{}'",
        db.slot
    );
    let user: i32 = db.value(&user).await;
    second.launch();
    second.lines().line_with(&user.to_string(), SOON).await;
    assert_ne!(second.readiness().await, Some(200));
    db.sql("INSERT INTO orders (id) VALUES (1)").await;
    receiver.wait_for(1, SOON).await;
    db.confirmed(SOON).await;
    first.kill().await;
    // What the first one delivered is unknown to its state.
    assert_eq!(second.exit_code().await, 69, "{}", second.output());
    first.launch();
    first.ready().await;
    db.sql("INSERT INTO orders (id) VALUES (2)").await;
    let events = receiver.wait_for(2, SOON).await;
    oracle::assert_no_repeats(&events);
}

/// Its state is what the first one left: a file system moved to another machine.
#[tokio::test]
async fn a_second_daemon_takes_over_where_the_first_was_killed() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    let mut first = Daemon::of(&db)
        .endpoint("r", &receiver)
        .table("public.orders", ALL_EVENTS)
        .start()
        .await;
    let mut second = Daemon::of(&db)
        .endpoint("r", &receiver)
        .table("public.orders", ALL_EVENTS)
        .prepare();
    db.sql("INSERT INTO orders (id) VALUES (1)").await;
    receiver.wait_for(1, SOON).await;
    db.confirmed(SOON).await;
    first.kill().await;
    for suffix in ["", "-wal"] {
        let path = |daemon: &Daemon| format!("{}{suffix}", daemon.state_path().display());
        std::fs::copy(path(&first), path(&second)).ok();
    }
    second.launch();
    second.ready().await;
    db.sql("INSERT INTO orders (id) VALUES (2)").await;
    let events = receiver.wait_for(2, SOON).await;
    oracle::assert_no_repeats(&events);
}
