//! Types that change while changes are read: the stream does not tell what is inside of them.

use serde_json::{Value, json};

use crate::harness::receiver::Event;
use crate::harness::{Cluster, Daemon, Database, Receiver, SOON};

const PAIRS: &str = "CREATE TYPE pair AS (a int, b text);
    CREATE TABLE rows (id int PRIMARY KEY, c pair);
    CREATE TABLE lists (id int PRIMARY KEY, c pair[])";

async fn started(sql: &str) -> (Database, Receiver, Daemon) {
    let db = Cluster::shared().await.database().await;
    db.sql(sql).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db)
        .endpoint_with("r", &receiver, "order: endpoint")
        .table("public.*", "to: r\nevents: { insert: made }");
    let daemon = daemon.start().await;
    (db, receiver, daemon)
}

async fn misfits(daemon: &Daemon) -> f64 {
    daemon
        .metrics()
        .await
        .sum("walhook_value_misfits_total", &[])
}

fn of_column(events: &[Event], column: &str) -> Vec<Value> {
    events.iter().map(|event| event.data(column)).collect()
}

#[tokio::test]
async fn an_attribute_that_is_added_or_dropped_is_in_the_next_row() {
    let (db, receiver, daemon) = started(PAIRS).await;
    db.sql("INSERT INTO rows VALUES (1, '(1,a)'); INSERT INTO lists VALUES (1, '{\"(1,a)\"}')")
        .await;
    receiver.wait_for(2, SOON).await;
    db.sql("ALTER TYPE pair ADD ATTRIBUTE c date").await;
    db.sql("INSERT INTO rows VALUES (2, '(2,b,2026-11-27)')")
        .await;
    db.sql("INSERT INTO lists VALUES (2, '{\"(2,b,2026-11-27)\",NULL}')")
        .await;
    receiver.wait_for(4, SOON).await;
    db.sql("ALTER TYPE pair DROP ATTRIBUTE b; ALTER TYPE pair DROP ATTRIBUTE a")
        .await;
    db.sql("INSERT INTO rows VALUES (3, '(2026-11-28)')").await;
    let events = receiver.wait_for(5, SOON).await;
    assert_eq!(
        of_column(&events, "c"),
        [
            json!({"a": 1, "b": "a"}),
            json!([{"a": 1, "b": "a"}]),
            json!({"a": 2, "b": "b", "c": "2026-11-27"}),
            json!([{"a": 2, "b": "b", "c": "2026-11-27"}, null]),
            json!({"c": "2026-11-28"}),
        ]
    );
    assert_eq!(misfits(&daemon).await, 0.0);
}

#[tokio::test]
async fn attributes_of_other_names_are_in_the_next_row_though_the_values_fit() {
    let (db, receiver, daemon) = started(PAIRS).await;
    for n in 1..=10 {
        db.sql(&format!(
            "ALTER TYPE pair RENAME ATTRIBUTE a TO a{n}; \
             ALTER TYPE pair DROP ATTRIBUTE b; ALTER TYPE pair ADD ATTRIBUTE b{n} text; \
             INSERT INTO rows VALUES ({n}, '({n},x)'); \
             INSERT INTO lists VALUES ({n}, '{{\"({n},y)\"}}')"
        ))
        .await;
        let events = receiver.wait_for(4 * n - 2, SOON).await;
        let of_transaction = of_column(&events[events.len() - 2..], "c");
        let (x, y) = ("x", "y");
        let expected = [
            json!({format!("a{n}"): n, format!("b{n}"): x}),
            json!([{format!("a{n}"): n, format!("b{n}"): y}]),
        ];
        assert_eq!(of_transaction, expected);
        db.sql(&format!(
            "ALTER TYPE pair RENAME ATTRIBUTE a{n} TO a; ALTER TYPE pair RENAME ATTRIBUTE b{n} TO b"
        ))
        .await;
        db.sql(&format!(
            "INSERT INTO lists VALUES (-{n}, '{{\"({n},y)\"}}')"
        ))
        .await;
        db.sql(&format!("INSERT INTO rows VALUES (-{n}, '({n},x)')"))
            .await;
        let events = receiver.wait_for(4 * n, SOON).await;
        let after = of_column(&events[events.len() - 2..], "c");
        let expected = [json!([{"a": n, "b": y}]), json!({"a": n, "b": x})];
        assert_eq!(after, expected);
    }
    assert_eq!(misfits(&daemon).await, 0.0);
}

#[tokio::test]
async fn a_truncate_of_tables_with_composites_is_sent() {
    let db = Cluster::shared().await.database().await;
    db.sql(PAIRS).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db)
        .endpoint_with("r", &receiver, "order: endpoint")
        .table(
            "public.*",
            "to: r\nevents: { insert: made, truncate: emptied }",
        );
    let _daemon = daemon.start().await;
    db.sql("INSERT INTO rows VALUES (1, '(1,a)')").await;
    // The types were read before this, which says nothing of them.
    receiver.wait_for(1, SOON).await;
    db.sql("TRUNCATE rows, lists; INSERT INTO rows VALUES (2, '(2,b)')")
        .await;
    let events = receiver.wait_until(|events| events.last().unwrap().data("id") == 2, SOON);
    let kinds: Vec<_> = events
        .await
        .iter()
        .map(|event| event.kind.clone())
        .collect();
    assert_eq!(kinds, ["made", "emptied", "emptied", "made"]);
}

#[tokio::test]
async fn a_value_that_fits_its_type_no_longer_goes_as_text_and_is_counted() {
    let (db, receiver, mut daemon) = started(PAIRS).await;
    assert_eq!(daemon.stop().await, 0);
    db.sql("INSERT INTO rows SELECT i, ROW(i, 'a')::pair FROM generate_series(1, 1000) i")
        .await;
    // Without the dropped one the values would be taken for older ones, which have less.
    db.sql("ALTER TYPE pair DROP ATTRIBUTE b, ADD ATTRIBUTE c date, ADD ATTRIBUTE d int")
        .await;
    db.sql("INSERT INTO rows VALUES (1001, '(2,2026-11-27,3)')")
        .await;
    daemon.launch();
    let events = receiver.wait_for(1001, SOON).await;
    assert_eq!(events[0].data("c"), json!("(1,a)"));
    assert_eq!(events[999].data("c"), json!("(1000,a)"));
    let last = json!({"a": 2, "c": "2026-11-27", "d": 3});
    assert_eq!(events[1000].data("c"), last);
    assert_eq!(misfits(&daemon).await, 1000.0);
}

#[tokio::test]
async fn types_made_in_the_transaction_that_uses_them_are_known() {
    let (db, receiver, daemon) = started("CREATE TABLE rows (id int PRIMARY KEY)").await;
    for n in 1..=50 {
        db.sql(&format!(
            "CREATE TYPE made_{n} AS (a int, b int[]); CREATE DOMAIN list_{n} AS made_{n}[]; \
             ALTER TABLE rows ADD COLUMN c{n} made_{n}, ADD COLUMN d{n} list_{n}; \
             INSERT INTO rows (id, c{n}, d{n}) VALUES ({n}, ROW(1, '{{1,2}}'), '{{\"(2,)\"}}')"
        ))
        .await;
    }
    let events = receiver.wait_for(50, SOON).await;
    for (event, n) in events.iter().zip(1..) {
        let expected = (json!({"a": 1, "b": [1, 2]}), json!([{"a": 2, "b": null}]));
        let got = (event.data(&format!("c{n}")), event.data(&format!("d{n}")));
        assert_eq!(got, expected, "row {n}");
    }
    assert_eq!(misfits(&daemon).await, 0.0);
}

#[tokio::test]
async fn labels_of_an_enum_that_are_added_or_renamed_are_in_the_next_row() {
    let (db, receiver, _daemon) = started(
        "CREATE TYPE mood AS ENUM ('fine', 'sad'); \
         CREATE TABLE rows (id int PRIMARY KEY, c mood, d mood[])",
    )
    .await;
    db.sql("INSERT INTO rows VALUES (1, 'sad', '{sad,fine}')")
        .await;
    db.sql("ALTER TYPE mood ADD VALUE 'so, so' BEFORE 'sad'")
        .await;
    db.sql("INSERT INTO rows VALUES (2, 'so, so', '{\"so, so\"}')")
        .await;
    db.sql("ALTER TYPE mood RENAME VALUE 'sad' TO 'NULL'").await;
    db.sql("INSERT INTO rows VALUES (3, 'NULL', '{\"NULL\",NULL}')")
        .await;
    let events = receiver.wait_for(3, SOON).await;
    assert_eq!(of_column(&events, "c"), ["sad", "so, so", "NULL"]);
    assert_eq!(
        of_column(&events, "d"),
        [
            json!(["sad", "fine"]),
            json!(["so, so"]),
            json!(["NULL", null])
        ]
    );
}
