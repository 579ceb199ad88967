//! `pg_logical_emit_message`: events without a table.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::daemon::Builder;
use crate::harness::metrics::{
    CHANGES_FILTERED, CHANGES_MATCHED, CHANGES_READ, CHECKPOINTS, EVENTS_DEAD, EVENTS_DELIVERED,
    EVENTS_MADE, EVENTS_WAITING, EVENTS_WAITING_AT_START, SPOOL_EVENTS,
};
use crate::harness::receiver::Event;
use crate::harness::{
    ALL_EVENTS, Answer, Cluster, Daemon, Database, ORDERS, Receiver, SOON, eventually, oracle, seed,
};

/// Messages of two entries and nothing else.
const MESSAGES: &str = "messages:
  order.paid: { to: r, events: order.paid }
  'log.*': { to: r, events: '{prefix}' }";

async fn database() -> Database {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    db
}

fn daemon(db: &Database, receiver: &Receiver, options: &str) -> Builder {
    Daemon::of(db)
        .endpoint_with("r", receiver, options)
        .top(MESSAGES)
}

async fn emit(db: &Database, transactional: bool, prefix: &str, content: &str) {
    let sql = "SELECT pg_logical_emit_message($1, $2, $3::text)";
    let client = db.client().await;
    client
        .query_one(sql, &[&transactional, &prefix, &content])
        .await
        .unwrap();
}

fn kinds(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.kind.as_str()).collect()
}

fn numbers(events: &[Event]) -> Vec<i64> {
    events
        .iter()
        .map(|event| event.data("n").as_i64().unwrap())
        .collect()
}

/// A body without what differs from run to run.
fn shape(event: &Event) -> String {
    let json = event.json();
    let source = &json["source"];
    event
        .text
        .replace(&event.id, "ID")
        .replace(source["lsn"].as_str().unwrap(), "LSN")
        .replace(source["database"].as_str().unwrap(), "DB")
        .replace(&format!("\"xid\":{}", source["xid"]), "\"xid\":XID")
        .replace(json["timestamp"].as_str().unwrap_or("TIME"), "TIME")
}

#[tokio::test]
async fn a_message_is_an_event_in_its_transaction_or_alone() {
    let db = database().await;
    let receiver = Receiver::start().await;
    let daemon = daemon(&db, &receiver, "").start().await;
    emit(&db, true, "order.paid", r#"{"n": 1, "total": 1.50}"#).await;
    emit(&db, false, "order.paid", "[2,\t1.0]").await;
    emit(&db, false, "other", "{}").await;
    emit(&db, false, "log.line", "not json").await;
    db.sql("SELECT pg_logical_emit_message(true, 'log.bytes', '\\x00ff'::bytea)")
        .await;
    let events = receiver.wait_for(4, SOON).await;
    let all = ["order.paid", "order.paid", "log.line", "log.bytes"];
    let mut found = kinds(&events);
    found.sort_unstable();
    let mut wanted = all.to_vec();
    wanted.sort_unstable();
    assert_eq!(found, wanted);
    let mut shapes: Vec<String> = events.iter().map(shape).collect();
    shapes.sort_unstable();
    assert_eq!(
        shapes,
        [
            r#"{"id":"ID","type":"log.bytes","timestamp":"TIME","data":null,"data_base64":"AP8=","previous":null,"source":{"database":"DB","prefix":"log.bytes","operation":"message","transactional":true,"lsn":"LSN","xid":XID,"index":1}}"#,
            r#"{"id":"ID","type":"log.line","timestamp":null,"data":null,"data_base64":"bm90IGpzb24=","previous":null,"source":{"database":"DB","prefix":"log.line","operation":"message","transactional":false,"lsn":"LSN","xid":XID,"index":0}}"#,
            r#"{"id":"ID","type":"order.paid","timestamp":"TIME","data":{"n": 1, "total": 1.50},"previous":null,"source":{"database":"DB","prefix":"order.paid","operation":"message","transactional":true,"lsn":"LSN","xid":XID,"index":1}}"#,
            "{\"id\":\"ID\",\"type\":\"order.paid\",\"timestamp\":null,\"data\":[2,\t1.0],\"previous\":null,\"source\":{\"database\":\"DB\",\"prefix\":\"order.paid\",\"operation\":\"message\",\"transactional\":false,\"lsn\":\"LSN\",\"xid\":XID,\"index\":0}}",
        ]
    );
    // What nobody wants is confirmed, too: a heartbeat that writes no table.
    emit(&db, false, "other", "{}").await;
    db.confirmed(SOON).await;
    let metrics = daemon.metrics().await;
    let of = |name, entry| metrics.sum(name, &[("table", entry)]);
    for entry in ["message order.paid", "message log.*"] {
        assert_eq!(of(CHANGES_READ, entry), 2.0, "{entry}");
        assert_eq!(of(CHANGES_MATCHED, entry), 2.0, "{entry}");
        assert_eq!(of(EVENTS_DELIVERED, entry), 2.0, "{entry}");
    }
    assert_eq!(metrics.sum(CHANGES_READ, &[]), 4.0);
}

#[tokio::test]
async fn before_inside_and_after_a_transaction_each_has_its_place() {
    let db = database().await;
    let receiver = Receiver::start().await;
    let _daemon = daemon(&db, &receiver, "order: endpoint")
        .table("public.orders", ALL_EVENTS)
        .start()
        .await;
    let client = db.client().await;
    client
        .batch_execute(
            r#"
            BEGIN;
            INSERT INTO orders VALUES (1);
            SELECT pg_logical_emit_message(true, 'order.paid', '{"n": 2}');
            SELECT pg_logical_emit_message(false, 'order.paid', '{"n": 1}');
            SAVEPOINT undone;
            SELECT pg_logical_emit_message(true, 'order.paid', '{"n": -1}');
            SELECT pg_logical_emit_message(false, 'order.paid', '{"n": 0}');
            ROLLBACK TO undone;
            INSERT INTO orders VALUES (2);
            COMMIT;
            SELECT pg_logical_emit_message(false, 'order.paid', '{"n": 3}');
            BEGIN;
            SELECT pg_logical_emit_message(true, 'order.paid', '{"n": -2}');
            SELECT pg_logical_emit_message(false, 'order.paid', '{"n": 4}');
            ROLLBACK;
            "#,
        )
        .await
        .unwrap();
    let events = receiver.wait_for(7, SOON).await;
    let told: Vec<Value> = events
        .iter()
        .map(|event| match event.operation.as_str() {
            "message" => event.data("n"),
            operation => json!(operation),
        })
        .collect();
    let expected = [
        json!(1),
        json!(0),
        json!("insert"),
        json!(2),
        json!("insert"),
        json!(3),
        json!(4),
    ];
    assert_eq!(told, expected);
    // A message that was rolled back with its savepoint takes no ordinal.
    let ordinals: Vec<u64> = events.iter().map(|event| event.position.1).collect();
    assert_eq!(ordinals, [0, 0, 1, 2, 3, 0, 0]);
    oracle::assert_in_order_by(&events, |_| "all".to_owned());
    db.confirmed(SOON).await;
}

/// The LSN of a message is where its record ends, which is where the commit's begins.
#[tokio::test]
async fn a_message_at_the_lsn_of_a_commit_is_neither_lost_nor_repeated_by_a_kill() {
    let db = database().await;
    let receiver = Receiver::start().await;
    receiver.choose(|attempt| (attempt.events[0].data("n") == 7).then(|| Answer::status(500)));
    let mut daemon = daemon(&db, &receiver, "")
        .table("public.orders", ALL_EVENTS)
        .start()
        .await;
    // It holds the checkpoint.
    emit(&db, true, "log.held", r#"{"n": 7}"#).await;
    for n in 0..20 {
        let client = db.client().await;
        let sql = format!(
            "BEGIN; INSERT INTO orders VALUES ({n});
             SELECT pg_logical_emit_message(false, 'order.paid', '{{\"n\": 1}}'); COMMIT;"
        );
        client.batch_execute(&sql).await.unwrap();
    }
    let events = receiver.wait_for(40, SOON).await;
    let lsns = |operation: &str| -> Vec<u64> {
        let of_it = events.iter().filter(|event| event.operation == operation);
        of_it.map(|event| event.position.0).collect()
    };
    let commits = lsns("insert");
    let same = lsns("message")
        .iter()
        .filter(|lsn| commits.contains(lsn))
        .count();
    assert!(same > 0, "some message ends where its commit begins");
    // The lanes' places, above the checkpoint, are stored.
    let before = daemon.metrics().await.sum(CHECKPOINTS, &[]);
    eventually("two more checkpoints are written", || async {
        emit(&db, false, "order.paid", r#"{"n": 2}"#).await;
        daemon.metrics().await.sum(CHECKPOINTS, &[]) >= before + 2.0
    })
    .await;
    daemon.kill().await;
    daemon.launch();
    daemon.ready().await;
    receiver.choose(|_| None);
    emit(&db, true, "log.held", r#"{"n": 8}"#).await;
    let held = |event: &Event| event.kind == "log.held";
    let events = receiver
        .wait_until(
            |events| events.iter().filter(|event| held(event)).count() == 2,
            SOON,
        )
        .await;
    let orders: Vec<_> = events
        .iter()
        .filter(|event| event.operation == "insert")
        .collect();
    assert_eq!(orders.len(), 20, "nothing is repeated");
    let paid = events.iter().filter(|event| event.data("n") == 1).count();
    assert_eq!(paid, 20, "nothing is repeated");
    db.confirmed(SOON).await;
}

#[tokio::test]
async fn messages_that_wait_are_on_disk_and_come_once_after_a_restart() {
    let db = database().await;
    let receiver = Receiver::start().await;
    receiver.refuse().await;
    let mut daemon = daemon(&db, &receiver, "").start().await;
    for n in 0..50 {
        emit(&db, n % 2 == 0, "order.paid", &format!("{{\"n\": {n}}}")).await;
    }
    // Settled once they are on disk: the slot moves on.
    db.confirmed(SOON).await;
    let of = [("table", "message order.paid")];
    eventually("all are in the spool", || async {
        daemon.metrics().await.sum(SPOOL_EVENTS, &[]) == 50.0
    })
    .await;
    assert_eq!(daemon.stop().await, 0);
    daemon.launch();
    daemon.ready().await;
    let metrics = daemon.metrics().await;
    assert_eq!(metrics.sum(EVENTS_WAITING_AT_START, &of), 50.0);
    assert_eq!(metrics.sum(EVENTS_WAITING, &of), 50.0);
    receiver.accept_again().await;
    let events = receiver.wait_for(50, SOON).await;
    assert_eq!(numbers(&events), (0..50).collect::<Vec<_>>());
    emit(&db, false, "order.paid", r#"{"n": 50}"#).await;
    let events = receiver.wait_for(51, SOON).await;
    oracle::assert_no_repeats(&events);
    eventually("all are counted", || async {
        daemon.metrics().await.sum(EVENTS_DELIVERED, &of) == 51.0
    })
    .await;
    assert_eq!(daemon.metrics().await.sum(EVENTS_MADE, &of), 1.0);
}

#[tokio::test]
async fn a_crash_of_postgres_sets_the_slot_back_and_repeats_no_message() {
    let cluster = Cluster::own().start().await;
    let db = cluster.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    let mut daemon = daemon(&db, &receiver, "")
        .table("public.orders", ALL_EVENTS)
        .start()
        .await;
    for round in 0..3 {
        for n in 0..10 {
            emit(&db, n % 2 == 0, "order.paid", &format!("{{\"n\": {n}}}")).await;
        }
        db.sql(&format!("INSERT INTO orders VALUES ({round})"))
            .await;
        receiver.wait_for(11 * (round + 1), SOON).await;
        db.confirmed(SOON).await;
        if round == 1 {
            // Nothing in memory knows what was read.
            daemon.kill().await;
        }
        cluster.kill_9().await;
        cluster.start().await;
        if round == 1 {
            daemon.launch();
        }
        daemon.ready().await;
    }
    emit(&db, false, "order.paid", r#"{"n": 10}"#).await;
    let events = receiver.wait_for(34, SOON).await;
    oracle::assert_no_repeats(&events);
    oracle::assert_in_order_per_table(&events);
}

#[tokio::test]
async fn the_members_of_a_key_order_messages_and_the_rest_runs_side_by_side() {
    let db = database().await;
    let receiver = Receiver::start().await;
    receiver.choose(|attempt| {
        let stuck = attempt.events[0].data("customer") == "a";
        stuck.then(|| Answer::status(500))
    });
    let _daemon = Daemon::of(&db)
        .endpoint_with("r", &receiver, "order: key\nkey_lanes: 64")
        .top(
            "messages:\n  order.*: { to: r, key: [customer, region], events: '{prefix}' }\n  \
             log.*: { to: r, events: '{prefix}' }",
        )
        .start()
        .await;
    let customers = ["a", "b", "c", "d", "e", "f", "g", "h"];
    for n in 0..5 {
        for customer in customers {
            let prefix = ["order.made", "order.paid"][n % 2];
            let content = format!(r#"{{"customer": "{customer}", "n": {n}}}"#);
            emit(&db, n % 2 == 0, prefix, &content).await;
        }
        emit(&db, false, "log.line", "text").await;
        emit(&db, false, "order.bytes", "no json").await;
    }
    // Those whose hash falls into the lane of a wait with it: hardly more than one of nine.
    let others = |events: &[Event]| {
        let mut of: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for event in events.iter().filter(|event| event.data("n").is_i64()) {
            let customer = event.data("customer").as_str().unwrap().to_owned();
            of.entry(customer)
                .or_default()
                .push(event.data("n").as_i64().unwrap());
        }
        of
    };
    let events = receiver
        .wait_until(
            |events| {
                others(events)
                    .values()
                    .filter(|of_it| of_it.len() == 5)
                    .count()
                    >= 5
            },
            SOON,
        )
        .await;
    assert!(!others(&events).contains_key("a"));
    receiver.choose(|_| None);
    let events = receiver.wait_for(50, SOON).await;
    for (customer, of_it) in others(&events) {
        assert_eq!(of_it, [0, 1, 2, 3, 4], "{customer}");
    }
    // Only the head was tried.
    let tried: Vec<i64> = receiver
        .attempts()
        .iter()
        .filter(|attempt| !attempt.accepted)
        .map(|attempt| attempt.events[0].data("n").as_i64().unwrap())
        .collect();
    assert!(tried.iter().all(|n| *n == 0), "{tried:?}");
}

#[tokio::test]
async fn rules_read_the_content_and_what_fails_is_a_dead_letter_with_its_prefix() {
    let db = database().await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db)
        .endpoint("r", &receiver)
        .top(
            r#"messages:
  order.paid:
    to: r
    events:
      - { type: order.large, when: "new.data.total > 100.0 && new.transactional" }
      - type: order.told
        when: new.data.total > 0.0
        when_error: dead_letter
        payload: { text: "{{new.prefix}}: {{new.data.total}}", whole: "{{new}}" }"#,
        )
        .start()
        .await;
    emit(&db, true, "order.paid", r#"{"total": 100.10}"#).await;
    let events = receiver.wait_for(2, SOON).await;
    assert_eq!(events[0].kind, "order.large");
    assert_eq!(
        events[1].text,
        r#"{"text":"order.paid: 100.10","whole":{"data":{"total": 100.10},"data_base64":null,"prefix":"order.paid","transactional":true}}"#
    );
    emit(&db, true, "order.paid", r#"{"total": 0}"#).await;
    emit(&db, true, "order.paid", "no json").await;
    let of = [("table", "message order.paid")];
    eventually("the letter is parked", || async {
        daemon.metrics().await.sum(EVENTS_DEAD, &of) == 1.0
    })
    .await;
    let metrics = daemon.metrics().await;
    assert_eq!(metrics.sum(CHANGES_READ, &of), 3.0);
    assert_eq!(metrics.sum(CHANGES_FILTERED, &of), 1.0);
    assert_eq!(metrics.sum(CHANGES_MATCHED, &of), 2.0);
    let filter = ["dead", "list", "--table", "message order.paid", "--json"];
    let listed = daemon.cli(&filter).await.expect_code(0);
    let letter: Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(letter["operation"], "message");
    assert_eq!(letter["table"], "message order.paid");
    assert_eq!(letter["event_type"], "order.told");
    daemon
        .cli(&["dead", "retry", "--table", "message order.paid"])
        .await
        .expect_code(0);
    let events = receiver.wait_for(3, SOON).await;
    assert_eq!(events[2].json()["data_base64"], "bm8ganNvbg==");
}

#[tokio::test]
async fn odd_prefixes_and_contents_go_as_they_are() {
    let db = database().await;
    let receiver = Receiver::start().await;
    let _daemon = Daemon::of(&db)
        .endpoint_with("r", &receiver, "order: endpoint")
        .top(
            r#"messages:
  '"a*b"': { to: r, events: star }
  'größe "x" \ 🚀': { to: r, events: odd }
  '*': { to: r, events: "any.{prefix}" }"#,
        )
        .start()
        .await;
    let long = "p".repeat(5_000);
    for prefix in [
        "a*b",
        "größe \"x\" \\ 🚀",
        "axb",
        "",
        "..",
        "tab\there\n",
        &long,
    ] {
        emit(&db, false, prefix, "").await;
        emit(&db, true, prefix, "\"\\u0000\\ufffe\"").await;
    }
    let events = receiver.wait_for(14, SOON).await;
    let found: Vec<_> = events
        .iter()
        .step_by(2)
        .map(|event| event.kind.clone())
        .collect();
    let cut = format!("any.{}", "p".repeat(256));
    assert_eq!(
        found,
        [
            "star",
            "odd",
            "any.axb",
            "any._",
            "any._._._",
            "any.tab_here_",
            &cut
        ]
    );
    for (at, prefix) in [
        (1, "größe \"x\" \\ 🚀"),
        (3, ""),
        (5, "tab\there\n"),
        (6, &long),
    ] {
        for event in &events[at * 2..at * 2 + 2] {
            assert_eq!(event.json()["source"]["prefix"], prefix);
        }
    }
    assert_eq!(events[0].json()["data_base64"], "");
    assert!(
        events[1]
            .text
            .contains(r#""data":"\u0000\ufffe","previous""#)
    );
}

/// It is admitted alone, and read again as often as it takes.
#[tokio::test]
async fn a_message_larger_than_the_memory_is_delivered() {
    let db = database().await;
    let receiver = Receiver::start().await;
    let _daemon = daemon(&db, &receiver, "timeout: 20s\nmax_body: 16MiB")
        .top("memory: { max_bytes: 64KiB }")
        .start()
        .await;
    for (transactional, content) in [
        (false, "repeat('x', 3000000)"),
        (true, "decode(repeat('ff', 3000000), 'hex')"),
        (false, "to_json(repeat('y', 3000000))::text"),
    ] {
        let emit = format!("pg_logical_emit_message({transactional}, 'log.large', {content})");
        db.sql(&format!("SELECT {emit}")).await;
    }
    let events = receiver.wait_for(3, 2 * SOON).await;
    let base64 = |event: &Event| event.json()["data_base64"].as_str().unwrap().len();
    assert_eq!(
        (base64(&events[0]), base64(&events[1])),
        (4_000_000, 4_000_000)
    );
    assert_eq!(events[2].json()["data"].as_str().unwrap().len(), 3_000_000);
    db.confirmed(SOON).await;
}

#[tokio::test]
async fn a_config_with_messages_needs_no_table_and_one_without_either_is_refused() {
    let db = Cluster::shared().await.database().await;
    let receiver = Receiver::start().await;
    let daemon = daemon(&db, &receiver, "").prepare();
    let ran = daemon.cli_with_secrets(&["check"]).await.expect_code(0);
    let told = "0 tables, 2 kinds of messages";
    assert!(ran.text().contains(told), "{}", ran.text());
    daemon.edit_config(MESSAGES, "");
    let ran = daemon
        .cli_with_secrets(&["check", "--offline"])
        .await
        .expect_code(64);
    assert!(ran.stderr.contains("tables: is missing"), "{}", ran.stderr);
}

/// With transactions that commit where a message ends, and with one endpoint that fails.
#[tokio::test]
async fn kills_lose_and_overtake_no_message() {
    let db = database().await;
    let receiver = Receiver::start().await;
    let seed = seed();
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut moods = chance.fork();
    receiver.choose(move |_| match moods.u8(..8) {
        0 => Some(Answer::status(503)),
        1 => Some(Answer::WorkThenClose),
        _ => None,
    });
    let mut daemon = daemon(&db, &receiver, "order: table")
        .table("public.orders", ALL_EVENTS)
        .top("memory: { max_bytes: 64KiB }")
        .start()
        .await;
    let writer = db.client().await;
    let writing = tokio::spawn(async move {
        for n in 0..600 {
            let transactional = n % 3 == 0;
            let content = format!(r#"{{"n": {n}}}"#);
            let sql = format!(
                "BEGIN; INSERT INTO orders VALUES ({n});
                 SELECT pg_logical_emit_message({transactional}, 'order.paid', '{content}'); COMMIT;"
            );
            writer.batch_execute(&sql).await.unwrap();
        }
    });
    for _ in 0..12 {
        tokio::time::sleep(Duration::from_millis(chance.u64(50..700))).await;
        daemon.kill().await;
        daemon.launch();
    }
    writing.await.unwrap();
    daemon.ready().await;
    receiver.choose(|_| None);
    let all = |events: &[Event]| oracle::without_repeats(events).len() == 1200;
    let events = receiver.wait_until(all, 2 * SOON).await;
    let events = oracle::without_repeats(&events);
    oracle::assert_in_order_per_table(&events);
    let messages: Vec<Event> = events
        .iter()
        .filter(|event| event.operation == "message")
        .cloned()
        .collect();
    assert_eq!(numbers(&messages), (0..600).collect::<Vec<_>>());
    db.confirmed(SOON).await;
}
