//! Several events in one request.

use std::collections::HashSet;
use std::time::Duration;

use crate::harness::{
    ALL_EVENTS, Answer, Cluster, Daemon, Database, ORDERS, Receiver, SOON, oracle,
};

async fn start(batch: &str) -> (Database, Receiver, Daemon) {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db)
        .endpoint_with("r", &receiver, &format!("batch: {batch}"))
        .table("public.orders", ALL_EVENTS)
        .start()
        .await;
    (db, receiver, daemon)
}

#[tokio::test]
async fn a_single_event_is_an_array_too() {
    let (db, receiver, _daemon) = start("{events: 10, wait: 5ms}").await;
    db.sql("INSERT INTO orders VALUES (1)").await;
    let events = receiver.wait_for(1, SOON).await;
    let attempt = &receiver.attempts()[0];
    assert_eq!(
        attempt.request.body,
        format!("[{}]", events[0].text).into_bytes()
    );
    assert_ne!(attempt.id(), events[0].id, "a batch has an id of its own");
}

#[tokio::test]
async fn a_batch_has_no_more_events_than_it_may() {
    let (db, receiver, _daemon) = start("{events: 7, wait: 500ms}").await;
    db.sql("INSERT INTO orders (id) SELECT generate_series(1, 70)")
        .await;
    let events = receiver.wait_for(70, SOON).await;
    oracle::assert_no_repeats(&events);
    oracle::assert_in_order_per_table(&events);
    let sizes: Vec<_> = receiver.attempts().iter().map(|a| a.events.len()).collect();
    assert_eq!(sizes, [7; 10], "full batches do not wait");
}

#[tokio::test]
async fn a_batch_has_no_more_bytes_than_it_may_but_a_single_event() {
    let (db, receiver, _daemon) = start("{events: 100, wait: 20ms, bytes: 2KiB}").await;
    db.sql(
        "INSERT INTO orders (id, note) SELECT g, repeat('x', 300) FROM generate_series(1, 40) g",
    )
    .await;
    db.sql("INSERT INTO orders (id, note) VALUES (41, repeat('x', 5000))")
        .await;
    receiver.wait_for(41, SOON).await;
    let attempts = receiver.attempts();
    assert!(attempts.len() < 30, "{} requests", attempts.len());
    for attempt in attempts {
        assert!(attempt.request.body.len() <= 2048 || attempt.events.len() == 1);
    }
}

#[tokio::test]
async fn a_batch_keeps_its_events_on_every_retry() {
    let (db, receiver, _daemon) = start("{events: 100, wait: 20ms}").await;
    for _ in 0..3 {
        receiver.next(Answer::status(500));
    }
    db.sql("INSERT INTO orders (id) SELECT generate_series(1, 5)")
        .await;
    receiver.wait_for_attempts(1, SOON).await;
    db.sql("INSERT INTO orders (id) SELECT generate_series(6, 10)")
        .await;
    let events = receiver.wait_for(10, SOON).await;
    oracle::assert_no_repeats(&events);
    oracle::assert_in_order_per_table(&events);
    oracle::assert_never_overtaken(&receiver.attempts(), &HashSet::new(), |e| e.table.clone());
    let attempts = receiver.attempts();
    let first: Vec<_> = attempts
        .iter()
        .filter(|a| a.id() == attempts[0].id())
        .collect();
    assert_eq!(first.len(), 4);
    assert!(
        first
            .iter()
            .all(|attempt| attempt.request.body == attempts[0].request.body)
    );
}

#[tokio::test]
async fn a_crash_in_a_batch_repeats_only_the_same_events() {
    let (db, receiver, mut daemon) = start("{events: 10, wait: 5ms}").await;
    receiver.always(Answer::After(
        Duration::from_millis(5),
        Box::new(Answer::Accept),
    ));
    db.sql("INSERT INTO orders (id) SELECT generate_series(1, 500)")
        .await;
    receiver.wait_for(100, SOON).await;
    daemon.kill().await;
    daemon.launch();
    let all =
        |events: &[crate::harness::receiver::Event]| oracle::without_repeats(events).len() == 500;
    let events = oracle::without_repeats(&receiver.wait_until(all, SOON).await);
    oracle::assert_in_order_per_table(&events);
    oracle::assert_replay(&events, &db, "public.orders").await;
}
