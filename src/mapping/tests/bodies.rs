//! The standard body, byte for byte.

use super::super::rule::ColumnSelection;
use super::bench::{Bench, NULL, Old, TRUNCATE, UNCHANGED, delete, insert, oid, t, update};
use crate::change::{OldRows, Operation, Value};

fn orders(operation: Operation) -> Bench {
    Bench::orders().rule(operation, "order.it")
}

const HEAD: &str = r#"{"id":"ID","type":"order.it","timestamp":"2026-11-23T22:00:00.123456Z","#;

fn rest(operation: &str) -> String {
    format!(
        r#","source":{{"database":"app","schema":"public","table":"orders","operation":"{operation}","lsn":"0/16B3748","xid":771,"index":3}}}}"#
    )
}

#[test]
fn an_insert_has_the_new_row() {
    let row = [t("7"), t("new"), t("10.50"), t("say \"hi\"\n")];
    assert_eq!(
        orders(Operation::Insert).body(insert(&row)),
        format!(
            r#"{HEAD}"data":{{"id":7,"status":"new","total":10.50,"note":"say \"hi\"\n"}},"previous":null{}"#,
            rest("insert")
        )
    );
}

#[test]
fn an_update_has_the_new_row_and_no_previous_one() {
    let row = [t("7"), t("paid"), t("10.50"), NULL];
    assert_eq!(
        orders(Operation::Update).body(update(Old::None, &row)),
        format!(
            r#"{HEAD}"data":{{"id":7,"status":"paid","total":10.50,"note":null}},"previous":null{}"#,
            rest("update")
        )
    );
}

#[test]
fn a_key_that_changed_stands_in_previous() {
    let (old, new) = ([t("7"), NULL, NULL, NULL], [t("8"), t("a"), NULL, NULL]);
    assert_eq!(
        orders(Operation::Update).body(update(Old::Key(&old), &new)),
        format!(
            r#"{HEAD}"data":{{"id":8,"status":"a","total":null,"note":null}},"previous":{{"id":7}}{}"#,
            rest("update")
        )
    );
}

#[test]
fn a_toasted_key_that_did_not_change_makes_no_previous() {
    let bench = Bench::table(&[("id", oid::TEXT), ("a", oid::TEXT)]);
    let bench = bench.rule(Operation::Update, "order.it");
    let expected = format!(
        r#"{HEAD}"data":{{"id":"long","a":"x"}},"previous":null{}"#,
        rest("update")
    );
    let old = [t("long"), NULL];
    for new in [[t("long"), t("x")], [UNCHANGED, t("x")]] {
        assert_eq!(bench.body(update(Old::Key(&old), &new)), expected);
    }
}

#[test]
fn under_full_identity_previous_is_the_whole_row() {
    let old = [t("7"), t("new"), t("1"), NULL];
    let new = [t("7"), t("paid"), t("1"), NULL];
    assert_eq!(
        orders(Operation::Update)
            .full_identity()
            .body(update(Old::Full(&old), &new)),
        format!(
            r#"{HEAD}"data":{{"id":7,"status":"paid","total":1,"note":null}},"previous":{{"id":7,"status":"new","total":1,"note":null}}{}"#,
            rest("update")
        )
    );
}

#[test]
fn a_delete_has_the_key_alone_and_never_nulls_for_what_is_not_known() {
    let old = [t("7"), NULL, NULL, NULL];
    assert_eq!(
        orders(Operation::Delete).body(delete(Old::Key(&old))),
        format!(
            r#"{HEAD}"data":{{"id":7}},"previous":null{}"#,
            rest("delete")
        )
    );
}

#[test]
fn under_full_identity_a_delete_has_the_whole_row() {
    let old = [t("7"), NULL, t("1.0"), t("x")];
    assert_eq!(
        orders(Operation::Delete)
            .full_identity()
            .body(delete(Old::Full(&old))),
        format!(
            r#"{HEAD}"data":{{"id":7,"status":null,"total":1.0,"note":"x"}},"previous":null{}"#,
            rest("delete")
        )
    );
}

#[test]
fn a_truncate_has_no_rows() {
    assert_eq!(
        orders(Operation::Truncate).body(TRUNCATE),
        format!(r#"{HEAD}"data":null,"previous":null{}"#, rest("truncate"))
    );
}

#[test]
fn an_unchanged_toast_value_is_left_out_and_named() {
    let row = [t("7"), UNCHANGED, t("1"), UNCHANGED];
    assert_eq!(
        orders(Operation::Update).body(update(Old::None, &row)),
        format!(
            r#"{HEAD}"data":{{"id":7,"total":1}},"previous":null,"unchanged":["status","note"]{}"#,
            rest("update")
        )
    );
}

#[test]
fn an_unchanged_toast_value_comes_from_the_old_row_that_has_it() {
    let old = [t("7"), t("new"), t("1"), t("long")];
    let new = [t("7"), t("paid"), t("1"), UNCHANGED];
    assert_eq!(
        orders(Operation::Update)
            .full_identity()
            .body(update(Old::Full(&old), &new)),
        format!(
            r#"{HEAD}"data":{{"id":7,"status":"paid","total":1,"note":"long"}},"previous":{{"id":7,"status":"new","total":1,"note":"long"}}{}"#,
            rest("update")
        )
    );
}

#[test]
fn columns_are_chosen_for_data_previous_and_unchanged_alike() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let (old, new) = (
        [t("7"), NULL, NULL, NULL],
        [t("8"), t("a"), t("1"), UNCHANGED],
    );
    let body = |selection| {
        orders(Operation::Update)
            .columns(selection)
            .body(update(Old::Key(&old), &new))
    };
    assert_eq!(
        body(ColumnSelection::Exclude(names(&["note", "total"]))),
        format!(
            r#"{HEAD}"data":{{"id":8,"status":"a"}},"previous":{{"id":7}}{}"#,
            rest("update")
        )
    );
    assert_eq!(
        body(ColumnSelection::Include(names(&["status"]))),
        format!(
            r#"{HEAD}"data":{{"status":"a"}},"previous":{{}}{}"#,
            rest("update")
        )
    );
}

#[test]
fn bytes_that_are_no_utf8_are_replaced_and_their_columns_named() {
    let row = [t("7"), Value::Text(b"caf\xE9"), NULL, Value::Text(b"\xFF")];
    assert_eq!(
        orders(Operation::Insert).body(insert(&row)),
        format!(
            "{HEAD}\"data\":{{\"id\":7,\"status\":\"caf\u{FFFD}\",\"total\":null,\"note\":\"\u{FFFD}\"}},\"previous\":null,\"lossy\":[\"status\",\"note\"]{}",
            rest("insert")
        )
    );
}

#[test]
fn a_value_that_does_not_fit_its_type_goes_as_text_and_is_counted() {
    let bench = orders(Operation::Insert).rule(Operation::Insert, "order.too");
    let (events, mapped) = bench.map(insert(&[t("7"), NULL, t("1,5"), NULL]));
    assert!(String::from_utf8_lossy(&events[0].body).contains(r#""total":"1,5""#));
    assert_eq!(mapped.misfit_types, [oid::NUMERIC]);
}

#[test]
fn names_are_escaped() {
    let mut bench = Bench::table(&[("a\"b", oid::INT8), ("größe", oid::TEXT)]);
    bench.relation.name =
        std::sync::Arc::new(crate::change::TableName::new("pub\\lic", "ord\"ers"));
    bench.entry.pattern.schema = super::super::rule::NamePattern::Exact("pub\\lic".to_owned());
    bench.entry.pattern.table = super::super::rule::NamePattern::Exact("ord\"ers".to_owned());
    let body = bench
        .rule(Operation::Update, "{schema}.{table}")
        .body(update(Old::None, &[t("1"), UNCHANGED]));
    assert_eq!(
        body,
        r#"{"id":"ID","type":"pub_lic.ord_ers","timestamp":"2026-11-23T22:00:00.123456Z","data":{"a\"b":1},"previous":null,"unchanged":["größe"],"source":{"database":"app","schema":"pub\\lic","table":"ord\"ers","operation":"update","lsn":"0/16B3748","xid":771,"index":3}}"#
    );
}

#[test]
fn an_origin_is_named_last() {
    let mut bench = orders(Operation::Truncate);
    bench.transaction.origin = Some("pg_16389".into());
    assert!(
        bench
            .body(TRUNCATE)
            .ends_with(r#""xid":771,"index":3,"origin":"pg_16389"}}"#)
    );
}

#[test]
fn a_timestamp_has_microseconds_and_one_that_no_calendar_has_is_null() {
    use super::super::body::timestamp;
    for (commit_time_us, expected) in [
        (0, "\"2000-01-01T00:00:00.000000Z\""),
        (-1, "\"1999-12-31T23:59:59.999999Z\""),
        (848_786_400_123_456, "\"2026-11-23T22:00:00.123456Z\""),
        (i64::MAX, "null"),
        (i64::MIN, "null"),
    ] {
        assert_eq!(timestamp(commit_time_us), expected);
    }
}

#[test]
fn a_tuple_that_ends_early_panics_nobody() {
    let (events, _) = orders(Operation::Insert).map(insert(&[t("7")]));
    assert!(String::from_utf8_lossy(&events[0].body).contains(r#""data":{"id":7},"#));
}

/// The rows of a partitioned table may have less of the old row than is announced.
#[test]
fn nulls_of_old_rows_that_may_not_be_known_are_left_out() {
    let mut bench = orders(Operation::Update).full_identity();
    bench.relation.old_rows = OldRows::NullsUnknown;
    let old = [t("7"), NULL, t("1.50"), NULL];
    let new = [t("8"), t("paid"), t("1.50"), NULL];
    let body = bench.body(update(Old::Full(&old), &new));
    assert!(
        body.contains(r#""previous":{"id":7,"total":1.50},"#),
        "{body}"
    );
    bench.relation.old_rows = OldRows::AsAnnounced;
    let body = bench.body(update(Old::Full(&old), &new));
    assert!(
        body.contains(r#""previous":{"id":7,"status":null,"#),
        "{body}"
    );
}

/// A column of a key is never null.
#[test]
fn a_null_in_an_old_key_is_not_known() {
    let bench = orders(Operation::Delete);
    let body = bench.body(delete(Old::Key(&[NULL, NULL, NULL, NULL])));
    assert!(body.contains(r#""data":{},"#), "{body}");
}
