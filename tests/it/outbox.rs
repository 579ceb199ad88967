//! The outbox: a table whose rows are events that the application names itself.

use serde_json::{Value, json};

use crate::harness::metrics::{CHANGES_FILTERED, CHANGES_MATCHED, EVENTS_DEAD};
use crate::harness::receiver::Event;
use crate::harness::{Answer, Cluster, Daemon, Database, Receiver, SOON, eventually, oracle};

const OUTBOX: &str = "CREATE TABLE outbox (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), created timestamptz DEFAULT now(),
    kind text, aggregate text, body jsonb)";

const ENTRY: &str = "to: r\noutbox: { type: kind, key: aggregate, id: id, payload: body }";

async fn start(options: &str) -> (Database, Receiver, Daemon) {
    let db = Cluster::shared().await.database().await;
    db.sql(OUTBOX).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db)
        .endpoint_with("r", &receiver, options)
        .table("public.outbox", ENTRY)
        .start()
        .await;
    (db, receiver, daemon)
}

#[tokio::test]
async fn a_row_is_an_event_under_its_own_type_with_its_payload() {
    let (db, receiver, daemon) = start("").await;
    db.sql(
        r#"INSERT INTO outbox (id, kind, aggregate, body) VALUES
           ('00000000-0000-0000-0000-000000000001', 'order.paid', 'order-7', '{"total": 1.50, "lines": [1]}'),
           ('00000000-0000-0000-0000-000000000002', 'Order-Shipped v2', NULL, NULL)"#,
    )
    .await;
    let events = receiver.wait_for(2, SOON).await;
    let json = events[0].json();
    let shape = events[0]
        .text
        .replace(&events[0].id, "ID")
        .replace(json["timestamp"].as_str().unwrap(), "TIME")
        .replace(json["source"]["database"].as_str().unwrap(), "DB")
        .replace(json["source"]["lsn"].as_str().unwrap(), "LSN")
        .replace(&json["source"]["xid"].to_string(), "XID");
    assert_eq!(
        shape,
        r#"{"id":"ID","type":"order.paid","timestamp":"TIME","data":{"lines": [1], "total": 1.50},"previous":null,"source":{"database":"DB","schema":"public","table":"outbox","operation":"insert","lsn":"LSN","xid":XID,"index":1,"outbox":{"id":"00000000-0000-0000-0000-000000000001","key":"order-7"}}}"#
    );
    assert_eq!(events[1].kind, "Order_Shipped_v2");
    assert_eq!(events[1].json()["data"], Value::Null);
    assert_eq!(events[1].json()["source"]["outbox"]["key"], Value::Null);
    // What cleans up makes no event; nor does a row that is written and deleted at once fail.
    db.sql("UPDATE outbox SET body = '{}'; DELETE FROM outbox")
        .await;
    db.sql("INSERT INTO outbox (kind, body) VALUES ('order.gone', '7'); DELETE FROM outbox")
        .await;
    let events = receiver.wait_for(3, SOON).await;
    assert_eq!(
        (events[2].kind.as_str(), events[2].json()["data"].clone()),
        ("order.gone", json!(7))
    );
    db.confirmed(SOON).await;
    let metrics = daemon.metrics().await;
    assert_eq!(metrics.sum(CHANGES_MATCHED, &[]), 3.0);
    assert_eq!(metrics.sum(CHANGES_FILTERED, &[]), 5.0);
}

#[tokio::test]
async fn the_same_id_written_twice_is_two_events() {
    let (db, receiver, _daemon) = start("").await;
    for n in 1..=2 {
        db.sql(&format!(
            "INSERT INTO outbox (id, kind, body)
             VALUES ('00000000-0000-0000-0000-000000000001', 'order.paid', '{n}'); DELETE FROM outbox"
        ))
        .await;
    }
    let events = receiver.wait_for(2, SOON).await;
    assert_ne!(events[0].id, events[1].id);
    let ids: Vec<Value> = events
        .iter()
        .map(|event| event.json()["source"]["outbox"]["id"].clone())
        .collect();
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test]
async fn the_key_orders_rows_and_other_keys_do_not_wait() {
    let (db, receiver, _daemon) = start("order: key\nkey_lanes: 64").await;
    receiver.choose(|attempt| {
        (attempt.events[0].json()["source"]["outbox"]["key"] == "a").then(|| Answer::status(500))
    });
    let keys = ["a", "b", "c", "d", "e", "f", "g"];
    for n in 0..5 {
        for key in keys {
            db.sql(&format!(
                "INSERT INTO outbox (kind, aggregate, body) VALUES ('moved', '{key}', '{n}')"
            ))
            .await;
        }
    }
    // A lane of 64 may have a second key in it.
    let events = receiver.wait_for(25, SOON).await;
    let key = |event: &Event| event.json()["source"]["outbox"]["key"].to_string();
    assert!(events.iter().all(|event| key(event) != "\"a\""));
    receiver.choose(|_| None);
    let events = receiver.wait_for(35, SOON).await;
    oracle::assert_no_repeats(&events);
    oracle::assert_in_order_by(&events, key);
}

#[tokio::test]
async fn a_row_without_a_type_is_a_dead_letter_and_the_lane_goes_on() {
    let (db, receiver, daemon) = start("").await;
    db.sql("INSERT INTO outbox (kind, body) VALUES (NULL, '1'), ('', '2'), ('order.paid', '3')")
        .await;
    let events = receiver.wait_for(1, SOON).await;
    assert_eq!(events[0].json()["data"], 3);
    eventually("both are parked", || async {
        daemon.metrics().await.sum(EVENTS_DEAD, &[]) == 2.0
    })
    .await;
    let listed = daemon.cli(&["dead", "list", "--json"]).await.expect_code(0);
    let letters: Vec<Value> = listed
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for letter in &letters {
        assert_eq!(letter["event_type"], "untyped");
        assert_eq!(letter["reason"], "condition_failed");
    }
}

#[tokio::test]
async fn a_column_that_is_not_there_is_named_before_anything_is_changed() {
    let db = Cluster::shared().await.database().await;
    db.sql(OUTBOX).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db)
        .endpoint("r", &receiver)
        .table(
            "public.outbox",
            &ENTRY
                .replace("body", "payload")
                .replace("id: id", "id: number"),
        )
        .prepare();
    let ran = daemon.cli_with_secrets(&["check"]).await.expect_code(69);
    for column in ["payload", "number"] {
        let told = format!("column \"{column}\"");
        assert!(ran.text().contains(&told), "{}", ran.text());
    }
    assert!(ran.text().contains("outbox"), "{}", ran.text());
}
