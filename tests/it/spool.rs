//! What an endpoint does not take waits on disk, in order, and harms nobody else.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use crate::harness::metrics::{
    DEAD_LETTERS, EVENTS_DELIVERED, EVENTS_MADE, EVENTS_MISSED, EVENTS_WAITING,
    EVENTS_WAITING_AT_START, OLDEST_WAITING, SPOOL_EVENTS,
};
use crate::harness::receiver::Event;
use crate::harness::{
    ALL_EVENTS, Answer, Cluster, Daemon, Database, ORDERS, Receiver, SOON, eventually, oracle,
};

async fn start(options: &str, top: &str) -> (Database, Receiver, Daemon) {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db)
        .top(top)
        .endpoint_with("r", &receiver, options)
        .table("public.orders", ALL_EVENTS)
        .start()
        .await;
    (db, receiver, daemon)
}

async fn insert(db: &Database, rows: std::ops::RangeInclusive<u32>) {
    let (first, last) = (rows.start(), rows.end());
    db.sql(&format!(
        "INSERT INTO orders (id, note) SELECT g, repeat('x', 1000) FROM generate_series({first}, {last}) g"
    ))
    .await;
}

async fn spooled(daemon: &Daemon, events: f64) {
    eventually("on disk", || async {
        daemon.metrics().await.sum(SPOOL_EVENTS, &[]) == events
    })
    .await;
}

#[tokio::test]
async fn while_the_endpoint_is_down_the_slot_moves_on_and_then_all_arrives_in_order() {
    let (db, receiver, daemon) = start("", "memory: {max_bytes: 1MiB}").await;
    receiver.refuse().await;
    insert(&db, 1..=3000).await;
    // Far more than fits into memory.
    db.confirmed(2 * SOON).await;
    spooled(&daemon, 3000.0).await;
    assert_eq!(receiver.count(), 0);
    // It goes on growing on disk.
    eventually("two seconds old", || async {
        (2.0..60.0).contains(&daemon.metrics().await.sum(OLDEST_WAITING, &[]))
    })
    .await;
    receiver.accept_again().await;
    insert(&db, 3001..=3100).await;
    let events = receiver.wait_for(3100, 3 * SOON).await;
    oracle::assert_no_repeats(&events);
    oracle::assert_in_order_per_table(&events);
    oracle::assert_replay(&events, &db, "public.orders").await;
    spooled(&daemon, 0.0).await;
    eventually("nothing waits", || async {
        daemon.metrics().await.sum(OLDEST_WAITING, &[]) == 0.0
    })
    .await;
}

/// Its lanes are sending all the while, and hold what they would send next.
#[tokio::test]
async fn an_endpoint_that_hangs_keeps_no_memory_that_reading_needs() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let (good, hanging) = (Receiver::start().await, Receiver::start().await);
    hanging.always(Answer::Hang);
    let _daemon = Daemon::of(&db)
        .top("memory: {max_bytes: 4MiB}")
        .endpoint_with("good", &good, "order: key")
        .endpoint_with("hanging", &hanging, "order: key\ntimeout: 10min")
        .table(
            "public.orders",
            "to: [good, hanging]\nevents: {insert: order.created}",
        )
        .start()
        .await;
    insert(&db, 1..=20_000).await;
    good.wait_for(20_000, 2 * SOON).await;
    db.confirmed(SOON).await;
}

#[tokio::test]
async fn one_lane_that_fails_waits_on_disk_while_the_others_go_on() {
    let (db, receiver, daemon) = start("order: key\nkey_lanes: 8", "").await;
    receiver.choose(|attempt| (attempt.events[0].data("id") == 7).then(|| Answer::status(500)));
    insert(&db, 1..=20).await;
    for round in 0..20 {
        db.sql(&format!("UPDATE orders SET status = '{round}'"))
            .await;
    }
    db.confirmed(2 * SOON).await;
    eventually("all others", || async { receiver.count() >= 20 * 12 }).await;
    // Those of its row, and of the rows that share its lane.
    eventually("its lane on disk", || async {
        let on_disk = daemon.metrics().await.sum(SPOOL_EVENTS, &[]);
        (21.0..=200.0).contains(&on_disk)
    })
    .await;
    receiver.choose(|_| None);
    let events = receiver.wait_for(20 * 21, 2 * SOON).await;
    oracle::assert_no_repeats(&events);
    oracle::assert_in_order_by(&events, |event| event.data("id").to_string());
}

#[tokio::test]
async fn lanes_that_wait_for_one_another_are_read_back_into_the_least_memory() {
    let (db, receiver, daemon) =
        start("order: key\nkey_lanes: 3", "memory: {max_bytes: 64KiB}").await;
    receiver.refuse().await;
    insert(&db, 1..=6).await;
    for moved in 1..=4 {
        // Each stands in the lanes of two rows.
        db.sql("UPDATE orders SET id = id + 1000").await;
        db.sql(&format!("UPDATE orders SET status = '{moved}'"))
            .await;
    }
    let events = 6 + 4 * 12;
    spooled(&daemon, f64::from(events)).await;
    receiver.accept_again().await;
    let events = receiver.wait_for(events as usize, 2 * SOON).await;
    oracle::assert_no_repeats(&events);
    spooled(&daemon, 0.0).await;
}

#[tokio::test]
async fn what_waits_on_disk_outlives_a_crash_and_keeps_its_ids_and_order() {
    let (db, receiver, mut daemon) = start("", "").await;
    receiver.always(Answer::status(500));
    insert(&db, 1..=500).await;
    let first = receiver.wait_for_attempts(1, SOON).await[0].id().to_owned();
    db.confirmed(SOON).await;
    daemon.kill().await;
    daemon.launch();
    daemon.ready().await;
    let metrics = daemon.metrics().await;
    assert_eq!(metrics.sum(EVENTS_WAITING_AT_START, &[]), 500.0);
    assert_eq!(metrics.sum(EVENTS_WAITING, &[]), 500.0);
    receiver.always(Answer::Accept);
    insert(&db, 501..=600).await;
    let events = receiver.wait_for(600, SOON).await;
    assert_eq!(events[0].id, first);
    oracle::assert_no_repeats(&events);
    oracle::assert_in_order_per_table(&events);
    oracle::assert_replay(&events, &db, "public.orders").await;
    // The attempts of the head go on counting.
    let attempts = receiver.attempts();
    let accepted = attempts.iter().find(|attempt| attempt.accepted).unwrap();
    assert!(accepted.number() > 2, "{}", accepted.number());
}

#[tokio::test]
async fn crashes_while_it_fills_and_drains_lose_nothing_and_keep_the_order() {
    let (db, receiver, mut daemon) = start("batch: {events: 20, wait: 1ms}", "").await;
    for round in 0..5_u32 {
        receiver.refuse().await;
        insert(&db, round * 400 + 1..=round * 400 + 300).await;
        db.confirmed(2 * SOON).await;
        receiver.accept_again().await;
        let before = receiver.count();
        insert(&db, round * 400 + 301..=round * 400 + 400).await;
        eventually("draining", || async { receiver.count() > before }).await;
        daemon.kill().await;
        daemon.launch();
        daemon.ready().await;
    }
    let all = |events: &[Event]| oracle::without_repeats(events).len() == 2000;
    let events = oracle::without_repeats(&receiver.wait_until(all, 2 * SOON).await);
    oracle::assert_in_order_per_table(&events);
    oracle::assert_replay(&events, &db, "public.orders").await;
}

#[tokio::test]
async fn a_graceful_stop_with_a_dead_endpoint_repeats_nothing() {
    let (db, receiver, mut daemon) = start("", "").await;
    insert(&db, 1..=100).await;
    receiver.wait_for(50, SOON).await;
    receiver.refuse().await;
    insert(&db, 101..=200).await;
    assert_eq!(daemon.stop().await, 0);
    receiver.accept_again().await;
    insert(&db, 201..=300).await;
    daemon.launch();
    let events = receiver.wait_for(300, SOON).await;
    oracle::assert_in_order_per_table(&events);
    oracle::assert_replay(&events, &db, "public.orders").await;
    spooled(&daemon, 0.0).await;
    assert_eq!(receiver.count(), 300);
}

#[tokio::test]
async fn when_the_order_changes_what_waits_is_laid_into_the_new_lanes() {
    let (db, receiver, mut daemon) = start("order: key\nkey_lanes: 8", "").await;
    receiver.refuse().await;
    insert(&db, 1..=100).await;
    db.sql("UPDATE orders SET status = 'a'; DELETE FROM orders WHERE id > 90; TRUNCATE orders")
        .await;
    insert(&db, 1..=50).await;
    db.confirmed(2 * SOON).await;
    let all = 100 + 100 + 10 + 1 + 50;
    for (from, to) in [
        ("key_lanes: 8", "key_lanes: 3"),
        ("order: key", "order: endpoint"),
        ("order: endpoint", "order: table"),
    ] {
        if to == "order: endpoint" {
            daemon.edit_config("    key_lanes: 3\n", "");
        }
        daemon.edit_config(from, to);
        daemon.restart().await;
        spooled(&daemon, f64::from(all)).await;
    }
    receiver.accept_again().await;
    let events = receiver.wait_for(all as usize, SOON).await;
    oracle::assert_no_repeats(&events);
    oracle::assert_in_order_per_table(&events);
    oracle::assert_replay(&events, &db, "public.orders").await;
}

#[tokio::test]
async fn an_endpoint_taken_out_of_the_config_keeps_what_waits_until_it_is_back() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let (kept, away) = (Receiver::start().await, Receiver::start().await);
    let mut daemon = Daemon::of(&db)
        .endpoint("kept", &kept)
        .endpoint("away", &away)
        .table(
            "public.orders",
            "to: [kept, away]\nevents: {insert: order.created}",
        )
        .start()
        .await;
    away.refuse().await;
    insert(&db, 1..=20).await;
    db.confirmed(SOON).await;
    let with_it = daemon.config();
    let begin = with_it.find("  'away':").unwrap();
    let end = with_it.find("tables:").unwrap();
    let without = format!("{}{}", &with_it[..begin], &with_it[end..]);
    daemon.set_config(&without.replace("to: [kept, away]", "to: kept"));
    daemon.restart().await;
    insert(&db, 21..=25).await;
    kept.wait_for(25, SOON).await;
    let status = daemon.cli(&["status"]).await.text();
    assert!(status.contains("away"), "{status}");
    daemon.set_config(&with_it);
    daemon.restart().await;
    away.accept_again().await;
    let events = away.wait_for(20, SOON).await;
    oracle::assert_in_order_per_table(&events);
    assert_eq!(
        events.len(),
        20,
        "what came while it was away is not for it"
    );
}

#[tokio::test]
async fn a_full_spool_stops_reading_and_says_which_endpoint_fills_it() {
    let (db, receiver, daemon) =
        start("", "spool: {max_bytes: 1MiB}\nmemory: {max_bytes: 1MiB}").await;
    receiver.refuse().await;
    insert(&db, 1..=4000).await;
    eventually("full", || async { daemon.readiness().await == Some(503) }).await;
    let (_, page) = daemon.get("/readyz").await;
    assert!(
        page.contains("spool is full") && page.contains("\"r\""),
        "{page}"
    );
    let end = db.lsn().await;
    assert!(
        !db.has_confirmed(&end).await,
        "the WAL stays with the server"
    );
    // Status updates go on: the walsender is not cut.
    assert!(db.slot_is_active().await);
    receiver.accept_again().await;
    let events = receiver.wait_for(4000, 3 * SOON).await;
    oracle::assert_no_repeats(&events);
    oracle::assert_in_order_per_table(&events);
    eventually("ready", || async { daemon.readiness().await == Some(200) }).await;
}

#[tokio::test]
async fn a_full_spool_can_disable_who_fills_it_and_what_it_misses_is_on_record() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let (good, dead) = (Receiver::start().await, Receiver::start().await);
    let daemon = Daemon::of(&db)
        .top("spool: {max_bytes: 1MiB, full: disable}\nmemory: {max_bytes: 1MiB}")
        .endpoint("good", &good)
        .endpoint("dead", &dead)
        .table(
            "public.orders",
            "to: [good, dead]\nevents: {insert: order.created}",
        )
        .start()
        .await;
    dead.refuse().await;
    insert(&db, 1..=4000).await;
    let events = good.wait_for(4000, 3 * SOON).await;
    oracle::assert_in_order_per_table(&events);
    db.confirmed(2 * SOON).await;
    let of = [("endpoint", "dead")];
    let metrics = daemon.metrics().await;
    let (made, missed) = (
        metrics.sum(EVENTS_MADE, &of),
        metrics.sum(EVENTS_MISSED, &of),
    );
    assert_eq!(made + missed, 4000.0);
    assert!(missed > 1000.0, "{missed}");
    let status = daemon.cli(&["status"]).await.text();
    assert!(
        status.contains("disabled") && status.contains("spool_full"),
        "{status}"
    );
    // Once enabled it gets what waits, then what comes.
    dead.accept_again().await;
    daemon
        .cli(&["endpoint", "enable", "dead"])
        .await
        .expect_code(0);
    let waited = dead.wait_for(made as usize, SOON).await;
    oracle::assert_in_order_per_table(&waited);
    insert(&db, 4001..=4010).await;
    let all = dead.wait_for(made as usize + 10, SOON).await;
    oracle::assert_in_order_per_table(&all);
    let ids: HashSet<_> = all
        .iter()
        .map(|event| event.data("id"))
        .map(|id| id.as_u64())
        .collect();
    assert!(ids.contains(&Some(1)) && !ids.contains(&Some(3999)) && ids.contains(&Some(4010)));
}

#[tokio::test]
async fn events_that_waited_longer_than_retry_for_are_parked_together() {
    let (db, receiver, daemon) = start("retry: {for: 6s, max: 200ms}", "").await;
    receiver.always(Answer::status(500));
    insert(&db, 1..=400).await;
    receiver.wait_for_attempts(1, SOON).await;
    eventually("all dead", || async {
        daemon.metrics().await.sum(DEAD_LETTERS, &[]) == 400.0
    })
    .await;
    // Not one after another, each after attempts of its own.
    let tried: HashSet<_> = receiver
        .attempts()
        .iter()
        .map(|a| a.id().to_owned())
        .collect();
    assert!(tried.len() < 40, "{} events were attempted", tried.len());
    receiver.always(Answer::Accept);
    insert(&db, 401..=401).await;
    receiver.wait_for(1, SOON).await;
    daemon
        .cli(&["dead", "retry", "--endpoint", "r"])
        .await
        .expect_code(0);
    let events = receiver.wait_for(401, 2 * SOON).await;
    oracle::assert_in_order_per_table(&events[1..]);
}

#[tokio::test]
async fn beside_bad_endpoints_a_good_one_keeps_its_pace_and_the_lag_returns() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let good = Receiver::start().await;
    let (dead, hanging, dripping, slow) = (
        Receiver::start().await,
        Receiver::start().await,
        Receiver::start().await,
        Receiver::start().await,
    );
    hanging.always(Answer::Hang);
    dripping.always(Answer::DripHead(Duration::from_millis(50)));
    slow.always(Answer::After(
        Duration::from_millis(200),
        Box::new(Answer::Accept),
    ));
    let daemon = Daemon::of(&db)
        .endpoint("good", &good)
        .endpoint("dead", &dead)
        .endpoint_with("hanging", &hanging, "timeout: 15s")
        .endpoint_with("dripping", &dripping, "timeout: 15s")
        .endpoint("slow", &slow)
        .top("memory: {max_bytes: 4MiB}")
        .table(
            "public.orders",
            "to: [good, dead, hanging, dripping, slow]\nevents: {insert: order.created}",
        )
        .start()
        .await;
    dead.refuse().await;
    insert(&db, 1..=10_000).await;
    let committed = Instant::now();
    let events = good.wait_for(10_000, 3 * SOON).await;
    oracle::assert_in_order_per_table(&events);
    // What waits for the four others, 40 MB of it, is on disk.
    db.confirmed(Duration::from_secs(30)).await;
    assert!(
        committed.elapsed() < Duration::from_secs(40),
        "{:?}",
        committed.elapsed()
    );
    let metrics = daemon.metrics().await;
    let delivered = metrics.sum(EVENTS_DELIVERED, &[("endpoint", "slow")]);
    assert_eq!(metrics.sum(EVENTS_WAITING, &[]), 40_000.0 - delivered);
}
