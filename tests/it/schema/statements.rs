//! Statements that change rows in other ways than INSERT, UPDATE and DELETE of one table.

use serde_json::{Value, json};

use super::{Writer, data, major, watch, watch_in};
use crate::harness::receiver::Event;
use crate::harness::{ALL_EVENTS, Cluster, SOON, oracle};

fn seen(events: &[Event]) -> Vec<(&str, &str, Value)> {
    let one = |event: &Event| data(event);
    events
        .iter()
        .map(|e| (e.table.as_str(), e.operation.as_str(), one(e)))
        .collect()
}

const TREE: &str = "\
CREATE TABLE customers (id serial PRIMARY KEY, name text);
CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE lines (id int PRIMARY KEY, of int REFERENCES orders ON DELETE SET NULL);
CREATE TABLE unwatched (id int PRIMARY KEY REFERENCES customers);
";
const TREE_TABLES: [&str; 3] = ["public.customers", "public.orders", "public.lines"];

#[tokio::test]
async fn a_truncate_that_cascades_is_an_event_of_each_table() {
    let s = watch(TREE, &TREE_TABLES).await;
    s.db.sql("INSERT INTO customers (name) VALUES ('a'), ('b')")
        .await;
    s.db.sql(
        "TRUNCATE customers RESTART IDENTITY CASCADE; INSERT INTO customers (name) VALUES ('c')",
    )
    .await;
    let events = s.receiver.wait_for(6, SOON).await;
    let mut emptied: Vec<_> = events[2..5].iter().map(|e| e.table.as_str()).collect();
    emptied.sort_unstable();
    assert_eq!(
        emptied,
        ["public.customers", "public.lines", "public.orders"]
    );
    let mut indices: Vec<_> = events[2..].iter().map(|event| event.position.1).collect();
    indices.sort_unstable();
    assert_eq!(indices, [1, 2, 3, 4]);
    assert_eq!(data(&events[5]), json!({"id": 1, "name": "c"}));
    oracle::assert_no_repeats(&events);
}

#[tokio::test]
async fn foreign_keys_that_cascade_make_events_of_the_rows_that_they_change() {
    let s = watch(TREE, &TREE_TABLES).await;
    s.db.sql("INSERT INTO customers VALUES (1, 'a'); INSERT INTO orders VALUES (10, 1); INSERT INTO lines VALUES (100, 10)").await;
    s.db.sql("UPDATE customers SET id = 2").await;
    s.db.sql("DELETE FROM customers").await;
    let events = s.receiver.wait_for(8, SOON).await;
    assert_eq!(
        seen(&events[3..]),
        [
            ("public.customers", "update", json!({"id": 2, "name": "a"})),
            ("public.orders", "update", json!({"id": 10, "customer": 2})),
            ("public.customers", "delete", json!({"id": 2})),
            ("public.orders", "delete", json!({"id": 10})),
            ("public.lines", "update", json!({"id": 100, "of": null})),
        ]
    );
}

#[tokio::test]
async fn what_triggers_write_is_sent_and_what_they_made_of_a_row() {
    let s = watch(
        "CREATE TABLE t (id int PRIMARY KEY, v text, stamp text);
         CREATE TABLE log (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text);
         CREATE FUNCTION stamped() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN IF NEW.v = 'refused' THEN RETURN NULL; END IF; NEW.stamp := upper(NEW.v); RETURN NEW; END $$;
         CREATE TRIGGER before_row BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION stamped();
         CREATE FUNCTION logged() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN INSERT INTO log (what) VALUES (TG_OP || ' ' || NEW.v); RETURN NULL; END $$;
         CREATE TRIGGER after_row AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION logged();
         CREATE VIEW shown AS SELECT id, v FROM t",
        &["public.t", "public.log"],
    )
    .await;
    s.db.sql("INSERT INTO t VALUES (1, 'a'), (2, 'refused')")
        .await;
    s.db.sql("UPDATE shown SET v = 'b'").await;
    s.db.sql("SET session_replication_role = replica; UPDATE t SET v = 'c'")
        .await;
    let events = s.receiver.wait_for(5, SOON).await;
    let (t, log) = ("public.t", "public.log");
    assert_eq!(
        seen(&events),
        [
            (t, "insert", json!({"id": 1, "v": "a", "stamp": "A"})),
            (log, "insert", json!({"id": 1, "what": "INSERT a"})),
            (t, "update", json!({"id": 1, "v": "b", "stamp": "B"})),
            (log, "insert", json!({"id": 2, "what": "UPDATE b"})),
            (t, "update", json!({"id": 1, "v": "c", "stamp": "B"})),
        ]
    );
}

const T: &str = "CREATE TABLE t (id int PRIMARY KEY, v int, w text DEFAULT 'd')";

#[tokio::test]
async fn on_conflict_sends_what_it_came_to() {
    let s = watch(T, &["public.t"]).await;
    s.db.sql("INSERT INTO t VALUES (1, 1), (2, 2)").await;
    s.db.sql("INSERT INTO t VALUES (1, 9), (3, 3) ON CONFLICT DO NOTHING")
        .await;
    s.db.sql("INSERT INTO t VALUES (1, 9), (4, 4) ON CONFLICT (id) DO UPDATE SET v = excluded.v")
        .await;
    s.db.sql("INSERT INTO t VALUES (1, 10) ON CONFLICT (id) DO UPDATE SET v = 0 WHERE t.v = 1")
        .await;
    s.db.sql("BEGIN; SELECT * FROM t FOR UPDATE; COMMIT").await;
    s.db.sql("UPDATE t SET v = v WHERE id = 2").await;
    let events = s.receiver.wait_for(6, SOON).await;
    let row = |id: i32, v: i32| json!({"id": id, "v": v, "w": "d"});
    let t = "public.t";
    assert_eq!(
        seen(&events),
        [
            (t, "insert", row(1, 1)),
            (t, "insert", row(2, 2)),
            (t, "insert", row(3, 3)),
            (t, "update", row(1, 9)),
            (t, "insert", row(4, 4)),
            (t, "update", row(2, 2)),
        ]
    );
    oracle::assert_replay(&events, &s.db, t).await;
}

#[tokio::test]
async fn merge_sends_each_row_that_it_changed() {
    let s = watch(T, &["public.t"]).await;
    if major(&s.db).await < 15 {
        eprintln!("skipped: MERGE came with PostgreSQL 15");
        return;
    }
    s.db.sql("INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)")
        .await;
    s.db.sql(
        "MERGE INTO t USING (VALUES (1, 10), (2, 0), (3, 3), (4, 4)) AS s (id, v) ON t.id = s.id
         WHEN MATCHED AND s.v = 0 THEN DELETE WHEN MATCHED AND s.v = t.v THEN DO NOTHING
         WHEN MATCHED THEN UPDATE SET v = s.v WHEN NOT MATCHED THEN INSERT (id, v) VALUES (s.id, s.v)",
    )
    .await;
    let events = s.receiver.wait_for(6, SOON).await;
    let mut merged: Vec<_> = events[3..]
        .iter()
        .map(|e| (e.data("id"), e.operation.as_str()))
        .collect();
    merged.sort_by_key(|(id, _)| id.as_i64());
    assert_eq!(
        merged,
        [
            (json!(1), "update"),
            (json!(2), "delete"),
            (json!(4), "insert")
        ]
    );
    oracle::assert_replay(&events, &s.db, "public.t").await;
}

#[tokio::test]
async fn every_row_of_a_copy_is_sent_once_and_as_it_is() {
    let s = watch(T, &["public.t"]).await;
    s.db.sql("COPY t (id, v) FROM PROGRAM 'seq 1 2000 | sed ''s/.*/&\t&/'''")
        .await;
    s.db.sql("COPY t (id, w) FROM PROGRAM 'printf \"9001\\ta\\\\\\\\tb\\n9002\\t\\\\\\\\N\\n\"'")
        .await;
    let failed =
        s.db.client()
            .await
            .batch_execute("COPY t (id) FROM PROGRAM 'seq 5000 5100; echo 1'")
            .await;
    assert!(failed.is_err(), "the last row is there already");
    s.db.sql("INSERT INTO t VALUES (9999, 1)").await;
    let events = s.receiver.wait_for(2003, SOON).await;
    oracle::assert_no_repeats(&events);
    oracle::assert_in_order_per_table(&events);
    oracle::assert_replay(&events, &s.db, "public.t").await;
}

/// Its place is that of COMMIT PREPARED, over a restart too.
#[tokio::test]
async fn a_prepared_transaction_is_sent_when_it_is_committed_and_never_when_it_is_not() {
    let cluster = Cluster::own()
        .setting("max_prepared_transactions", "5")
        .start()
        .await;
    let db = cluster.database().await;
    let mut s = watch_in(db, T, "order: endpoint", &[("public.t", ALL_EVENTS)]).await;
    s.db.sql("BEGIN; INSERT INTO t VALUES (1, 1); PREPARE TRANSACTION 'kept'")
        .await;
    s.db.sql("BEGIN; INSERT INTO t VALUES (2, 2); PREPARE TRANSACTION 'not'")
        .await;
    s.db.sql("INSERT INTO t VALUES (4, 4)").await;
    s.receiver.wait_for(1, SOON).await;
    s.db.confirmed(SOON).await;
    assert_eq!(s.daemon.stop().await, 0);
    s.db.sql("ROLLBACK PREPARED 'not'").await;
    s.db.sql("COMMIT PREPARED 'kept'").await;
    s.db.sql("INSERT INTO t VALUES (5, 5)").await;
    s.daemon.launch();
    let events = s.receiver.wait_for(3, SOON).await;
    let ids: Vec<_> = events.iter().map(|event| event.data("id")).collect();
    assert_eq!(ids, [4, 1, 5]);
    oracle::assert_in_order_per_table(&events);
    oracle::assert_replay(&events, &s.db, "public.t").await;
}

#[tokio::test]
async fn of_savepoints_only_what_was_kept_is_sent_in_the_order_of_the_changes() {
    let s = watch(T, &["public.t"]).await;
    let mut writer = Writer::of(&s.db).await;
    writer.run("BEGIN").await;
    writer
        .change("INSERT INTO t VALUES (1, 1)", "t WHERE id = 1")
        .await;
    writer.run("SAVEPOINT a; INSERT INTO t VALUES (2, 2); SAVEPOINT b; UPDATE t SET v = 7; TRUNCATE t; ROLLBACK TO b").await;
    writer.run("RELEASE b; ROLLBACK TO a").await;
    writer
        .change(
            "SAVEPOINT c; UPDATE t SET v = 2 WHERE id = 1; RELEASE c",
            "t WHERE id = 1",
        )
        .await;
    // More subtransactions than are kept in memory.
    writer
        .run(
            "DO $$ BEGIN FOR i IN 100..400 LOOP BEGIN INSERT INTO t VALUES (i, i);
             IF i % 3 = 0 THEN RAISE EXCEPTION 'no'; END IF;
             EXCEPTION WHEN raise_exception THEN NULL; END; END LOOP; END $$",
        )
        .await;
    writer.run("COMMIT").await;
    let kept: i64 = s.db.value("SELECT count(*) FROM t").await;
    let events = s
        .receiver
        .wait_for(usize::try_from(kept).unwrap() + 1, SOON)
        .await;
    writer.assert_taken(&events[..2]);
    let indices: Vec<_> = events.iter().map(|event| event.position.1).collect();
    let count = u64::try_from(events.len()).unwrap();
    assert_eq!(indices, (1..=count).collect::<Vec<_>>());
    oracle::assert_replay(&events, &s.db, "public.t").await;
}

#[tokio::test]
async fn work_of_a_session_that_was_killed_is_never_sent() {
    let s = watch(T, &["public.t"]).await;
    let victim = s.db.client().await;
    let pid = victim
        .query_one("SELECT pg_backend_pid()", &[])
        .await
        .unwrap();
    let pid: i32 = pid.get(0);
    victim
        .batch_execute("BEGIN; INSERT INTO t SELECT g, g FROM generate_series(100, 5000) g")
        .await
        .unwrap();
    s.db.sql("INSERT INTO t VALUES (1, 1)").await;
    s.db.sql(&format!("SELECT pg_terminate_backend({pid}, 5000)"))
        .await;
    s.db.sql("INSERT INTO t VALUES (2, 2)").await;
    let events = s.receiver.wait_for(2, SOON).await;
    let ids: Vec<_> = events.iter().map(|event| event.data("id")).collect();
    assert_eq!(ids, [1, 2]);
}
