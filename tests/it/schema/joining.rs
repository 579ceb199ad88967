//! Tables that are made while it streams, and match a pattern.

use std::time::Duration;

use tokio::time::Instant;

use super::{Writer, watch_with};
use crate::harness::{ALL_EVENTS, Database, SOON, eventually};

async fn published(db: &Database, table: &str) {
    let sql = format!("SELECT count(*) FROM pg_publication_tables WHERE tablename = '{table}'");
    eventually("published", || async { db.value::<i64>(&sql).await == 1 }).await;
}

/// `after=0/1A2B`
fn lsn_of(line: &str) -> String {
    let (_, rest) = line.split_once("after=").expect("an LSN in the line");
    rest.split_whitespace().next().expect("an LSN").to_owned()
}

#[tokio::test]
async fn a_new_table_joins_within_ten_seconds_and_the_log_says_where() {
    let s = watch_with("CREATE SCHEMA app", "", &[("app.*", ALL_EVENTS)]).await;
    let before = s.db.lsn().await;
    let made_at = Instant::now();
    s.db.sql("CREATE TABLE app.\"New.One\" (id int PRIMARY KEY, v text); INSERT INTO app.\"New.One\" VALUES (1, 'before')").await;
    published(&s.db, "New.One").await;
    let took = made_at.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    let line = s
        .daemon
        .lines()
        .line_with("what these tables got before is not sent", SOON)
        .await;
    let lsn = lsn_of(&line);
    let is_between: bool =
        s.db.value(&format!(
            "SELECT '{lsn}'::pg_lsn BETWEEN '{before}' AND pg_current_wal_insert_lsn()"
        ))
        .await;
    assert!(is_between, "{before} {line}");
    let mut writer = Writer::of(&s.db).await;
    writer
        .change("UPDATE app.\"New.One\" SET v = 'after'", "app.\"New.One\"")
        .await;
    let events = s.receiver.wait_for(1, SOON).await;
    writer.assert_taken(&events);
}

/// The statement waits for nobody, and a transaction that is open at that moment is sent
/// from the statement on.
#[tokio::test]
async fn a_table_joins_also_while_a_transaction_that_wrote_to_it_is_open() {
    let s = watch_with("CREATE SCHEMA app", "", &[("app.*", ALL_EVENTS)]).await;
    s.db.sql("CREATE TABLE app.t (id int PRIMARY KEY)").await;
    let open = s.db.client().await;
    open.batch_execute("BEGIN; INSERT INTO app.t VALUES (1)")
        .await
        .unwrap();
    published(&s.db, "t").await;
    open.batch_execute("INSERT INTO app.t VALUES (2); COMMIT")
        .await
        .unwrap();
    s.db.sql("INSERT INTO app.t VALUES (3)").await;
    let events = s
        .receiver
        .wait_until(|events| events.iter().any(|e| e.data("id") == 3), SOON)
        .await;
    let ids: Vec<_> = events.iter().map(|event| event.data("id")).collect();
    assert!(ids.ends_with(&[2.into(), 3.into()]), "{ids:?}");
}

#[tokio::test]
async fn a_new_table_whose_updates_would_fail_is_told_and_joins_once_it_has_a_key() {
    let s = watch_with("CREATE SCHEMA app", "", &[("app.*", ALL_EVENTS)]).await;
    s.db.sql("CREATE TABLE app.t (id int NOT NULL, v int); INSERT INTO app.t VALUES (1, 1)")
        .await;
    s.daemon
        .lines()
        .line_with("ALTER TABLE \"app\".\"t\" REPLICA IDENTITY FULL;", SOON)
        .await;
    // The application goes on.
    s.db.sql("UPDATE app.t SET v = 2").await;
    s.db.sql("ALTER TABLE app.t ADD PRIMARY KEY (id)").await;
    published(&s.db, "t").await;
    let mut writer = Writer::of(&s.db).await;
    writer.change("UPDATE app.t SET v = 3", "app.t").await;
    let events = s.receiver.wait_for(1, SOON).await;
    writer.assert_taken(&events);
}

#[tokio::test]
async fn a_table_that_is_renamed_into_a_pattern_joins() {
    let s = watch_with(
        "CREATE SCHEMA app; CREATE SCHEMA drafts; CREATE TABLE drafts.t (id int PRIMARY KEY)",
        "",
        &[("app.*", ALL_EVENTS)],
    )
    .await;
    s.db.sql("ALTER TABLE drafts.t SET SCHEMA app").await;
    published(&s.db, "t").await;
    s.db.sql("INSERT INTO app.t VALUES (1)").await;
    let events = s.receiver.wait_for(1, SOON).await;
    assert_eq!(events[0].table, "app.t");
}
