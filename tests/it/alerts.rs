//! Events about walhook itself: who fails, what fills, what is missing.

use serde_json::Value;

use crate::harness::receiver::Event;
use crate::harness::{ALL_EVENTS, Answer, Cluster, Daemon, Database, ORDERS, Receiver, SOON};

/// A daemon with an endpoint for rows and one for alerts.
async fn start(options: &str, top: &str) -> (Database, Receiver, Receiver, Daemon) {
    start_in(Cluster::shared().await.database().await, options, top).await
}

async fn start_in(
    db: Database,
    options: &str,
    top: &str,
) -> (Database, Receiver, Receiver, Daemon) {
    db.sql(ORDERS).await;
    let (receiver, ops) = (Receiver::start().await, Receiver::start().await);
    let daemon = Daemon::of(&db)
        .top("alerts: {to: ops}")
        .top(top)
        .endpoint_with("r", &receiver, options)
        .endpoint("ops", &ops)
        .table("public.orders", ALL_EVENTS)
        .start()
        .await;
    (db, receiver, ops, daemon)
}

/// The alerts so far, each as JSON.
fn alerts(events: &[Event]) -> Vec<Value> {
    events.iter().map(|event| event.json()).collect()
}

#[track_caller]
fn wait_for(receiver: &Receiver, kind: &'static str) -> impl Future<Output = Value> {
    let has = move |events: &[Event]| events.iter().any(|event| event.kind == kind);
    let found = receiver.wait_until(has, 2 * SOON);
    async move {
        let alerts = alerts(&found.await);
        let mut of_kind = alerts.into_iter().filter(|alert| alert["type"] == kind);
        of_kind.next_back().unwrap()
    }
}

#[tokio::test]
async fn an_endpoint_that_fails_and_recovers_is_told_of_twice() {
    let (db, receiver, ops, _daemon) = start("", "").await;
    receiver.always(Answer::status(500));
    db.sql("INSERT INTO orders (id) VALUES (1), (2)").await;
    let failing = wait_for(&ops, "walhook.endpoint.failing").await;
    let data = &failing["data"];
    assert_eq!(data["endpoint"], "r");
    assert_eq!(data["slot"], db.slot.as_str());
    assert_eq!(data["last"], "answered 500");
    assert_eq!(data["waiting"], 2);
    assert!(failing["id"].as_str().unwrap().starts_with("evt_"));
    receiver.always(Answer::Accept);
    let recovered = wait_for(&ops, "walhook.endpoint.recovered").await;
    assert_eq!(recovered["data"]["endpoint"], "r");
    assert_eq!(recovered["data"]["since"], data["since"]);
    assert_eq!(ops.count(), 2);
    assert!(!ops.events()[0].text.contains("/hooks"), "no path of a URL");
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_told_of() {
    let (db, receiver, ops, _daemon) = start("", "").await;
    receiver.always(Answer::status(410));
    db.sql("INSERT INTO orders (id) VALUES (1)").await;
    let disabled = wait_for(&ops, "walhook.endpoint.disabled").await;
    assert_eq!(disabled["data"]["endpoint"], "r");
    assert_eq!(disabled["data"]["by"], "it answered 410 Gone");
    assert_eq!(disabled["data"]["mend"], "walhook endpoint enable r");
}

#[tokio::test]
async fn an_endpoint_is_not_told_of_itself_and_its_failure_to_take_alerts_makes_none() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let (r, ops) = (Receiver::start().await, Receiver::start().await);
    let daemon = Daemon::of(&db)
        .top("alerts: {to: [r, ops]}")
        .endpoint("r", &r)
        .endpoint_with("ops", &ops, "batch: {events: 10}")
        .table("public.orders", ALL_EVENTS)
        .start()
        .await;
    r.always(Answer::status(500));
    ops.always(Answer::status(503));
    db.sql("INSERT INTO orders (id) VALUES (1)").await;
    // One alert, tried again and again.
    ops.wait_for_attempts(4, 2 * SOON).await;
    ops.always(Answer::Accept);
    let failing = wait_for(&ops, "walhook.endpoint.failing").await;
    assert_eq!(failing["data"]["endpoint"], "r");
    let of_alerts = |receiver: &Receiver| {
        let mut ids: Vec<String> = receiver
            .attempts()
            .iter()
            .filter(|attempt| {
                let body = String::from_utf8_lossy(&attempt.request.body).into_owned();
                body.contains("walhook.")
            })
            .map(|attempt| attempt.id().to_owned())
            .collect();
        ids.dedup();
        ids
    };
    assert_eq!(of_alerts(&ops).len(), 1);
    assert_eq!(of_alerts(&r).len(), 0);
    // Where bodies are arrays, an alert is one too.
    assert!(of_alerts(&ops)[0].starts_with("bat_"));
    drop(daemon);
}

#[tokio::test]
async fn a_gap_is_told_until_somebody_took_it_and_then_no_more() {
    let (db, receiver, ops, mut daemon) = start("", "").await;
    db.sql("INSERT INTO orders (id) VALUES (1)").await;
    receiver.wait_for(1, SOON).await;
    assert_eq!(daemon.stop().await, 0);
    db.drop_slot().await;
    db.sql("INSERT INTO orders (id) VALUES (2)").await;
    daemon.cli_with_secrets(&["adopt"]).await.expect_code(0);
    ops.always(Answer::status(500));
    daemon.launch();
    daemon.ready().await;
    let tried = ops.wait_for_attempts(1, SOON).await;
    daemon.kill().await;
    ops.always(Answer::Accept);
    daemon.launch();
    let gap = wait_for(&ops, "walhook.gap").await;
    assert_eq!(gap["id"], tried[0].id(), "the same after a crash");
    assert_eq!(gap["data"]["reason"], "adopted");
    assert_eq!(gap["data"]["endpoint"], Value::Null);
    assert!(gap["data"]["from_lsn"].as_str().unwrap().contains('/'));
    crate::harness::eventually("marked", || async { daemon.gaps().is_empty() }).await;
    daemon.restart().await;
    db.sql("INSERT INTO orders (id) VALUES (3)").await;
    receiver.wait_for(2, SOON).await;
    receiver.always(Answer::status(410));
    db.sql("INSERT INTO orders (id) VALUES (4)").await;
    wait_for(&ops, "walhook.endpoint.disabled").await;
    assert_eq!(ops.count(), 2, "{:?}", alerts(&ops.events()));
}

#[tokio::test]
async fn a_spool_that_fills_is_told_of_with_the_endpoint_that_fills_it() {
    let top = "spool: {max_bytes: 1MiB}\nmemory: {max_bytes: 1MiB}";
    let (db, receiver, ops, _daemon) = start("", top).await;
    receiver.refuse().await;
    db.sql(
        "INSERT INTO orders (id, note) SELECT g, repeat('x', 1000) FROM generate_series(1, 3000) g",
    )
    .await;
    let filling = wait_for(&ops, "walhook.spool.filling").await;
    assert_eq!(filling["data"]["endpoint"], "r");
    assert_eq!(filling["data"]["max_bytes"], 1 << 20);
    assert!(filling["data"]["used_bytes"].as_u64().unwrap() >= 1 << 19);
}

#[tokio::test]
async fn a_slot_that_may_be_lost_is_told_of() {
    let cluster = Cluster::own().setting("max_slot_wal_keep_size", "64MB");
    let cluster = cluster.start().await;
    let (db, _receiver, ops, _daemon) = start_in(cluster.database().await, "", "").await;
    let writer = db.client().await;
    let open = "BEGIN; CREATE TABLE open (id int)";
    writer.batch_execute(open).await.unwrap();
    db.sql("CREATE TABLE noise AS SELECT repeat('x', 1000) FROM generate_series(1, 58000)")
        .await;
    let lagging = wait_for(&ops, "walhook.slot.lagging").await;
    let data = &lagging["data"];
    let why = data["why"].as_str().unwrap();
    assert!(why.contains("may be lost"), "{why}");
    assert!(data["retained_bytes"].as_u64().unwrap() > 48 << 20);
    assert!(data["safe_bytes"].as_i64().unwrap() < 16 << 20);
    assert!(data["wal_end_lsn"].as_str().unwrap().contains('/'));
}

#[tokio::test]
async fn a_daemon_whose_alerts_nobody_takes_stops_as_fast_as_any() {
    let (db, receiver, ops, mut daemon) = start("", "").await;
    ops.always(Answer::Hang);
    receiver.always(Answer::status(410));
    db.sql("INSERT INTO orders (id) VALUES (1)").await;
    ops.wait_for_attempts(1, SOON).await;
    let asked = tokio::time::Instant::now();
    assert_eq!(daemon.stop().await, 0);
    assert!(asked.elapsed() < std::time::Duration::from_secs(2));
}
