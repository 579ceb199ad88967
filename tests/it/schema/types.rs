//! Types of the database's own, of which the stream tells the names alone.

use super::{Writer, watch};
use crate::harness::SOON;

#[tokio::test]
async fn labels_of_an_enum_are_as_they_were_and_new_ones_are_no_news() {
    let s = watch(
        "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE t (id int PRIMARY KEY, m mood, ms mood[])",
        &["public.t"],
    )
    .await;
    let mut writer = Writer::of(&s.db).await;
    writer
        .change("INSERT INTO t VALUES (1, 'sad', '{ok,sad}')", "t")
        .await;
    writer
        .run("ALTER TYPE mood ADD VALUE 'very, \"happy\"'")
        .await;
    writer
        .change("UPDATE t SET m = 'very, \"happy\"', ms = ms || m", "t")
        .await;
    writer.change("UPDATE t SET ms = ms || m", "t").await;
    writer
        .run("ALTER TYPE mood RENAME VALUE 'sad' TO 'unhappy'")
        .await;
    writer.change("UPDATE t SET id = 2", "t").await;
    let events = s.receiver.wait_for(4, SOON).await;
    writer.assert_taken(&events);
}

/// Nothing in the stream tells of it, and a value of the same length could be taken for one
/// of the type as it was.
#[tokio::test]
async fn a_composite_type_that_is_altered_is_read_anew_before_its_next_value() {
    let s = watch(
        "CREATE TYPE place AS (street text, zip text);
         CREATE DOMAIN home AS place;
         CREATE TABLE other (x int, y text);
         CREATE TABLE t (id int PRIMARY KEY, p place, ps place[], h home, o other)",
        &["public.t"],
    )
    .await;
    let mut writer = Writer::of(&s.db).await;
    let values =
        "p = ROW('a', '1'), ps = ARRAY[ROW('b', '2')::place], h = ROW('c', '3'), o = ROW(1, 'y')";
    writer.change("INSERT INTO t VALUES (1)", "t").await;
    writer.change(&format!("UPDATE t SET {values}"), "t").await;
    let touch = "UPDATE t SET id = id + 1";
    let mut sent = 2;
    s.receiver.wait_for(sent, SOON).await;
    for alter in [
        "ALTER TYPE place ADD ATTRIBUTE n numeric",
        "ALTER TYPE place RENAME ATTRIBUTE street TO road",
        "ALTER TYPE place DROP ATTRIBUTE zip",
        "ALTER TYPE place ADD ATTRIBUTE j json",
        "ALTER TYPE place DROP ATTRIBUTE j, ADD ATTRIBUTE k json",
        "ALTER TABLE other ADD z bool, DROP x",
        "ALTER TABLE other ADD when_ timestamptz",
    ] {
        writer.run(alter).await;
        writer.change(touch, "t").await;
        sent += 1;
        s.receiver.wait_for(sent, SOON).await;
    }
    writer
        .run("BEGIN; ALTER TYPE place RENAME ATTRIBUTE road TO way")
        .await;
    writer.change(touch, "t").await;
    writer.run("COMMIT").await;
    let events = s.receiver.wait_for(writer.taken.len(), SOON).await;
    writer.assert_taken(&events);
}

/// What was dropped or renamed meanwhile is in no catalog any more; what was added is.
#[tokio::test]
async fn a_value_from_before_a_type_got_more_attributes_has_those_of_then() {
    let mut s = watch(
        "CREATE TYPE place AS (street text, zip text); CREATE TABLE t (id int PRIMARY KEY, p place, ps place[])",
        &["public.t"],
    )
    .await;
    assert_eq!(s.daemon.stop().await, 0);
    let mut writer = Writer::of(&s.db).await;
    writer
        .change(
            "INSERT INTO t VALUES (1, '(a,)', '{\"(b,2)\",\"(,)\"}')",
            "t",
        )
        .await;
    writer
        .run("ALTER TYPE place ADD ATTRIBUTE n numeric, ADD ATTRIBUTE tags text[]")
        .await;
    writer
        .change("UPDATE t SET p = ROW('a', '1', 2.50, '{x,y}')", "t")
        .await;
    s.daemon.launch();
    let events = s.receiver.wait_for(2, SOON).await;
    writer.assert_taken(&events);
}

#[tokio::test]
async fn types_made_while_it_streams_are_known_from_their_first_value_on() {
    let s = watch(
        "CREATE TABLE t (id int PRIMARY KEY); CREATE SCHEMA a; CREATE SCHEMA b",
        &["public.t"],
    )
    .await;
    let mut writer = Writer::of(&s.db).await;
    writer.run("BEGIN").await;
    writer
        .change(
            "CREATE TYPE a.kind AS ENUM ('x'); CREATE TYPE b.kind AS (x int, y text);
             ALTER TABLE t ADD a a.kind, ADD b b.kind; INSERT INTO t VALUES (1, 'x', '(1,y)')",
            "t",
        )
        .await;
    writer
        .change(
            "CREATE DOMAIN few AS int[] CHECK (cardinality(VALUE) < 9);
             CREATE TYPE deep AS (s few, k b.kind[], r int4range);
             ALTER TABLE t ADD s few, ADD d deep[];
             UPDATE t SET s = '{1,2}', d = ARRAY[ROW('{3}', ARRAY[ROW(1, 'a \"b\"')::b.kind, NULL], '[1,5)')::deep]",
            "t",
        )
        .await;
    writer.run("COMMIT").await;
    writer
        .change(
            "ALTER TABLE t ADD c b.kind[]; UPDATE t SET c = '{\"(7,)\"}'",
            "t",
        )
        .await;
    // What a type was made of cannot be read once it is dropped.
    s.receiver.wait_for(3, SOON).await;
    // The same name, and another type.
    writer
        .run("ALTER TABLE t DROP b; DROP TYPE b.kind CASCADE")
        .await;
    writer
        .change(
            "CREATE TYPE b.kind AS (y bool, x text, z int); ALTER TABLE t ADD b b.kind; UPDATE t SET b = '(t,1,2)'",
            "t",
        )
        .await;
    let events = s.receiver.wait_for(4, SOON).await;
    writer.assert_taken(&events);
}
