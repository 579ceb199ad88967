//! What conditions see of a row.

use super::super::condition::Condition;
use super::super::expression::Columns;
use super::bench::{Bench, Given, NULL, Old, TRUNCATE, UNCHANGED, delete, insert, oid, t, update};

fn holds(bench: &Bench, given: Given<'_>, conditions: &[&str]) {
    for condition in conditions {
        assert_eq!(bench.evaluate(condition, given), Ok(true), "{condition}");
    }
}

#[test]
fn a_value_has_the_type_that_its_column_gives_it() {
    let bench = Bench::table(&[
        ("id", oid::INT8),
        ("small", oid::INT2),
        ("total", oid::NUMERIC),
        ("rate", oid::FLOAT8),
        ("ok", oid::BOOL),
        ("name", oid::TEXT),
        ("at", oid::TIMESTAMP),
        ("raw", oid::BYTEA),
        ("doc", oid::JSONB),
        ("list", oid::INT4_ARRAY),
        ("prices", oid::NUMERIC_ARRAY),
        ("address", oid::COMPOSITE),
        ("domain", oid::DOMAIN),
        ("nothing", oid::TEXT),
    ]);
    let row = [
        t("9223372036854775807"),
        t("-3"),
        t("10.50"),
        t("NaN"),
        t("t"),
        t("größe"),
        t("2026-01-02 03:04:05.678"),
        t("\\xff"),
        t(r#"{"a": {"b": [1, 2.5, "x", null, true]}, "n": 18446744073709551615}"#),
        t("{1,2,NULL}"),
        t("{1,2.5,NaN}"),
        t("(Bonn,53111)"),
        t("42"),
        NULL,
    ];
    holds(
        &bench,
        insert(&row),
        &[
            "new.id == 9223372036854775807 && type(new.id) == int",
            "new.small == -3 && new.small + 1 == -2",
            "new.total == 10.5 && type(new.total) == double && new.total * 2.0 == 21.0",
            "new.rate != new.rate && type(new.rate) == double",
            "new.ok && type(new.ok) == bool",
            "new.name == 'größe' && new.name.size() == 5",
            "new.at == '2026-01-02T03:04:05.678'",
            r"new.raw == '\\xff'",
            "new.doc.a.b[0] == 1 && type(new.doc.a.b[0]) == int",
            "type(new.doc.a.b[1]) == double && new.doc.a.b[2] == 'x'",
            "new.doc.a.b[3] == null && new.doc.a.b[4]",
            "new.doc.n == 18446744073709551615u",
            "has(new.doc.a.b) && !has(new.doc.a.c)",
            "new.list == [1, 2, null] && 2 in new.list",
            "type(new.prices[0]) == double && new.prices[2] != new.prices[2]",
            "new.address.city == 'Bonn' && new.address.zip == 53111",
            "new.domain == 42 && type(new.domain) == int",
            "new.nothing == null && has(new.nothing)",
            "operation == 'insert' && schema == 'public' && table == 'orders'",
            "new['name'] == new.name && new['na' + 'me'] == new.name",
            "'name' in new && !('other' in new) && size(new) == 14",
            "new.name.startsWith('gr') && new.name.matches('^g.*e$')",
            "new.name.upperAscii() == 'GRößE'",
            "[1, 2].exists(new, new == 2)",
            "{'b': 1, 'a': 2}.map(k, k) == ['a', 'b']",
            "new.doc.map(k, k) == ['a', 'n']",
            "new.?missing.orValue('none') == 'none' && new.?name.hasValue()",
            "has(new.missing) ? new.missing == 1 : true",
            ".new.name == new.name",
        ],
    );
}

#[test]
fn what_is_not_touched_is_not_decoded() {
    let row = [t("7"), t("paid"), t("no number"), UNCHANGED];
    holds(
        &Bench::orders(),
        update(Old::None, &row),
        &["new.status == 'paid' || new.note == 'x'", "new.id == 7"],
    );
}

#[test]
fn old_values_are_known_as_far_as_the_wal_has_them() {
    let new = [t("7"), t("paid"), t("1"), UNCHANGED];
    let (key, full) = (
        [t("6"), NULL, NULL, NULL],
        [t("7"), t("new"), t("1"), t("x")],
    );
    let bench = Bench::orders();
    holds(&bench, update(Old::None, &new), &["old.id == 7"]);
    holds(&bench, update(Old::Key(&key), &new), &["old.id == 6"]);
    holds(&bench, delete(Old::Key(&key)), &["old.id == 6"]);
    let bench = bench.full_identity();
    holds(
        &bench,
        update(Old::Full(&full), &new),
        &[
            "new.status == 'paid' && old.status != 'paid'",
            "new.note == 'x' && new != old",
        ],
    );
    holds(&bench, delete(Old::Full(&full)), &["old.status == 'new'"]);
}

#[test]
fn changed_compares_what_the_wal_has() {
    let new = [t("7"), t("paid"), t("1"), UNCHANGED];
    let (key, full) = (
        [t("6"), NULL, NULL, NULL],
        [t("7"), t("new"), t("1"), t("x")],
    );
    let bench = Bench::orders();
    holds(
        &bench,
        update(Old::None, &new),
        &["!changed('id')", "!changed('note')"],
    );
    holds(
        &bench,
        update(Old::Key(&key), &new),
        &["changed('id') && !changed(\"note\")"],
    );
    holds(
        &bench,
        insert(&new),
        &["changed('id') && changed('status')"],
    );
    holds(&bench, delete(Old::Key(&key)), &["changed('status')"]);
    holds(
        &bench.full_identity(),
        update(Old::Full(&full), &new),
        &["changed('status') && !changed('total') && !changed('note') && !changed('id')"],
    );
}

#[test]
fn a_null_that_comes_or_goes_is_a_change() {
    let bench = Bench::orders().full_identity();
    let (a, b) = ([t("7"), NULL, NULL, NULL], [t("7"), t(""), NULL, NULL]);
    holds(
        &bench,
        update(Old::Full(&a), &b),
        &["changed('status') && !changed('total')"],
    );
    holds(&bench, update(Old::Full(&b), &a), &["changed('status')"]);
}

#[test]
fn a_truncate_has_names_alone() {
    holds(
        &Bench::orders(),
        TRUNCATE,
        &["operation == 'truncate' && table == 'orders'"],
    );
}

#[test]
fn the_columns_that_a_condition_uses_are_read_from_it() {
    let uses = |source: &str| {
        let condition = Condition::compile(source).unwrap();
        let show = |columns: &Columns| match columns {
            Columns::All => "*".to_owned(),
            Columns::Named(names) => names.iter().cloned().collect::<Vec<_>>().join(","),
        };
        let uses = condition.uses();
        format!(
            "new={} old={} changed={} columns={} needs_old={}",
            show(&uses.new),
            show(&uses.old),
            show(&Columns::Named(uses.changed.clone())),
            condition.columns().join(","),
            condition.needs_old(),
        )
    };
    for (source, expected) in [
        ("true", "new= old= changed= columns= needs_old=false"),
        (
            "new.b == new['a']",
            "new=a,b old= changed= columns=a,b needs_old=false",
        ),
        (
            "new.doc.x[0].y == 1",
            "new=doc old= changed= columns=doc needs_old=false",
        ),
        (
            "old.a != new.a",
            "new=a old=a changed= columns=a needs_old=true",
        ),
        (
            "changed('a') && new.b",
            "new=b old= changed=a columns=a,b needs_old=true",
        ),
        (
            "has(new.a) && new.a == 1",
            "new=a old= changed= columns= needs_old=false",
        ),
        (
            "new.?a.hasValue() || new[?'b'].hasValue()",
            "new=a,b old= changed= columns= needs_old=false",
        ),
        (
            "has(new.doc.x)",
            "new=doc old= changed= columns=doc needs_old=false",
        ),
        (
            "size(new) == 1 && new.a == 1",
            "new=* old= changed= columns= needs_old=false",
        ),
        (
            "new[table] == old",
            "new=* old=* changed= columns= needs_old=true",
        ),
        (
            "[{'a': 1}].exists(old, old.a == new.b)",
            "new=b old= changed= columns=b needs_old=false",
        ),
        (
            "[1].all(x, .old.a == x)",
            "new= old=a changed= columns=a needs_old=true",
        ),
    ] {
        assert_eq!(uses(source), expected, "{source}");
    }
}
