//! Another history at the same LSNs: a snapshot that was restored, a standby that was
//! promoted. None of its events is sent before a person has decided.

use std::sync::Arc;

use crate::harness::cluster::Own;
use crate::harness::receiver::Event;
use crate::harness::{
    ALL_EVENTS, Answer, Cluster, Daemon, Database, ORDERS, Receiver, SOON, oracle,
};

/// Row 1 was delivered when a copy of the cluster was made, row 2 since. The daemon is stopped.
struct Copied {
    db: Database,
    copy: Own,
    receiver: Receiver,
    daemon: Daemon,
}

async fn copied() -> Copied {
    let cluster = Cluster::own().start().await;
    let db = cluster.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db).endpoint("r", &receiver);
    let mut daemon = daemon.table("public.orders", ALL_EVENTS).start().await;
    db.sql("INSERT INTO orders VALUES (1)").await;
    receiver.wait_for(1, SOON).await;
    db.confirmed(SOON).await;
    assert_eq!(daemon.stop().await, 0);
    assert!(cluster.stop_fast(SOON).await);
    let copy = cluster.copy();
    cluster.start().await;
    daemon.launch();
    db.sql("INSERT INTO orders VALUES (2)").await;
    receiver.wait_for(2, SOON).await;
    db.confirmed(SOON).await;
    assert_eq!(daemon.stop().await, 0);
    Copied {
        db,
        copy,
        receiver,
        daemon,
    }
}

/// The same database in another cluster, to which the daemon's config leads from now on.
fn moved(daemon: &Daemon, from: &Database, to: Arc<Cluster>) -> Database {
    let there = Database {
        cluster: to,
        name: from.name.clone(),
        slot: from.slot.clone(),
    };
    daemon.edit_config(&from.url(), &there.url());
    there
}

/// It ends with 69 and says all of these; nothing was sent.
async fn is_definite(daemon: &mut Daemon, receiver: &Receiver, parts: &[&str]) {
    let sent = receiver.attempts().len();
    daemon.launch();
    assert_eq!(daemon.exit_code().await, 69, "{}", daemon.output());
    for part in parts {
        assert!(
            daemon.output().contains(part),
            "no {part:?} in\n{}",
            daemon.output()
        );
    }
    assert_eq!(receiver.attempts().len(), sent);
}

/// After `adopt`, which says this, a new row arrives.
async fn goes_on(daemon: &mut Daemon, db: &Database, receiver: &Receiver, said: &str) {
    let adopted = daemon.cli_with_secrets(&["adopt"]).await.expect_code(0);
    assert!(adopted.stdout.contains(said), "{}", adopted.text());
    daemon.launch();
    db.sql("INSERT INTO orders VALUES (100)").await;
    let arrived = |events: &[Event]| events.iter().any(|event| event.data("id") == 100);
    receiver.wait_until(arrived, SOON).await;
    assert_eq!(daemon.stop().await, 0);
    // And again, by what it has written by now.
    daemon.launch();
    daemon.ready().await;
    assert_eq!(daemon.stop().await, 0);
}

/// Writes what no publication has until the WAL is longer than the original's.
async fn outgrow(copy: &Database, original: &Database) {
    let end = original.lsn().await;
    copy.sql("CREATE TABLE noise (t text)").await;
    let behind = format!("SELECT pg_current_wal_flush_lsn() <= '{end}'");
    while copy.value::<bool>(&behind).await {
        copy.sql("INSERT INTO noise SELECT repeat('x', 500) FROM generate_series(1, 500)")
            .await;
    }
}

#[tokio::test]
async fn a_snapshot_whose_wal_ends_before_the_checkpoint() {
    let Copied {
        db,
        copy,
        receiver,
        mut daemon,
    } = copied().await;
    let copy = moved(&daemon, &db, copy.start().await);
    is_definite(
        &mut daemon,
        &receiver,
        &["restored to an earlier state", "walhook adopt"],
    )
    .await;
    goes_on(&mut daemon, &copy, &receiver, "does not have these").await;
}

#[tokio::test]
async fn a_snapshot_that_has_outgrown_the_checkpoint_with_other_transactions() {
    let Copied {
        db,
        copy,
        receiver,
        mut daemon,
    } = copied().await;
    let copy = moved(&daemon, &db, copy.start().await);
    copy.sql("INSERT INTO orders VALUES (20)").await;
    outgrow(&copy, &db).await;
    is_definite(
        &mut daemon,
        &receiver,
        &["history is not the one that was read", "walhook adopt"],
    )
    .await;
    goes_on(&mut daemon, &copy, &receiver, "does not have these").await;
    // Its own transactions came, all of them.
    let events = receiver.events();
    assert!(events.iter().any(|event| event.data("id") == 20));
}

#[tokio::test]
async fn a_snapshot_that_has_outgrown_the_checkpoint_without_a_transaction_of_ours() {
    let Copied {
        db,
        copy,
        receiver,
        mut daemon,
    } = copied().await;
    let copy = moved(&daemon, &db, copy.start().await);
    outgrow(&copy, &db).await;
    is_definite(
        &mut daemon,
        &receiver,
        &["did not send transaction", "walhook adopt"],
    )
    .await;
    goes_on(&mut daemon, &copy, &receiver, "does not have these").await;
}

#[tokio::test]
async fn a_timeline_that_branches_before_the_checkpoint() {
    let Copied {
        db,
        copy,
        receiver,
        mut daemon,
    } = copied().await;
    let copy = moved(&daemon, &db, copy.promoted().start().await);
    outgrow(&copy, &db).await;
    is_definite(
        &mut daemon,
        &receiver,
        &[
            "is on timeline 2, which left timeline 1 at",
            "with transactions",
            "walhook adopt",
        ],
    )
    .await;
    goes_on(&mut daemon, &copy, &receiver, "does not have these").await;
    // The old primary comes back.
    daemon.edit_config(&copy.url(), &db.url());
    is_definite(&mut daemon, &receiver, &["is on timeline 1", "old primary"]).await;
}

#[tokio::test]
async fn a_standby_without_the_slot_that_was_promoted_too_early() {
    let Copied {
        db,
        copy,
        receiver,
        mut daemon,
    } = copied().await;
    let copy = moved(&daemon, &db, copy.promoted().start().await);
    copy.drop_slot().await;
    copy.sql("INSERT INTO orders VALUES (20)").await;
    is_definite(&mut daemon, &receiver, &["is on timeline 2"]).await;
    // What was sent and is gone, and what the standby has committed without a slot.
    let both = "does not have these transactions\nthe gap is recorded";
    goes_on(&mut daemon, &copy, &receiver, both).await;
    assert_eq!(daemon.gaps(), ["adopted", "vanished"]);
}

#[tokio::test]
async fn a_timeline_that_goes_on_behind_all_that_was_read_is_followed() {
    let cluster = Cluster::own().start().await;
    let db = cluster.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db).endpoint("r", &receiver);
    let mut daemon = daemon.table("public.orders", ALL_EVENTS).start().await;
    db.sql("INSERT INTO orders VALUES (1)").await;
    receiver.wait_for(1, SOON).await;
    assert_eq!(daemon.stop().await, 0);
    db.sql("INSERT INTO orders VALUES (2)").await;
    assert!(cluster.stop_fast(SOON).await);
    let promoted = moved(&daemon, &db, cluster.copy().promoted().start().await);
    daemon.launch();
    promoted.sql("INSERT INTO orders VALUES (3)").await;
    let events = receiver.wait_for(3, SOON).await;
    oracle::assert_no_repeats(&events);
    daemon
        .lines()
        .line_with("timeline 1 went on as timeline 2", SOON)
        .await;
    promoted.confirmed(SOON).await;
    // The new timeline is in the checkpoint: this time there is nothing to say.
    assert_eq!(daemon.stop().await, 0);
    daemon.launch();
    daemon.ready().await;
    assert_eq!(daemon.output().matches("went on as").count(), 1);
}

#[tokio::test]
async fn a_snapshot_restored_under_a_running_daemon() {
    let Copied {
        db,
        copy,
        receiver,
        mut daemon,
    } = copied().await;
    daemon.launch();
    db.sql("INSERT INTO orders VALUES (3)").await;
    receiver.wait_for(3, SOON).await;
    let original = Arc::clone(&db.cluster);
    assert!(original.stop_fast(SOON).await);
    let copy = copy.at_port(original.port).start().await;
    let code = daemon.exit_code().await;
    assert_eq!(code, 69, "{}", daemon.output());
    assert!(daemon.output().contains("restored to an earlier state"));
    assert_eq!(receiver.attempts().len(), 3);
    drop(copy);
}

#[tokio::test]
async fn a_snapshot_without_the_transaction_that_a_lane_stands_in() {
    let cluster = Cluster::own().start().await;
    let db = cluster.database().await;
    db.sql(ORDERS).await;
    let (receiver, dead) = (Receiver::start().await, Receiver::start().await);
    let to_both = ALL_EVENTS.replace("to: r", "to: [r, dead]");
    let daemon = Daemon::of(&db).endpoint("r", &receiver);
    let daemon = daemon.endpoint("dead", &dead);
    let mut daemon = daemon.table("public.orders", &to_both).start().await;
    db.sql("INSERT INTO orders VALUES (1)").await;
    receiver.wait_for(1, SOON).await;
    dead.wait_for(1, SOON).await;
    db.confirmed(SOON).await;
    assert_eq!(daemon.stop().await, 0);
    assert!(cluster.stop_fast(SOON).await);
    let copy = cluster.copy();
    cluster.start().await;
    // One endpoint holds the checkpoint, the other's lane goes on.
    dead.always(Answer::status(500));
    daemon.launch();
    db.sql("INSERT INTO orders VALUES (2)").await;
    receiver.wait_for(2, SOON).await;
    dead.wait_for_attempts(2, SOON).await;
    assert_eq!(daemon.stop().await, 0);

    let copy = moved(&daemon, &db, copy.start().await);
    copy.sql("INSERT INTO orders VALUES (20)").await;
    outgrow(&copy, &db).await;
    let said = ["history is not the one that was read"];
    is_definite(&mut daemon, &receiver, &said).await;
}

#[tokio::test]
async fn back_on_the_right_server_nothing_has_happened() {
    let Copied {
        db,
        copy,
        receiver,
        mut daemon,
    } = copied().await;
    let copy = moved(&daemon, &db, copy.start().await);
    outgrow(&copy, &db).await;
    is_definite(&mut daemon, &receiver, &["history is not the one"]).await;
    daemon.edit_config(&copy.url(), &db.url());
    daemon.launch();
    db.sql("INSERT INTO orders VALUES (3)").await;
    let events = receiver.wait_for(3, SOON).await;
    oracle::assert_no_repeats(&events);
    assert_eq!(daemon.stop().await, 0);
    // A gap of later days says nothing of it.
    db.drop_slot().await;
    let adopted = daemon.cli_with_secrets(&["adopt"]).await.expect_code(0);
    assert!(
        !adopted.stdout.contains("does not have these"),
        "{}",
        adopted.text()
    );
}
