//! Rules, bound to a table.

use super::super::report::{BindProblem, Matched};
use super::super::rule::{ColumnSelection, NamePattern};
use super::bench::{Bench, Given, NULL, Old, TRUNCATE, delete, insert, t, update};
use crate::change::{Operation, Value};

const ROW: [Value<'static>; 4] = [
    Value::Text(b"7"),
    Value::Text(b"paid"),
    Value::Null,
    Value::Null,
];

fn types(bench: &Bench, given: Given<'_>) -> Vec<String> {
    let (events, _) = bench.map(given);
    events
        .iter()
        .map(|event| event.event_type.to_string())
        .collect()
}

#[test]
fn every_rule_that_matches_emits() {
    let bench = Bench::orders()
        .rule(Operation::Insert, "order.created")
        .rule(Operation::Update, "order.paid")
        .when("new.status == 'paid'")
        .rule(Operation::Update, "order.failed")
        .when("new.status == 'failed'")
        .rule(Operation::Update, "order.updated")
        .rule(Operation::Truncate, "orders.truncated");
    assert_eq!(types(&bench, insert(&ROW)), ["order.created"]);
    assert_eq!(
        types(&bench, update(Old::None, &ROW)),
        ["order.paid", "order.updated"]
    );
    assert_eq!(types(&bench, TRUNCATE), ["orders.truncated"]);
    let (events, mapped) = bench.map(delete(Old::Key(&ROW)));
    assert!(events.is_empty());
    assert_eq!(mapped.matched, Matched::Filtered);
}

#[test]
fn a_pattern_names_types_after_its_tables() {
    let mut bench = Bench::orders()
        .rule(Operation::Insert, "{schema}.{table}.{operation}")
        .rule(Operation::Delete, "{table}.{operation}");
    bench.entry.pattern.table = NamePattern::Pieces(vec![String::new(), String::new()]);
    assert_eq!(types(&bench, insert(&ROW)), ["public.orders.insert"]);
    let deleted = delete(Old::Key(&ROW));
    assert_eq!(types(&bench, deleted), ["orders.delete"]);
}

#[test]
fn a_table_without_rules_is_unbound_and_nothing_is_wrong_with_it() {
    let mut bench = Bench::orders().rule(Operation::Insert, "a");
    bench.entry.pattern.table = NamePattern::Exact("users".to_owned());
    let (mut mapper, bound) = bench.bound();
    assert_eq!(bound.problems, []);
    let (events, mapped) = bench.map_with(&mut mapper, insert(&ROW));
    assert!(events.is_empty());
    assert_eq!(mapped.matched, Matched::Unbound);
}

#[test]
fn columns_that_the_table_does_not_have_are_named_and_fail_where_they_are_used() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let mut bench = Bench::orders()
        .columns(ColumnSelection::Exclude(names(&["note", "card"])))
        .rule(Operation::Insert, "a")
        .when("new.gone == 1 || has(new.asked)")
        .rule(Operation::Insert, "b")
        .payload("{{new.id}} {{old.lost}}");
    bench.entry.key = Some(names(&["id", "tenant"]));
    let (mut mapper, bound) = bench.bound();
    let shown: Vec<_> = bound.problems.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
    tables."public.orders".columns.exclude names column "card", which the table does not have
    tables."public.orders".key names column "tenant", which the table does not have
    rule 0.when names column "gone", which the table does not have
    rule 1.payload names column "lost", which the table does not have
    "#);
    let (_, mapped) = bench.map_with(&mut mapper, insert(&ROW));
    assert_eq!(mapped.failures.len(), 2);
}

#[test]
fn two_rules_of_one_type_make_one_event_for_an_endpoint() {
    let bench = Bench::orders()
        .rule(Operation::Insert, "orders.insert")
        .rule(Operation::Insert, "{table}.{operation}")
        .to(&[0, 1]);
    let (events, _) = bench.map(insert(&ROW));
    let endpoints: Vec<_> = events.iter().map(|event| event.endpoint.0).collect();
    assert_eq!(endpoints, [0, 1]);
    assert_eq!(events[0].id, events[1].id);
    assert_eq!(events[0].body, events[1].body);
    assert_eq!(
        bench.bound().1.problems,
        [BindProblem::SameType {
            first: "rule 0".into(),
            second: "rule 1".into(),
            event_type: "orders.insert".into()
        }]
    );
}

#[test]
fn a_relation_that_changed_is_bound_anew() {
    let mut bench = Bench::orders().rule(Operation::Insert, "a");
    let mut mapper = bench.mapper();
    bench.relation.columns.truncate(2);
    bench.relation.columns[1].name = "state".to_owned();
    mapper.bind(&bench.relation, &bench.types);
    let (events, _) = bench.map_with(&mut mapper, insert(&[t("7"), NULL]));
    assert!(String::from_utf8_lossy(&events[0].body).contains(r#""data":{"id":7,"state":null},"#));
}

#[test]
fn mapping_again_makes_the_same_bytes() {
    let bench = Bench::orders()
        .rule(Operation::Update, "a")
        .rule(Operation::Update, "b")
        .payload("{{ {'z': new.status, 'a': {'y': 1, 'x': [2]}} }}");
    let mut mapper = bench.mapper();
    let bodies = |mapper: &mut _| {
        let (events, _) = bench.map_with(mapper, update(Old::None, &ROW));
        events
            .into_iter()
            .map(|event| event.body)
            .collect::<Vec<_>>()
    };
    let first = bodies(&mut mapper);
    bench.map_with(&mut mapper, insert(&ROW));
    assert_eq!(bodies(&mut mapper), first);
    assert_eq!(bodies(&mut bench.mapper()), first);
    assert_eq!(first[1], r#"{"a":{"x":[2],"y":1},"z":"paid"}"#);
}
