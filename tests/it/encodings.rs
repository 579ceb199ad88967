//! Databases in other encodings than UTF-8.

use serde_json::json;

use crate::harness::installation::major;
use crate::harness::{ALL_EVENTS, Cluster, Daemon, Database, Receiver, SOON, eventually};

async fn started(encoding: &str, sql: &str, table: &str) -> (Database, Receiver, Daemon) {
    let db = Cluster::shared().await.database_in(encoding).await;
    db.sql(sql).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db)
        .endpoint("r", &receiver)
        .table(table, ALL_EVENTS);
    let daemon = daemon.start().await;
    (db, receiver, daemon)
}

#[tokio::test]
async fn rows_and_names_of_latin1_and_euc_jp_come_in_utf8() {
    for (encoding, text) in [("LATIN1", "größe ÿ"), ("EUC_JP", "日本語、テキスト")] {
        let name = text.split(['、', ' ']).next().unwrap();
        let (db, receiver, _daemon) = started(
            encoding,
            &format!(
                "CREATE TYPE \"t{name}\" AS ENUM ('{text}'); CREATE TYPE pair AS (\"{name}\" text); \
                 CREATE TABLE \"{name}\" (id int PRIMARY KEY, \"{name}\" text, e \"t{name}\", \
                 p pair, j json, jb jsonb, l text[], c char(10)); \
                 ALTER TABLE \"{name}\" REPLICA IDENTITY FULL"
            ),
            &format!("public.{name}"),
        )
        .await;
        db.sql(&format!(
            "INSERT INTO \"{name}\" VALUES (1, '{text}', '{text}', ROW('{text}'), '{{\"{text}\":1}}', \
             '{{\"{text}\":2}}', ARRAY['{text}'], '{name}'); DELETE FROM \"{name}\""
        ))
        .await;
        let events = receiver.wait_for(2, SOON).await;
        let padded = name.to_owned() + &" ".repeat(10 - name.chars().count());
        let expected = json!({
            "id": 1, name: text, "e": text, "p": {name: text}, "j": {text: 1}, "jb": {text: 2},
            "l": [text], "c": padded
        });
        for event in events {
            let event = event.json();
            assert_eq!(event["data"], expected);
            assert_eq!(event["source"]["table"], name);
            assert_eq!(event.get("lossy"), None);
        }
    }
}

/// In SQL_ASCII a text is bytes, in whatever encoding who wrote them had.
#[tokio::test]
async fn bytes_that_are_no_utf8_are_replaced_and_their_columns_named() {
    let (db, receiver, _daemon) = started(
        "SQL_ASCII",
        "CREATE TYPE pair AS (a text, b int); CREATE TABLE v (id int PRIMARY KEY, good text, \
         bad text, list text[], p pair, j json, js json[], \"char\" \"char\"); \
         ALTER TABLE v REPLICA IDENTITY FULL",
        "public.v",
    )
    .await;
    db.sql(
        "INSERT INTO v VALUES (1, 'größe €', E'a\\xffb\\xe2\\x82', ARRAY[E'\\xc3\\xa9', E'\\xe9', NULL], \
         ROW(E'\\xe9', 1), E'{\"\\xe9\":\"\\xff\"}', ARRAY[E'\"\\xe9\"'::json], 'x')",
    )
    .await;
    db.sql("INSERT INTO v VALUES (2, 'after')").await;
    db.sql("UPDATE v SET bad = 'better', list = NULL, p = NULL, js = NULL WHERE id = 1")
        .await;
    let events = receiver.wait_for(3, SOON).await;
    let event = events[0].json();
    assert_eq!(
        event["data"],
        json!({
            "id": 1, "good": "größe €", "bad": "a\u{FFFD}b\u{FFFD}", "list": ["é", "\u{FFFD}", null],
            "p": {"a": "\u{FFFD}", "b": 1}, "j": {"\u{FFFD}": "\u{FFFD}"}, "js": ["\u{FFFD}"], "char": "x"
        })
    );
    assert_eq!(event["lossy"], json!(["bad", "list", "p", "j", "js"]));
    assert_eq!(events[1].json().get("lossy"), None);
    // Of the old row, too.
    let event = events[2].json();
    assert_eq!(event["data"]["bad"], "better");
    assert_eq!(event["previous"]["bad"], "a\u{FFFD}b\u{FFFD}");
    assert_eq!(event["lossy"], json!(["bad", "list", "p", "j", "js"]));
}

/// Names, too, of whatever there is in the database.
#[tokio::test]
async fn names_that_are_no_utf8_do_not_stop_the_stream() {
    let odd = |sql: &str| format!("DO $$ BEGIN EXECUTE E'{sql}'; END $$");
    let before = [
        r"CREATE SCHEMA s\xff",
        r"CREATE TABLE before\xff (id int PRIMARY KEY)",
        r"CREATE TYPE pair AS (a\xff text)",
        r"CREATE TABLE v (id\xff int PRIMARY KEY, p pair)",
    ];
    let sql = before.map(odd).join("; ");
    let (db, receiver, _daemon) = started("SQL_ASCII", &sql, "public.*").await;
    db.sql("INSERT INTO v VALUES (1, ROW('x'))").await;
    let event = receiver.wait_for(1, SOON).await[0].json();
    let expected = json!({"id\u{FFFD}": 1, "p": {"a\u{FFFD}": "x"}});
    assert_eq!(event["data"], expected);

    // One that comes later, and a table that joins after it.
    db.sql(&odd(r"CREATE TABLE later\xff (id int PRIMARY KEY)"))
        .await;
    db.sql("CREATE TABLE w (id int PRIMARY KEY)").await;
    let published = "SELECT count(*) FROM pg_publication_tables WHERE tablename = 'w'";
    eventually("published", || async {
        db.value::<i64>(published).await == 1
    })
    .await;
    db.sql("INSERT INTO w VALUES (2)").await;
    assert_eq!(receiver.wait_for(2, SOON).await[1].data("id"), 2);
}

/// Of what was longer the type "char" keeps one byte, and 14 hands it out as it is.
#[tokio::test]
async fn a_byte_that_is_half_a_character_does_not_stop_the_stream() {
    let sql = "CREATE TABLE v (id int PRIMARY KEY, c \"char\", cs \"char\"[])";
    let (db, receiver, _daemon) = started("UTF8", sql, "public.v").await;
    db.sql("INSERT INTO v VALUES (1, 'é', ARRAY['é'::\"char\", 'x'])")
        .await;
    db.sql("INSERT INTO v VALUES (2, 'a')").await;
    let events = receiver.wait_for(2, SOON).await;
    let event = events[0].json();
    let (byte, lossy) = match major() {
        14 => ("\u{FFFD}", json!(["c", "cs"])),
        _ => ("\\303", json!(null)),
    };
    assert_eq!(
        event["data"],
        json!({"id": 1, "c": byte, "cs": [byte, "x"]})
    );
    assert_eq!(event["lossy"], lossy);
}
