//! P3: within a lane nothing overtakes; between lanes nothing waits.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::harness::receiver::{Attempt, Event};
use crate::harness::{
    Answer, Cluster, Daemon, Database, ORDERS, Receiver, SOON, eventually, oracle,
};

const TABLES: [&str; 3] = ["t1", "t2", "t3"];

async fn start(options: &str) -> (Database, Receiver, Daemon) {
    let db = Cluster::shared().await.database().await;
    let receiver = Receiver::start().await;
    let mut daemon = Daemon::of(&db).endpoint_with("r", &receiver, options);
    for table in TABLES {
        db.sql(&format!("CREATE TABLE {table} (id int PRIMARY KEY, v int)"))
            .await;
        daemon = daemon.table(
            &format!("public.{table}"),
            "to: r\nevents: {insert: made, update: changed, delete: gone, truncate: emptied}",
        );
    }
    (db, receiver, daemon.start().await)
}

/// A third of all requests fail, in different ways.
fn trouble(receiver: &Receiver) {
    let mut chance = fastrand::Rng::with_seed(7);
    receiver.choose(move |_| match chance.u8(..10) {
        0 => Some(Answer::status(500)),
        1 => Some(Answer::Reset),
        2 => Some(Answer::WorkThenClose),
        3 => Some(Answer::After(
            Duration::from_millis(20),
            Box::new(Answer::Accept),
        )),
        _ => None,
    });
}

async fn write_some(db: &Database, rows: usize) {
    let client = db.client().await;
    for id in 1..=rows {
        let statements = TABLES.map(|t| format!("INSERT INTO {t} VALUES ({id}, 0);"));
        client.batch_execute(&statements.concat()).await.unwrap();
        let again = TABLES.map(|t| format!("UPDATE {t} SET v = v + 1 WHERE id = {id};"));
        client.batch_execute(&again.concat()).await.unwrap();
    }
}

fn row_of(event: &Event) -> String {
    format!("{} {}", event.table, event.data("id"))
}

/// The work was done in all attempts whose answer was a close; none of them may be lost either.
fn nobody() -> HashSet<String> {
    HashSet::new()
}

#[tokio::test]
async fn a_table_stays_in_order_whatever_fails() {
    let (db, receiver, _daemon) = start("order: table").await;
    trouble(&receiver);
    write_some(&db, 15).await;
    let events = receiver.wait_for(15 * 6, SOON).await;
    oracle::assert_no_repeats(&events);
    oracle::assert_in_order_per_table(&events);
    oracle::assert_never_overtaken(&receiver.attempts(), &nobody(), |e| e.table.clone());
    for table in TABLES {
        oracle::assert_replay(&events, &db, &format!("public.{table}")).await;
    }
}

#[tokio::test]
async fn one_table_does_not_hold_another() {
    let (db, receiver, _daemon) = start("order: table").await;
    receiver
        .choose(|attempt| (attempt.events[0].table == "public.t1").then(|| Answer::status(500)));
    write_some(&db, 5).await;
    let events = receiver.wait_for(20, SOON).await;
    assert!(events.iter().all(|event| event.table != "public.t1"));
    let stuck: HashSet<_> = receiver
        .attempts()
        .iter()
        .filter(|attempt| attempt.events[0].table == "public.t1")
        .map(|attempt| attempt.id().to_owned())
        .collect();
    assert_eq!(stuck.len(), 1, "only the head is tried");
    receiver.choose(|_| None);
    let events = receiver.wait_for(30, SOON).await;
    oracle::assert_in_order_per_table(&events);
}

#[tokio::test]
async fn rows_stay_in_order_and_run_side_by_side_with_order_key() {
    let (db, receiver, _daemon) = start("order: key\nkey_lanes: 32").await;
    trouble(&receiver);
    write_some(&db, 15).await;
    let events = receiver.wait_for(15 * 6, SOON).await;
    oracle::assert_no_repeats(&events);
    oracle::assert_in_order_by(&events, row_of);
    oracle::assert_never_overtaken(&receiver.attempts(), &nobody(), row_of);
}

#[tokio::test]
async fn one_row_does_not_hold_all_others_with_order_key() {
    let (db, receiver, _daemon) = start("order: key\nkey_lanes: 64").await;
    receiver.choose(|attempt| (attempt.events[0].data("id") == 1).then(|| Answer::status(500)));
    db.sql("INSERT INTO t1 SELECT generate_series(1, 40), 0")
        .await;
    // Those whose hash falls into the lane of row 1 wait with it, which are few of 39 over 64.
    let events = receiver.wait_for(30, SOON).await;
    assert!(events.iter().all(|event| event.data("id") != 1));
    receiver.choose(|_| None);
    receiver.wait_for(40, SOON).await;
}

/// The lanes of the rows are others then, and their places say nothing of them.
#[tokio::test]
async fn another_key_in_the_config_loses_no_event_that_waits() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    receiver.choose(|attempt| (attempt.events[0].data("id") == 1).then(|| Answer::status(500)));
    let mut daemon = Daemon::of(&db)
        .endpoint_with("r", &receiver, "order: key")
        .table(
            "public.orders",
            "to: r\nkey: [id]\nevents: { insert: order.created }",
        )
        .start()
        .await;
    db.sql("INSERT INTO orders (id, status) SELECT g, 'new' FROM generate_series(1, 200) g")
        .await;
    // All but those of the lane that the first row heads.
    receiver.wait_for(150, SOON).await;
    assert_eq!(daemon.stop().await, 0);
    daemon.edit_config("key: [id]", "key: [status]");
    receiver.choose(|_| None);
    daemon.launch();
    let all = |events: &[Event]| oracle::without_repeats(events).len() == 200;
    receiver.wait_until(all, SOON).await;
}

/// The same when the table's own key changes, and the daemon has had no time to write down
/// what waits.
#[tokio::test]
async fn another_primary_key_loses_no_event_that_waits_over_a_crash() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    receiver.choose(|attempt| (attempt.events[0].data("id") == 1).then(|| Answer::status(500)));
    let mut daemon = Daemon::of(&db)
        .endpoint_with("r", &receiver, "order: key")
        .table("public.orders", "to: r\nevents: { insert: order.created }")
        .start()
        .await;
    db.sql("INSERT INTO orders (id, status) SELECT g, 'new' FROM generate_series(1, 200) g")
        .await;
    receiver.wait_for(150, SOON).await;
    // Until the places of the lanes that went on are written down.
    eventually("a checkpoint", || async {
        daemon.metrics().await.sum("walhook_checkpoints_total", &[]) >= 2.0
    })
    .await;
    daemon.kill().await;
    db.sql("ALTER TABLE orders DROP CONSTRAINT orders_pkey, ADD PRIMARY KEY (id, status)")
        .await;
    receiver.choose(|_| None);
    daemon.launch();
    let all = |events: &[Event]| oracle::without_repeats(events).len() == 200;
    receiver.wait_until(all, SOON).await;
}

#[tokio::test]
async fn a_change_of_key_is_ordered_with_both_keys() {
    let (db, receiver, _daemon) = start("order: key\nkey_lanes: 64").await;
    db.sql("INSERT INTO t1 VALUES (1, 0)").await;
    receiver.wait_for(1, SOON).await;
    let release = receiver.hold_next();
    db.sql("UPDATE t1 SET v = 1; UPDATE t1 SET id = 2; UPDATE t1 SET v = 2; INSERT INTO t1 VALUES (1, 9)").await;
    db.sql("INSERT INTO t1 SELECT generate_series(100, 120), 0")
        .await;
    // Rows that have nothing to do with it go by; none of those four does.
    let free = |events: &[Event]| events.iter().filter(|e| e.data("id") != 1).count() >= 10;
    let events = receiver.wait_until(free, SOON).await;
    assert!(
        events.iter().all(|e| e.data("id") != 2),
        "the new key did not wait for the old one"
    );
    release.cancel();
    let events = receiver.wait_for(1 + 4 + 21, SOON).await;
    let these: Vec<_> = events
        .iter()
        .filter(|e| e.data("id") == 1 || e.data("id") == 2)
        .collect();
    let order: Vec<_> = these.iter().map(|e| (e.data("id"), e.data("v"))).collect();
    let at = |id: i32, v: i32| {
        order
            .iter()
            .position(|seen| *seen == (id.into(), v.into()))
            .unwrap()
    };
    assert!(at(1, 1) < at(2, 1), "{order:?}");
    assert!(at(2, 1) < at(2, 2) && at(2, 1) < at(1, 9), "{order:?}");
}

#[tokio::test]
async fn a_truncate_is_ordered_with_every_row() {
    let (db, receiver, _daemon) = start("order: key\nkey_lanes: 8").await;
    trouble(&receiver);
    db.sql("INSERT INTO t1 SELECT generate_series(1, 20), 0; TRUNCATE t1; INSERT INTO t1 SELECT generate_series(1, 20), 1").await;
    let events = receiver.wait_for(41, SOON).await;
    let operations: Vec<_> = events.iter().map(|e| e.operation.as_str()).collect();
    assert_eq!(
        operations.iter().position(|o| *o == "truncate"),
        Some(20),
        "{operations:?}"
    );
}

#[tokio::test]
async fn all_tables_stay_in_commit_order_with_order_endpoint() {
    let (db, receiver, _daemon) = start("order: endpoint").await;
    trouble(&receiver);
    write_some(&db, 10).await;
    let events = receiver.wait_for(60, SOON).await;
    oracle::assert_no_repeats(&events);
    oracle::assert_in_order_by(&events, |_| String::new());
    oracle::assert_never_overtaken(&receiver.attempts(), &nobody(), |_| String::new());
}

#[tokio::test]
async fn concurrency_bounds_the_requests_in_flight() {
    let (db, receiver, _daemon) = start("order: key\nkey_lanes: 64\nconcurrency: 3").await;
    receiver.always(Answer::After(
        Duration::from_millis(10),
        Box::new(Answer::Accept),
    ));
    db.sql("INSERT INTO t1 SELECT generate_series(1, 60), 0")
        .await;
    receiver.wait_for(60, SOON).await;
    assert_eq!(receiver.in_flight_peak(), 3);
}

#[tokio::test]
async fn connections_are_used_again() {
    let (db, receiver, _daemon) = start("order: table").await;
    db.sql("INSERT INTO t1 SELECT generate_series(1, 200), 0")
        .await;
    receiver.wait_for(200, SOON).await;
    assert!(
        receiver.connections() <= 3,
        "{} connections",
        receiver.connections()
    );
}

#[tokio::test]
async fn attempts_are_counted_from_one_for_each_event() {
    let (db, receiver, _daemon) = start("order: table").await;
    for _ in 0..3 {
        receiver.next(Answer::status(502));
    }
    db.sql("INSERT INTO t1 VALUES (1, 0), (2, 0)").await;
    receiver.wait_for(2, SOON).await;
    let mut numbers: HashMap<String, Vec<u32>> = HashMap::new();
    let attempts = receiver.attempts();
    for attempt in &attempts {
        numbers
            .entry(attempt.id().to_owned())
            .or_default()
            .push(attempt.number());
    }
    let by_row = |attempt: &Attempt| numbers[attempt.id()].clone();
    assert_eq!(by_row(&attempts[0]), [1, 2, 3, 4]);
    assert_eq!(by_row(&attempts[4]), [1]);
}
