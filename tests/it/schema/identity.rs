//! What each replica identity makes known of the old row.

use serde_json::{Value, json};

use super::{Watched, Writer, data, previous, watch, watch_with};
use crate::harness::{ALL_EVENTS, Cluster, Daemon, Receiver, SOON, oracle};

const ITEMS: &str = "\
CREATE TABLE items (id int PRIMARY KEY, code text NOT NULL, v int);
CREATE UNIQUE INDEX items_code ON items (code);
";

/// A check of the config against the database fails, and says all of this.
async fn is_refused(ddl: &str, options: &str, entry: &str, parts: &[&str]) {
    let db = Cluster::shared().await.database().await;
    db.sql(ddl).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db)
        .endpoint_with("r", &receiver, options)
        .table("public.items", entry)
        .prepare();
    let ran = daemon.cli_with_secrets(&["check"]).await;
    assert_ne!(ran.code, 0, "{}", ran.text());
    for part in parts {
        assert!(ran.text().contains(part), "no {part:?} in\n{}", ran.text());
    }
    assert!(db.publications().await.is_empty());
}

#[tokio::test]
async fn of_a_key_of_several_columns_previous_has_all_when_one_changed() {
    let s = watch(
        "CREATE TABLE lines (a int, b int, v int, PRIMARY KEY (b, a))",
        &["public.lines"],
    )
    .await;
    s.db.sql("INSERT INTO lines VALUES (1, 2, 3)").await;
    s.db.sql("UPDATE lines SET b = 5").await;
    s.db.sql("UPDATE lines SET b = 5, a = 1, v = 4").await;
    s.db.sql("DELETE FROM lines").await;
    let events = s.receiver.wait_for(4, SOON).await;
    assert_eq!(previous(&events[1]), json!({"a": 1, "b": 2}));
    assert_eq!(data(&events[1]), json!({"a": 1, "b": 5, "v": 3}));
    assert_eq!(previous(&events[2]), Value::Null);
    assert_eq!(data(&events[3]), json!({"a": 1, "b": 5}));
}

#[tokio::test]
async fn with_an_index_as_identity_its_columns_alone_are_known() {
    let ddl = format!("{ITEMS} ALTER TABLE items REPLICA IDENTITY USING INDEX items_code");
    let s = watch(&ddl, &["public.items"]).await;
    let mut writer = Writer::of(&s.db).await;
    writer
        .change("INSERT INTO items VALUES (1, 'a', 1)", "items")
        .await;
    writer.change("UPDATE items SET v = 2", "items").await;
    writer.change("UPDATE items SET id = 2", "items").await;
    writer.change("UPDATE items SET code = 'b'", "items").await;
    writer.run("DELETE FROM items").await;
    let events = s.receiver.wait_for(5, SOON).await;
    writer.assert_taken(&events[..4]);
    let old: Vec<_> = events.iter().map(previous).collect();
    let nothing = Value::Null;
    assert_eq!(
        old,
        [
            nothing.clone(),
            nothing.clone(),
            nothing.clone(),
            json!({"code": "a"}),
            nothing
        ]
    );
    assert_eq!(data(&events[4]), json!({"code": "b"}));
}

/// The old key of a row is not in the WAL then: such a change is ordered with all rows.
#[tokio::test]
async fn with_an_index_as_identity_rows_stay_in_order_also_when_their_key_changes() {
    let ddl = format!("{ITEMS} ALTER TABLE items REPLICA IDENTITY USING INDEX items_code");
    let options = "order: key\nkey_lanes: 64";
    let s = watch_with(&ddl, options, &[("public.items", ALL_EVENTS)]).await;
    s.db.sql("INSERT INTO items VALUES (1, 'a', 0)").await;
    s.receiver.wait_for(1, SOON).await;
    let release = s.receiver.hold_next();
    s.db.sql("UPDATE items SET v = 1; UPDATE items SET id = 2; UPDATE items SET v = 2")
        .await;
    s.db.sql("INSERT INTO items SELECT g, g::text, 0 FROM generate_series(100, 120) g")
        .await;
    s.receiver.wait_for_attempts(2, SOON).await;
    release.cancel();
    let events = s.receiver.wait_for(1 + 3 + 21, SOON).await;
    oracle::assert_no_repeats(&events);
    let row: Vec<_> = events
        .iter()
        .filter(|e| e.data("id") == 1 || e.data("id") == 2)
        .collect();
    let steps: Vec<_> = row.iter().map(|e| (e.data("id"), e.data("v"))).collect();
    let step = |id: i32, v: i32| (json!(id), json!(v));
    assert_eq!(steps, [step(1, 0), step(1, 1), step(2, 1), step(2, 2)]);
}

#[tokio::test]
async fn an_identity_that_changes_in_a_transaction_holds_from_there_on() {
    let s = watch(ITEMS, &["public.items"]).await;
    let mut writer = Writer::of(&s.db).await;
    writer.run("BEGIN").await;
    writer
        .change("INSERT INTO items VALUES (1, 'a', 1)", "items")
        .await;
    writer
        .change("UPDATE items SET v = 2, code = 'b'", "items")
        .await;
    writer
        .change(
            "ALTER TABLE items REPLICA IDENTITY FULL; UPDATE items SET v = 3, code = 'c'",
            "items",
        )
        .await;
    writer
        .change(
            "ALTER TABLE items REPLICA IDENTITY USING INDEX items_code; \
             UPDATE items SET v = 4, code = 'd'",
            "items",
        )
        .await;
    writer
        .change(
            "ALTER TABLE items REPLICA IDENTITY DEFAULT; UPDATE items SET v = 5, code = 'e', id = 9",
            "items",
        )
        .await;
    writer.run("COMMIT").await;
    let events = s.receiver.wait_for(5, SOON).await;
    writer.assert_taken(&events);
    let old: Vec<_> = events[1..].iter().map(previous).collect();
    let expected = [
        Value::Null,
        json!({"id": 1, "code": "b", "v": 2}),
        json!({"code": "c"}),
        json!({"id": 1}),
    ];
    assert_eq!(old, expected);
}

#[tokio::test]
async fn a_table_without_a_key_sends_every_row_under_full_identity_also_equal_ones() {
    let s = watch(
        "CREATE TABLE items (a int, b text); ALTER TABLE items REPLICA IDENTITY FULL",
        &["public.items"],
    )
    .await;
    s.db.sql("INSERT INTO items VALUES (1, NULL), (1, NULL)")
        .await;
    s.db.sql("UPDATE items SET b = 'x'").await;
    s.db.sql("DELETE FROM items").await;
    let events = s.receiver.wait_for(6, SOON).await;
    let (old, new) = (json!({"a": 1, "b": null}), json!({"a": 1, "b": "x"}));
    for event in &events[2..4] {
        assert_eq!((previous(event), data(event)), (old.clone(), new.clone()));
    }
    for event in &events[4..] {
        assert_eq!((previous(event), data(event)), (Value::Null, new.clone()));
    }
}

/// Published with all else, their updates would fail in the application.
#[tokio::test]
async fn tables_with_no_usable_identity_can_be_inserted_into_and_still_be_updated() {
    let ddl = "
        CREATE TABLE nothing (id int PRIMARY KEY, v int); ALTER TABLE nothing REPLICA IDENTITY NOTHING;
        CREATE TABLE later (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, v int);
        CREATE TABLE nullable (id int UNIQUE, v int);
        CREATE TABLE partial (id int NOT NULL, v int); CREATE UNIQUE INDEX ON partial (id) WHERE v > 0;";
    let names = ["nothing", "later", "nullable", "partial"];
    let tables: Vec<String> = names.iter().map(|name| format!("public.{name}")).collect();
    let entry = "to: r\nevents: { insert: made, truncate: emptied }";
    let entries: Vec<_> = tables.iter().map(|table| (table.as_str(), entry)).collect();
    let Watched {
        db,
        receiver,
        daemon: _daemon,
    } = watch_with(ddl, "order: endpoint", &entries).await;
    for name in names {
        db.sql(&format!("INSERT INTO {name} VALUES (1, 1)")).await;
        db.sql(&format!("UPDATE {name} SET v = 2; DELETE FROM {name}"))
            .await;
        db.sql(&format!("TRUNCATE {name}")).await;
    }
    let events = receiver.wait_for(8, SOON).await;
    let made: Vec<_> = events
        .iter()
        .map(|e| (e.table.as_str(), e.kind.as_str()))
        .collect();
    let expected: Vec<_> = tables
        .iter()
        .flat_map(|table| [(table.as_str(), "made"), (table.as_str(), "emptied")])
        .collect();
    assert_eq!(made, expected);
}

#[tokio::test]
async fn a_deferrable_key_is_refused_for_updates_with_what_to_run() {
    is_refused(
        "CREATE TABLE items (id int PRIMARY KEY DEFERRABLE, v int)",
        "",
        "to: r\nevents: { update: changed }",
        &[
            "its primary key \"items_pkey\" is deferrable",
            "ALTER TABLE \"public\".\"items\" REPLICA IDENTITY FULL;",
        ],
    )
    .await;
}

#[tokio::test]
async fn changed_is_refused_where_the_identity_does_not_tell() {
    let changed = |column: &str| {
        format!("to: r\nevents: {{ update: {{ type: changed, when: changed(\"{column}\") }} }}")
    };
    let full = "ALTER TABLE \"public\".\"items\" REPLICA IDENTITY FULL;";
    is_refused(ITEMS, "", &changed("v"), &["old values of (v)", full]).await;
    is_refused(ITEMS, "", &changed("code"), &["old values of (code)", full]).await;
    let by_index = format!("{ITEMS} ALTER TABLE items REPLICA IDENTITY USING INDEX items_code");
    is_refused(&by_index, "", &changed("id"), &["old values of (id)", full]).await;
    is_refused(&by_index, "", &changed("v"), &["old values of (v)", full]).await;
    let nothing = format!("{ITEMS} ALTER TABLE items REPLICA IDENTITY NOTHING");
    is_refused(&nothing, "", &changed("id"), &["NOTHING", "ALTER TABLE"]).await;
}

#[tokio::test]
async fn changed_of_a_key_is_right_under_every_identity() {
    let entry = "to: r\nevents:\n  insert: { type: made, when: changed(\"code\") }\n  update:\n    - { type: renamed, when: changed(\"code\") && old.code != new.code }\n    - { type: kept, when: '!changed(\"code\") && old.code == new.code' }\n  delete: { type: gone, when: changed(\"code\") && old.code == \"b\" }";
    let by_code = "CREATE TABLE items (code text PRIMARY KEY, v int);";
    for identity in ["DEFAULT", "USING INDEX items_pkey", "FULL"] {
        let ddl = format!("{by_code} ALTER TABLE items REPLICA IDENTITY {identity}");
        let s = watch_with(&ddl, "", &[("public.items", entry)]).await;
        s.db.sql("INSERT INTO items VALUES ('a', 1)").await;
        s.db.sql("UPDATE items SET v = 2").await;
        s.db.sql("UPDATE items SET code = 'b'").await;
        s.db.sql("UPDATE items SET code = 'b'").await;
        s.db.sql("DELETE FROM items").await;
        let events = s.receiver.wait_for(5, SOON).await;
        let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
        assert_eq!(
            kinds,
            ["made", "kept", "renamed", "kept", "gone"],
            "{identity}"
        );
    }
}

#[tokio::test]
async fn a_table_without_a_key_needs_one_in_the_config_to_be_ordered_by_it() {
    let ddl = "CREATE TABLE items (a int, b int); ALTER TABLE items REPLICA IDENTITY FULL";
    let entry = "to: r\nevents: { insert: made, update: changed }";
    is_refused(ddl, "order: key", entry, &["key"]).await;
    let keyed = format!("{entry}\nkey: [a]");
    let s = watch_with(
        ddl,
        "order: key\nkey_lanes: 64",
        &[("public.items", &keyed)],
    )
    .await;
    s.db.sql("INSERT INTO items SELECT g, 0 FROM generate_series(1, 20) g")
        .await;
    s.db.sql("UPDATE items SET b = 1; UPDATE items SET a = a + 100; UPDATE items SET b = 2")
        .await;
    let events = s.receiver.wait_for(80, SOON).await;
    oracle::assert_in_order_by(&events, |event| {
        (event.data("a").as_i64().unwrap() % 100).to_string()
    });
}
