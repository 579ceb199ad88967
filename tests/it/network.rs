//! The network between the daemon and Postgres at its worst: a stream cut anywhere, black
//! holes, delay, half-closed connections. `WALHOOK_TEST_CUTS` says how often it is cut.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::harness::proxy::{Fate, Kind, Proxy};
use crate::harness::{
    ALL_EVENTS, Cluster, Daemon, Database, ORDERS, Receiver, SOON, oracle, seed, traffic,
};

/// Of what is streamed, the cuts are spread over so much.
const STRETCH: u64 = 64 << 10;
/// Daemons that are cut beside one another.
const DAEMONS: usize = 3;

/// Far more than a stretch, in transactions of which none is longer than a part of it.
async fn write_much(db: &Database) {
    let client = db.client().await;
    let rows = "INSERT INTO orders SELECT g, 'new', md5(g::text) \
                FROM generate_series(t * 8, t * 8 + 7) g; \
                UPDATE orders SET status = 'seen' WHERE id = t * 8; \
                DELETE FROM orders WHERE id = t * 8 + 1";
    let from: i64 = db
        .value("SELECT coalesce(max(id), -1) / 8 + 1 FROM orders")
        .await;
    let block = format!(
        "DO $$ BEGIN FOR t IN {from}..{} LOOP {rows}; COMMIT; END LOOP; END $$",
        from + 200
    );
    client.batch_execute(&block).await.expect("rows");
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn a_stream_that_is_cut_at_any_byte_loses_and_repeats_nothing() {
    let cuts = std::env::var("WALHOOK_TEST_CUTS").unwrap_or_else(|_| "300".to_owned());
    let cuts: u64 = cuts.parse().expect("WALHOOK_TEST_CUTS is a number");
    // Shuffled: after a stream that was cut before it brought anything the daemon waits.
    let mut offsets: Vec<usize> = (0..cuts)
        .map(|cut| (1 + cut * STRETCH / cuts) as usize)
        .collect();
    fastrand::Rng::with_seed(seed()).shuffle(&mut offsets);
    let shares = offsets.chunks(offsets.len().div_ceil(DAEMONS));
    let daemons = shares.map(|share| cut_at(share.to_vec()));
    futures_util::future::join_all(daemons).await;
}

async fn cut_at(offsets: Vec<usize>) {
    let db = Cluster::shared().await.database().await;
    traffic::prepare(&db).await;
    let proxy = Proxy::before(&db).await;
    let receiver = Receiver::start().await.keep_events_only();
    let daemon = Daemon::of(&db).url(&proxy.url(&db)).endpoint_with(
        "r",
        &receiver,
        "batch: {events: 100, wait: 1ms}",
    );
    let daemon = traffic::to(daemon, "r").start().await;
    let mut cuts = proxy.cuts();
    // The first stream has begun already.
    proxy.turn(Kind::Replication, Fate::EndedForDaemon);
    for (done, offset) in (1..).zip(offsets) {
        proxy.cut_next_at(offset);
        while *cuts.borrow_and_update() < done {
            let cut = tokio::time::timeout(Duration::from_millis(500), cuts.changed()).await;
            if cut.is_err() {
                write_much(&db).await;
            }
        }
    }
    let events = receiver
        .wait_for(traffic::changes(&db).await, 6 * SOON)
        .await;
    oracle::assert_no_repeats(&events);
    oracle::assert_in_order_per_table(&events);
    traffic::assert_complete(&db, &events).await;
    drop(daemon);
}

/// A cluster whose limit of silence is short, with a proxy before it.
async fn impatient() -> (Arc<Cluster>, Database, Proxy, Receiver, Daemon) {
    let cluster = Cluster::own().setting("wal_sender_timeout", "'2s'");
    let cluster = cluster.start().await;
    let db = cluster.database().await;
    db.sql(ORDERS).await;
    db.sql("CREATE TABLE later (id int PRIMARY KEY)").await;
    let proxy = Proxy::before(&db).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db)
        .url(&proxy.url(&db))
        .endpoint("r", &receiver)
        .table("public.orders", ALL_EVENTS)
        .table("public.later", "to: r\nevents: {insert: later.made}")
        .start()
        .await;
    db.sql("INSERT INTO orders (id) VALUES (1)").await;
    receiver.wait_for(1, SOON).await;
    (cluster, db, proxy, receiver, daemon)
}

/// What is written after the fault arrives, once, and on another connection.
async fn recovers_from(kinds: &[Kind], fate: Fate, reason: &str) {
    let (_cluster, db, proxy, receiver, daemon) = impatient().await;
    for &kind in kinds {
        proxy.turn(kind, fate);
    }
    // The table is new in the stream: the daemon asks the catalog about it.
    db.sql("INSERT INTO later VALUES (1)").await;
    db.sql("INSERT INTO orders (id) VALUES (2)").await;
    daemon.lines().line_with(reason, SOON).await;
    let events = receiver.wait_for(3, 2 * SOON).await;
    db.confirmed(SOON).await;
    oracle::assert_no_repeats(&events);
    let tables: HashSet<_> = events.iter().map(|event| event.table.as_str()).collect();
    assert_eq!(tables.len(), 2);
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_given_up() {
    recovers_from(
        &[Kind::Replication],
        Fate::Swallowed,
        "nothing came from the server",
    )
    .await;
}

#[tokio::test]
async fn a_network_that_swallows_all_is_given_up() {
    let both = [Kind::Replication, Kind::Control];
    recovers_from(&both, Fate::Swallowed, "nothing came from the server").await;
}

#[tokio::test]
async fn a_control_connection_that_falls_silent_is_given_up() {
    recovers_from(
        &[Kind::Control],
        Fate::Swallowed,
        "no answer on the control connection",
    )
    .await;
}

#[tokio::test]
async fn a_connection_that_ends_on_one_side_is_replaced() {
    for fate in [Fate::EndedForDaemon, Fate::EndedForServer] {
        for kind in [Kind::Replication, Kind::Control] {
            recovers_from(&[kind], fate, "not streaming; trying again").await;
        }
    }
}

#[tokio::test]
async fn a_slow_network_is_slow_and_nothing_else() {
    let (_cluster, db, proxy, receiver, daemon) = impatient().await;
    proxy.delay(Duration::from_millis(100));
    for id in 2..=20 {
        db.sql(&format!("INSERT INTO orders (id) VALUES ({id})"))
            .await;
    }
    db.sql("INSERT INTO later VALUES (1)").await;
    let events = receiver.wait_for(21, SOON).await;
    oracle::assert_in_order_per_table(&events);
    oracle::assert_no_repeats(&events);
    db.confirmed(SOON).await;
    assert!(
        !daemon.output().contains("not streaming"),
        "{}",
        daemon.output()
    );
}
