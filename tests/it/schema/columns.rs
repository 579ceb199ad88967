//! Columns that come, go, and change their names, types, defaults and places.

use serde_json::{Value, json};

use super::{Watched, Writer, previous, watch, watch_with};
use crate::harness::metrics::PROBLEMS;
use crate::harness::{ALL_EVENTS, ORDERS, SOON, eventually, oracle};

/// Each followed by a change of the row 1.
const STEPS: &[&str] = &[
    "INSERT INTO t (id, a, b, n) VALUES (1, 'a', 'b', 1.5)",
    "ALTER TABLE t ADD COLUMN plain text; UPDATE t SET a = 'a1'",
    "ALTER TABLE t ADD COLUMN fast int DEFAULT 7; UPDATE t SET a = 'a2'",
    "ALTER TABLE t ADD COLUMN slow float8 DEFAULT random(); UPDATE t SET a = 'a3'",
    "ALTER TABLE t ALTER fast SET DEFAULT 8; UPDATE t SET a = 'a4'",
    "ALTER TABLE t RENAME COLUMN plain TO \"Ren.am\"\"ed\"; UPDATE t SET \"Ren.am\"\"ed\" = 'r'",
    "ALTER TABLE t ALTER n TYPE text USING 'n=' || n; UPDATE t SET a = 'a5'",
    "ALTER TABLE t ALTER fast DROP DEFAULT, ALTER fast TYPE jsonb USING jsonb_build_object('was', fast); UPDATE t SET a = 'a6'",
    "ALTER TABLE t DROP COLUMN a; UPDATE t SET b = 'b1'",
    // As a tool does that puts a column elsewhere.
    "ALTER TABLE t ADD COLUMN b2 text; UPDATE t SET b2 = b",
    "ALTER TABLE t DROP COLUMN b; UPDATE t SET slow = 0.5",
    "ALTER TABLE t RENAME COLUMN b2 TO b; UPDATE t SET b = 'b2'",
    // Two change their names with one another.
    "ALTER TABLE t RENAME COLUMN b TO x; ALTER TABLE t RENAME COLUMN n TO b; \
     ALTER TABLE t RENAME COLUMN x TO n; UPDATE t SET b = 'swapped'",
    "ALTER TABLE t ALTER id TYPE bigint; UPDATE t SET id = 1, b = 'wide'",
    "ALTER TABLE t ALTER slow TYPE numeric(20, 5); UPDATE t SET b = 'digits'",
];

const T: &str = "CREATE TABLE t (id int PRIMARY KEY, a text, b text, n numeric)";

async fn expect_steps(s: &Watched, writer: &Writer) {
    let events = s.receiver.wait_for(STEPS.len(), SOON).await;
    writer.assert_taken(&events);
    oracle::assert_in_order_per_table(&events);
}

#[tokio::test]
async fn each_row_has_the_columns_that_it_had_then() {
    let s = watch(T, &["public.t"]).await;
    let mut writer = Writer::of(&s.db).await;
    for step in STEPS {
        writer.change(step, "t").await;
    }
    expect_steps(&s, &writer).await;
}

#[tokio::test]
async fn each_row_has_the_columns_that_it_had_then_also_inside_one_transaction() {
    let s = watch(T, &["public.t"]).await;
    let mut writer = Writer::of(&s.db).await;
    writer.run("BEGIN").await;
    for step in STEPS {
        writer.change(step, "t").await;
    }
    writer.run("COMMIT").await;
    expect_steps(&s, &writer).await;
}

#[tokio::test]
async fn each_row_has_the_columns_that_it_had_then_also_when_it_is_read_long_after() {
    let mut s = watch(T, &["public.t"]).await;
    assert_eq!(s.daemon.stop().await, 0);
    let mut writer = Writer::of(&s.db).await;
    for step in STEPS {
        writer.change(step, "t").await;
    }
    s.daemon.launch();
    s.daemon.ready().await;
    expect_steps(&s, &writer).await;
}

#[tokio::test]
async fn what_was_altered_and_rolled_back_is_as_it_was() {
    let s = watch(T, &["public.t"]).await;
    let mut writer = Writer::of(&s.db).await;
    writer
        .change("INSERT INTO t VALUES (1, 'a', 'b', 1)", "t")
        .await;
    writer
        .run("BEGIN; ALTER TABLE t DROP COLUMN a; UPDATE t SET b = 'never'; ROLLBACK")
        .await;
    writer
        .run("BEGIN; SAVEPOINT s; ALTER TABLE t RENAME a TO z; UPDATE t SET z = 'no'")
        .await;
    writer
        .change("ROLLBACK TO s; UPDATE t SET a = 'yes'", "t")
        .await;
    writer.run("COMMIT").await;
    writer.change("UPDATE t SET b = 'after'", "t").await;
    let events = s.receiver.wait_for(3, SOON).await;
    writer.assert_taken(&events);
}

#[tokio::test]
async fn under_full_identity_the_old_row_has_the_columns_of_the_new_one() {
    let ddl = format!("{T}; ALTER TABLE t REPLICA IDENTITY FULL");
    let s = watch(&ddl, &["public.t"]).await;
    let mut writer = Writer::of(&s.db).await;
    writer
        .change("INSERT INTO t VALUES (1, 'a', 'b', 1)", "t")
        .await;
    writer
        .run("ALTER TABLE t ADD c int DEFAULT 7, ADD d text, DROP COLUMN a")
        .await;
    let before = writer.row("t").await;
    writer.change("UPDATE t SET b = 'c'", "t").await;
    let events = s.receiver.wait_for(2, SOON).await;
    writer.assert_taken(&events);
    assert_eq!(previous(&events[1]), before);
}

/// The application does the same a second time, with a rule for it in the config.
#[tokio::test]
async fn a_rule_whose_column_goes_away_is_told_and_recovers_and_the_others_go_on() {
    let entry = "\
to: r
events:
  update:
    - { type: order.paid, when: new.status == \"paid\" }
    - order.updated
";
    let s = watch_with(ORDERS, "order: endpoint", &[("public.orders", entry)]).await;
    let Watched {
        db,
        receiver,
        daemon,
    } = &s;
    db.sql("INSERT INTO orders VALUES (1, 'new')").await;
    db.sql("UPDATE orders SET status = 'paid'").await;
    receiver.wait_for(2, SOON).await;
    db.sql("ALTER TABLE orders RENAME status TO state").await;
    db.sql("UPDATE orders SET note = 'without'").await;
    let told = "tables.\"public.orders\".events.update[0]: column \"status\" of table public.orders does not exist";
    daemon.lines().line_with(told, SOON).await;
    eventually("a problem", || async {
        daemon.metrics().await.sum(PROBLEMS, &[("kind", "column")]) == 1.0
    })
    .await;
    let (status, page) = daemon.get("/readyz").await;
    assert!(status == 200 && page.contains(told), "{status} {page}");
    let shown = daemon.cli(&["status"]).await.text();
    assert!(shown.contains(told), "{shown}");
    db.sql("ALTER TABLE orders DROP state, ADD status text")
        .await;
    daemon
        .lines()
        .line_with(&format!("no longer: {told}"), SOON)
        .await;
    db.sql("UPDATE orders SET status = 'paid', note = 'with'")
        .await;
    let events = receiver.wait_for(5, SOON).await;
    let seen: Vec<_> = events
        .iter()
        .map(|e| (e.kind.as_str(), e.data("note")))
        .collect();
    let expected = [
        ("order.paid", Value::Null),
        ("order.updated", Value::Null),
        ("order.updated", json!("without")),
        ("order.paid", json!("with")),
        ("order.updated", json!("with")),
    ];
    assert_eq!(seen, expected);
    assert_eq!(daemon.metrics().await.sum(PROBLEMS, &[]), 0.0);
}

/// With another name it would go out to those who may not see it.
#[tokio::test]
async fn an_excluded_column_that_is_renamed_is_told() {
    let entry = format!("columns: {{ exclude: [note] }}\n{ALL_EVENTS}");
    let s = watch_with(ORDERS, "", &[("public.orders", &entry)]).await;
    s.db.sql("ALTER TABLE orders RENAME note TO remark").await;
    let told = "tables.\"public.orders\".columns.exclude: column \"note\" of table public.orders does not exist";
    s.daemon.lines().line_with(told, SOON).await;
    s.db.sql("ALTER TABLE orders RENAME remark TO note").await;
    s.daemon
        .lines()
        .line_with(&format!("no longer: {told}"), SOON)
        .await;
    s.db.sql("INSERT INTO orders VALUES (1, 'new', 1, 'secret')")
        .await;
    let events = s.receiver.wait_for(1, SOON).await;
    assert!(!events[0].text.contains("secret"));
}

#[tokio::test]
async fn rows_stay_in_order_when_their_key_gets_another_name_type_or_column() {
    let options = "order: key\nkey_lanes: 64";
    let s = watch_with(T, options, &[("public.t", ALL_EVENTS)]).await;
    let steps = [
        "ALTER TABLE t RENAME id TO key; UPDATE t SET b = '1'",
        "ALTER TABLE t ALTER key TYPE numeric(10, 2); UPDATE t SET b = '2'",
        "ALTER TABLE t DROP CONSTRAINT t_pkey, ALTER a SET NOT NULL, ADD PRIMARY KEY (key, a); UPDATE t SET b = '3'",
        "ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (a); UPDATE t SET b = '4'",
        "ALTER TABLE t DROP COLUMN key; UPDATE t SET b = '5'",
    ];
    s.db.sql("INSERT INTO t SELECT g, 'row ' || g, '0' FROM generate_series(1, 12) g")
        .await;
    s.receiver.wait_for(12, SOON).await;
    // From here on every row waits for its own first change, in a lane of its own.
    let mut chance = fastrand::Rng::with_seed(3);
    s.receiver.choose(move |_| {
        let answer = crate::harness::Answer::status(500);
        (chance.u8(..3) == 0).then_some(answer)
    });
    for step in steps {
        s.db.sql(step).await;
    }
    let events = s.receiver.wait_for(12 * 6, SOON).await;
    oracle::assert_no_repeats(&events);
    let row = |event: &crate::harness::receiver::Event| event.data("a").to_string();
    oracle::assert_in_order_by(&events, row);
    let attempts = s.receiver.attempts();
    oracle::assert_never_overtaken(&attempts, &std::collections::HashSet::new(), row);
}
