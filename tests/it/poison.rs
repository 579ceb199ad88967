//! A change that the server cannot decode: told everywhere, tried again seldom, and passed
//! on a person's word alone.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use crate::harness::receiver::Event;
use crate::harness::{
    ALL_EVENTS, Answer, Cluster, Daemon, Database, ORDERS, Receiver, SOON, eventually, oracle,
};

/// A type whose output function takes no number for one of its own: INSERT does not call
/// it, decoding does, and fails with 22P03.
const TOUCHY: &str = "
CREATE TYPE touchy;
CREATE FUNCTION touchy_in(cstring) RETURNS touchy LANGUAGE internal IMMUTABLE STRICT AS 'int4in';
CREATE FUNCTION touchy_out(touchy) RETURNS cstring LANGUAGE internal STABLE STRICT AS 'enum_out';
CREATE TYPE touchy (INPUT = touchy_in, OUTPUT = touchy_out, INTERNALLENGTH = 4,
                    PASSEDBYVALUE, ALIGNMENT = int4);
CREATE TABLE moods (id int PRIMARY KEY, mood touchy);";

/// Rows before and behind the change that fails, in one transaction.
const POISON: &str = "BEGIN; INSERT INTO orders VALUES (2); INSERT INTO moods VALUES (1, '4711');
                      INSERT INTO orders VALUES (3); COMMIT";

async fn started(cluster: std::sync::Arc<Cluster>) -> (Database, Receiver, Daemon) {
    let db = cluster.database().await;
    db.sql(ORDERS).await;
    db.sql(TOUCHY).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db)
        .endpoint("r", &receiver)
        .table("public.orders", ALL_EVENTS)
        .table("public.moods", ALL_EVENTS)
        .start()
        .await;
    (db, receiver, daemon)
}

/// Row 1 was delivered and confirmed, row 2 delivered, and the stream is stuck behind it.
async fn stuck(cluster: std::sync::Arc<Cluster>) -> (Database, Receiver, Daemon) {
    let (db, receiver, daemon) = started(cluster).await;
    db.sql("INSERT INTO orders VALUES (1)").await;
    receiver.wait_for(1, SOON).await;
    db.confirmed(SOON).await;
    db.sql(POISON).await;
    db.sql("INSERT INTO orders VALUES (4)").await;
    receiver.wait_for(2, SOON).await;
    daemon.lines().line_with("stuck at", SOON).await;
    (db, receiver, daemon)
}

/// What is said between "stuck at" and the comma.
fn stuck_at(text: &str) -> String {
    let (_, behind) = text.split_once("stuck at ").expect(text);
    behind.split_once(',').expect(text).0.to_owned()
}

fn ids(receiver: &Receiver) -> Vec<i64> {
    let events = receiver.events();
    let ids = events.iter().map(|event| event.data("id").as_i64());
    ids.map(|id| id.expect("an id")).collect()
}

#[tokio::test]
async fn it_is_told_everywhere_and_tried_again_seldom() {
    let (_db, receiver, daemon) = stuck(Cluster::shared().await).await;
    let since = Instant::now();
    let connects = daemon.metrics().await.sum("walhook_connects_total", &[]);

    eventually("not ready", || async {
        daemon.readiness().await == Some(503)
    })
    .await;
    let (_, page) = daemon.get("/readyz").await;
    assert!(page.contains("SQLSTATE 22P03"), "{page}");
    assert!(page.contains("bytes of WAL are held"), "{page}");
    let status = daemon.status().await;
    let stream = status["slots"][0]["stream"]["state"].as_str().unwrap();
    assert!(stream.starts_with("stuck at"), "{stream}");
    let metrics = daemon.metrics().await;
    assert_eq!(metrics.sum("walhook_stuck", &[]), 1.0);
    assert_eq!(metrics.sum("walhook_streaming", &[]), 0.0);
    let line = daemon.lines().line_with("stuck at", SOON).await;
    assert!(line.contains("walhook skip --lsn"), "{line}");

    // It goes on trying; in between it never claims to be ready, and nothing comes twice.
    eventually("tried again", || async {
        assert_ne!(daemon.readiness().await, Some(200));
        daemon.metrics().await.sum("walhook_connects_total", &[]) >= connects + 2.0
    })
    .await;
    let tried = daemon.metrics().await.sum("walhook_connects_total", &[]) - connects;
    let at_most = since.elapsed().as_secs_f64() + 2.0;
    assert!(tried <= at_most, "{tried} tries in {:?}", since.elapsed());
    let told = daemon.output().matches("stuck at").count();
    assert_eq!(told, 1, "{}", daemon.output());
    assert_eq!(ids(&receiver), [1, 2]);
    assert!(!daemon.output().contains("4711"), "{}", daemon.output());
    assert!(!daemon.output().contains("enum"), "{}", daemon.output());
}

#[tokio::test]
async fn skip_goes_past_that_transaction_alone() {
    let (db, receiver, mut daemon) = stuck(Cluster::shared().await).await;
    let at = stuck_at(&daemon.output());
    // While the daemon runs the state is its own.
    let skip = ["skip", "--lsn", &at];
    assert_ne!(daemon.cli_with_secrets(&skip).await.code, 0);
    assert_eq!(daemon.stop().await, 0, "{}", daemon.output());

    let elsewhere = ["skip", "--lsn", "0/1234"];
    let refused = daemon.cli_with_secrets(&elsewhere).await.expect_code(1);
    assert!(refused.text().contains(&at), "{}", refused.text());
    let dry = daemon
        .cli_with_secrets(&["skip", "--lsn", &at, "--dry-run"])
        .await
        .expect_code(0);
    assert!(
        dry.stdout.contains("is skipped as a whole"),
        "{}",
        dry.stdout
    );

    let skipped = daemon.cli_with_secrets(&skip).await.expect_code(0);
    assert!(
        skipped.stdout.contains("the gap is recorded"),
        "{}",
        skipped.text()
    );
    assert_eq!(daemon.gaps(), ["skipped"]);
    daemon.launch();
    receiver.wait_for(3, SOON).await;
    daemon.ready().await;
    assert_eq!(ids(&receiver), [1, 2, 4]);
    oracle::assert_no_repeats(&receiver.events());
    assert_eq!(daemon.metrics().await.sum("walhook_stuck", &[]), 0.0);

    // There is nothing more to skip.
    db.confirmed(SOON).await;
    daemon.stop().await;
    let nothing = daemon.cli_with_secrets(&skip).await.expect_code(1);
    assert!(
        nothing.text().contains("nothing to skip"),
        "{}",
        nothing.text()
    );
}

#[tokio::test]
async fn what_was_skipped_stays_skipped_when_a_crash_of_the_server_sets_the_slot_back() {
    let cluster = Cluster::own().start().await;
    let (db, receiver, mut daemon) = stuck(cluster.clone()).await;
    let at = stuck_at(&daemon.output());
    assert_eq!(daemon.stop().await, 0);
    let skipped = daemon.cli_with_secrets(&["skip", "--lsn", &at]).await;
    skipped.expect_code(0);
    daemon.launch();
    receiver.wait_for(3, SOON).await;
    db.confirmed(SOON).await;
    cluster.stop_immediate().await;
    cluster.start().await;
    db.sql("INSERT INTO orders VALUES (5)").await;
    receiver.wait_for(4, SOON).await;
    daemon.kill().await;
    daemon.launch();
    db.sql("INSERT INTO orders VALUES (6)").await;
    let arrived = |events: &[Event]| events.iter().any(|event| event.data("id") == 6);
    receiver.wait_until(arrived, SOON).await;
    let rows: BTreeSet<_> = ids(&receiver).into_iter().collect();
    assert_eq!(rows, BTreeSet::from([1, 2, 4, 5, 6]));
}

#[tokio::test]
async fn skip_does_not_lose_what_comes_before_and_nobody_took() {
    let (db, receiver, mut daemon) = started(Cluster::shared().await).await;
    receiver.always(Answer::status(500));
    db.sql("INSERT INTO orders VALUES (1)").await;
    receiver.wait_for_attempts(1, SOON).await;
    db.sql(POISON).await;
    daemon.lines().line_with("stuck at", SOON).await;
    let at = stuck_at(&daemon.output());
    // A stop writes what is in memory to disk: there it is out of the way.
    assert_eq!(daemon.stop().await, 0);
    let skipped = daemon.cli_with_secrets(&["skip", "--lsn", &at]).await;
    skipped.expect_code(0);
    receiver.always(Answer::status(200));
    db.sql("INSERT INTO orders VALUES (5)").await;
    daemon.launch();
    let events = receiver.wait_for(2, SOON).await;
    let rows: Vec<_> = events.iter().map(|event| event.data("id")).collect();
    assert_eq!(rows[0], 1);
}

#[tokio::test]
async fn a_server_that_was_mended_goes_on_without_a_restart() {
    let cluster = Cluster::own().start().await;
    let (db, receiver, mut daemon) = started(cluster.clone()).await;
    db.sql("INSERT INTO orders VALUES (1)").await;
    receiver.wait_for(1, SOON).await;
    db.confirmed(SOON).await;
    assert_eq!(daemon.stop().await, 0);
    // A segment that is missing, as after a restore that forgot it.
    db.sql("INSERT INTO orders VALUES (2)").await;
    let segment: String = db
        .value("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")
        .await;
    db.value::<String>("SELECT pg_switch_wal()::text").await;
    let file = cluster.data_directory().join("pg_wal").join(segment);
    let aside = file.with_extension("aside");
    std::fs::rename(&file, &aside).unwrap();
    daemon.launch();
    let line = daemon.lines().line_with("stuck at", SOON).await;
    assert!(line.contains("SQLSTATE 58P01"), "{line}");
    assert_eq!(daemon.readiness().await, Some(503));

    std::fs::rename(&aside, &file).unwrap();
    receiver.wait_for(2, SOON).await;
    daemon.lines().line_with("no longer stuck", SOON).await;
    daemon.ready().await;
    assert_eq!(daemon.metrics().await.sum("walhook_stuck", &[]), 0.0);
    assert!(cluster.stop_fast(Duration::from_secs(20)).await);
}
