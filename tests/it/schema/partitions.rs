//! Partitioned tables, whose rows go under the root's name, and inheritance, where none do.

use serde_json::{Value, json};

use super::{Writer, data, major, previous, watch, watch_with};
use crate::harness::{ALL_EVENTS, Database, SOON, eventually};

/// The leaves' columns stand in three orders, with dropped ones between them.
const M: &str = "\
CREATE TABLE m (id int, region text, v int, note text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE m_eu PARTITION OF m FOR VALUES IN ('eu');
CREATE TABLE m_us (gone int, note text, v int, region text NOT NULL, gone2 int, id int NOT NULL);
ALTER TABLE m_us DROP gone, DROP gone2;
ALTER TABLE m ATTACH PARTITION m_us FOR VALUES IN ('us');
CREATE TABLE m_rest PARTITION OF m DEFAULT PARTITION BY RANGE (id);
CREATE TABLE m_rest_low PARTITION OF m_rest FOR VALUES FROM (0) TO (100);
";

/// 14 does not look again by itself whether a table is a leaf once its walsender has met it.
async fn keeps_what_it_knew(db: &Database) -> bool {
    let keeps = major(db).await < 15;
    if keeps {
        eprintln!("on 14 another test is for ATTACH and DETACH of tables that were written to");
    }
    keeps
}

#[tokio::test]
async fn rows_of_leaves_have_the_name_and_the_columns_of_the_root() {
    let s = watch(M, &["public.m"]).await;
    let mut writer = Writer::of(&s.db).await;
    for region in ["eu", "us", "asia"] {
        let row = format!("m WHERE region = '{region}'");
        let insert = format!("INSERT INTO m VALUES (1, '{region}', 1, 'x')");
        writer.change(&insert, &row).await;
        let update = format!("UPDATE m SET v = 2 WHERE region = '{region}'");
        writer.change(&update, &row).await;
    }
    writer
        .change(
            "INSERT INTO m_us (id, region, v) VALUES (2, 'us', 9)",
            "m WHERE id = 2",
        )
        .await;
    writer
        .change("UPDATE m_us SET id = 3 WHERE id = 2", "m WHERE id = 3")
        .await;
    writer.run("DELETE FROM m_us WHERE id = 3").await;
    let events = s.receiver.wait_for(9, SOON).await;
    writer.assert_taken(&events[..8]);
    assert!(events.iter().all(|event| event.table == "public.m"));
    assert_eq!(previous(&events[7]), json!({"id": 2, "region": "us"}));
    assert_eq!(data(&events[8]), json!({"id": 3, "region": "us"}));
}

/// Postgres makes two changes of it: there is no old row beside the new one.
#[tokio::test]
async fn a_row_that_moves_between_leaves_is_deleted_and_inserted_in_that_order() {
    let options = "order: key\nkey_lanes: 64";
    let s = watch_with(M, options, &[("public.m", ALL_EVENTS)]).await;
    let mut writer = Writer::of(&s.db).await;
    writer
        .change("INSERT INTO m VALUES (1, 'eu', 1, 'x')", "m")
        .await;
    writer
        .change("UPDATE m SET region = 'us', v = 2", "m")
        .await;
    writer
        .change("UPDATE m SET region = 'asia', v = 3", "m")
        .await;
    let events = s.receiver.wait_for(5, SOON).await;
    let mut events = events;
    events.sort_by_key(|event| event.position);
    let operations: Vec<_> = events.iter().map(|e| e.operation.as_str()).collect();
    assert_eq!(
        operations,
        ["insert", "delete", "insert", "delete", "insert"]
    );
    assert_eq!(data(&events[1]), json!({"id": 1, "region": "eu"}));
    assert_eq!(data(&events[2]), writer.taken[1]);
    assert_eq!(data(&events[4]), writer.taken[2]);
}

#[tokio::test]
async fn leaves_come_and_go_while_it_streams_and_their_rows_with_them() {
    let s = watch(M, &["public.m"]).await;
    if keeps_what_it_knew(&s.db).await {
        return;
    }
    let mut writer = Writer::of(&s.db).await;
    writer
        .run("CREATE TABLE m_jp (v int, id int NOT NULL, note text, region text NOT NULL)")
        .await;
    writer
        .run("INSERT INTO m_jp VALUES (7, 1, 'before', 'jp')")
        .await;
    writer
        .run("ALTER TABLE m ATTACH PARTITION m_jp FOR VALUES IN ('jp')")
        .await;
    // What it had before is not sent, what it gets is.
    writer
        .change(
            "UPDATE m SET v = 8 WHERE region = 'jp'",
            "m WHERE region = 'jp'",
        )
        .await;
    writer
        .change(
            "INSERT INTO m_jp (id, region) VALUES (2, 'jp')",
            "m WHERE id = 2",
        )
        .await;
    writer.run("BEGIN").await;
    writer
        .change(
            "CREATE TABLE m_kr PARTITION OF m FOR VALUES IN ('kr'); INSERT INTO m VALUES (1, 'kr')",
            "m WHERE region = 'kr'",
        )
        .await;
    writer.run("COMMIT").await;
    writer.run("ALTER TABLE m DETACH PARTITION m_jp").await;
    writer
        .run("INSERT INTO m_jp (id, region) VALUES (3, 'jp')")
        .await;
    writer
        .change(
            "ALTER TABLE m ADD extra int DEFAULT 5; UPDATE m SET v = 9",
            "m WHERE region = 'kr'",
        )
        .await;
    let events = s.receiver.wait_for(4, SOON).await;
    writer.assert_taken(&events);
}

/// A leaf that is made afterwards does not take the root's identity, so that what the WAL
/// has of its old rows is less than the stream says.
#[tokio::test]
async fn a_leaf_that_has_not_the_identity_of_its_root_makes_no_nulls_of_what_is_not_known() {
    let full = "ALTER TABLE m REPLICA IDENTITY FULL; ALTER TABLE m_eu REPLICA IDENTITY FULL; \
                ALTER TABLE m_us REPLICA IDENTITY FULL; ALTER TABLE m_rest REPLICA IDENTITY FULL; \
                ALTER TABLE m_rest_low REPLICA IDENTITY FULL;";
    let s = watch(&format!("{M} {full}"), &["public.m"]).await;
    let mut writer = Writer::of(&s.db).await;
    writer
        .run("CREATE TABLE m_kr PARTITION OF m FOR VALUES IN ('kr')")
        .await;
    let row = "m WHERE region = 'kr'";
    writer
        .change("INSERT INTO m VALUES (1, 'kr', 1, 'x')", row)
        .await;
    writer.change("UPDATE m SET v = 2", row).await;
    writer.change("UPDATE m SET id = 2", row).await;
    writer.run("DELETE FROM m").await;
    let events = s.receiver.wait_for(4, SOON).await;
    writer.assert_taken(&events[..3]);
    let key = |id: i32| json!({"id": id, "region": "kr"});
    assert_eq!(previous(&events[1]), Value::Null);
    assert_eq!(previous(&events[2]), key(1));
    assert_eq!(data(&events[3]), key(2));
    let told = "ALTER TABLE \"public\".\"m_kr\" REPLICA IDENTITY FULL;";
    s.daemon.lines().line_with(told, SOON).await;
    // Mended, all is known.
    s.db.sql("ALTER TABLE m_kr REPLICA IDENTITY FULL").await;
    writer
        .change("INSERT INTO m VALUES (1, 'kr', 1, NULL)", row)
        .await;
    writer.change("UPDATE m SET v = 2", row).await;
    writer.run("DELETE FROM m").await;
    let events = s.receiver.wait_for(7, SOON).await;
    assert_eq!(previous(&events[5]), writer.taken[3]);
    assert_eq!(data(&events[6]), writer.taken[4]);
}

#[tokio::test]
async fn a_leaf_that_is_identified_by_another_index_makes_no_nulls_of_the_roots_key() {
    let s = watch(M, &["public.m"]).await;
    s.db.sql(
        "CREATE TABLE m_kr PARTITION OF m FOR VALUES IN ('kr'); ALTER TABLE m_kr ALTER note SET NOT NULL;
         CREATE UNIQUE INDEX m_kr_note ON m_kr (note); ALTER TABLE m_kr REPLICA IDENTITY USING INDEX m_kr_note",
    )
    .await;
    s.db.sql("INSERT INTO m VALUES (1, 'kr', 1, 'x')").await;
    s.db.sql("UPDATE m SET id = 2").await;
    s.db.sql("UPDATE m SET note = 'y'").await;
    s.db.sql("DELETE FROM m").await;
    let events = s.receiver.wait_for(4, SOON).await;
    assert_eq!(previous(&events[1]), Value::Null);
    assert_eq!(previous(&events[2]), Value::Null);
    // The WAL has the note alone, of which the stream does not say that it is known.
    assert_eq!(data(&events[3]), json!({}));
}

/// Rules can be for a leaf alone, while no rule is for its root.
#[tokio::test]
async fn a_leaf_can_be_watched_by_itself() {
    let s = watch(M, &["public.m_us"]).await;
    s.db.sql("INSERT INTO m VALUES (1, 'eu', 1, 'x')").await;
    let mut writer = Writer::of(&s.db).await;
    writer
        .change("INSERT INTO m VALUES (1, 'us', 1, 'x')", "m_us")
        .await;
    let events = s.receiver.wait_for(1, SOON).await;
    writer.assert_taken(&events);
    assert_eq!(events[0].table, "public.m_us");
}

#[tokio::test]
async fn a_table_that_matches_a_pattern_and_becomes_a_leaf_goes_under_the_root_from_there_on() {
    let s = watch(M, &["public.m*"]).await;
    if keeps_what_it_knew(&s.db).await {
        return;
    }
    s.db.sql("CREATE TABLE m_jp (id int NOT NULL, region text NOT NULL, v int, note text, PRIMARY KEY (id, region))").await;
    let published = || async {
        let sql = "SELECT count(*) FROM pg_publication_tables WHERE tablename = 'm_jp'";
        s.db.value::<i64>(sql).await == 1
    };
    eventually("published", published).await;
    let mut writer = Writer::of(&s.db).await;
    writer
        .change("INSERT INTO m_jp VALUES (1, 'jp')", "m_jp")
        .await;
    writer
        .change(
            "ALTER TABLE m ATTACH PARTITION m_jp FOR VALUES IN ('jp'); UPDATE m SET v = 1",
            "m",
        )
        .await;
    writer
        .change(
            "ALTER TABLE m DETACH PARTITION m_jp; UPDATE m_jp SET v = 2",
            "m_jp",
        )
        .await;
    let events = s.receiver.wait_for(3, SOON).await;
    writer.assert_taken(&events);
    let tables: Vec<_> = events.iter().map(|event| event.table.as_str()).collect();
    assert_eq!(tables, ["public.m_jp", "public.m", "public.m_jp"]);
}

/// What was written before it was seen is a gap, and only that.
#[tokio::test]
async fn postgres_14_is_made_to_see_that_a_known_table_became_a_leaf() {
    let mut s = watch(M, &["public.m"]).await;
    if !keeps_what_it_knew(&s.db).await {
        return;
    }
    s.db.sql("CREATE TABLE m_jp (id int NOT NULL, region text NOT NULL, v int, note text)")
        .await;
    s.db.sql("INSERT INTO m_jp VALUES (1, 'jp')").await;
    s.db.sql("INSERT INTO m VALUES (1, 'eu')").await;
    s.receiver.wait_for(1, SOON).await;
    let seen = "PostgreSQL 14 takes notice from here on";
    for (change, row, times) in [
        ("ATTACH PARTITION m_jp FOR VALUES IN ('jp')", 2, 1),
        ("DETACH PARTITION m_jp", 3, 2),
        ("ATTACH PARTITION m_jp FOR VALUES IN ('jp')", 4, 3),
    ] {
        s.db.sql(&format!("ALTER TABLE m {change}")).await;
        let told = || async { s.daemon.output().matches(seen).count() == times };
        eventually("told", told).await;
        s.db.sql(&format!("INSERT INTO m_jp VALUES ({row}, 'jp')"))
            .await;
    }
    // One that is made as a leaf is known at once, and no reason to tell anything.
    s.db.sql(
        "CREATE TABLE m_kr PARTITION OF m FOR VALUES IN ('kr'); INSERT INTO m VALUES (5, 'kr')",
    )
    .await;
    let events = s.receiver.wait_for(4, SOON).await;
    let ids: Vec<_> = events.iter().map(|event| event.data("id")).collect();
    assert_eq!(ids, [1, 2, 4, 5]);
    assert!(events.iter().all(|event| event.table == "public.m"));
    s.db.confirmed(SOON).await;
    assert_eq!(s.daemon.output().matches(seen).count(), 3);
    assert_eq!(s.daemon.stop().await, 0);
    assert_eq!(s.daemon.gaps(), ["not_published"; 3]);
}

#[tokio::test]
async fn a_truncate_of_a_root_is_one_event_and_of_a_leaf_none() {
    let s = watch(M, &["public.m"]).await;
    s.db.sql("INSERT INTO m VALUES (1, 'eu'), (1, 'us')").await;
    s.db.sql("TRUNCATE m_us").await;
    s.db.sql("TRUNCATE m").await;
    s.db.sql("INSERT INTO m VALUES (1, 'eu')").await;
    let events = s.receiver.wait_for(4, SOON).await;
    let operations: Vec<_> = events.iter().map(|e| e.operation.as_str()).collect();
    assert_eq!(operations, ["insert", "insert", "truncate", "insert"]);
    assert_eq!(events[2].table, "public.m");
}

#[tokio::test]
async fn children_by_inheritance_are_tables_of_their_own() {
    let s = watch(
        "CREATE TABLE parent (id int PRIMARY KEY, v int);
         CREATE TABLE child (more text, PRIMARY KEY (id)) INHERITS (parent);
         CREATE TABLE silent (PRIMARY KEY (id)) INHERITS (parent)",
        &["public.parent", "public.child"],
    )
    .await;
    s.db.sql("INSERT INTO parent VALUES (1, 1)").await;
    s.db.sql("INSERT INTO child VALUES (2, 1, 'm')").await;
    s.db.sql("INSERT INTO silent VALUES (3, 1)").await;
    // Of all three.
    s.db.sql("UPDATE parent SET v = 2").await;
    s.db.sql("UPDATE ONLY parent SET v = 3").await;
    s.db.sql("ALTER TABLE parent ADD late int DEFAULT 4").await;
    s.db.sql("DELETE FROM parent WHERE id = 2").await;
    s.db.sql("INSERT INTO child VALUES (5, 1, 'm')").await;
    s.db.sql("TRUNCATE parent").await;
    let events = s.receiver.wait_for(9, SOON).await;
    let mut seen: Vec<_> = events
        .iter()
        .map(|e| (e.table.as_str(), e.operation.as_str(), data(e)))
        .collect();
    // The order of the two in one statement is Postgres' own.
    seen[7..].sort_by_key(|(table, ..)| *table);
    let (parent, child) = ("public.parent", "public.child");
    assert_eq!(
        seen,
        [
            (parent, "insert", json!({"id": 1, "v": 1})),
            (child, "insert", json!({"id": 2, "v": 1, "more": "m"})),
            (parent, "update", json!({"id": 1, "v": 2})),
            (child, "update", json!({"id": 2, "v": 2, "more": "m"})),
            (parent, "update", json!({"id": 1, "v": 3})),
            (child, "delete", json!({"id": 2})),
            (
                child,
                "insert",
                json!({"id": 5, "v": 1, "more": "m", "late": 4})
            ),
            (child, "truncate", Value::Null),
            (parent, "truncate", Value::Null),
        ]
    );
}
