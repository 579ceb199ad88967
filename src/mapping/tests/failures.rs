//! Every kind of failure, and what becomes of the event.

use super::super::failure::FailureKind;
use super::super::report::{Matched, Seen};
use super::super::rule::WhenError;
use super::bench::{Bench, NULL, Old, TRUNCATE, UNCHANGED, delete, insert, oid, t, update};
use crate::change::{Operation, Value};

const ROW: [Value<'static>; 4] = [
    Value::Text(b"7"),
    Value::Text(b"paid"),
    Value::Null,
    Value::Unchanged,
];

#[test]
fn a_condition_fails_with_the_kind_of_what_went_wrong() {
    let bench = Bench::table(&[
        ("id", oid::INT8),
        ("status", oid::TEXT),
        ("doc", oid::JSON),
        ("note", oid::TEXT),
    ]);
    let row = [t("7"), t("paid"), t(r#"{"a":[1]}"#), UNCHANGED];
    let key = [t("7"), NULL, NULL, NULL];
    let update = update(Old::None, &row);
    for (condition, given, kind) in [
        ("new.missing == 1", update, FailureKind::NoSuchColumn),
        (
            "new['mis' + 'sing'] == 1",
            update,
            FailureKind::NoSuchColumn,
        ),
        ("changed('missing')", update, FailureKind::NoSuchColumn),
        (
            "new.doc.b == 1",
            insert(&[t("1"), NULL, t("{}"), NULL]),
            FailureKind::NoSuchKey,
        ),
        (
            "new.doc[1] == 1",
            insert(&[t("1"), NULL, t("[1]"), NULL]),
            FailureKind::NoSuchKey,
        ),
        ("new.id == 7", delete(Old::Key(&key)), FailureKind::NoRow),
        ("new == {}", delete(Old::Key(&key)), FailureKind::NoRow),
        ("new.id == 7", TRUNCATE, FailureKind::NoRow),
        ("old.id == 7", TRUNCATE, FailureKind::NoRow),
        ("changed('id')", TRUNCATE, FailureKind::NoRow),
        ("old.id == 7", insert(&row), FailureKind::OldUnknown),
        ("old.status == 'x'", update, FailureKind::OldUnknown),
        (
            "old.status == 'x'",
            delete(Old::Key(&key)),
            FailureKind::OldUnknown,
        ),
        ("old == new", delete(Old::Key(&key)), FailureKind::NoRow),
        ("changed('status')", update, FailureKind::OldUnknown),
        ("new.note == 'x'", update, FailureKind::Unchanged),
        ("has(new.note)", update, FailureKind::Unchanged),
        ("'id' in new", update, FailureKind::Unchanged),
        ("new.status", update, FailureKind::NotBoolean),
        ("null", update, FailureKind::NotBoolean),
        ("new.id + 'x' == ''", update, FailureKind::TypeMismatch),
        ("new.id > 'x'", update, FailureKind::TypeMismatch),
        ("new.status.x == 1", update, FailureKind::TypeMismatch),
        ("!new.status", update, FailureKind::TypeMismatch),
        ("new.status && true", update, FailureKind::TypeMismatch),
        ("null > 1", update, FailureKind::TypeMismatch),
        (
            "9223372036854775807 + new.id > 0",
            update,
            FailureKind::Overflow,
        ),
        (
            "-(-9223372036854775807 - 1) > 0",
            update,
            FailureKind::Overflow,
        ),
        ("int(1e300) > 0", update, FailureKind::Overflow),
        (
            "new.doc > 0",
            insert(&[t("1"), NULL, t("1e999"), NULL]),
            FailureKind::Overflow,
        ),
        ("new.id / 0 == 1", update, FailureKind::DivisionByZero),
        ("new.id % 0 == 1", update, FailureKind::DivisionByZero),
        ("int(new.status) == 1", update, FailureKind::Other),
        (
            "new.doc.a == 1",
            insert(&[t("1"), NULL, t("{"), NULL]),
            FailureKind::Other,
        ),
    ] {
        assert_eq!(bench.evaluate(condition, given), Err(kind), "{condition}");
    }
}

#[test]
fn json_that_is_nested_too_deep_fails_and_does_not_overflow_the_stack() {
    let bench = Bench::table(&[("id", oid::INT8), ("doc", oid::JSON)]);
    let deep = "[".repeat(100_000);
    let given = insert_doc(&deep);
    assert_eq!(
        bench.evaluate("new.doc == 1", insert(&given)),
        Err(FailureKind::Other)
    );
    assert_eq!(
        bench.render("{{new.doc[0]}}", insert(&given)),
        Err(FailureKind::Other)
    );
}

#[test]
fn under_full_identity_an_old_row_that_is_missing_is_not_made_up() {
    let bench = Bench::orders().full_identity();
    let given = update(Old::None, &ROW);
    for condition in ["old.id == 7", "changed('id')"] {
        assert_eq!(
            bench.evaluate(condition, given),
            Err(FailureKind::OldUnknown)
        );
    }
}

fn insert_doc(doc: &str) -> [Value<'_>; 2] {
    [t("1"), t(doc)]
}

#[test]
fn a_failure_that_does_not_decide_is_none() {
    let bench = Bench::orders();
    for (condition, expected) in [
        ("new.id == 7 || new.note == 'x'", true),
        ("new.note == 'x' || new.id == 7", true),
        ("new.id == 8 && new.note == 'x'", false),
        ("new.note == 'x' && new.id == 8", false),
    ] {
        assert_eq!(
            bench.evaluate(condition, update(Old::None, &ROW)),
            Ok(expected),
            "{condition}"
        );
    }
}

fn failing(when_error: WhenError) -> Bench {
    Bench::orders()
        .rule(Operation::Update, "order.it")
        .when("new.note == 'x'")
        .when_error(when_error)
}

#[test]
fn by_default_a_condition_that_fails_does_not_match() {
    let bench = failing(WhenError::Skip);
    let mut mapper = bench.mapper();
    for seen in [Seen::First, Seen::Again] {
        let (events, mapped) = bench.map_with(&mut mapper, update(Old::None, &ROW));
        assert!(events.is_empty() && mapped.parked.is_empty());
        assert_eq!(mapped.matched, Matched::Filtered);
        assert_eq!(mapped.failures.len(), 1);
        assert_eq!(&*mapped.failures[0].rule, "rule 0");
        assert_eq!(mapped.failures[0].kind, FailureKind::Unchanged);
        assert_eq!(mapped.failures[0].seen, seen);
    }
}

#[test]
fn emit_takes_a_failed_condition_for_true() {
    let (events, mapped) = failing(WhenError::Emit).map(update(Old::None, &ROW));
    assert_eq!(events.len(), 1);
    assert!(mapped.parked.is_empty());
    assert_eq!(mapped.failures.len(), 1);
    assert_eq!(mapped.matched, Matched::Matched);
}

#[test]
fn dead_letter_parks_the_event_in_its_place() {
    let bench = failing(WhenError::DeadLetter)
        .to(&[1, 0])
        .rule(Operation::Update, "order.after");
    let (events, mapped) = bench.map(update(Old::None, &ROW));
    assert_eq!(mapped.matched, Matched::Matched);
    let parked: Vec<_> = mapped
        .parked
        .iter()
        .map(|p| {
            (
                p.event.endpoint.0,
                p.event.position.n,
                p.event.last_of_change,
                p.kind,
            )
        })
        .collect();
    assert_eq!(
        parked,
        [
            (1, 0, true, FailureKind::Unchanged),
            (0, 0, false, FailureKind::Unchanged)
        ]
    );
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].position.n, events[0].last_of_change), (1, true));
    assert!(!mapped.parked[0].event.body.is_empty());
}

#[test]
fn a_payload_that_fails_follows_when_error_with_the_standard_body() {
    let bench = |when_error| {
        Bench::orders()
            .rule(Operation::Update, "order.it")
            .payload("{{new.note}}")
            .when_error(when_error)
            .map(update(Old::None, &ROW))
    };
    let standard = |body: &[u8]| body.starts_with(b"{\"id\":\"evt_");
    let (events, mapped) = bench(WhenError::Skip);
    assert!(events.is_empty() && mapped.parked.is_empty());
    assert_eq!(mapped.failures.len(), 1);
    let (events, mapped) = bench(WhenError::Emit);
    assert!(standard(&events[0].body) && mapped.parked.is_empty());
    let (events, mapped) = bench(WhenError::DeadLetter);
    assert!(events.is_empty() && standard(&mapped.parked[0].event.body));
}

#[test]
fn no_failure_shows_a_value() {
    let secret = "hunter2";
    let row = [t("7"), t(secret), NULL, NULL];
    let bench = Bench::orders();
    for condition in [
        "new.status",
        "new.status > 1",
        "new[new.status] == 1",
        "int(new.status) == 1",
        "new.status.matches(new.status + '(')",
        "{new.status: 1, new.status: 2} == {}",
        "new.status / 2 == 1",
        "[1][new.status] == 1",
    ] {
        let failure = bench.evaluate(condition, insert(&row)).unwrap_err();
        assert!(
            !format!("{failure} {failure:?}").contains(secret),
            "{condition}"
        );
    }
}
