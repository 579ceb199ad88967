//! What endpoints want otherwise: large numbers as strings, bodies of a limited size.

use super::super::failure::FailureKind;
use super::super::form::{BodyForm, LargeNumbers, Oversize};
use super::super::rule::ColumnSelection;
use super::bench::{Bench, NULL, Old, TRUNCATE, delete, insert, oid, t, update};
use crate::change::Operation;
use crate::event::{EndpointIndex, Event};

fn numbers() -> Bench {
    let bench = Bench::table(&[
        ("id", oid::INT8),
        ("small", oid::INT2),
        ("total", oid::NUMERIC),
        ("ratio", oid::FLOAT8),
        ("totals", oid::NUMERIC_ARRAY),
        ("kind", oid::DOMAIN),
        ("doc", oid::JSONB),
        ("none", oid::NUMERIC),
    ]);
    with_strings(bench.rule(Operation::Insert, "a"))
}

/// The second endpoint takes large numbers as strings.
fn with_strings(mut bench: Bench) -> Bench {
    bench.endpoints[1].form.large_numbers = LargeNumbers::Strings;
    bench
}

const ROW: [&str; 7] = [
    "9007199254740993",
    "7",
    "12345678901234567890.10",
    "0.1",
    "{1.0,NULL,NaN}",
    "-3",
    r#"{"n": 9007199254740993}"#,
];

fn texts(row: &[&'static str]) -> Vec<crate::change::Value<'static>> {
    let mut values: Vec<_> = row.iter().map(|text| t(text)).collect();
    values.push(NULL);
    values
}

fn body(event: &Event) -> &str {
    std::str::from_utf8(&event.body).unwrap()
}

#[test]
fn large_numbers_are_strings_for_the_endpoint_that_asks() {
    let (events, _) = numbers().to(&[0, 1]).map(insert(&texts(&ROW)));
    let data = |at: usize| {
        let (_, rest) = body(&events[at]).split_once(r#""data":"#).unwrap();
        rest.split_once(r#","previous""#).unwrap().0.to_owned()
    };
    assert_eq!(
        data(0),
        r#"{"id":9007199254740993,"small":7,"total":12345678901234567890.10,"ratio":0.1,"totals":[1.0,null,"NaN"],"kind":-3,"doc":{"n": 9007199254740993},"none":null}"#
    );
    assert_eq!(
        data(1),
        r#"{"id":"9007199254740993","small":7,"total":"12345678901234567890.10","ratio":0.1,"totals":["1.0",null,"NaN"],"kind":"-3","doc":{"n": 9007199254740993},"none":null}"#
    );
    assert_eq!(events[0].id, events[1].id);
    assert_eq!(
        [events[0].endpoint, events[1].endpoint],
        [EndpointIndex(0), EndpointIndex(1)]
    );
}

#[test]
fn a_payload_has_them_as_strings_too() {
    let bench = numbers().to(&[0, 1]).payload("{{new.total}}");
    let (events, _) = bench.map(insert(&texts(&ROW)));
    let bodies: Vec<_> = events.iter().map(body).collect();
    assert_eq!(
        bodies,
        ["12345678901234567890.10", r#""12345678901234567890.10""#]
    );
}

#[test]
fn conditions_see_numbers_whatever_an_endpoint_takes() {
    let bench = numbers().to(&[1]).when("new.id > 5 && new.total > 1.0");
    assert_eq!(bench.map(insert(&texts(&ROW))).0.len(), 1);
}

#[test]
fn a_payload_that_fails_is_counted_once_for_all_forms() {
    let bench = numbers().to(&[0, 1]).payload("{{new.doc.missing}}");
    let (events, mapped) = bench.map(insert(&texts(&ROW)));
    assert!(events.is_empty());
    assert_eq!(mapped.failures.len(), 1);
}

fn notes(limit: usize, oversize: Oversize) -> Bench {
    let mut bench = Bench::orders().rule(Operation::Insert, "order.it");
    bench.endpoints[0].form = BodyForm {
        bytes_max: limit,
        oversize,
        ..BodyForm::default()
    };
    bench
}

const SOURCE: &str = r#""source":{"database":"app","schema":"public","table":"orders","operation":"OP","lsn":"0/16B3748","xid":771,"index":3}}"#;

/// With the tail of the source's operation.
fn expected(rest: &str, operation: &str) -> String {
    let head = r#"{"id":"ID","type":"order.it","timestamp":"2026-11-23T22:00:00.123456Z","#;
    format!("{head}{rest},{}", SOURCE.replace("OP", operation))
}

#[test]
fn a_body_at_the_limit_goes_whole_and_one_over_it_as_a_reference() {
    let long = "x".repeat(5_000);
    let row = [t("7"), t("new"), t("10.50"), t(&long)];
    let size = notes(1 << 20, Oversize::Reference).map(insert(&row)).0[0]
        .body
        .len();
    let whole = notes(size, Oversize::Reference).map(insert(&row)).0;
    assert!(body(&whole[0]).contains(&long));

    let bench = notes(size - 1, Oversize::Reference);
    let (events, mapped) = bench.map(insert(&row));
    assert_eq!(events[0].id, whole[0].id);
    assert_eq!(
        bench.body(insert(&row)),
        expected(
            &format!(r#""data":{{"id":7}},"previous":null,"oversize":true,"size":{size}"#),
            "insert"
        )
    );
    assert_eq!(mapped.failures[0].kind, FailureKind::Oversize);
    assert!(mapped.parked.is_empty());
}

#[test]
fn a_reference_names_the_old_key_when_it_changed_and_the_row_of_a_delete() {
    let long = "x".repeat(5_000);
    let new = [t("8"), t("new"), t("10.50"), t(&long)];
    let old = [t("7"), t("old"), t("10.50"), t(&long)];
    let bench = |operation| {
        let mut bench = Bench::orders().full_identity().rule(operation, "order.it");
        bench.endpoints[0].form.bytes_max = 1_024;
        bench
    };
    let sized = |text: String| {
        let (before, rest) = text.split_once(r#","size":"#).unwrap();
        let (_, after) = rest.split_once(',').unwrap();
        format!("{before},{after}")
    };
    assert_eq!(
        sized(bench(Operation::Update).body(update(Old::Full(&old), &new))),
        expected(
            r#""data":{"id":8},"previous":{"id":7},"oversize":true"#,
            "update"
        )
    );
    let same = [t("8"), t("old"), t("10.50"), t(&long)];
    assert_eq!(
        sized(bench(Operation::Update).body(update(Old::Full(&same), &new))),
        expected(
            r#""data":{"id":8},"previous":null,"oversize":true"#,
            "update"
        )
    );
    assert_eq!(
        sized(bench(Operation::Delete).body(delete(Old::Full(&old)))),
        expected(
            r#""data":{"id":7},"previous":null,"oversize":true"#,
            "delete"
        )
    );
    assert!(
        !bench(Operation::Truncate)
            .body(TRUNCATE)
            .contains("oversize")
    );
}

#[test]
fn a_reference_has_no_column_that_is_left_out() {
    let long = "x".repeat(5_000);
    let row = [t("7"), t("new"), t("10.50"), t(&long)];
    let bench =
        notes(1_024, Oversize::Reference).columns(ColumnSelection::Exclude(vec!["id".to_owned()]));
    assert!(bench.body(insert(&row)).contains(r#""data":{},"previous""#));
}

#[test]
fn an_oversize_body_can_be_a_dead_letter_and_is_kept_whole() {
    let long = "x".repeat(5_000);
    let row = [t("7"), t("new"), t("10.50"), t(&long)];
    let mut bench = notes(1_024, Oversize::DeadLetter).to(&[0, 1]);
    bench.endpoints[1].form.large_numbers = LargeNumbers::Strings;
    let (events, mapped) = bench.map(insert(&row));
    assert_eq!(events.len(), 1, "the other endpoint takes it");
    assert_eq!(events[0].endpoint, EndpointIndex(1));
    let [parked] = &mapped.parked[..] else {
        panic!("{mapped:?}")
    };
    assert!(body(&parked.event).contains(&long));
    assert_eq!(parked.kind, FailureKind::Oversize);
}
