//! A slot that is not where we left it is never passed over in silence.

use serde_json::Value;

use crate::harness::installation::major;
use crate::harness::{ALL_EVENTS, Cluster, Daemon, Database, ORDERS, Receiver, SOON, eventually};

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
    lose(&cluster, &db).await;
    drop(is_definite(daemon, &receiver, &[&db.slot]).await);
}

/// Writes until the WAL that the slot needs is gone.
async fn lose(cluster: &Cluster, db: &Database) {
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
}

fn remove_state(daemon: &Daemon) {
    for suffix in ["", "-wal", "-shm"] {
        let file = format!("{}{suffix}", daemon.state_path().display());
        if std::fs::exists(&file).unwrap() {
            std::fs::remove_file(&file).unwrap();
        }
    }
}

#[tokio::test]
async fn there_although_the_state_is_not() {
    let (db, receiver, daemon) = stopped().await;
    remove_state(&daemon);
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

// ---- a person decides, and it goes on -------------------------------------------------------

/// `adopt` says this, then a new row arrives and nothing else does.
async fn goes_on(mut daemon: Daemon, db: &Database, receiver: &Receiver, said: &[&str]) {
    let adopted = daemon.cli_with_secrets(&["adopt"]).await.expect_code(0);
    for part in said {
        assert!(
            adopted.stdout.contains(part),
            "no {part:?} in\n{}",
            adopted.text()
        );
    }
    assert_eq!(daemon.gaps(), ["adopted"]);
    let before = receiver.attempts().len();
    daemon.launch();
    db.sql("INSERT INTO orders VALUES (100)").await;
    let events = receiver.wait_for(before + 1, SOON).await;
    assert_eq!(events[before].data("id"), 100);
    db.confirmed(SOON).await;
    assert_eq!(daemon.stop().await, 0);
}

/// What was committed between the checkpoint and now is a gap.
const GAP: &[&str] = &["the gap is recorded: what was committed from"];

#[tokio::test]
async fn dropped_and_adopted() {
    let (db, receiver, daemon) = stopped().await;
    db.drop_slot().await;
    db.sql("INSERT INTO orders VALUES (2)").await;
    let daemon = is_definite(daemon, &receiver, &["does not exist"]).await;
    goes_on(daemon, &db, &receiver, GAP).await;
}

#[tokio::test]
async fn moved_on_by_hand_and_adopted() {
    let (db, receiver, daemon) = stopped().await;
    db.sql("INSERT INTO orders VALUES (2)").await;
    db.value::<String>(&format!(
        "SELECT end_lsn::text FROM pg_replication_slot_advance('{}', pg_current_wal_lsn())",
        db.slot
    ))
    .await;
    let daemon = is_definite(daemon, &receiver, &["is ahead of the checkpoint"]).await;
    goes_on(daemon, &db, &receiver, GAP).await;
}

#[tokio::test]
async fn invalidated_and_adopted() {
    let cluster = Cluster::own()
        .setting("max_slot_wal_keep_size", "1MB")
        .start()
        .await;
    let (db, receiver, daemon) = stopped_in(cluster.database().await).await;
    lose(&cluster, &db).await;
    let said = ["invalidated (wal_removed)", "max_slot_wal_keep_size"];
    let daemon = is_definite(daemon, &receiver, &said).await;
    goes_on(daemon, &db, &receiver, GAP).await;
}

/// Since 18 a server can have enough of a slot that nobody reads.
#[tokio::test]
async fn idle_for_too_long_and_adopted() {
    if major() < 18 {
        return;
    }
    let cluster = Cluster::own()
        .setting("idle_replication_slot_timeout", "1s")
        .start()
        .await;
    let (db, receiver, daemon) = stopped_in(cluster.database().await).await;
    let check = daemon.cli_with_secrets(&["check"]).await.expect_code(0);
    let warning = "idle_replication_slot_timeout is 1 s";
    assert!(check.text().contains(warning), "{}", check.text());
    // A checkpoint looks for such slots.
    eventually("invalidated", || async {
        db.cluster.admin("CHECKPOINT").await;
        let reason = "SELECT coalesce(max(invalidation_reason), '') FROM pg_replication_slots";
        db.value::<String>(reason).await == "idle_timeout"
    })
    .await;
    db.sql("INSERT INTO orders VALUES (2)").await;
    let said = [
        "invalidated (idle_timeout)",
        "a longer idle_replication_slot_timeout",
    ];
    let daemon = is_definite(daemon, &receiver, &said).await;
    goes_on(daemon, &db, &receiver, GAP).await;
}

#[tokio::test]
async fn another_plugin_has_taken_its_name() {
    let (db, receiver, daemon) = stopped().await;
    db.drop_slot().await;
    db.sql("INSERT INTO orders VALUES (2)").await;
    db.sql(&format!(
        "SELECT pg_create_logical_replication_slot('{}', 'test_decoding')",
        db.slot
    ))
    .await;
    let said = [
        "output plugin \"test_decoding\"",
        "pg_drop_replication_slot",
    ];
    let daemon = is_definite(daemon, &receiver, &said).await;
    // It is not for us to drop what is another's.
    let refused = daemon.cli_with_secrets(&["adopt"]).await.expect_code(69);
    assert!(
        refused.text().contains("pg_drop_replication_slot"),
        "{}",
        refused.text()
    );
    assert!(db.has_slot().await);
    db.drop_slot().await;
    goes_on(daemon, &db, &receiver, GAP).await;
}

#[tokio::test]
async fn another_database_has_taken_its_name() {
    let cluster = Cluster::shared().await;
    let (db, receiver, daemon) = stopped_in(cluster.database().await).await;
    db.drop_slot().await;
    let other = cluster.database().await;
    other
        .sql(&format!(
            "SELECT pg_create_logical_replication_slot('{}', 'pgoutput')",
            db.slot
        ))
        .await;
    let said = [
        &format!("belongs to database \"{}\"", other.name),
        "pg_drop_replication_slot",
    ];
    let daemon = is_definite(daemon, &receiver, &said).await;
    daemon.cli_with_secrets(&["adopt"]).await.expect_code(69);
    db.drop_slot().await;
    goes_on(daemon, &db, &receiver, GAP).await;
}

#[tokio::test]
async fn another_cluster_and_adopted() {
    let (db, receiver, daemon) = stopped().await;
    let other = Cluster::own().fresh_identity().start().await;
    let other = other.database().await;
    other.sql(ORDERS).await;
    daemon.edit_config(&db.url(), &other.url());
    let said = ["belongs to another cluster"];
    let daemon = is_definite(daemon, &receiver, &said).await;
    let there = Database {
        slot: db.slot.clone(),
        name: other.name.clone(),
        cluster: std::sync::Arc::clone(&other.cluster),
    };
    goes_on(
        daemon,
        &there,
        &receiver,
        &["in the cluster with system identifier"],
    )
    .await;
}

#[tokio::test]
async fn an_older_copy_of_the_state_file() {
    let (db, receiver, mut daemon) = stopped().await;
    let copy = daemon.state_path().with_extension("copy");
    std::fs::copy(daemon.state_path(), &copy).unwrap();
    daemon.launch();
    db.sql("INSERT INTO orders VALUES (2)").await;
    receiver.wait_for(2, SOON).await;
    db.confirmed(SOON).await;
    assert_eq!(daemon.stop().await, 0);
    remove_state(&daemon);
    std::fs::rename(&copy, daemon.state_path()).unwrap();

    daemon.launch();
    assert_eq!(daemon.exit_code().await, 69, "{}", daemon.output());
    let output = daemon.output();
    assert!(
        output.contains("the state file is an older copy"),
        "{output}"
    );
    assert_eq!(receiver.attempts().len(), 2);
    goes_on(daemon, &db, &receiver, GAP).await;
}

#[tokio::test]
async fn adopt_waits_for_nobody_who_still_reads() {
    let (db, _receiver, mut daemon) = stopped().await;
    daemon.launch();
    daemon.ready().await;
    let refused = daemon.cli_with_secrets(&["adopt"]).await;
    assert_ne!(refused.code, 0, "{}", refused.text());
    assert!(db.slot_is_active().await);
}

// ---- kills around the creation --------------------------------------------------------------

/// The daemon stands still while the creation of its slot waits for a transaction.
async fn halted_while_creating() -> (Database, Receiver, Daemon, tokio_postgres::Client) {
    let cluster = Cluster::own().start().await;
    let db = cluster.database().await;
    db.sql(ORDERS).await;
    let writer = db.client().await;
    writer
        .batch_execute("BEGIN; INSERT INTO orders VALUES (1)")
        .await
        .unwrap();
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db).endpoint("r", &receiver);
    let daemon = daemon.table("public.orders", ALL_EVENTS).launch();
    eventually("in creation", || async { db.slot_is_active().await }).await;
    daemon.signal("STOP");
    (db, receiver, daemon, writer)
}

#[tokio::test]
async fn a_kill_between_the_creation_and_the_first_checkpoint_is_no_gap() {
    let (db, receiver, mut daemon, writer) = halted_while_creating().await;
    writer.batch_execute("COMMIT").await.unwrap();
    let created = "SELECT count(*) = 1 FROM pg_replication_slots \
                   WHERE NOT active AND confirmed_flush_lsn IS NOT NULL";
    eventually("created", || async { db.value(created).await }).await;
    // It never learns of it.
    daemon.kill().await;
    assert_eq!(
        daemon.status().await["slots"][0]["checkpoint_lsn"],
        Value::Null
    );
    db.sql("INSERT INTO orders VALUES (2)").await;
    daemon.launch();
    let events = receiver.wait_for(1, SOON).await;
    assert_eq!(events[0].data("id"), 2);
    db.confirmed(SOON).await;
    daemon.restart().await;
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn a_kill_between_the_intention_and_the_creation_starts_anew() {
    let (db, receiver, mut daemon, writer) = halted_while_creating().await;
    daemon.kill().await;
    db.sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots")
        .await;
    eventually("gone", || async { !db.has_slot().await }).await;
    writer.batch_execute("COMMIT").await.unwrap();
    daemon.launch();
    daemon.ready().await;
    db.sql("INSERT INTO orders VALUES (2)").await;
    let events = receiver.wait_for(1, SOON).await;
    assert_eq!(events[0].data("id"), 2);
}
