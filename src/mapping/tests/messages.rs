//! Messages and outboxes: what is made of them is the same for ever.

use std::sync::Arc;

use super::super::form::BodyForm;
use super::super::id::message_hash;
use super::super::rule::{
    ColumnSelection, NamePattern, Outbox, Rule, TablePattern, TableRules, TypeOf, TypeTemplate,
    WhenError,
};
use super::super::{EndpointMapping, KeyUse, Mapper, Matched, SourceIdentity};
use super::bench::{Bench, NULL, insert, t};
use crate::change::{NO_TIME, Operation, Transaction};
use crate::event::{EndpointIndex, Event, Keys, Position};
use crate::lsn::Lsn;
use crate::pgoutput::{LogicalMessage, MessagePlace};

const CONTENT: &[u8] = br#"{"customer": "a", "n": 1}"#;

fn entry(prefix: NamePattern, key: &[&str]) -> TableRules {
    TableRules {
        name: "entry".into(),
        pattern: TablePattern {
            schema: NamePattern::Exact(String::new()),
            table: prefix,
        },
        columns: ColumnSelection::All,
        key: (!key.is_empty()).then(|| key.iter().map(|it| (*it).to_owned()).collect()),
        outbox: None,
        rules: vec![Rule {
            name: "rule".into(),
            operation: Operation::Message,
            event_type: TypeTemplate::parse_of("{prefix}", TypeOf::Message).unwrap(),
            when: None,
            when_error: WhenError::Skip,
            endpoints: vec![EndpointIndex(0)],
            payload: None,
        }],
    }
}

fn any(key: &[&str]) -> TableRules {
    entry(NamePattern::Pieces(vec![String::new(); 2]), key)
}

fn mapper(entries: &[TableRules]) -> Mapper {
    let endpoint = EndpointMapping {
        name: "a".into(),
        key_use: KeyUse::Needed,
        form: BodyForm {
            bytes_max: 400,
            ..BodyForm::default()
        },
    };
    let source = SourceIdentity {
        system_identifier: 7_300_000_000_000_000_001,
        database: "app".into(),
    };
    Mapper::new(Arc::new([]), Arc::new([endpoint]), source).with_messages(entries)
}

fn made(mapper: &mut Mapper, place: MessagePlace<'_>, prefix: &str, content: &[u8]) -> Vec<Event> {
    let message = LogicalMessage {
        place,
        prefix: prefix.into(),
        content,
    };
    let mut events = Vec::new();
    mapper.map_message(&message, message_hash(prefix, content), &mut events);
    events
}

fn alone(lsn: u64) -> MessagePlace<'static> {
    MessagePlace::Alone { lsn: Lsn(lsn) }
}

#[test]
fn the_id_and_place_of_a_message_are_the_same_for_ever() {
    let mut mapper = mapper(&[any(&[])]);
    let [event] = &made(&mut mapper, alone(0x16B_3748), "ping", CONTENT)[..] else {
        panic!("one event");
    };
    assert_eq!(event.id.to_string(), "evt_d6e8861a8a4005f18199f3d15e765c43");
    assert_eq!(event.position, Position::start_of(Lsn(0x16B_3748)));
    assert!(event.last_of_change);
    assert_eq!(event.commit_time_us, NO_TIME);
    let bench = Bench::orders();
    let inside = MessagePlace::Change {
        transaction: &bench.transaction,
        ordinal: 3,
    };
    let [event] = &made(&mut mapper, inside, "ping", CONTENT)[..] else {
        panic!("one event");
    };
    assert_eq!(event.id.to_string(), "evt_443e481c3a745fa490143c59f3728696");
    assert_eq!(event.position.ordinal, 3);
    assert_eq!(event.commit_time_us, bench.transaction.commit_time_us);
}

#[test]
fn messages_at_one_lsn_of_two_histories_have_two_ids() {
    let mut mapper = mapper(&[any(&[])]);
    let mut id = |lsn, prefix, content| made(&mut mapper, alone(lsn), prefix, content)[0].id;
    let ids = [
        id(16, "ping", CONTENT),
        id(24, "ping", CONTENT),
        id(16, "pong", CONTENT),
        id(16, "ping", b"{}"),
        id(16, "pin", b"g{}"),
    ];
    let distinct: std::collections::HashSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len());
    assert_eq!(id(16, "ping", CONTENT), ids[0]);
}

#[test]
fn messages_are_ordered_by_the_members_of_the_key_else_by_their_prefix() {
    let keys = |key: &[&str], prefix: &str, content: &str| {
        let mut mapper = mapper(&[any(key)]);
        made(&mut mapper, alone(16), prefix, content.as_bytes())[0].keys
    };
    let by_prefix = keys(&[], "a", "{}");
    assert!(matches!(by_prefix, Keys::One(_)));
    assert_eq!(keys(&[], "a", "7"), by_prefix);
    assert_ne!(keys(&[], "b", "{}"), by_prefix);
    let by_member = |content| keys(&["k"], "a", content);
    let first = by_member(r#"{"k": 7}"#);
    assert_eq!(by_member(r#"{"x": 1, "k":7 }"#), first);
    assert_eq!(
        keys(&["k"], "b", r#"{"k": 7}"#),
        first,
        "whatever the prefix"
    );
    assert_ne!(by_member(r#"{"k": "7"}"#), first);
    let absent = by_member("{}");
    assert_ne!(absent, first);
    for content in [r#"{"k": null}"#, "7", "no json", "[]"] {
        assert_eq!(by_member(content), absent, "{content}");
    }
    let two = |content| keys(&["k", "l"], "a", content);
    assert_ne!(two(r#"{"k": 1, "l": 12}"#), two(r#"{"k": 11, "l": 2}"#));
}

#[test]
fn a_reference_to_a_message_has_the_members_of_its_key() {
    let body = |key: &[&str], content: &str| {
        let mut mapper = mapper(&[any(key)]);
        let [event] = &made(&mut mapper, alone(16), "ping", content.as_bytes())[..] else {
            panic!("one event");
        };
        let body = String::from_utf8(event.body.to_vec()).unwrap();
        body.replace(&event.id.to_string(), "ID")
    };
    let long = "x".repeat(400);
    let content = format!(r#"{{"long": "{long}", "k": 1.50, "l": {{ "a":1}}}}"#);
    insta::assert_snapshot!(
        [
            body(&["k", "l", "absent"], &content),
            body(&["absent"], &content),
            body(&[], &content),
            body(&["k"], &long),
        ]
        .join("\n"),
        @r#"
        {"id":"ID","type":"ping","timestamp":null,"data":{"k":1.50,"l":{ "a":1}},"previous":null,"oversize":true,"size":660,"source":{"database":"app","prefix":"ping","operation":"message","transactional":false,"lsn":"0/10","xid":null,"index":0}}
        {"id":"ID","type":"ping","timestamp":null,"data":null,"previous":null,"oversize":true,"size":660,"source":{"database":"app","prefix":"ping","operation":"message","transactional":false,"lsn":"0/10","xid":null,"index":0}}
        {"id":"ID","type":"ping","timestamp":null,"data":null,"previous":null,"oversize":true,"size":660,"source":{"database":"app","prefix":"ping","operation":"message","transactional":false,"lsn":"0/10","xid":null,"index":0}}
        {"id":"ID","type":"ping","timestamp":null,"data":null,"previous":null,"oversize":true,"size":779,"source":{"database":"app","prefix":"ping","operation":"message","transactional":false,"lsn":"0/10","xid":null,"index":0}}
        "#
    );
}

#[test]
fn a_message_takes_its_exact_entry_else_the_longest_pattern() {
    let pieces = |text: &str| NamePattern::Pieces(text.split('*').map(str::to_owned).collect());
    let entries = [
        entry(pieces("*"), &[]),
        entry(pieces("order.*"), &[]),
        entry(NamePattern::Exact("order.paid".to_owned()), &[]),
    ];
    let named = |at: usize| TableRules {
        name: format!("entry {at}").into(),
        ..entries[at].clone()
    };
    let entries = [named(0), named(1), named(2)];
    let mut all = mapper(&entries);
    let mut of = |prefix| {
        made(&mut all, alone(16), prefix, b"")[0]
            .table
            .table
            .clone()
    };
    assert_eq!(of("order.paid"), "entry 2");
    assert_eq!(of("order.made"), "entry 1");
    assert_eq!(of(""), "entry 0");
    let mut some = mapper(&entries[2..]);
    assert!(made(&mut some, alone(16), "order.made", b"").is_empty());
}

#[test]
fn what_comes_from_an_origin_that_is_ignored_is_filtered() {
    let bench = Bench::orders().rule(Operation::Insert, "order.created");
    let row = [t("7"), NULL, NULL, NULL];
    let matched = |origin: Option<&str>| {
        let mut mapper = bench.mapper().ignoring(Arc::new(["here".to_owned()]));
        let mut other = Bench::orders();
        other.transaction = Transaction {
            origin: origin.map(Arc::from),
            ..bench.transaction.clone()
        };
        other.map_with(&mut mapper, insert(&row)).1.matched
    };
    assert_eq!(matched(None), Matched::Matched);
    assert_eq!(matched(Some("here")), Matched::Filtered);
    assert_eq!(matched(Some("her")), Matched::Matched);
    assert_eq!(matched(Some("here2")), Matched::Matched);
}

#[test]
fn an_outbox_row_has_its_own_type_and_its_payload_for_data() {
    let mut bench = Bench::table(&[("id", 20), ("kind", 25), ("body", 3802), ("who", 25)])
        .rule(Operation::Insert, "replaced");
    let outbox = Outbox {
        event_type: "kind".to_owned(),
        payload: "body".to_owned(),
        key: Some("who".to_owned()),
        id: None,
    };
    bench.entry.rules[0].event_type = TypeTemplate::of_column("kind");
    bench.entry.rules[0].when_error = WhenError::DeadLetter;
    bench.entry.outbox = Some(outbox);
    let body = bench.body(insert(&[t("7"), t("order.paid"), t("{\"n\": 1}"), t("a")]));
    insta::assert_snapshot!(body, @r#"{"id":"ID","type":"order.paid","timestamp":"2026-11-23T22:00:00.123456Z","data":{"n": 1},"previous":null,"source":{"database":"app","schema":"public","table":"orders","operation":"insert","lsn":"0/16B3748","xid":771,"index":3,"outbox":{"key":"a"}}}"#);
    let (events, mapped) = bench.map(insert(&[t("7"), NULL, t("1"), NULL]));
    assert!(events.is_empty());
    assert_eq!(&*mapped.parked[0].event.event_type, "untyped");
    assert_eq!(mapped.parked[0].kind.as_str(), "no_type");
    // The table has lost the column.
    bench.entry.outbox.as_mut().unwrap().payload = "gone".to_owned();
    let (bound, kind) = (
        bench.bound().1,
        bench.map(insert(&[t("7"), t("a"), t("1"), NULL])).1,
    );
    assert_eq!(bound.problems.len(), 1);
    assert_eq!(kind.parked[0].kind.as_str(), "no_such_column");

    // Too large: the key is in `source`.
    bench.entry.outbox.as_mut().unwrap().payload = "body".to_owned();
    for endpoint in &mut bench.endpoints {
        endpoint.form.bytes_max = 400;
    }
    let large = format!("\"{}\"", "x".repeat(600));
    let body = bench.body(insert(&[t("7"), t("a"), t(&large), t("b")]));
    insta::assert_snapshot!(body, @r#"{"id":"ID","type":"a","timestamp":"2026-11-23T22:00:00.123456Z","data":null,"previous":null,"oversize":true,"size":867,"source":{"database":"app","schema":"public","table":"orders","operation":"insert","lsn":"0/16B3748","xid":771,"index":3,"outbox":{"key":"b"}}}"#);
}
