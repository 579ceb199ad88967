//! From a committed change to a webhook, as the manual shows it.

use std::collections::HashSet;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::harness::metrics::CHECKPOINTS;
use crate::harness::receiver::Event;
use crate::harness::verify::random_secret;
use crate::harness::{
    ALL_EVENTS, Answer, Cluster, Daemon, Database, ORDERS, Receiver, SOON, oracle,
};

/// A database with the table `orders`, all changes of it going to the receiver.
async fn orders() -> (Database, Receiver, Daemon) {
    orders_with(ALL_EVENTS).await
}

async fn orders_with(table: &str) -> (Database, Receiver, Daemon) {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db)
        .endpoint("r", &receiver)
        .table("public.orders", table)
        .start()
        .await;
    (db, receiver, daemon)
}

/// The body's text with what no test can know replaced.
fn shape(event: &Event) -> String {
    let json = event.json();
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    event
        .text
        .replace(&text(&json["id"]), "ID")
        .replace(&text(&json["timestamp"]), "TIME")
        .replace(&text(&json["source"]["lsn"]), "LSN")
        .replace(&text(&json["source"]["database"]), "DB")
        .replace(&format!("\"xid\":{}", json["source"]["xid"]), "\"xid\":XID")
}

fn kinds(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.kind.as_str()).collect()
}

#[tokio::test]
async fn an_insert_is_posted_as_the_manual_shows() {
    let (db, receiver, _daemon) = orders().await;
    let before: String = db.value("SELECT pg_current_wal_insert_lsn()::text").await;
    db.sql("INSERT INTO orders VALUES (7, 'new', 10.50, 'say \"hi\"\n')")
        .await;
    let after: String = db.value("SELECT pg_current_wal_insert_lsn()::text").await;
    let events = receiver.wait_for(1, SOON).await;
    assert_eq!(
        shape(&events[0]),
        concat!(
            r#"{"id":"ID","type":"order.created","timestamp":"TIME","#,
            r#""data":{"id":7,"status":"new","total":10.50,"note":"say \"hi\"\n"},"previous":null,"#,
            r#""source":{"database":"DB","schema":"public","table":"orders","operation":"insert","#,
            r#""lsn":"LSN","xid":XID,"index":1}}"#
        )
    );
    let json = events[0].json();
    let time = "SELECT to_char(pg_xact_commit_timestamp(xmin) AT TIME ZONE 'UTC', \
                'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') FROM orders";
    assert_eq!(json["timestamp"], db.value::<String>(time).await);
    assert_eq!(json["source"]["database"], db.name);
    assert_eq!(
        json["source"]["xid"].to_string(),
        db.value::<String>("SELECT xmin::text FROM orders").await
    );
    let lsn = json["source"]["lsn"].as_str().unwrap();
    let within = format!("SELECT '{lsn}'::pg_lsn BETWEEN '{before}' AND '{after}'");
    assert!(db.value::<bool>(&within).await, "{before} {lsn} {after}");

    let attempt = &receiver.attempts()[0];
    assert_eq!(attempt.request.path, "/hooks");
    assert_eq!(attempt.id(), events[0].id);
    assert_eq!(attempt.number(), 1);
    assert_eq!(
        attempt.request.header("user-agent"),
        concat!("walhook/", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(attempt.request.header("accept-encoding"), "");
}

#[tokio::test]
async fn an_update_has_the_new_row_and_no_previous_one() {
    let (db, receiver, _daemon) = orders().await;
    db.sql("INSERT INTO orders VALUES (1, 'new', 1, NULL)")
        .await;
    db.sql("UPDATE orders SET status = 'paid'").await;
    let events = receiver.wait_for(2, SOON).await;
    assert_eq!(
        shape(&events[1]),
        concat!(
            r#"{"id":"ID","type":"order.updated","timestamp":"TIME","#,
            r#""data":{"id":1,"status":"paid","total":1.00,"note":null},"previous":null,"#,
            r#""source":{"database":"DB","schema":"public","table":"orders","operation":"update","#,
            r#""lsn":"LSN","xid":XID,"index":1}}"#
        )
    );
}

#[tokio::test]
async fn an_update_of_the_key_has_the_old_key() {
    let (db, receiver, _daemon) = orders().await;
    db.sql("INSERT INTO orders VALUES (1, 'new'); UPDATE orders SET id = 2")
        .await;
    let events = receiver.wait_for(2, SOON).await;
    assert_eq!(events[1].json()["previous"], json!({"id": 1}));
    assert_eq!(events[1].data("id"), 2);
}

#[tokio::test]
async fn under_full_identity_previous_is_the_whole_row() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    db.sql("ALTER TABLE orders REPLICA IDENTITY FULL").await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db).endpoint("r", &receiver);
    let _daemon = daemon.table("public.orders", ALL_EVENTS).start().await;
    db.sql("INSERT INTO orders VALUES (1, 'new', 2, 'x')").await;
    db.sql("UPDATE orders SET status = 'paid'; DELETE FROM orders")
        .await;
    let events = receiver.wait_for(3, SOON).await;
    let old = json!({"id": 1, "status": "new", "total": 2.0, "note": "x"});
    let new = json!({"id": 1, "status": "paid", "total": 2.0, "note": "x"});
    assert_eq!(events[1].json()["previous"], old);
    assert_eq!(events[1].json()["data"], new);
    assert_eq!(events[2].json()["data"], new);
    assert_eq!(events[2].json()["previous"], Value::Null);
}

#[tokio::test]
async fn a_delete_has_the_key_alone() {
    let (db, receiver, _daemon) = orders().await;
    db.sql("INSERT INTO orders VALUES (1, 'new', 1, 'x')").await;
    db.sql("DELETE FROM orders").await;
    let events = receiver.wait_for(2, SOON).await;
    assert_eq!(
        shape(&events[1]),
        concat!(
            r#"{"id":"ID","type":"order.deleted","timestamp":"TIME","data":{"id":1},"previous":null,"#,
            r#""source":{"database":"DB","schema":"public","table":"orders","operation":"delete","#,
            r#""lsn":"LSN","xid":XID,"index":1}}"#
        )
    );
}

#[tokio::test]
async fn a_truncate_has_no_data() {
    let (db, receiver, _daemon) = orders().await;
    db.sql("TRUNCATE orders").await;
    let events = receiver.wait_for(1, SOON).await;
    assert_eq!(
        shape(&events[0]),
        concat!(
            r#"{"id":"ID","type":"orders.truncated","timestamp":"TIME","data":null,"previous":null,"#,
            r#""source":{"database":"DB","schema":"public","table":"orders","operation":"truncate","#,
            r#""lsn":"LSN","xid":XID,"index":1}}"#
        )
    );
}

#[tokio::test]
async fn the_index_counts_every_change_whatever_a_rule_wants() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    db.sql("CREATE TABLE items (id int PRIMARY KEY); INSERT INTO orders VALUES (1)")
        .await;
    let receiver = Receiver::start().await;
    let _daemon = Daemon::of(&db)
        .endpoint("r", &receiver)
        .table("public.orders", "to: r\nevents: {insert: order.created}")
        .table(
            "public.items",
            "to: r\nevents: {insert: item.created, truncate: items.gone}",
        )
        .start()
        .await;
    db.sql(
        "UPDATE orders SET status = 'x'; INSERT INTO items VALUES (1), (2); \
         INSERT INTO orders VALUES (2); TRUNCATE orders, items; INSERT INTO orders VALUES (3)",
    )
    .await;
    let mut events = receiver.wait_for(5, SOON).await;
    events.sort_by_key(|event| event.position);
    let indices: Vec<_> = events.iter().map(|event| event.position.1).collect();
    // The truncation of two relations is 5 and 6, in an order that Postgres chooses.
    assert!(matches!(indices[..], [2, 3, 4, 5 | 6, 7]), "{indices:?}");
    let positions: HashSet<_> = events.iter().map(|event| event.position.0).collect();
    assert_eq!(positions.len(), 1, "one transaction has one LSN");
}

#[tokio::test]
async fn what_was_rolled_back_is_never_sent() {
    let (db, receiver, _daemon) = orders().await;
    db.sql("BEGIN; INSERT INTO orders VALUES (1); ROLLBACK")
        .await;
    db.sql("BEGIN; SAVEPOINT s; INSERT INTO orders VALUES (2); ROLLBACK TO s; INSERT INTO orders VALUES (3); COMMIT").await;
    db.sql("INSERT INTO orders VALUES (4) ON CONFLICT DO NOTHING")
        .await;
    let events = receiver.wait_for(2, SOON).await;
    let ids: Vec<_> = events.iter().map(|event| event.data("id")).collect();
    assert_eq!(ids, [json!(3), json!(4)]);
}

#[tokio::test]
async fn every_row_of_a_copy_has_an_id_of_its_own() {
    let (db, receiver, _daemon) = orders().await;
    db.sql("CREATE TABLE plain AS SELECT g AS id FROM generate_series(1, 500) g")
        .await;
    db.sql("INSERT INTO orders (id) SELECT id FROM plain").await;
    let events = receiver.wait_for(500, SOON).await;
    oracle::assert_no_repeats(&events);
    oracle::assert_in_order_per_table(&events);
    oracle::assert_replay(&events, &db, "public.orders").await;
}

#[tokio::test]
async fn every_rule_that_matches_makes_an_event() {
    let (db, receiver, _daemon) = orders_with(
        "to: r\nevents:\n  insert:\n    - order.created\n    - type: order.large\n      when: new.total > 100.0\n",
    )
    .await;
    db.sql("INSERT INTO orders VALUES (1, 'new', 500), (2, 'new', 5)")
        .await;
    let events = receiver.wait_for(3, SOON).await;
    assert_eq!(
        kinds(&events),
        ["order.created", "order.large", "order.created"]
    );
    assert_eq!(events[0].position, events[1].position);
    oracle::assert_no_repeats(&events);
}

#[tokio::test]
async fn a_rule_can_have_endpoints_of_its_own() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let (billing, crm) = (Receiver::start().await, Receiver::start().await);
    let _daemon = Daemon::of(&db)
        .endpoint("billing", &billing)
        .endpoint("crm", &crm)
        .table(
            "public.orders",
            "to: [billing, crm]\nevents:\n  insert: order.created\n  update: {type: order.updated, to: crm}\n",
        )
        .start()
        .await;
    db.sql("INSERT INTO orders VALUES (1); UPDATE orders SET status = 'x'; INSERT INTO orders VALUES (2)").await;
    let at_crm = crm.wait_for(3, SOON).await;
    let at_billing = billing.wait_for(2, SOON).await;
    assert_eq!(
        kinds(&at_crm),
        ["order.created", "order.updated", "order.created"]
    );
    assert_eq!(kinds(&at_billing), ["order.created", "order.created"]);
    assert_eq!(at_billing[1].text, at_crm[2].text);
}

#[tokio::test]
async fn conditions_see_the_new_row_the_old_row_and_what_changed() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    db.sql("ALTER TABLE orders REPLICA IDENTITY FULL").await;
    let receiver = Receiver::start().await;
    let _daemon = Daemon::of(&db)
        .endpoint("r", &receiver)
        .table(
            "public.orders",
            r#"to: r
events:
  update:
    - type: order.paid
      when: new.status == "paid" && old.status != "paid"
    - type: order.annotated
      when: changed("note")
    - type: order.seen
      when: operation == "update" && schema == "public" && table == "orders" && new.id == 3
"#,
        )
        .start()
        .await;
    db.sql("INSERT INTO orders VALUES (1, 'new'), (2, 'paid'), (3, 'new')")
        .await;
    db.sql("UPDATE orders SET status = 'paid'").await;
    db.sql("UPDATE orders SET note = 'x' WHERE id = 2").await;
    db.sql("UPDATE orders SET note = 'x' WHERE id = 2").await;
    db.sql("UPDATE orders SET note = 'y' WHERE id = 2").await;
    let events = receiver.wait_for(5, SOON).await;
    let seen: Vec<_> = events
        .iter()
        .map(|e| (e.kind.as_str(), e.data("id")))
        .collect();
    assert_eq!(
        seen,
        [
            ("order.paid", json!(1)),
            ("order.paid", json!(3)),
            ("order.seen", json!(3)),
            ("order.annotated", json!(2)),
            ("order.annotated", json!(2)),
        ]
    );
}

#[tokio::test]
async fn a_condition_that_fails_on_a_row_follows_when_error() {
    let (db, receiver, daemon) = orders_with(
        r#"to: r
events:
  insert:
    - type: skipped
      when: size(new.note) > 1
    - type: emitted
      when: size(new.note) > 1
      when_error: emit
    - type: parked
      when: size(new.note) > 1
      when_error: dead_letter
"#,
    )
    .await;
    db.sql("INSERT INTO orders VALUES (1, 'new', 1, NULL); INSERT INTO orders VALUES (2, 'new', 1, 'long')").await;
    let events = receiver.wait_for(4, SOON).await;
    let seen: Vec<_> = events
        .iter()
        .map(|e| (e.kind.as_str(), e.data("id")))
        .collect();
    assert_eq!(
        seen,
        [
            ("emitted", json!(1)),
            ("skipped", json!(2)),
            ("emitted", json!(2)),
            ("parked", json!(2)),
        ]
    );
    assert_eq!(daemon.dead_letters().await.len(), 1);
}

#[tokio::test]
async fn a_pattern_names_many_tables_and_an_exact_entry_wins() {
    let db = Cluster::shared().await.database().await;
    db.sql(
        "CREATE SCHEMA audit; CREATE TABLE audit.logins (id int PRIMARY KEY); \
         CREATE TABLE audit.payments (id int PRIMARY KEY); CREATE TABLE audit.\"odd.name\" (id int PRIMARY KEY)",
    )
    .await;
    let receiver = Receiver::start().await;
    let _daemon = Daemon::of(&db)
        .endpoint("r", &receiver)
        .table(
            "audit.*",
            "to: r\nevents: {insert: \"{schema}.{table}.{operation}\"}",
        )
        .table("audit.payments", "to: r\nevents: {insert: paid}")
        .table("audit.\"odd.name\"", "to: r\nevents: {insert: odd}")
        .start()
        .await;
    db.sql(
        "INSERT INTO audit.logins VALUES (1); INSERT INTO audit.payments VALUES (1); \
         INSERT INTO audit.\"odd.name\" VALUES (1)",
    )
    .await;
    let events = receiver.wait_for(3, SOON).await;
    let mut seen = kinds(&events);
    seen.sort_unstable();
    assert_eq!(seen, ["audit.logins.insert", "odd", "paid"]);
}

#[tokio::test]
async fn a_new_table_that_matches_a_pattern_joins() {
    let db = Cluster::shared().await.database().await;
    db.sql("CREATE SCHEMA audit; CREATE TABLE audit.a (id serial PRIMARY KEY)")
        .await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db).endpoint("r", &receiver);
    let daemon = daemon
        .table("audit.*", "to: r\nevents: {insert: \"{table}.logged\"}")
        .start()
        .await;
    db.sql("CREATE TABLE audit.b (id serial PRIMARY KEY)").await;
    crate::harness::eventually("an event of the new table", || async {
        db.sql("INSERT INTO audit.b DEFAULT VALUES").await;
        receiver.count() > 0
    })
    .await;
    assert_eq!(receiver.events()[0].kind, "b.logged");
    daemon.lines().line_with("audit.b", SOON).await;
}

#[tokio::test]
async fn a_payload_is_the_whole_body_and_keeps_types() {
    let (db, receiver, _daemon) = orders_with(
        r#"to: r
events:
  insert:
    type: order.created
    payload:
      message: "{{new.status}} ({{new.total}})"
      total: "{{new.total}}"
      list: ["{{new.id}}", plain, 3, true, null]
      "nested": { missing: "{{new.note}}" }
"#,
    )
    .await;
    db.sql("INSERT INTO orders VALUES (1, 'a \"b\"', 10.50, NULL)")
        .await;
    let events = receiver.wait_for(1, SOON).await;
    assert_eq!(
        events[0].text,
        r#"{"message":"a \"b\" (10.50)","total":10.50,"list":[1,"plain",3,true,null],"nested":{"missing":null}}"#
    );
}

#[tokio::test]
async fn columns_are_chosen_for_data_and_previous() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    db.sql("ALTER TABLE orders REPLICA IDENTITY FULL").await;
    db.sql("CREATE TABLE items (id int PRIMARY KEY, a int, b int)")
        .await;
    let receiver = Receiver::start().await;
    let _daemon = Daemon::of(&db)
        .endpoint("r", &receiver)
        .table(
            "public.orders",
            &format!("columns: {{exclude: [note, total]}}\n{ALL_EVENTS}"),
        )
        .table(
            "public.items",
            "to: r\ncolumns: {include: [id, b]}\nevents: {insert: item.created}",
        )
        .start()
        .await;
    db.sql("INSERT INTO orders VALUES (1, 'a', 1, 'secret'); UPDATE orders SET status = 'b'")
        .await;
    let events = receiver.wait_for(2, SOON).await;
    assert_eq!(events[1].json()["data"], json!({"id": 1, "status": "b"}));
    assert_eq!(
        events[1].json()["previous"],
        json!({"id": 1, "status": "a"})
    );
    db.sql("INSERT INTO items VALUES (1, 2, 3)").await;
    let events = receiver.wait_for(3, SOON).await;
    assert_eq!(events[2].json()["data"], json!({"id": 1, "b": 3}));
}

#[tokio::test]
async fn values_are_what_to_jsonb_says() {
    const VALUES: &[(&str, &str)] = &[
        ("smallint", "-32768"),
        ("bigint", "9223372036854775807"),
        ("numeric", "12345678901234567890.123456789012345678901"),
        ("numeric(10,2)", "1.10"),
        ("numeric", "NaN"),
        ("real", "0.1"),
        ("float8", "0.30000000000000004"),
        ("float8", "-Infinity"),
        ("boolean", "t"),
        ("text", "quote \" back \\ tab \t é 😀 \u{2028} \u{1}"),
        ("char(5)", "ab"),
        ("bytea", "\\x00ff"),
        ("date", "infinity"),
        ("date", "0044-03-15 BC"),
        ("timestamp", "2026-11-23 22:00:00.1"),
        ("timestamptz", "2026-11-23 22:00:00.123456+01"),
        ("time", "24:00:00"),
        ("interval", "1 year -3 days 04:05:06.7"),
        ("uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"),
        ("jsonb", "{\"b\": [1.10, null], \"a\": {}}"),
        ("json", "{\"b\" : 1,  \"a\":1e400}"),
        ("int[]", "{1,NULL,3}"),
        ("int[]", "[0:1]={1,2}"),
        ("text[]", "{{a,\"b,c\"},{\"\",NULL}}"),
        ("int4range", "[1,5)"),
        ("inet", "10.0.0.1/8"),
        ("oid", "4294967295"),
        ("money", "12.34"),
        ("bit(3)", "101"),
        ("point", "(1,2)"),
        ("tsvector", "a:1 b:2"),
        ("mood", "fine"),
        ("pair", "(1,\"a,b\")"),
        ("positive", "5"),
    ];
    let db = Cluster::shared().await.database().await;
    let columns: Vec<_> = (0..VALUES.len()).map(|n| format!("c{n}")).collect();
    let definitions: Vec<_> = columns
        .iter()
        .zip(VALUES)
        .map(|(c, v)| format!("{c} {}", v.0))
        .collect();
    db.sql(&format!(
        "CREATE TYPE mood AS ENUM ('fine'); CREATE TYPE pair AS (a int, b text); \
         CREATE DOMAIN positive AS int CHECK (VALUE > 0); \
         CREATE TABLE v (id int PRIMARY KEY, {})",
        definitions.join(", ")
    ))
    .await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db).endpoint("r", &receiver);
    let daemon = daemon.table("public.v", "to: r\nevents: {insert: v.made}");
    let _daemon = daemon.start().await;
    let literals: Vec<_> = VALUES
        .iter()
        .map(|(kind, text)| format!("'{}'::{kind}", text.replace('\'', "''")))
        .collect();
    db.sql(&format!(
        "INSERT INTO v VALUES (1, {}); INSERT INTO v VALUES (2)",
        literals.join(", ")
    ))
    .await;
    let events = receiver.wait_for(2, SOON).await;
    for (event, id) in events.iter().zip([1, 2]) {
        let raw: std::collections::BTreeMap<String, Box<RawValue>> =
            serde_json::from_str(&event.text).unwrap();
        let data: std::collections::BTreeMap<String, Box<RawValue>> =
            serde_json::from_str(raw["data"].get()).unwrap();
        assert_eq!(data.len(), VALUES.len() + 1);
        for (column, (kind, text)) in columns.iter().zip(VALUES) {
            // A json column is embedded as written: to_jsonb cannot show 1e400 and such.
            let says = if *kind == "json" {
                format!("{column}::text")
            } else {
                format!("to_jsonb({column})::text")
            };
            let sql = format!("SELECT coalesce({says}, 'null') FROM v WHERE id = {id}");
            let expected: String = db.value(&sql).await;
            assert_eq!(
                compact(data[column].get()),
                compact(&expected),
                "{kind} {text}"
            );
        }
    }
}

/// JSON without the blanks between its tokens.
fn compact(json: &str) -> String {
    let (mut out, mut in_string, mut escaped) = (String::new(), false, false);
    for c in json.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if c.is_ascii_whitespace() {
            continue;
        } else {
            in_string = c == '"';
        }
        out.push(c);
    }
    out
}

#[tokio::test]
async fn an_unchanged_toast_value_is_left_out_and_named() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    db.sql("ALTER TABLE orders ALTER note SET STORAGE EXTERNAL")
        .await;
    db.sql("CREATE TABLE full_orders (LIKE orders INCLUDING ALL); ALTER TABLE full_orders REPLICA IDENTITY FULL").await;
    let receiver = Receiver::start().await;
    let _daemon = Daemon::of(&db)
        .endpoint("r", &receiver)
        .table("public.orders", "to: r\nevents: {update: order.updated}")
        .table(
            "public.full_orders",
            "to: r\nevents: {update: full.updated}",
        )
        .start()
        .await;
    for table in ["orders", "full_orders"] {
        db.sql(&format!(
            "INSERT INTO {table} VALUES (1, 'new', 1, repeat('x', 9000))"
        ))
        .await;
        db.sql(&format!("UPDATE {table} SET status = 'paid'")).await;
    }
    let events = receiver.wait_for(2, SOON).await;
    let of = |table: &str| {
        events
            .iter()
            .find(|event| event.table == table)
            .unwrap()
            .json()
    };
    let json = of("public.orders");
    assert_eq!(json["unchanged"], json!(["note"]));
    assert_eq!(
        json["data"],
        json!({"id": 1, "status": "paid", "total": 1.0})
    );
    let json = of("public.full_orders");
    assert_eq!(json.get("unchanged"), None);
    assert_eq!(json["data"]["note"], "x".repeat(9000));
}

#[tokio::test]
async fn a_graceful_restart_repeats_nothing_and_misses_nothing() {
    let (db, receiver, mut daemon) = orders().await;
    db.sql("INSERT INTO orders (id) SELECT generate_series(1, 50)")
        .await;
    receiver.wait_for(1, SOON).await;
    assert_eq!(daemon.stop().await, 0);
    db.sql("INSERT INTO orders (id) SELECT generate_series(51, 100)")
        .await;
    daemon.launch();
    daemon.ready().await;
    db.sql("INSERT INTO orders (id) VALUES (101)").await;
    let events = receiver.wait_for(101, SOON).await;
    oracle::assert_no_repeats(&events);
    oracle::assert_in_order_per_table(&events);
    oracle::assert_replay(&events, &db, "public.orders").await;
    assert_eq!(daemon.stop().await, 0);
    assert_eq!(receiver.count(), 101);
}

#[tokio::test]
async fn a_restart_changes_no_id_and_no_body() {
    let (db, receiver, mut daemon) = orders().await;
    receiver.always(crate::harness::Answer::status(500));
    db.sql("INSERT INTO orders (id) VALUES (1)").await;
    receiver.wait_for_attempts(1, SOON).await;
    // The rule's place in the file is no part of the id.
    daemon.edit_config(
        "tables:\n",
        "tables:\n  public.other: {to: r, events: {insert: other.made}}\n",
    );
    db.sql("CREATE TABLE other (id int PRIMARY KEY)").await;
    daemon.restart().await;
    receiver.always(crate::harness::Answer::Accept);
    receiver.wait_for(1, SOON).await;
    let attempts = receiver.attempts();
    let ids: HashSet<_> = attempts.iter().map(|attempt| attempt.id()).collect();
    let bodies: HashSet<_> = attempts
        .iter()
        .map(|attempt| &attempt.request.body)
        .collect();
    assert!(attempts.len() > 1);
    assert_eq!((ids.len(), bodies.len()), (1, 1));
}

#[tokio::test]
async fn a_crash_loses_nothing_and_repeats_only_the_same() {
    let (db, receiver, mut daemon) = orders().await;
    for round in 0..4 {
        let first = round * 100 + 1;
        db.sql(&format!(
            "INSERT INTO orders (id) SELECT generate_series({first}, {})",
            first + 99
        ))
        .await;
        receiver.wait_for(first + 20, SOON).await;
        daemon.kill().await;
        daemon.launch();
    }
    let all = |events: &[Event]| oracle::without_repeats(events).len() == 400;
    let events = oracle::without_repeats(&receiver.wait_until(all, SOON).await);
    oracle::assert_in_order_per_table(&events);
    oracle::assert_replay(&events, &db, "public.orders").await;
}

#[tokio::test]
async fn a_crash_between_two_events_of_a_change_repeats_only_the_one_that_was_not_taken() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    db.sql("CREATE TABLE ticks (id int PRIMARY KEY)").await;
    let receiver = Receiver::start().await;
    let mut daemon = Daemon::of(&db)
        .endpoint("r", &receiver)
        .table(
            "public.orders",
            "to: r\nevents: { insert: [order.created, order.seen] }\n",
        )
        .table("public.ticks", "to: r\nevents: { insert: tick }\n")
        .start()
        .await;
    receiver.choose(|attempt| (attempt.events[0].kind == "order.seen").then_some(Answer::Hang));
    db.sql("INSERT INTO orders (id) VALUES (1)").await;
    let is_seen = |event: &Event| event.kind == "order.seen";
    receiver.wait_for_attempts(2, SOON).await;
    // Two saves that began and ended since then: the second of them has the first event.
    let saves = async || daemon.metrics().await.sum(CHECKPOINTS, &[]);
    let before = saves().await;
    for tick in 1.. {
        db.sql(&format!("INSERT INTO ticks VALUES ({tick})")).await;
        receiver.wait_for(tick + 1, SOON).await;
        if saves().await >= before + 2.0 {
            break;
        }
    }
    daemon.kill().await;
    receiver.choose(|_| None);
    daemon.launch();
    receiver
        .wait_until(|events| events.iter().any(is_seen), SOON)
        .await;
    let attempts = receiver.attempts();
    let orders: Vec<_> = attempts
        .iter()
        .flat_map(|attempt| &attempt.events)
        .filter(|event| event.table == "public.orders")
        .collect();
    let kinds: Vec<_> = orders.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["order.created", "order.seen", "order.seen"]);
    assert_eq!(orders[1].text, orders[2].text);
}

#[tokio::test]
async fn while_secrets_rotate_each_signs() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    let (old, new) = (receiver.secret(), random_secret());
    let _daemon = Daemon::of(&db)
        .endpoint_with("r", &receiver, "secret: [\"${NEW}\", \"${OLD}\"]")
        .env("NEW", &new)
        .env("OLD", &old)
        .table("public.orders", ALL_EVENTS)
        .start()
        .await;
    db.sql("INSERT INTO orders VALUES (1)").await;
    receiver.wait_for(1, SOON).await;
    receiver.set_secrets(&[&new]);
    db.sql("INSERT INTO orders VALUES (2)").await;
    receiver.wait_for(2, SOON).await;
    let attempts = receiver.attempts();
    let signatures = attempts[0].request.header("webhook-signature");
    assert_eq!(signatures.split(' ').count(), 2, "{signatures}");
}

#[tokio::test]
async fn headers_of_the_config_are_sent() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    let _daemon = Daemon::of(&db)
        .endpoint_with(
            "r",
            &receiver,
            "headers: {x-team: payments, authorization: \"Bearer ${TOKEN:-none}\"}",
        )
        .table("public.orders", ALL_EVENTS)
        .start()
        .await;
    db.sql("INSERT INTO orders VALUES (1)").await;
    receiver.wait_for(1, SOON).await;
    let request = &receiver.attempts()[0].request;
    assert_eq!(request.header("x-team"), "payments");
    assert_eq!(request.header("authorization"), "Bearer none");
}

#[tokio::test]
async fn a_unix_socket_and_keywords_will_do() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    let _daemon = Daemon::of(&db)
        .url(&db.keywords())
        .endpoint("r", &receiver)
        .table("public.orders", ALL_EVENTS)
        .start()
        .await;
    db.sql("INSERT INTO orders VALUES (1)").await;
    receiver.wait_for(1, SOON).await;
}

#[tokio::test]
async fn a_role_that_owns_its_tables_and_may_replicate_is_enough() {
    let db = Cluster::shared().await.database().await;
    let role = format!("owner_of_{}", db.name);
    db.sql(&format!(
        "CREATE ROLE {role} LOGIN REPLICATION PASSWORD 'pw'; GRANT by_password TO {role}; \
         GRANT CREATE ON DATABASE {} TO {role}; {ORDERS}; ALTER TABLE orders OWNER TO {role}",
        db.name
    ))
    .await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db)
        .url(&db.url_as(&format!("{role}:pw")))
        .endpoint("r", &receiver)
        .table("public.orders", ALL_EVENTS)
        .start()
        .await;
    db.sql("INSERT INTO orders VALUES (1)").await;
    receiver.wait_for(1, SOON).await;
    drop(daemon);
    db.sql(&format!(
        "REASSIGN OWNED BY {role} TO postgres; DROP OWNED BY {role}; DROP ROLE {role}"
    ))
    .await;
}

#[tokio::test]
async fn an_idle_database_in_a_busy_cluster_holds_no_wal() {
    let (db, receiver, _daemon) = orders().await;
    db.sql("INSERT INTO orders VALUES (1)").await;
    receiver.wait_for(1, SOON).await;
    let busy = db.cluster.database().await;
    busy.sql("CREATE TABLE noise AS SELECT repeat('x', 1000) AS x FROM generate_series(1, 20000)")
        .await;
    db.confirmed(SOON).await;
}

#[tokio::test]
async fn the_slot_is_never_ahead_of_what_was_accepted() {
    let (db, receiver, _daemon) = orders().await;
    let release = receiver.hold_next();
    db.sql("INSERT INTO orders VALUES (1)").await;
    let held = receiver.wait_for_attempts(1, SOON).await;
    let lsn = held[0].events[0].json()["source"]["lsn"]
        .as_str()
        .unwrap()
        .to_owned();
    db.cluster
        .database()
        .await
        .sql("CREATE TABLE noise (id int)")
        .await;
    // The commit record is longer than this.
    let after = format!("SELECT ('{lsn}'::pg_lsn + 8)::text");
    let after: String = db.value(&after).await;
    assert!(!db.has_confirmed(&after).await);
    release.cancel();
    receiver.wait_for(1, SOON).await;
    db.confirmed(SOON).await;
}
