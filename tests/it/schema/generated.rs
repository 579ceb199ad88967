//! Generated columns: in the stream from PostgreSQL 18 on, and there the stored ones alone.

use serde_json::{Value, json};

use super::{Writer, data, major, previous, watch, watch_with};
use crate::harness::{Cluster, Daemon, Receiver, SOON};

const G: &str = "\
CREATE TABLE g (id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED,
                big text GENERATED ALWAYS AS (repeat('x', a)) STORED);
ALTER TABLE g ALTER big SET STORAGE EXTERNAL;
";

fn without_generated(mut row: Value) -> Value {
    let object = row.as_object_mut().expect("a row");
    object.retain(|name, _| name != "twice" && name != "big");
    row
}

/// Of both identities: 18 lets no row be changed whose identity has a column that is not sent.
#[tokio::test]
async fn stored_columns_are_sent_where_the_server_can_and_else_left_out() {
    for identity in ["DEFAULT", "FULL"] {
        let ddl = format!("{G} ALTER TABLE g REPLICA IDENTITY {identity}");
        let s = watch(&ddl, &["public.g"]).await;
        let is_sent = major(&s.db).await >= 18;
        let mut writer = Writer::of(&s.db).await;
        writer.change("INSERT INTO g VALUES (1, 3)", "g").await;
        writer.change("UPDATE g SET a = 4", "g").await;
        writer.change("UPDATE g SET id = 2", "g").await;
        writer.run("DELETE FROM g").await;
        let events = s.receiver.wait_for(4, SOON).await;
        let expected: Vec<Value> = match is_sent {
            true => writer.taken.clone(),
            false => writer
                .taken
                .iter()
                .cloned()
                .map(without_generated)
                .collect(),
        };
        let sent: Vec<Value> = events[..3].iter().map(data).collect();
        assert_eq!(sent, expected, "{identity}");
        if identity == "FULL" {
            assert_eq!(previous(&events[1]), expected[0]);
            assert_eq!(previous(&events[2]), expected[1]);
            assert_eq!(data(&events[3]), expected[2]);
        } else {
            assert_eq!(previous(&events[2]), json!({"id": 1}));
            assert_eq!(data(&events[3]), json!({"id": 2}));
        }
    }
}

#[tokio::test]
async fn a_rule_that_names_a_generated_column_is_refused_where_it_is_not_sent() {
    let entry = "to: r\nevents: { insert: { type: made, when: new.twice > 2 } }";
    let db = Cluster::shared().await.database().await;
    if major(&db).await >= 18 {
        let s = watch_with(G, "", &[("public.g", entry)]).await;
        s.db.sql("INSERT INTO g VALUES (1, 1), (2, 2)").await;
        let events = s.receiver.wait_for(1, SOON).await;
        assert_eq!(events[0].data("id"), 2);
        return;
    }
    db.sql(G).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db)
        .endpoint("r", &receiver)
        .table("public.g", entry)
        .prepare();
    let ran = daemon.cli_with_secrets(&["check"]).await;
    assert_ne!(ran.code, 0);
    let text = ran.text();
    assert!(
        text.contains("column \"twice\" of table public.g is generated"),
        "{text}"
    );
}

/// They are in no stream: where every column must be, the application could not update.
#[tokio::test]
async fn virtual_columns_are_left_out_and_full_identity_with_them_is_refused() {
    let db = Cluster::shared().await.database().await;
    if major(&db).await < 18 {
        eprintln!("skipped: virtual generated columns came with PostgreSQL 18");
        return;
    }
    let ddl =
        "CREATE TABLE v (id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) VIRTUAL)";
    let s = watch(ddl, &["public.v"]).await;
    let mut writer = Writer::of(&s.db).await;
    writer.change("INSERT INTO v VALUES (1, 3)", "v").await;
    writer.change("UPDATE v SET a = 4", "v").await;
    let events = s.receiver.wait_for(2, SOON).await;
    for (event, taken) in events.iter().zip(&writer.taken) {
        assert_eq!(data(event), without_generated(taken.clone()));
    }
    db.sql(&format!("{ddl}; ALTER TABLE v REPLICA IDENTITY FULL"))
        .await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db)
        .endpoint("r", &receiver)
        .table("public.v", "to: r\nevents: { update: changed }")
        .prepare();
    let ran = daemon.cli_with_secrets(&["check"]).await;
    assert_ne!(ran.code, 0);
    let text = ran.text();
    assert!(
        text.contains("virtual") && text.contains("REPLICA IDENTITY DEFAULT"),
        "{text}"
    );
}
