//! A slot that is not where we left it is never passed over in silence.

use crate::harness::{ALL_EVENTS, Cluster, Daemon, Database, ORDERS, Receiver, SOON};

/// A daemon that delivered a row and was stopped.
async fn stopped_in(db: Database) -> (Database, Receiver, Daemon) {
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db).endpoint("r", &receiver);
    let mut daemon = daemon.table("public.orders", ALL_EVENTS).start().await;
    db.sql("INSERT INTO orders VALUES (1)").await;
    receiver.wait_for(1, SOON).await;
    assert_eq!(daemon.stop().await, 0);
    (db, receiver, daemon)
}

async fn stopped() -> (Database, Receiver, Daemon) {
    stopped_in(Cluster::shared().await.database().await).await
}

/// Started again it ends with 69, says all of these, and sends nothing.
async fn is_definite(mut daemon: Daemon, receiver: &Receiver, parts: &[&str]) -> Daemon {
    daemon.launch();
    assert_eq!(daemon.exit_code().await, 69, "{}", daemon.output());
    for part in parts {
        assert!(
            daemon.output().contains(part),
            "no {part:?} in\n{}",
            daemon.output()
        );
    }
    assert_eq!(receiver.attempts().len(), 1);
    daemon
}

#[tokio::test]
async fn dropped() {
    let (db, receiver, daemon) = stopped().await;
    db.sql(&format!("SELECT pg_drop_replication_slot('{}')", db.slot))
        .await;
    db.sql("INSERT INTO orders VALUES (2)").await;
    let daemon = is_definite(daemon, &receiver, &[&db.slot, "walhook adopt"]).await;
    assert!(
        !db.has_slot().await,
        "it must not be created again in silence"
    );
    drop(daemon);
}

#[tokio::test]
async fn recreated() {
    let (db, receiver, daemon) = stopped().await;
    db.sql(&format!("SELECT pg_drop_replication_slot('{}')", db.slot))
        .await;
    db.sql("INSERT INTO orders VALUES (2)").await;
    db.sql(&format!(
        "SELECT pg_create_logical_replication_slot('{}', 'pgoutput')",
        db.slot
    ))
    .await;
    let mut daemon = is_definite(daemon, &receiver, &[&db.slot, "walhook adopt"]).await;

    // A person decides to go on: the gap is theirs, what comes after is not lost.
    daemon.cli_with_secrets(&["adopt"]).await.expect_code(0);
    db.sql("INSERT INTO orders VALUES (3)").await;
    daemon.launch();
    let events = receiver.wait_for(2, SOON).await;
    assert_eq!(events[1].data("id"), 3);
}

#[tokio::test]
async fn moved_on_by_hand() {
    let (db, receiver, daemon) = stopped().await;
    db.sql("INSERT INTO orders VALUES (2)").await;
    db.sql(&format!(
        "SELECT pg_replication_slot_advance('{}', pg_current_wal_lsn())",
        db.slot
    ))
    .await;
    drop(is_definite(daemon, &receiver, &[&db.slot, "walhook adopt"]).await);
}

#[tokio::test]
async fn invalidated() {
    let cluster = Cluster::own()
        .setting("max_slot_wal_keep_size", "1MB")
        .start()
        .await;
    let (db, receiver, daemon) = stopped_in(cluster.database().await).await;
    for _ in 0..3 {
        db.sql("CREATE TABLE noise AS SELECT repeat('x', 1000) FROM generate_series(1, 20000); DROP TABLE noise").await;
        db.value::<String>("SELECT pg_switch_wal()::text").await;
        cluster.admin("CHECKPOINT").await;
    }
    let status = format!(
        "SELECT wal_status FROM pg_replication_slots WHERE slot_name = '{}'",
        db.slot
    );
    assert_eq!(db.value::<String>(&status).await, "lost");
    drop(is_definite(daemon, &receiver, &[&db.slot]).await);
}

#[tokio::test]
async fn there_although_the_state_is_not() {
    let (db, receiver, daemon) = stopped().await;
    for suffix in ["", "-wal", "-shm"] {
        let file = format!("{}{suffix}", daemon.state_path().display());
        if std::fs::exists(&file).unwrap() {
            std::fs::remove_file(&file).unwrap();
        }
    }
    let mut daemon = is_definite(daemon, &receiver, &[&db.slot, "walhook adopt"]).await;
    daemon.cli_with_secrets(&["adopt"]).await.expect_code(0);
    db.sql("INSERT INTO orders VALUES (2)").await;
    daemon.launch();
    receiver
        .wait_until(|events| events.iter().any(|e| e.data("id") == 2), SOON)
        .await;
}

#[tokio::test]
async fn in_another_cluster() {
    let (db, receiver, daemon) = stopped().await;
    let other = Cluster::own().fresh_identity().start().await;
    let other = other.database().await;
    other.sql(ORDERS).await;
    daemon.edit_config(&db.url(), &other.url());
    drop(is_definite(daemon, &receiver, &[]).await);
    assert_eq!(other.publications().await, [""; 0]);
    let slots = "SELECT count(*) FROM pg_replication_slots";
    assert_eq!(other.value::<i64>(slots).await, 0);
}

#[tokio::test]
async fn dropped_under_a_running_daemon() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db).endpoint("r", &receiver);
    let mut daemon = daemon.table("public.orders", ALL_EVENTS).start().await;
    db.sql("INSERT INTO orders VALUES (1)").await;
    receiver.wait_for(1, SOON).await;
    db.confirmed(SOON).await;
    // In its first life it started without a checkpoint; it has one now.
    db.sql(&format!(
        "DO $$ BEGIN
           PERFORM pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '{0}';
           LOOP
             BEGIN
               PERFORM pg_drop_replication_slot('{0}');
               EXIT;
             EXCEPTION WHEN object_in_use THEN NULL;
             END;
           END LOOP;
         END $$",
        db.slot
    ))
    .await;
    assert_eq!(daemon.exit_code().await, 69, "{}", daemon.output());
    assert!(
        !db.has_slot().await,
        "it must not be created again in silence"
    );
}

#[tokio::test]
async fn a_session_after_the_first_knows_how_far_the_slot_is() {
    let (db, receiver, mut daemon) = stopped().await;
    // This life starts with a checkpoint, and goes on from there.
    daemon.launch();
    db.sql("INSERT INTO orders VALUES (2)").await;
    receiver.wait_for(2, SOON).await;
    db.confirmed(SOON).await;
    db.sql(&format!(
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '{}'",
        db.slot
    ))
    .await;
    db.sql("INSERT INTO orders VALUES (3)").await;
    let events = receiver.wait_for(3, SOON).await;
    crate::harness::oracle::assert_no_repeats(&events);
    assert!(daemon.is_running(), "{}", daemon.output());
}
