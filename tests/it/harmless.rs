//! The database it watches, and the application that writes to it, are none the worse for it.

use std::time::Duration;

use tokio::time::Instant;

use crate::harness::{ALL_EVENTS, Answer, Cluster, Daemon, ORDERS, Receiver, SOON, eventually};

/// `pg_ctl stop -m fast` takes no longer, whatever becomes of the events.
const FAST: Duration = Duration::from_secs(2);

#[tokio::test]
async fn every_table_that_could_not_be_updated_any_more_is_refused_at_once_and_stays_writable() {
    let db = Cluster::shared().await.database().await;
    db.sql(
        "CREATE TABLE no_key (a int);
         CREATE TABLE identity_nothing (a int PRIMARY KEY);
         ALTER TABLE identity_nothing REPLICA IDENTITY NOTHING;
         CREATE TABLE deferred (a int PRIMARY KEY DEFERRABLE);
         CREATE TABLE index_dropped (a int NOT NULL);
         CREATE UNIQUE INDEX its_index ON index_dropped (a);
         ALTER TABLE index_dropped REPLICA IDENTITY USING INDEX its_index;
         DROP INDEX its_index;
         CREATE TABLE parted (a int PRIMARY KEY) PARTITION BY RANGE (a);
         CREATE TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (10);
         ALTER TABLE part REPLICA IDENTITY NOTHING",
    )
    .await;
    let tables = [
        "no_key",
        "identity_nothing",
        "deferred",
        "index_dropped",
        "parted",
    ];
    let receiver = Receiver::start().await;
    let mut daemon = Daemon::of(&db).endpoint("r", &receiver);
    for table in tables {
        db.sql(&format!("INSERT INTO {table} VALUES (1)")).await;
        daemon = daemon.table(
            &format!("public.{table}"),
            &format!("to: r\nevents: {{insert: {table}.made, update: {table}.changed, delete: {table}.gone}}"),
        );
    }
    let mut daemon = daemon.prepare();
    let checked = daemon.cli_with_secrets(&["check"]).await.expect_code(69);
    daemon.launch();
    assert_eq!(daemon.exit_code().await, 69, "{}", daemon.output());
    let remedies = [
        r#"ALTER TABLE "public"."no_key" REPLICA IDENTITY FULL;"#,
        r#"ALTER TABLE "public"."identity_nothing" REPLICA IDENTITY DEFAULT;"#,
        r#"ALTER TABLE "public"."deferred" REPLICA IDENTITY FULL;"#,
        r#"ALTER TABLE "public"."index_dropped" REPLICA IDENTITY FULL;"#,
        r#"ALTER TABLE "public"."part" REPLICA IDENTITY DEFAULT;"#,
    ];
    for text in [checked.text(), daemon.output()] {
        for remedy in remedies {
            assert!(text.contains(remedy), "no {remedy:?} in\n{text}");
        }
    }
    assert_eq!(db.publications().await, [""; 0], "nothing was touched");
    assert!(!db.has_slot().await);
    for table in tables {
        db.sql(&format!("UPDATE {table} SET a = 2; DELETE FROM {table}"))
            .await;
        db.sql(&format!("INSERT INTO {table} VALUES (1)")).await;
    }

    // What it said is enough, and the writes go on with it.
    db.sql(&remedies.join(" ")).await;
    daemon.launch();
    daemon.ready().await;
    for table in tables {
        db.sql(&format!("UPDATE {table} SET a = 2; DELETE FROM {table}"))
            .await;
    }
    receiver.wait_for(2 * tables.len(), SOON).await;
}

#[tokio::test]
async fn postgres_stops_fast_while_the_spool_is_full_and_nothing_is_read() {
    let cluster = Cluster::own().start().await;
    let db = cluster.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db)
        .top("spool: {max_bytes: 1MiB}\nmemory: {max_bytes: 1MiB}")
        .endpoint("r", &receiver)
        .table("public.orders", ALL_EVENTS)
        .start()
        .await;
    receiver.refuse().await;
    let rows =
        "INSERT INTO orders (id, note) SELECT g, repeat('x', 1000) FROM generate_series(1, 6000) g";
    db.sql(rows).await;
    eventually("full", || async {
        daemon.get("/readyz").await.1.contains("the spool is full")
    })
    .await;
    let asked = Instant::now();
    assert!(cluster.stop_fast(FAST).await, "{:?}", asked.elapsed());
    cluster.start().await;
    receiver.accept_again().await;
    receiver.wait_for(6000, 3 * SOON).await;
}

#[tokio::test]
async fn postgres_stops_fast_in_the_middle_of_a_transaction_of_many_rows() {
    let cluster = Cluster::own().start().await;
    let db = cluster.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await.keep_events_only();
    let daemon = Daemon::of(&db)
        .top("memory: {max_bytes: 1MiB}")
        .endpoint("r", &receiver)
        .table("public.orders", ALL_EVENTS)
        .start()
        .await;
    // Reading goes at the pace of the endpoint, until what waits goes to disk.
    receiver.always(Answer::After(
        Duration::from_millis(1),
        Box::new(Answer::Accept),
    ));
    let rows =
        "INSERT INTO orders (id, note) SELECT g, repeat('x', 200) FROM generate_series(1, 60000) g";
    db.sql(rows).await;
    receiver.wait_for(50, SOON).await;
    let asked = Instant::now();
    assert!(cluster.stop_fast(FAST).await, "{:?}", asked.elapsed());
    let read = receiver.count();
    assert!(read < 60_000, "all was read before the stop");
    cluster.start().await;
    daemon.ready().await;
    receiver.always(Answer::Accept);
    let events = receiver.wait_for(60_000, 6 * SOON).await;
    crate::harness::oracle::assert_no_repeats(&events);
    crate::harness::oracle::assert_in_order_per_table(&events);
}

#[tokio::test]
async fn an_idle_slot_moves_on_without_a_transaction_of_ours() {
    // Of its own: nobody else begins transactions there.
    let cluster = Cluster::own().start().await;
    let db = cluster.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    let _daemon = Daemon::of(&db)
        .endpoint("r", &receiver)
        .table("public.orders", ALL_EVENTS)
        .start()
        .await;
    let busy = cluster.database().await;
    busy.sql("CREATE TABLE noise (x text)").await;
    let next = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::int8";
    let before: i64 = db.value(next).await;
    for _ in 0..3 {
        busy.sql("INSERT INTO noise SELECT repeat('x', 1000) FROM generate_series(1, 5000)")
            .await;
        db.confirmed(SOON).await;
    }
    let after: i64 = db.value(next).await;
    assert_eq!(
        after - before,
        3,
        "transactions beside those of the other database"
    );
}

#[tokio::test]
async fn unlimited_wal_is_warned_of_by_check_and_once_in_the_log() {
    let cluster = Cluster::own().start().await;
    let db = cluster.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db)
        .endpoint("r", &receiver)
        .table("public.orders", ALL_EVENTS)
        .start()
        .await;
    let warning = "max_slot_wal_keep_size is not set";
    let checked = daemon.cli_with_secrets(&["check"]).await.expect_code(0);
    assert!(checked.text().contains(warning), "{}", checked.text());
    assert!(cluster.stop_fast(SOON).await);
    eventually("not ready", || async {
        daemon.readiness().await == Some(503)
    })
    .await;
    cluster.start().await;
    daemon.ready().await;
    assert_eq!(daemon.output().matches(warning).count(), 1);

    cluster
        .admin("ALTER SYSTEM SET max_slot_wal_keep_size = '1GB'")
        .await;
    cluster.admin("SELECT pg_reload_conf()").await;
    eventually("no warning", || async {
        let checked = daemon.cli_with_secrets(&["check"]).await.expect_code(0);
        !checked.text().contains(warning)
    })
    .await;
}
