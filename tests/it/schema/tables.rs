//! Tables that get another name or schema, and those that are made anew.

use serde_json::json;

use super::{Writer, data, watch};
use crate::harness::{SOON, eventually};

const T: &str = "CREATE TABLE t (id int PRIMARY KEY, v text)";

/// The name is the one that the table had when the row was written.
#[tokio::test]
async fn each_row_has_the_name_that_its_table_had_then() {
    let mut s = watch(
        &format!("{T}; CREATE SCHEMA app; CREATE SCHEMA other"),
        &["public.*", "app.*"],
    )
    .await;
    let steps = [
        ("INSERT INTO t VALUES (1, 'public.t')", "public.t"),
        (
            "ALTER TABLE t RENAME TO renamed; UPDATE renamed SET v = 'public.renamed'",
            "public.renamed",
        ),
        (
            "ALTER TABLE renamed SET SCHEMA app; UPDATE app.renamed SET v = 'app.renamed'",
            "app.renamed",
        ),
        (
            "ALTER TABLE app.renamed RENAME TO t2; UPDATE app.t2 SET v = 'app.t2'",
            "app.t2",
        ),
    ];
    for is_down in [false, true] {
        if is_down {
            assert_eq!(s.daemon.stop().await, 0);
        }
        let mut writer = Writer::of(&s.db).await;
        if is_down {
            writer.run("DELETE FROM app.t2; ALTER TABLE app.t2 SET SCHEMA public; ALTER TABLE public.t2 RENAME TO t").await;
        } else {
            writer.run("BEGIN").await;
        }
        for (step, name) in steps {
            writer.change(step, name).await;
        }
        if is_down {
            s.daemon.launch();
            s.daemon.ready().await;
        } else {
            writer.run("COMMIT").await;
        }
        let before = if is_down { 5 } else { 0 };
        let events = s.receiver.wait_for(before + 4, SOON).await;
        let events = &events[before..];
        writer.assert_taken(events);
        for (event, (_, name)) in events.iter().zip(steps) {
            assert_eq!(event.table, name, "{}", event.text);
        }
    }
}

#[tokio::test]
async fn rows_of_a_table_that_was_dropped_since_are_sent() {
    let mut s = watch(T, &["public.t"]).await;
    assert_eq!(s.daemon.stop().await, 0);
    let mut writer = Writer::of(&s.db).await;
    writer.change("INSERT INTO t VALUES (1, 'a')", "t").await;
    writer.change("UPDATE t SET id = 2", "t").await;
    writer.run(&format!("DROP TABLE t; {T}")).await;
    s.daemon.launch();
    s.daemon.ready().await;
    let events = s.receiver.wait_for(2, SOON).await;
    writer.assert_taken(&events);
    let published = || async {
        let sql = "SELECT count(*) FROM pg_publication_tables WHERE tablename = 't'";
        s.db.value::<i64>(sql).await == 1
    };
    eventually("published again", published).await;
    writer.change("INSERT INTO t VALUES (9, 'new')", "t").await;
    let events = s.receiver.wait_for(3, SOON).await;
    assert_eq!(data(&events[2]), json!({"id": 9, "v": "new"}));
}

#[tokio::test]
async fn a_table_made_anew_in_one_transaction_is_another_from_there_on() {
    let s = watch(T, &["public.t"]).await;
    let mut writer = Writer::of(&s.db).await;
    writer.run("BEGIN").await;
    writer.change("INSERT INTO t VALUES (1, 'old')", "t").await;
    writer
        .run("DROP TABLE t; CREATE TABLE t (v text, id int PRIMARY KEY, more int)")
        .await;
    writer
        .run("INSERT INTO t VALUES ('not published', 1, 1); COMMIT")
        .await;
    let events = s.receiver.wait_for(1, SOON).await;
    writer.assert_taken(&events);
    eventually("a gap", || async { s.daemon.gaps() == ["not_published"] }).await;
    writer.change("UPDATE t SET v = 'joined'", "t").await;
    let events = s.receiver.wait_for(2, SOON).await;
    writer.assert_taken(&events);
}

#[tokio::test]
async fn rewrites_send_nothing_and_the_rows_after_them_are_right() {
    let s = watch(T, &["public.t"]).await;
    let mut writer = Writer::of(&s.db).await;
    writer.change("INSERT INTO t VALUES (1, '1')", "t").await;
    for rewrite in [
        "ALTER TABLE t ADD r float8 DEFAULT random()",
        "ALTER TABLE t ALTER v TYPE int USING v::int + 41",
        "VACUUM FULL t",
        "CLUSTER t USING t_pkey",
        "ALTER TABLE t ADD g int GENERATED ALWAYS AS (id * 2) STORED",
        "ALTER TABLE t DROP g",
    ] {
        writer.run(rewrite).await;
    }
    writer.change("UPDATE t SET id = 2", "t").await;
    let events = s.receiver.wait_for(2, SOON).await;
    writer.assert_taken(&events);
    assert_eq!(events[1].data("v"), 42);
}
