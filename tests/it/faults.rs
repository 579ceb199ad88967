//! Receivers at their worst. Each harms only its own events, and only for as long as it lasts.

use std::time::Duration;

use tokio::time::Instant;

use crate::harness::metrics::EVENTS_WAITING;
use crate::harness::{
    ALL_EVENTS, Answer, Cluster, Daemon, Database, ORDERS, Receiver, SOON, eventually, oracle,
};

async fn start(options: &str) -> (Database, Receiver, Daemon) {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db)
        .endpoint_with("r", &receiver, options)
        .table("public.orders", ALL_EVENTS)
        .start()
        .await;
    (db, receiver, daemon)
}

/// The fault meets the first request: the second is the same event, and all arrive in order.
async fn survives(fault: Answer) {
    let (db, receiver, _daemon) = start("timeout: 1s").await;
    let what = format!("{fault:?}");
    receiver.next(fault);
    db.sql("INSERT INTO orders (id) SELECT generate_series(1, 5)")
        .await;
    let events = receiver.wait_for(5, SOON).await;
    oracle::assert_in_order_per_table(&events);
    oracle::assert_no_repeats(&events);
    let attempts = receiver.attempts();
    assert_eq!(attempts.len(), 6, "{what}");
    assert_eq!(attempts[0].id(), attempts[1].id(), "{what}");
    let waited = attempts[1].at.duration_since(attempts[0].at);
    assert!(waited < Duration::from_secs(4), "{what}: {waited:?}");
}

/// A fault behind the status line of a 200: the event is delivered, once.
async fn is_delivered_by(fault: Answer) {
    let (db, receiver, _daemon) = start("timeout: 1s").await;
    let what = format!("{fault:?}");
    receiver.next(fault);
    db.sql("INSERT INTO orders (id) SELECT generate_series(1, 5)")
        .await;
    receiver.wait_for(5, SOON).await;
    assert_eq!(receiver.attempts().len(), 5, "{what}");
}

#[tokio::test]
async fn reset() {
    survives(Answer::Reset).await;
}

#[tokio::test]
async fn reset_in_the_head() {
    survives(Answer::ResetInHead).await;
}

#[tokio::test]
async fn the_work_is_done_and_then_the_connection_closes() {
    survives(Answer::WorkThenClose).await;
}

#[tokio::test]
async fn hang() {
    survives(Answer::Hang).await;
}

#[tokio::test]
async fn an_answer_that_comes_too_late() {
    survives(Answer::After(
        Duration::from_secs(2),
        Box::new(Answer::status(500)),
    ))
    .await;
}

#[tokio::test]
async fn a_head_byte_by_byte() {
    survives(Answer::DripHead(Duration::from_millis(100))).await;
}

#[tokio::test]
async fn endless_interim_answers() {
    survives(Answer::EndlessInterim).await;
}

#[tokio::test]
async fn a_head_of_100_mb() {
    survives(Answer::HugeHead(100 << 20)).await;
}

#[tokio::test]
async fn garbage() {
    for garbage in [
        b"SSH-2.0-OpenSSH_9.2\r\n".as_slice(),
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"HTTP/1.1 banana\r\n\r\n",
        b"HTTP/1.1 99999 Huge\r\n\r\n",
        b"\x00\x00\x00",
        b"",
    ] {
        survives(Answer::Garbage(garbage)).await;
    }
}

#[tokio::test]
async fn a_body_byte_by_byte_behind_a_200() {
    is_delivered_by(Answer::DripBody(Duration::from_millis(100))).await;
}

#[tokio::test]
async fn a_body_shorter_than_it_said_behind_a_200() {
    is_delivered_by(Answer::ShortBody).await;
}

#[tokio::test]
async fn an_answer_of_10_gb_is_not_read() {
    let (db, receiver, _daemon) = start("timeout: 2s").await;
    receiver.next(Answer::Endless(500));
    receiver.next(Answer::Endless(200));
    db.sql("INSERT INTO orders (id) SELECT generate_series(1, 5)")
        .await;
    receiver.wait_for(5, SOON).await;
    assert_eq!(receiver.attempts().len(), 6);
    // What the kernel's buffers take in is beyond the daemon.
    let taken = receiver.bytes_sent();
    assert!(taken < 64 << 20, "{taken} bytes");
}

#[tokio::test]
async fn a_redirect_is_never_followed() {
    let (db, receiver, _daemon) = start("headers: {x-api-key: key}").await;
    let elsewhere = Receiver::start().await;
    for status in [301, 302, 303, 307, 308] {
        receiver.next(Answer::status_with(status, "location", &elsewhere.url()));
    }
    db.sql("INSERT INTO orders (id) VALUES (1)").await;
    receiver.wait_for(1, SOON).await;
    assert_eq!(receiver.attempts().len(), 6);
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_no_failed_attempt() {
    let (db, receiver, _daemon) = start("retry: {max: 30s}").await;
    receiver.always(Answer::AcceptThenClose);
    for id in 1..=20 {
        db.sql(&format!("INSERT INTO orders (id) VALUES ({id})"))
            .await;
        receiver.wait_for(id, SOON).await;
    }
    let attempts = receiver.attempts();
    assert_eq!(attempts.len(), 20);
    assert!(attempts.iter().all(|attempt| attempt.number() == 1));
}

#[tokio::test]
async fn refused_connections_then_a_receiver() {
    let (db, receiver, _daemon) = start("").await;
    receiver.refuse().await;
    db.sql("INSERT INTO orders (id) SELECT generate_series(1, 200)")
        .await;
    receiver.accept_again().await;
    let events = receiver.wait_for(200, SOON).await;
    oracle::assert_no_repeats(&events);
    oracle::assert_in_order_per_table(&events);
}

#[tokio::test]
async fn a_bad_endpoint_harms_only_itself() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let (good, bad) = (Receiver::start().await, Receiver::start().await);
    bad.always(Answer::Hang);
    let _daemon = Daemon::of(&db)
        .endpoint("good", &good)
        .endpoint_with("bad", &bad, "timeout: 60s")
        .table(
            "public.orders",
            "to: [good, bad]\nevents: {insert: order.created}",
        )
        .start()
        .await;
    db.sql(
        "INSERT INTO orders (id, note) SELECT g, repeat('x', 1000) FROM generate_series(1, 3000) g",
    )
    .await;
    let events = good.wait_for(3000, 3 * SOON).await;
    oracle::assert_in_order_per_table(&events);
    bad.always(Answer::Accept);
    bad.refuse().await;
    bad.accept_again().await;
    let events = bad.wait_for(3000, 3 * SOON).await;
    oracle::assert_no_repeats(&events);
    oracle::assert_in_order_per_table(&events);
}

#[tokio::test]
async fn what_does_not_fit_into_memory_waits_in_the_wal() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    let mut daemon = Daemon::of(&db)
        .endpoint("r", &receiver)
        .top("memory: {max_bytes: 1MiB}")
        .table("public.orders", ALL_EVENTS)
        .start()
        .await;
    receiver.refuse().await;
    for round in 0..3 {
        db.sql(&format!(
            "INSERT INTO orders (id, note) SELECT g, repeat('x', 1000) FROM generate_series({}, {}) g",
            round * 1000 + 1,
            round * 1000 + 1000
        ))
        .await;
        eventually("full", || async {
            daemon.metrics().await.sum(EVENTS_WAITING, &[]) >= 100.0
        })
        .await;
        daemon.kill().await;
        daemon.launch();
        daemon.ready().await;
    }
    receiver.accept_again().await;
    let events = receiver.wait_for(3000, 3 * SOON).await;
    oracle::assert_no_repeats(&events);
    oracle::assert_in_order_per_table(&events);
    oracle::assert_replay(&events, &db, "public.orders").await;
}

#[tokio::test]
async fn postgres_stops_fast_with_every_endpoint_dead() {
    let cluster = Cluster::own().start().await;
    let db = cluster.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db).endpoint_with("r", &receiver, "timeout: 60s");
    let daemon = daemon.table("public.orders", ALL_EVENTS).start().await;
    receiver.always(Answer::Hang);
    db.sql("INSERT INTO orders (id) SELECT generate_series(1, 100)")
        .await;
    receiver.wait_for_attempts(1, SOON).await;
    let asked = Instant::now();
    assert!(
        cluster.stop_fast(Duration::from_secs(2)).await,
        "{:?}",
        asked.elapsed()
    );
    cluster.start().await;
    daemon.ready().await;
    receiver.always(Answer::Accept);
    receiver.refuse().await;
    receiver.accept_again().await;
    receiver.wait_for(100, SOON).await;
}

#[tokio::test]
async fn a_graceful_stop_does_not_wait_for_a_dead_endpoint() {
    let (db, receiver, mut daemon) = start("timeout: 60s").await;
    receiver.always(Answer::Hang);
    db.sql("INSERT INTO orders (id) SELECT generate_series(1, 10)")
        .await;
    receiver.wait_for_attempts(1, SOON).await;
    assert_eq!(daemon.stop().await, 0);
    receiver.always(Answer::Accept);
    daemon.launch();
    let events = receiver.wait_for(10, SOON).await;
    oracle::assert_in_order_per_table(&events);
}
