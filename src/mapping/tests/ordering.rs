//! Keys, and the places of a change's events.

use super::super::id::key_hash;
use super::super::mapper::KeyUse;
use super::super::report::BindProblem;
use super::bench::{Bench, Given, NULL, Old, TRUNCATE, UNCHANGED, delete, insert, oid, t, update};
use crate::change::{Operation, TableName};
use crate::event::Keys;

fn keyed(bench: Bench) -> Bench {
    let mut bench = Operation::ALL.into_iter().fold(bench, |bench, operation| {
        bench.rule(operation, "order.it").to(&[0, 1])
    });
    bench.endpoints[0].key_use = KeyUse::Needed;
    bench
}

fn keys(bench: &Bench, given: Given<'_>) -> Keys {
    let (events, _) = bench.map(given);
    assert_eq!(
        events[1].keys,
        Keys::All,
        "the other endpoint does not order by key"
    );
    events[0].keys
}

fn hash(values: &[&str]) -> u64 {
    let values = values.iter().map(|value| Some(value.as_bytes()));
    key_hash(&TableName::new("public", "orders"), values)
}

#[test]
fn a_row_is_ordered_by_its_key() {
    let bench = keyed(Bench::orders());
    let row = [t("7"), t("a"), NULL, UNCHANGED];
    let key = [t("7"), NULL, NULL, NULL];
    for given in [
        insert(&row),
        update(Old::None, &row),
        update(Old::Key(&key), &row),
        delete(Old::Key(&key)),
    ] {
        assert_eq!(keys(&bench, given), Keys::One(hash(&["7"])));
    }
}

#[test]
fn a_key_that_changed_is_ordered_with_both_rows() {
    let (old, new) = ([t("7"), NULL, NULL, NULL], [t("8"), t("a"), NULL, NULL]);
    let both = Keys::Two(hash(&["7"]), hash(&["8"]));
    assert_eq!(
        keys(&keyed(Bench::orders()), update(Old::Key(&old), &new)),
        both
    );
    let full = keyed(Bench::orders()).full_identity();
    assert_eq!(keys(&full, update(Old::Full(&old), &new)), both);
}

#[test]
fn a_toasted_key_that_did_not_change_is_one() {
    let bench = keyed(Bench::table(&[("id", oid::TEXT), ("a", oid::TEXT)]));
    let (old, new) = ([t("long"), NULL], [UNCHANGED, t("x")]);
    assert_eq!(
        keys(&bench, update(Old::Key(&old), &new)),
        Keys::One(hash(&["long"]))
    );
}

#[test]
fn what_is_not_known_is_ordered_with_every_row() {
    let row = [t("7"), t("a"), NULL, NULL];
    let bench = keyed(Bench::orders());
    assert_eq!(keys(&bench, TRUNCATE), Keys::All);

    let mut by_status = keyed(Bench::orders());
    by_status.entry.key = Some(vec!["status".to_owned()]);
    assert_eq!(keys(&by_status, insert(&row)), Keys::One(hash(&["a"])));
    assert_eq!(keys(&by_status, update(Old::None, &row)), Keys::All);
    assert_eq!(keys(&by_status, delete(Old::Key(&row))), Keys::All);
    let by_status = by_status.full_identity();
    assert_eq!(
        keys(&by_status, update(Old::Full(&row), &row)),
        Keys::One(hash(&["a"]))
    );
    let old = [t("7"), t("b"), NULL, NULL];
    assert_eq!(
        keys(&by_status, update(Old::Full(&old), &row)),
        Keys::Two(hash(&["b"]), hash(&["a"]))
    );
}

#[test]
fn a_table_without_a_key_is_ordered_as_a_whole_and_told() {
    let mut bench = keyed(Bench::orders());
    bench.relation.key.clear();
    let row = [t("7"), NULL, NULL, NULL];
    assert_eq!(keys(&bench, insert(&row)), Keys::All);
    assert_eq!(bench.bound().1.problems, [BindProblem::NoKey]);
}

#[test]
fn half_a_key_orders_nothing() {
    let mut bench = keyed(Bench::orders());
    bench.entry.key = Some(vec!["id".to_owned(), "gone".to_owned()]);
    let row = [t("7"), NULL, NULL, NULL];
    assert_eq!(keys(&bench, insert(&row)), Keys::All);
}

#[test]
fn events_of_a_change_are_numbered_for_each_endpoint() {
    let bench = Bench::orders()
        .rule(Operation::Insert, "a")
        .to(&[0, 1])
        .rule(Operation::Insert, "b")
        .when("new.id == 8")
        .rule(Operation::Insert, "c")
        .to(&[1])
        .rule(Operation::Insert, "d")
        .to(&[0]);
    let row = [t("7"), NULL, NULL, NULL];
    let (events, _) = bench.map(insert(&row));
    let shown: Vec<_> = events
        .iter()
        .map(|e| (&*e.event_type, e.endpoint.0, e.position.n, e.last_of_change))
        .collect();
    assert_eq!(
        shown,
        [
            ("a", 0, 0, false),
            ("a", 1, 0, false),
            ("c", 1, 1, true),
            ("d", 0, 1, true)
        ]
    );
    let position = events[0].position;
    assert_eq!((position.lsn.0, position.ordinal), (0x16B_3748, 3));
    assert_eq!(
        events[0].body.as_ptr(),
        events[1].body.as_ptr(),
        "one body for both"
    );
}
