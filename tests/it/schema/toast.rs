//! What the WAL does not carry of a large value that an UPDATE left alone.

use serde_json::{Value, json};

use super::{Writer, data, previous, watch};
use crate::harness::SOON;

const DOCS: &str = "\
CREATE TABLE docs (id int PRIMARY KEY, code int NOT NULL UNIQUE, n int, body text, tags text[]);
ALTER TABLE docs ALTER body SET STORAGE EXTERNAL, ALTER tags SET STORAGE EXTERNAL;
";

const FILL: &str =
    "INSERT INTO docs VALUES (1, 10, 0, repeat('x', 9000), array_fill('y'::text, '{3000}'))";

/// The row without these columns.
fn without(mut row: Value, columns: &[&str]) -> Value {
    let object = row.as_object_mut().expect("a row");
    object.retain(|name, _| !columns.contains(&name.as_str()));
    row
}

#[tokio::test]
async fn a_large_value_that_an_update_leaves_alone_is_left_out_and_named_unless_the_old_row_has_it()
{
    let identities = ["DEFAULT", "USING INDEX docs_code_key", "FULL"];
    for identity in identities {
        let ddl = format!("{DOCS} ALTER TABLE docs REPLICA IDENTITY {identity}");
        let s = watch(&ddl, &["public.docs"]).await;
        let mut writer = Writer::of(&s.db).await;
        let row = "docs WHERE id = 1";
        writer.change(FILL, row).await;
        writer.change("UPDATE docs SET n = 1", row).await;
        writer.change("UPDATE docs SET tags = '{a}'", row).await;
        writer.change("UPDATE docs SET body = NULL", row).await;
        writer.change("UPDATE docs SET n = 2", row).await;
        let events = s.receiver.wait_for(5, SOON).await;
        if identity == "FULL" {
            writer.assert_taken(&events);
            assert!(events.iter().all(|e| e.json()["unchanged"].is_null()));
            for (event, before) in events[1..].iter().zip(&writer.taken) {
                assert_eq!(previous(event), *before, "{}", event.text);
            }
            continue;
        }
        let missing: [&[&str]; 5] = [&[], &["body", "tags"], &["body"], &[], &[]];
        for ((event, taken), missing) in events.iter().zip(&writer.taken).zip(missing) {
            assert_eq!(data(event), without(taken.clone(), missing), "{identity}");
            let unchanged = event.json()["unchanged"].take();
            let named = if missing.is_empty() {
                Value::Null
            } else {
                json!(missing)
            };
            assert_eq!(unchanged, named, "{identity}: {}", event.text);
            assert_eq!(previous(event), Value::Null, "{identity}");
        }
    }
}

#[tokio::test]
async fn a_column_that_is_excluded_is_not_named_either() {
    let entry = "to: r\ncolumns: { exclude: [body] }\nevents: { insert: made, update: changed }";
    let s = super::watch_with(DOCS, "", &[("public.docs", entry)]).await;
    s.db.sql(FILL).await;
    s.db.sql("UPDATE docs SET n = 1").await;
    let events = s.receiver.wait_for(2, SOON).await;
    assert_eq!(events[1].json()["unchanged"], json!(["tags"]));
    assert_eq!(data(&events[1]), json!({"id": 1, "code": 10, "n": 1}));
}

/// Its old value is in the WAL although it did not change.
#[tokio::test]
async fn a_large_key_that_did_not_change_makes_no_previous() {
    let s = watch(
        "CREATE TABLE files (name text PRIMARY KEY, n int, rest text);
         ALTER TABLE files ALTER name SET STORAGE EXTERNAL, ALTER rest SET STORAGE EXTERNAL",
        &["public.files"],
    )
    .await;
    let mut writer = Writer::of(&s.db).await;
    let insert = "INSERT INTO files VALUES (repeat('k', 2500), 0, repeat('r', 9000))";
    writer.change(insert, "files").await;
    writer.change("UPDATE files SET n = 1", "files").await;
    writer
        .change("UPDATE files SET name = 'short'", "files")
        .await;
    writer.run("DELETE FROM files").await;
    let events = s.receiver.wait_for(4, SOON).await;
    assert_eq!(
        data(&events[1]),
        without(writer.taken[1].clone(), &["rest"])
    );
    assert_eq!(previous(&events[1]), Value::Null);
    assert_eq!(
        data(&events[2]),
        without(writer.taken[2].clone(), &["rest"])
    );
    assert_eq!(previous(&events[2]), json!({"name": "k".repeat(2500)}));
    assert_eq!(data(&events[3]), json!({"name": "short"}));
}

#[tokio::test]
async fn changed_says_no_for_a_large_value_that_an_update_left_alone() {
    let entry = "to: r\nevents:\n  update:\n    - { type: body.changed, when: changed(\"body\") }\n    - { type: n.changed, when: changed(\"n\") }";
    let ddl = format!("{DOCS} ALTER TABLE docs REPLICA IDENTITY FULL");
    let s = super::watch_with(&ddl, "", &[("public.docs", entry)]).await;
    s.db.sql(FILL).await;
    s.db.sql("UPDATE docs SET n = 1").await;
    s.db.sql("UPDATE docs SET body = repeat('x', 9000)").await;
    s.db.sql("UPDATE docs SET body = repeat('z', 9000)").await;
    s.db.sql("UPDATE docs SET body = NULL, n = 2").await;
    s.db.sql("UPDATE docs SET body = NULL, n = 2").await;
    s.db.sql("UPDATE docs SET n = 3").await;
    let events = s.receiver.wait_for(5, SOON).await;
    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    let both = [
        "n.changed",
        "body.changed",
        "body.changed",
        "n.changed",
        "n.changed",
    ];
    assert_eq!(kinds, both);
}
